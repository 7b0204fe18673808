package similar

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/prompts/lexical"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/usage"
)

// searcherOf is an engine that finds what it is told to, once it has looked.
type searcherOf struct {
	who   string
	finds []store.NearVector
	asked store.NearestQuery
	mu    sync.Mutex // over the rest, where a service runs
	looks int
	state store.NearestState
	err   error
}

func (s *searcherOf) Searcher() string { return s.who }

func (s *searcherOf) KeepNearest(_ context.Context, embedder string) (store.NearestState, error) {
	if embedder != (lexical.Embedder{}).Name() {
		panic(embedder)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.looks++
	return s.state, s.err
}

func (s *searcherOf) NearestVectors(_ context.Context, q store.NearestQuery) ([]store.NearVector, error) {
	s.asked = q
	return s.finds[:min(len(s.finds), q.Limit)], s.err
}

// An engine that searches is asked, and what it finds is what it says: without
// what has no text any more, and of the feature.
func TestSimilarByEngine(t *testing.T) {
	l := &ledger{texts: map[usage.ID]store.Prompt{}}
	asked := l.call(t, 0, "p", "mail", "Write a mail to Anna", true)
	other := l.call(t, 1, "p", "mail", "Write a mail to Bob", true)
	chat := l.call(t, 2, "p", "chat", "Write a mail to Eve", true)
	l.embed()
	near := &searcherOf{who: "pgvector", finds: []store.NearVector{{ID: usage.ID{77}, Similarity: 0.99}, {ID: chat.PromptID, Similarity: 0.9}, {ID: other.PromptID, Similarity: 0.8}}}
	s := New(Params{Ledger: l, Nearest: near, Embedder: lexical.Embedder{}, Log: slog.New(slog.DiscardHandler)})
	if s.Searcher() != "pgvector" {
		t.Error(s.Searcher())
	}
	found, err := s.Similar(t.Context(), Request{ID: asked.ID, Least: 0.7, Limit: 1, SameFeature: true})
	if err != nil || len(found) != 1 || found[0].ID != other.PromptID || found[0].Similarity != 0.8 {
		t.Fatalf("%+v, %v", found, err)
	}
	q := near.asked
	if q.Embedder != s.Embedder() || q.Project != "p" || q.Not != asked.PromptID || q.Least != 0.7 || q.Limit < 3 || !slices.Equal(q.Vector, lexical.Vector("Write a mail to Anna")) {
		t.Errorf("asked %+v", q)
	}
	near.err = fault.New(fault.Unavailable, "later")
	if _, err := s.Similar(t.Context(), Request{ID: asked.ID, Limit: 1}); fault.CodeOf(err) != fault.Unavailable {
		t.Error(err)
	}
	for _, without := range []store.Nearest{nil, &searcherOf{}} {
		if s := New(Params{Ledger: l, Nearest: without, Embedder: lexical.Embedder{}}); s.Searcher() != "memory" {
			t.Error(s.Searcher())
		}
	}
}

// The engine is told to look now and then, and at once when something is gone;
// that it fails is said once.
func TestEngineKeepsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		near := &searcherOf{who: "pgvector", err: errors.New("away")}
		s := New(Params{Nearest: near, Embedder: lexical.Embedder{}, Log: slog.New(slog.NewTextHandler(&log, nil))})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()
		want := func(looks, n int, loaded bool) {
			t.Helper()
			synctest.Wait()
			near.mu.Lock()
			defer near.mu.Unlock()
			if got, ok := s.Indexed(); got != n || ok != loaded || near.looks != looks {
				t.Errorf("%d vectors, %t, after %d looks; want %d, %t, %d", got, ok, near.looks, n, loaded, looks)
			}
		}
		want(1, 0, false)
		time.Sleep(followEvery)
		want(2, 0, false)
		now := func(st store.NearestState) {
			near.mu.Lock()
			defer near.mu.Unlock()
			near.err, near.state = nil, st
		}
		now(store.NearestState{Vectors: 7, Ready: true})
		s.Stored(store.PromptVector{})
		want(2, 0, false)
		time.Sleep(followEvery)
		want(3, 7, true)
		now(store.NearestState{Vectors: 6, Ready: true})
		s.Forget()
		want(4, 6, true)
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if strings.Count(log.String(), "could not be indexed") != 1 {
			t.Error(log.String())
		}
	})
}
