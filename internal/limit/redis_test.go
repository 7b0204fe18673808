package limit_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/costprof/costprof/internal/limit"
	"github.com/costprof/costprof/internal/redis"
	"github.com/costprof/costprof/internal/testserver"
)

func connect(t testing.TB) *redis.Conn {
	t.Helper()
	c, err := redis.Open(context.Background(), redis.Params{
		URL: testserver.Redis(t), Prefix: fmt.Sprint("test:", t.Name(), time.Now().UnixNano()), Now: time.Now, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	if !c.Up() {
		t.Fatal("Redis does not answer")
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan struct{})
	go func() { defer close(ran); _ = c.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ran })
	return c
}

// counters are every kind, which keep the same rules.
func counters(t *testing.T, test func(t *testing.T, c limit.Counter)) {
	t.Run("memory", func(t *testing.T) { test(t, limit.NewMemory(time.Now, 0)) })
	t.Run("redis", func(t *testing.T) { test(t, limit.NewRedis(connect(t))) })
}

// Every request of a window has a number of its own, whoever asks, and each key and
// rule its own counter.
func TestCountersCount(t *testing.T) {
	day := limit.Rule{Name: "a", Most: 1, Per: 24 * time.Hour}
	counters(t, func(t *testing.T, c limit.Counter) {
		const workers, each = 8, 50
		seen := make([]atomic.Int64, workers*each+1)
		var group sync.WaitGroup
		for range workers {
			group.Go(func() {
				for range each {
					n, left, err := c.Count(context.Background(), day, "k")
					if err != nil || n < 1 || n > workers*each || left <= 0 || left > day.Per {
						t.Errorf("count %d, %v left, %v", n, left, err)
						return
					}
					seen[n].Add(1)
				}
			})
		}
		group.Wait()
		for n := 1; n < len(seen); n++ {
			if seen[n].Load() != 1 {
				t.Fatalf("number %d was given %d times", n, seen[n].Load())
			}
		}
		for _, other := range []struct {
			rule limit.Rule
			key  string
		}{{day, "k2"}, {limit.Rule{Name: "b", Per: day.Per}, "k"}, {limit.Rule{Name: "a", Per: 48 * time.Hour}, "k"}} {
			if n, _, err := c.Count(t.Context(), other.rule, other.key); n != 1 || err != nil {
				t.Errorf("%v %s: %d, %v", other.rule, other.key, n, err)
			}
		}
		// A window ends when it says so, and the next one begins at 1.
		short := limit.Rule{Name: "short", Per: 500 * time.Millisecond}
		for range 3 {
			_, left, err := c.Count(t.Context(), short, "k")
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(left + 5*time.Millisecond)
			if n, left, err := c.Count(t.Context(), short, "k"); n != 1 || left > short.Per || err != nil {
				t.Errorf("in the next window: %d, %v left, %v", n, left, err)
			}
		}
	})
}

// forgetful is a shared counter that may be away or forget.
type forgetful struct {
	*limit.Memory
	away bool
	left time.Duration
}

func (f *forgetful) Count(ctx context.Context, r limit.Rule, key string) (int64, time.Duration, error) {
	if f.away {
		return 0, 0, redis.ErrAway
	}
	n, left, err := f.Memory.Count(ctx, r, key)
	if f.left != 0 {
		left = f.left
	}
	return n, left, err
}

// A shared counter that goes away or forgets gives nobody a second allowance here;
// one whose clock is in another window is believed.
func TestSharedCounterForgets(t *testing.T) {
	c := &clock{time.Date(2026, 11, 20, 12, 59, 59, 0, time.UTC)}
	l := newLimiter(c, 0)
	shared := &forgetful{Memory: limit.NewMemory(func() time.Time { return c.now }, 0)}
	l.Shared = shared
	take := func(n int) (allowed int) {
		for range n {
			if l.Take(t.Context(), hour, "a").Allowed {
				allowed++
			}
		}
		return allowed
	}
	got := take(4)
	shared.away = true
	got += take(4)
	shared.away, shared.Memory = false, limit.NewMemory(func() time.Time { return c.now }, 0)
	got += take(10)
	if got != 10 {
		t.Errorf("%d allowed by a server whose shared counter forgot, want 10", got)
	}
	shared.left, shared.Memory = time.Hour-time.Second, limit.NewMemory(func() time.Time { return c.now }, 0)
	if got := take(20); got != 10 {
		t.Errorf("%d allowed in the window that has begun by the shared clock, want 10", got)
	}
}

// One second's limit of two servers is one limit.
func TestServersShareALimit(t *testing.T) {
	var servers []*limit.Limiter
	conn := connect(t)
	for range 2 {
		servers = append(servers, &limit.Limiter{Shared: limit.NewRedis(conn), Local: limit.NewMemory(time.Now, 0), Log: slog.New(slog.DiscardHandler), Now: time.Now})
	}
	rule := limit.Rule{Name: "day", Most: 100, Per: 24 * time.Hour}
	var allowed atomic.Int64
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for range 40 {
				if servers[i%2].Take(context.Background(), rule, "a").Allowed {
					allowed.Add(1)
				}
			}
		})
	}
	group.Wait()
	if n := allowed.Load(); n != 100 {
		t.Errorf("%d allowed by two servers, want 100", n)
	}
}

func BenchmarkRedis(b *testing.B) {
	l := &limit.Limiter{Shared: limit.NewRedis(connect(b)), Local: limit.NewMemory(time.Now, 0), Log: slog.New(slog.DiscardHandler), Now: time.Now}
	took := make([]time.Duration, 0, b.N)
	for b.Loop() {
		start := time.Now()
		l.Take(context.Background(), hour, "a")
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}
