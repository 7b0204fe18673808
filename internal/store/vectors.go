package store

import (
	"context"
	"encoding/binary"
	"math"
	"time"

	"github.com/costprof/costprof/internal/fault"
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
	// Seq orders stored vectors; a vector that is replaced gets a new one.
	Seq int64
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

// Vectors keeps one vector of each prompt: that of the embedder that made one last.
type Vectors interface {
	Queue
	// Requeue queues all prompts that have no vector of this embedder and are not
	// queued, and says how many it queued.
	Requeue(ctx context.Context, embedder string) (int64, error)
	// GetVectors gives the vectors of those of the prompts that have one of this
	// embedder.
	GetVectors(ctx context.Context, ids []usage.ID, embedder string) (map[usage.ID][]float32, error)
	// ListVectors gives vectors of an embedder in the order in which they were stored,
	// those behind after, which is the Seq of the last one known; 0 starts.
	ListVectors(ctx context.Context, embedder string, after int64, limit int) ([]PromptVector, error)
}

// EncodeVector writes coordinates as half floats, little-endian, which is how
// engines keep them: of a coordinate of a vector of length 1 it keeps three digits.
func EncodeVector(v []float32) []byte {
	b := make([]byte, 2*len(v))
	for i, x := range v {
		binary.LittleEndian.PutUint16(b[2*i:], half(x))
	}
	return b
}

// DecodeVector reads what EncodeVector wrote.
func DecodeVector(b []byte) ([]float32, error) {
	if len(b)%2 != 0 || len(b) == 0 {
		return nil, fault.New(fault.Internal, "a stored vector has %d bytes", len(b))
	}
	v := make([]float32, len(b)/2)
	for i := range v {
		v[i] = whole(binary.LittleEndian.Uint16(b[2*i:]))
	}
	return v, nil
}

// half rounds to the nearest half float, of two the even one. What is too large
// becomes the largest: a coordinate is 1 at most.
func half(x float32) uint16 {
	b := math.Float32bits(x)
	sign := uint16(b>>16) & 0x8000
	exp, frac := int(b>>23&0xff)-127+15, b&0x7fffff
	switch {
	case exp >= 31:
		return sign | 0x7bff
	case exp <= 0: // subnormal, in steps of 2^-24
		return sign | uint16(math.RoundToEven(math.Abs(float64(x))*(1<<24)))
	}
	h := uint32(exp)<<10 | frac>>13
	if rest := frac & 0x1fff; rest > 0x1000 || rest == 0x1000 && h&1 == 1 {
		h++ // into the next exponent where it has to
	}
	return sign | uint16(min(h, 0x7bff))
}

// whole is exact.
func whole(h uint16) float32 {
	// The exponent goes from 15 below to 127 below zero by a product, which makes
	// normal numbers of subnormal ones too.
	x := math.Float32frombits(uint32(h&0x7fff)<<13) * (1 << 112)
	return math.Float32frombits(math.Float32bits(x) | uint32(h&0x8000)<<16)
}
