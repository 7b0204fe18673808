package prompts

import (
	"context"
	"time"
)

// MaxEmbedRunes is how much of a prompt is embedded, in characters; the rest
// does not count for similarity.
const MaxEmbedRunes = 8000

// Embedder turns texts into vectors of which the cosine says how alike two texts
// are. It may be used from many goroutines.
type Embedder interface {
	// Name says who embeds and with which model, such as
	// "openai/text-embedding-3-small"; vectors of different names are never compared.
	Name() string
	// MaxBatch is the most texts that one Embed takes.
	MaxBatch() int
	// Charged says that somebody charges for requests.
	Charged() bool
	// Embed gives one vector of length 1 for each text, in order, all of the same
	// dimension, or an error for all of them. An error that is, or wraps, an
	// *EmbedError says more about what to do.
	Embed(ctx context.Context, texts []string) (Embeddings, error)
}

// Embeddings is the answer of an Embedder.
type Embeddings struct {
	Vectors [][]float32
	// InputTokens is what the provider counted; 0 of an embedder that costs nothing.
	InputTokens int64
	// Provider and Model are who charges for it; both "" when nobody does.
	Provider, Model string
}

// EmbedError is a failure of which something is known.
type EmbedError struct {
	// Permanent says that the same texts will fail again.
	Permanent bool
	// RetryAfter is how long the embedder asked to be left alone; 0 when it did not say.
	RetryAfter time.Duration
	Err        error
}

func (e *EmbedError) Error() string { return e.Err.Error() }
func (e *EmbedError) Unwrap() error { return e.Err }

// CutRunes gives the first n characters of a text.
func CutRunes(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for i := range text {
		if n == 0 {
			return text[:i]
		}
		n--
	}
	return text
}
