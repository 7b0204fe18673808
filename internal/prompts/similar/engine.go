package similar

import (
	"context"
	"sync/atomic"

	"github.com/costprof/costprof/internal/prompts/index"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/usage"
)

// engine has the ledger's engine search. What is stored can be found when the
// engine has been told to look.
type engine struct {
	Params
	state atomic.Pointer[store.NearestState]
	// look asks run not to wait.
	look chan struct{}
}

func newEngine(p Params) *engine {
	s := &engine{Params: p, look: make(chan struct{}, 1)}
	s.state.Store(&store.NearestState{})
	return s
}

// run has the engine keep up with what is stored.
func (s *engine) run(ctx context.Context) error {
	return s.follow(ctx, "vectors of prompts could not be indexed; it is tried again", s.look, func(bool) error {
		st, err := s.Nearest.KeepNearest(ctx, s.Embedder.Name())
		if err == nil {
			s.state.Store(&st)
		}
		return err
	})
}

// stored and gone: the engine knows, and finds them when it looks next.
func (s *engine) stored(store.PromptVector) {}
func (s *engine) gone(string, usage.ID)     {}

func (s *engine) forget() {
	select {
	case s.look <- struct{}{}:
	default:
	}
}

func (s *engine) indexed() (n int, loaded bool) {
	st := s.state.Load()
	return int(st.Vectors), st.Ready
}

func (s *engine) name() string { return s.Nearest.Searcher() }

func (s *engine) search(ctx context.Context, q query) ([]index.Match, error) {
	found, err := s.Nearest.NearestVectors(ctx, store.NearestQuery{
		Embedder: s.Embedder.Name(), Project: q.project, Vector: q.vector, Not: q.not, Limit: q.limit, Least: q.least,
	})
	out := make([]index.Match, len(found))
	for i, v := range found {
		out[i] = index.Match{ID: v.ID, Similarity: v.Similarity}
	}
	return out, err
}
