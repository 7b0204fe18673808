package httpapi

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/costprof/costprof/internal/fault"
)

func TestBudgetServesInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(10, time.Minute, "busy")
		if err := b.take(t.Context(), 8); err != nil {
			t.Fatal(err)
		}
		order := make(chan int, 2)
		for i, n := range []int64{5, 1} {
			go func() {
				if err := b.take(t.Context(), n); err != nil {
					t.Error(err)
				}
				order <- i
			}()
			synctest.Wait()
		}
		// The second would fit, but must not pass the first, or large bodies starve.
		if b.waiting() != 2 || len(order) != 0 {
			t.Fatalf("%d wait, %d were served", b.waiting(), len(order))
		}
		b.give(8)
		synctest.Wait()
		if len(order) != 2 || b.waiting() != 0 {
			t.Errorf("%d served, %d wait", len(order), b.waiting())
		}
		b.give(6)
		if b.free != 10 {
			t.Errorf("%d free at the end, want 10", b.free)
		}
	})
}

func TestBudgetGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(10, 5*time.Second, "busy")
		if err := b.take(t.Context(), 10); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		err := b.take(t.Context(), 1)
		var f *fault.Error
		if !errors.As(err, &f) || f.Code != fault.Unavailable || f.RetryAfter <= 0 {
			t.Errorf("got %v, want unavailable with a wait", err)
		}
		if waited := time.Since(start); waited != 5*time.Second {
			t.Errorf("waited %v", waited)
		}
		ctx, cancel := context.WithCancel(t.Context())
		go cancel()
		if err := b.take(ctx, 1); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		// Who gave up holds nothing and blocks nobody.
		b.give(10)
		if err := b.take(t.Context(), 10); err != nil {
			t.Errorf("after others gave up: %v", err)
		}
		if b.waiting() != 0 {
			t.Errorf("%d wait", b.waiting())
		}
	})
}
