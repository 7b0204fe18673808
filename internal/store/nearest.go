package store

import (
	"context"

	"github.com/costprof/costprof/internal/usage"
)

// Nearest is offered by engines that may be able to search vectors themselves.
type Nearest interface {
	// Searcher names what searches them, and is "" when nothing does: an engine may
	// lack what it needs for that. It stays the same while the engine is open.
	Searcher() string
	// KeepNearest brings what is searched up to the stored vectors of an embedder,
	// without those that are gone, and says where that is then. Where many are new it takes
	// minutes, in the way of nobody. One server does it at a time: while another one
	// is at it, nothing is done.
	KeepNearest(ctx context.Context, embedder string) (NearestState, error)
	// NearestVectors gives the vectors that are most alike one, most similar first,
	// then by id. Those of a project with few are compared one by one, of others now and
	// then one may be missing. A vector that KeepNearest does not know yet is not
	// found, and one that is gone may be. fault.Unavailable while it knows none of many.
	NearestVectors(ctx context.Context, q NearestQuery) ([]NearVector, error)
}

// NearestState says which vectors can be found.
type NearestState struct {
	// Vectors is how many.
	Vectors int64
	// Ready: NearestVectors answers.
	Ready bool
}

// NearestQuery is what to search for.
type NearestQuery struct {
	Embedder, Project string
	// Vector has as many coordinates as those of the embedder; nothing is like one
	// that has another number of them.
	Vector []float32
	// Not is passed over.
	Not usage.ID
	// Limit is the most vectors, at least 1; Least the lowest similarity.
	Limit int
	Least float32
}

// NearVector is a vector that was found.
type NearVector struct {
	ID usage.ID
	// Similarity is the cosine of the two, -1 to 1, as half floats have it.
	Similarity float32
}
