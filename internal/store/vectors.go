package store

import (
	"context"
	"iter"
	"time"

	"github.com/costprof/costprof/internal/usage"
)

// QueuedPrompt is a prompt that waits for its vector.
type QueuedPrompt struct {
	Project string
	ID      usage.ID
	Text    string
	// Attempts is how often its embedding was begun.
	Attempts int
}

// PromptVector is what was made of a prompt.
type PromptVector struct {
	Project string
	ID      usage.ID
	Vector  []float32
}

// Attempt changes a queued prompt: how often it was tried, and not to try it again before a time.
type Attempt struct {
	Project   string
	ID        usage.ID
	Attempts  int
	NotBefore time.Time
}

// Queue holds the prompts that wait for a vector. A prompt joins it in the
// transaction that stores its text, and leaves it in that which stores its vector
// or removes its text.
type Queue interface {
	// TakeQueue gives prompts that are due, those due longest first, then by project
	// and id. It removes nothing and keeps nobody else from them: the worker sees to
	// it that there is one of it.
	TakeQueue(ctx context.Context, limit int, now time.Time) ([]QueuedPrompt, error)
	// QueueSize is how many prompts wait, due or not.
	QueueSize(ctx context.Context) (int64, error)
	// PutAttempts changes queued prompts; those that are not queued any more are left
	// alone.
	PutAttempts(ctx context.Context, attempts []Attempt) error
	// PutVectors stores or replaces the vectors that an embedder made, and takes their prompts
	// from the queue, in one transaction. It says of each whether it was stored: it is
	// not when its prompt is gone.
	PutVectors(ctx context.Context, embedder string, vectors []PromptVector) (stored []bool, err error)
}

// Vectors keeps the vectors of prompts.
type Vectors interface {
	Queue
	// Requeue queues all prompts that have no vector of this embedder, and says how
	// many it queued.
	Requeue(ctx context.Context, embedder string) (int64, error)
	// GetVector gives the vector of a prompt, or fault.NotFound.
	GetVector(ctx context.Context, project string, id usage.ID, embedder string) ([]float32, error)
	// EachVector yields the vectors of an embedder in any order. The sequence ends after the first
	// error.
	EachVector(ctx context.Context, embedder string) iter.Seq2[PromptVector, error]
}
