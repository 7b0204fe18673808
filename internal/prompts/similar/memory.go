package similar

import (
	"context"
	"runtime"
	"slices"
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
	page = 2_000
)

// follow takes a step at once, and again every followEvery and when it is woken,
// which the step is told. It ends with ctx; of failures in a row the first is said.
func (p *Params) follow(ctx context.Context, failure string, wake <-chan struct{}, step func(woken bool) error) error {
	woken, failing := false, false
	for {
		err := step(woken)
		if err != nil && !failing && ctx.Err() == nil {
			p.Log.Warn(failure, "error", err)
		}
		failing = err != nil
		t := time.NewTimer(followEvery)
		select {
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		case <-t.C:
			woken = false
		case <-wake:
			t.Stop()
			woken = true
		}
	}
}

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
	s.drop()
	select {
	case s.anew <- struct{}{}:
	default:
	}
}

func (s *memory) drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.index, s.loaded = nil, false
}

// run reads the vectors of the ledger, and then those that come.
func (s *memory) run(ctx context.Context) error {
	var after int64
	return s.follow(ctx, "vectors of prompts could not be read; it is tried again", s.anew, func(anew bool) error {
		if anew {
			// What was being read meanwhile may hold what is gone.
			s.drop()
			after = 0
		}
		return s.read(ctx, &after)
	})
}

func (s *memory) read(ctx context.Context, after *int64) error {
	for {
		list, err := s.Ledger.ListVectors(ctx, s.Embedder.Name(), *after, page)
		if err != nil {
			return err
		}
		if *after == 0 && len(list) > 0 {
			// An engine that keeps what uses add up to begins now, and not when it is first
			// asked for prompts that are alike.
			if _, err := s.Ledger.PromptUses(ctx, []usage.ID{list[0].ID}, ofProject(list[0].Project)); err != nil {
				return err
			}
		}
		s.storedAll(list)
		if len(list) > 0 {
			*after = list[len(list)-1].Seq
		}
		if len(list) < page {
			s.mu.Lock()
			s.loaded = true
			s.mu.Unlock()
			return nil
		}
	}
}

// storedAll is stored for many, on all cores.
func (s *memory) storedAll(list []store.PromptVector) {
	if len(list) == 0 {
		return
	}
	s.stored(list[0]) // makes the index, of the first one's dimension
	var wg sync.WaitGroup
	for part := range slices.Chunk(list[1:], len(list)/runtime.GOMAXPROCS(0)+1) {
		wg.Go(func() {
			for _, v := range part {
				s.stored(v)
			}
		})
	}
	wg.Wait()
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

// holds implements holder.
func (s *memory) holds(project string, id usage.ID) (string, bool) {
	s.mu.RLock()
	x, loaded := s.index, s.loaded
	s.mu.RUnlock()
	if !loaded || x == nil {
		return "", false
	}
	return x.Find(project, id)
}

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
		Project: q.project, Vector: q.vector, ID: q.not, Limit: q.limit, Least: q.least,
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
