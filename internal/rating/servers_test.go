package rating

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/costprof/costprof/internal/pricing"
	"github.com/costprof/costprof/internal/store"
)

// locks are those of servers in one process. A channel, because synctest knows who
// waits for one.
type locks struct {
	mu   sync.Mutex
	held map[string]chan struct{}
}

func (l *locks) of(name string) chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held == nil {
		l.held = map[string]chan struct{}{}
	}
	if l.held[name] == nil {
		l.held[name] = make(chan struct{}, 1)
	}
	return l.held[name]
}

func (l *locks) Lock(ctx context.Context, name string) (context.Context, func(), error) {
	c := l.of(name)
	select {
	case c <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	held, cancel := context.WithCancel(ctx)
	return held, func() { cancel(); <-c }, nil
}

func (l *locks) TryLock(ctx context.Context, name string) (context.Context, func(), error) {
	select {
	case l.of(name) <- struct{}{}:
		held, cancel := context.WithCancel(ctx)
		return held, func() { cancel(); <-l.of(name) }, nil
	default:
		return nil, nil, nil
	}
}

// server is another one on the rig's ledger and catalog.
func (r *rig) server(l store.Locks) *Service {
	r.t.Helper()
	book, err := shipped()
	if err != nil {
		r.t.Fatal(err)
	}
	s, err := Open(r.t.Context(), Params{
		Ledger: r.ledger, Catalog: r.catalog, Shared: true, Locks: l, Shipped: book, Now: func() time.Time { return r.now }, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

func putFrom(t *testing.T, s *Service, model string, prices map[string]json.Number, from time.Time) PutResult {
	t.Helper()
	own, err := s.Book().ParsePut(pricing.PutRequest{Provider: "acme", Model: model, Prices: prices, EffectiveFrom: from.Format(time.RFC3339)})
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Put(t.Context(), own, "tester")
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// What one server puts is in force on the other within seconds, also for calls that
// this one stored meanwhile; and of prices put at once on both, none is lost and no
// two hold at the same time.
func TestServersTakeUpPrices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		l := &locks{}
		a, b := r.server(l), r.server(l)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		for _, s := range []*Service{a, b} {
			running.Go(func() { _ = s.Run(ctx) })
			running.Go(func() { _ = s.Follow(ctx) })
		}
		defer running.Wait()
		defer cancel()

		putFrom(t, a, "nova-1", twoEight, noon.Add(-time.Hour))
		// Another server's call with the book that it still has.
		if err := appendPriced(t.Context(), b, r.ledger, call("late", "acme", "nova-1", noon)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(followEvery + takeOverEvery + time.Second)
		synctest.Wait()
		if got := fmt.Sprint(r.costs()); got != "[late catalog 0.0028]" {
			t.Errorf("a call that the other server stored while the price was new: %s", got)
		}
		if a.Book().Fingerprint() != b.Book().Fingerprint() {
			t.Error("the servers have different books")
		}

		var putting sync.WaitGroup
		for i := range 20 {
			putting.Go(func() {
				putFrom(t, []*Service{a, b}[i%2], fmt.Sprint("m", i%3), twoEight, noon.Add(time.Duration(i)*time.Minute))
			})
		}
		putting.Wait()
		time.Sleep(2 * followEvery)
		synctest.Wait()
		fresh := r.server(l)
		for _, s := range []*Service{a, b} {
			if s.Book().Fingerprint() != fresh.Book().Fingerprint() {
				t.Error("a server has another book than one that starts now")
			}
		}
		own := fresh.current.Load().own
		for i := range own {
			for j := range own[:i] {
				p, q := &own[i], &own[j]
				if p.Model == q.Model && (p.To.IsZero() || q.From.Before(p.To)) && (q.To.IsZero() || p.From.Before(q.To)) {
					t.Errorf("two prices of %s hold at once: %v to %v, %v to %v", p.Model, p.From, p.To, q.From, q.To)
				}
			}
		}
		for id, run := range r.catalog.runs {
			if run.State != "done" {
				t.Errorf("run %s is %s", id, run.State)
			}
		}
	})
}
