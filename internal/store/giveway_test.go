package store

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestGiveWay(t *testing.T) {
	for _, c := range []struct{ took, queuedFor, want time.Duration }{
		{time.Second, 0, 0},
		{100 * time.Millisecond, 30 * time.Millisecond, 30 * time.Millisecond},
		{10 * time.Millisecond, time.Hour, 40 * time.Millisecond},
		{time.Minute, time.Hour, 2 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			begin := time.Now()
			err := GiveWay(t.Context(), c.took, func() int64 {
				if time.Since(begin) < c.queuedFor {
					return 7
				}
				return 0
			})
			if waited := time.Since(begin); err != nil || waited != c.want {
				t.Errorf("%+v: waited %v, %v", c, waited, err)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		defer cancel()
		begin := time.Now()
		err := GiveWay(ctx, time.Second, func() int64 { return 1 })
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != 5*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
	})
}
