package prompts

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/costprof/costprof/internal/redis"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/testserver"
	"github.com/costprof/costprof/internal/usage"
)

// caches are every kind, which keep the same rules; the clock goes ahead by what is
// added to it.
func caches(t *testing.T, test func(t *testing.T, c Cache, ahead *atomic.Int64)) {
	clock := func(ahead *atomic.Int64) func() time.Time {
		return func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	}
	t.Run("memory", func(t *testing.T) {
		var ahead atomic.Int64
		test(t, NewMemoryCache(clock(&ahead)), &ahead)
	})
	t.Run("redis", func(t *testing.T) {
		var ahead atomic.Int64
		test(t, NewRedisCache(connect(t), "ledger", clock(&ahead), slog.New(slog.DiscardHandler)), &ahead)
	})
}

func connect(t *testing.T) *redis.Conn {
	t.Helper()
	c, err := redis.Open(t.Context(), redis.Params{
		URL: testserver.Redis(t), Prefix: fmt.Sprint("test:", t.Name(), time.Now().UnixNano()), Now: time.Now, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil || !c.Up() {
		t.Fatal("Redis does not answer", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan struct{})
	go func() { defer close(ran); _ = c.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ran })
	return c
}

func TestCachesKeepVectorsForAnHour(t *testing.T) {
	caches(t, func(t *testing.T, c Cache, ahead *atomic.Int64) {
		ctx := t.Context()
		one, two, three := usage.ID{1}, usage.ID{2}, usage.ID{3}
		get := func(embedder string) (known []usage.ID) {
			for id, v := range c.Get(ctx, embedder, []usage.ID{one, two, three}) {
				if !slices.Equal(v, []float32{0.5, float32(id[0])}) {
					t.Errorf("%v is %v", id, v)
				}
				known = append(known, id)
			}
			slices.SortFunc(known, func(a, b usage.ID) int { return slices.Compare(a[:], b[:]) })
			return known
		}
		put := func(embedder string, ids ...usage.ID) {
			var list []store.PromptVector
			for _, id := range ids {
				list = append(list, store.PromptVector{Project: "p", ID: id, Vector: []float32{0.5, float32(id[0])}})
			}
			c.Put(ctx, embedder, list)
		}
		expect := func(embedder, when string, want ...usage.ID) {
			t.Helper()
			if got := get(embedder); !slices.Equal(got, want) {
				t.Errorf("%s: %v of %s, want %v", when, got, embedder, want)
			}
		}
		expect("a", "empty")
		put("a", one, two)
		expect("a", "put", one, two)
		expect("b", "of another embedder")
		ahead.Store(int64(59 * time.Minute))
		expect("a", "after 59 minutes", one, two)
		put("a", two, three)
		ahead.Store(int64(82 * time.Minute))
		expect("a", "after 82 minutes", two, three)
		c.Drop(ctx, "a", []store.PromptVector{{ID: two}})
		expect("a", "dropped", three)
		put("b", one)
		if err := c.Clear(ctx); err != nil {
			t.Fatal(err)
		}
		expect("a", "cleared")
		expect("b", "cleared")
	})
}

func TestMemoryCacheIsBounded(t *testing.T) {
	c := NewMemoryCache(time.Now)
	for i := range 3 * memoryVectors {
		c.Put(t.Context(), "a", []store.PromptVector{{ID: usage.ID{byte(i >> 16), byte(i >> 8), byte(i)}, Vector: []float32{1}}})
	}
	last := 3*memoryVectors - 1
	if len(c.known) != memoryVectors || len(c.Get(t.Context(), "a", []usage.ID{{byte(last >> 16), byte(last >> 8), byte(last)}})) != 1 {
		t.Errorf("%d vectors are kept", len(c.known))
	}
}

// All vectors in Redis go with Clear, whatever their hour, and none remains in a key.
func TestRedisCacheLeavesNothing(t *testing.T) {
	conn := connect(t)
	var ahead atomic.Int64
	c := NewRedisCache(conn, "ledger", func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }, slog.New(slog.DiscardHandler))
	written := map[string]bool{}
	for m := range 7 {
		ahead.Store(int64(time.Duration(m) * cacheSlot))
		c.Put(t.Context(), "a", []store.PromptVector{{ID: usage.ID{byte(m)}, Vector: []float32{1}}})
		written[c.key(c.now().Unix()/int64(cacheSlot.Seconds()))] = true
	}
	if err := c.Clear(t.Context()); err != nil {
		t.Fatal(err)
	}
	for key := range written {
		left, err := conn.Fields(t.Context(), []string{key}, []string{c.field("a", usage.ID{0}), c.field("a", usage.ID{3}), c.field("a", usage.ID{6})})
		if err != nil || slices.ContainsFunc(left[0], func(b []byte) bool { return b != nil }) {
			t.Errorf("%s has %q, %v", key, left, err)
		}
	}
}

// A prompt whose vector is known is not paid for again, and one that is gone is not
// kept.
func TestWorkerAsksTheCacheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, e := newLedger(many(10)...), &paid{}
		gone := usage.ID{0, 3, 'p'}
		l.gone[gone] = true
		w := worker(l, e)
		cache := NewMemoryCache(time.Now)
		w.Cache = cache
		if err := run(w, time.Second); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		if e.charged != 10 || len(cache.Get(t.Context(), e.Name(), []usage.ID{gone, {0, 4, 'p'}})) != 1 {
			t.Fatalf("%d were charged; of one that is gone and one that is not %d are kept", e.charged, len(cache.known))
		}
		// The same come again, with two new ones, after their vectors were removed.
		before := l.vectors
		l.vectors = map[usage.ID]store.PromptVector{}
		for i, text := range many(12) {
			l.add("p", i, text)
		}
		again := worker(l, e)
		again.Cache = cache
		if err := run(again, time.Second); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		if e.charged != 10+3 { // the two, and the one that was gone
			t.Errorf("%d were charged", e.charged)
		}
		if s := again.Status(); s.Cached != 9 || s.Embedded != 11 {
			t.Errorf("%+v", s)
		}
		for id, v := range before {
			if !slices.Equal(l.vectors[id].Vector, v.Vector) {
				t.Errorf("%v is %v, was %v", id, l.vectors[id].Vector, v.Vector)
			}
		}
		if n, _ := l.QueueSize(t.Context()); n != 0 {
			t.Errorf("%d wait", n)
		}
	})
}

// Without Redis a worker pays, and nothing fails but Clear, which says that vectors
// remain.
func TestRedisCacheIsAway(t *testing.T) {
	conn, err := redis.Open(t.Context(), redis.Params{URL: "redis://127.0.0.1:1", Prefix: "test", Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	c := NewRedisCache(conn, "ledger", time.Now, slog.New(slog.DiscardHandler))
	list := []store.PromptVector{{ID: usage.ID{1}, Vector: []float32{1}}}
	c.Put(t.Context(), "a", list)
	c.Drop(t.Context(), "a", list)
	if got := c.Get(t.Context(), "a", []usage.ID{{1}}); len(got) != 0 {
		t.Error(got)
	}
	if err := c.Clear(t.Context()); !errors.Is(err, redis.ErrAway) {
		t.Error(err)
	}
}
