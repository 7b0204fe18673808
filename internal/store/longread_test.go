package store

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/costprof/costprof/internal/usage"
)

func TestLongReadGivesWay(t *testing.T) {
	for _, c := range []struct{ took, queuedFor, want time.Duration }{
		{time.Second, 0, 0},
		{100 * time.Millisecond, 30 * time.Millisecond, 30 * time.Millisecond},
		{10 * time.Millisecond, time.Hour, 40 * time.Millisecond},
		{time.Minute, time.Hour, 2 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			var begin time.Time
			l := LongRead{Queued: func() int64 {
				if time.Since(begin) < c.queuedFor {
					return 7
				}
				return 0
			}}
			l.Next()
			time.Sleep(c.took) // the clock of synctest
			begin = time.Now()
			err := l.Done(t.Context(), nil)
			if waited := time.Since(begin); err != nil || waited != c.want {
				t.Errorf("%+v: waited %v, %v", c, waited, err)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		l := LongRead{Queued: func() int64 { return 1 }}
		l.Next()
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		defer cancel()
		begin := time.Now()
		err := l.Done(ctx, nil)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != 5*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
	})
}

// What a part takes of the memory does not depend on how large its events are.
func TestLongReadSizesItsParts(t *testing.T) {
	part := func(n, metadata, tags int) (p []*usage.Record) {
		r := &usage.Record{}
		r.Metadata = []byte(strings.Repeat("x", metadata))
		r.Tags = map[string]string{"team": strings.Repeat("x", tags)}
		for range n {
			p = append(p, r)
		}
		return p
	}
	l := LongRead{Queued: func() int64 { return 0 }}
	if n := l.Next(); n != 1_000 { // the most of a list's page
		t.Errorf("the first part has %d events", n)
	}
	for _, c := range []struct {
		part        []*usage.Record
		least, most int
	}{
		{part(1000, 0, 0), 5_000, 5_000},
		{part(5000, 16_000, 0), 400, 500},
		{part(400, 0, 16_000), 400, 500},
		{part(1, 16_000_000, 0), 50, 50},
		{part(50, 0, 0), 5_000, 5_000},
	} {
		if err := l.Done(t.Context(), c.part); err != nil {
			t.Fatal(err)
		}
		if n := l.Next(); n < c.least || n > c.most {
			t.Errorf("after %d events of %d bytes and tags of %d: %d, want %d to %d", len(c.part), len(c.part[0].Metadata), len(c.part[0].Tags["team"]), n, c.least, c.most)
		}
	}
}
