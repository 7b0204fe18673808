package similar

import (
	"context"
	"sync"
	"time"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/prompts/index"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/usage"
)

const (
	// followEvery is how often is looked for vectors that other servers stored.
	followEvery = 2 * time.Second
	// page is how many vectors are read at a time.
	page = 500
)

// memory searches in the server's memory: an index of all vectors of the
// embedder, which it reads from the ledger.
type memory struct {
	Params
	mu     sync.RWMutex
	index  *index.Index // nil before the first vector
	loaded bool
	// odd: it was said that a vector has another dimension.
	odd bool
	// anew asks run to begin from nothing.
	anew chan struct{}
}

func newMemory(p Params) *memory { return &memory{Params: p, anew: make(chan struct{}, 1)} }

// forget drops all vectors and has run read those that the ledger still has.
func (s *memory) forget() {
	s.mu.Lock()
	s.index, s.loaded = nil, false
	s.mu.Unlock()
	select {
	case s.anew <- struct{}{}:
	default:
	}
}

// run reads the vectors of the ledger, and then those that come.
func (s *memory) run(ctx context.Context) error {
	var after int64
	failing := false
	for {
		err := s.read(ctx, &after)
		if err != nil && !failing && ctx.Err() == nil {
			s.Log.Warn("vectors of prompts could not be read; it is tried again", "error", err)
		}
		failing = err != nil
		t := time.NewTimer(followEvery)
		select {
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		case <-t.C:
		case <-s.anew:
			t.Stop()
			after = 0
		}
	}
}

func (s *memory) read(ctx context.Context, after *int64) error {
	for {
		list, err := s.Ledger.ListVectors(ctx, s.Embedder.Name(), *after, page)
		if err != nil {
			return err
		}
		for _, v := range list {
			s.stored(v)
			*after = v.Seq
		}
		if len(list) < page {
			s.mu.Lock()
			s.loaded = true
			s.mu.Unlock()
			return nil
		}
	}
}

func (s *memory) stored(v store.PromptVector) {
	s.mu.Lock()
	if s.index == nil {
		s.index = index.New(len(v.Vector))
	}
	x := s.index
	s.mu.Unlock()
	if err := x.Put(v.Project, v.ID, v.Vector); err != nil {
		s.mu.Lock()
		said := s.odd
		s.odd = true
		s.mu.Unlock()
		if !said {
			s.Log.Warn("vectors of prompts do not fit the others and are left out of searches", "embedder", s.Embedder.Name(), "error", err)
		}
	}
}

func (s *memory) indexed() (n int, loaded bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.index != nil {
		n = s.index.Len()
	}
	return n, s.loaded
}

func (s *memory) name() string { return "memory" }

func (s *memory) search(_ context.Context, q query) ([]index.Match, error) {
	s.mu.RLock()
	x, loaded := s.index, s.loaded
	s.mu.RUnlock()
	switch {
	case !loaded:
		return nil, &fault.Error{Code: fault.Unavailable, Message: "the vectors of prompts are being read after the start; try again", RetryAfter: time.Second}
	case x == nil:
		return nil, nil
	}
	return x.Search(index.Query{
		Project: q.project, Vector: q.vector, Limit: q.limit, Least: q.least,
		Accept: func(id usage.ID) bool { return id != q.not },
	})
}

func (s *memory) gone(project string, id usage.ID) {
	s.mu.RLock()
	x := s.index
	s.mu.RUnlock()
	if x != nil {
		x.Delete(project, id)
	}
}
