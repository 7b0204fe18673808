package limit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/costprof/costprof/internal/limit"
)

type clock struct{ now time.Time }

var hour = limit.Rule{Name: "events", Most: 10, Per: time.Hour}

func newLimiter(c *clock, maxKeys int) *limit.Limiter {
	now := func() time.Time { return c.now }
	return &limit.Limiter{Local: limit.NewMemory(now, maxKeys), Log: slog.New(slog.DiscardHandler), Now: now}
}

func TestWindows(t *testing.T) {
	c := &clock{time.Date(2026, 11, 20, 12, 59, 50, 0, time.UTC)}
	l := newLimiter(c, 0)
	for i := range 12 {
		v := l.Take(t.Context(), hour, "a")
		if v.Allowed != (i < 10) || v.Remaining != max(0, 9-i) || v.Reset != 10*time.Second {
			t.Fatalf("request %d: %+v", i+1, v)
		}
	}
	if v := l.Take(t.Context(), hour, "b"); !v.Allowed || v.Remaining != 9 {
		t.Errorf("another key: %+v", v)
	}
	if v := l.Take(t.Context(), limit.Rule{Name: "other", Most: 1, Per: time.Hour}, "a"); !v.Allowed {
		t.Errorf("another rule: %+v", v)
	}
	c.now = c.now.Add(10 * time.Second)
	if v := l.Take(t.Context(), hour, "a"); !v.Allowed || v.Remaining != 9 || v.Reset != time.Hour {
		t.Errorf("the next window: %+v", v)
	}
	for range 100 {
		if v := l.Take(t.Context(), limit.Rule{Name: "off"}, "a"); !v.Allowed {
			t.Fatal("a rule that is off refuses")
		}
	}
}

func TestExactlyMostOfManyAtOnce(t *testing.T) {
	l := newLimiter(&clock{time.Unix(1e9, 0)}, 0)
	var allowed atomic.Int64
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 100 {
				if l.Take(context.Background(), hour, "a").Allowed {
					allowed.Add(1)
				}
			}
		})
	}
	group.Wait()
	if n := allowed.Load(); n != 10 {
		t.Errorf("%d allowed, want 10", n)
	}
}

// Ever new keys do not get by the limit, and a known key keeps its own counter.
func TestManyKeys(t *testing.T) {
	l := newLimiter(&clock{time.Unix(1e9, 0)}, 100)
	l.Take(t.Context(), hour, "known")
	allowed := 0
	const strangers = 200_000
	for i := range strangers {
		if l.Take(t.Context(), hour, fmt.Sprint("stranger ", i)).Allowed {
			allowed++
		}
	}
	if most := 4096*10 + 100; allowed > most {
		t.Errorf("%d of %d strangers were allowed, more than %d", allowed, strangers, most)
	}
	if v := l.Take(t.Context(), hour, "known"); !v.Allowed || v.Remaining != 8 {
		t.Errorf("the known key: %+v", v)
	}
}

type broken struct{}

func (broken) Count(context.Context, limit.Rule, string) (int64, time.Duration, error) {
	return 0, 0, errors.New("connection refused")
}

func TestSharedCounterFails(t *testing.T) {
	c := &clock{time.Unix(1e9, 0)}
	l := newLimiter(c, 0)
	var log bytes.Buffer
	l.Shared, l.Log = broken{}, slog.New(slog.NewTextHandler(&log, nil))
	allowed := 0
	for range 100 {
		if l.Take(t.Context(), hour, "a").Allowed {
			allowed++
		}
	}
	if allowed != 10 {
		t.Errorf("%d allowed without the shared counter, want 10", allowed)
	}
	c.now = c.now.Add(61 * time.Second)
	l.Take(t.Context(), hour, "a")
	if n := strings.Count(log.String(), "\n"); n != 2 {
		t.Errorf("%d lines in the log, want one a minute:\n%s", n, log.String())
	}
}

func BenchmarkTake(b *testing.B) {
	l := &limit.Limiter{Local: limit.NewMemory(time.Now, 0), Log: slog.New(slog.DiscardHandler), Now: time.Now}
	keys := make([]string, 1000)
	for i := range keys {
		keys[i] = fmt.Sprint("key ", i)
	}
	b.RunParallel(func(p *testing.PB) {
		for i := 0; p.Next(); i++ {
			l.Take(context.Background(), hour, keys[i%len(keys)])
		}
	})
}
