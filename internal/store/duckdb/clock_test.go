package duckdb

import (
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/costprof/costprof/internal/analytics"
)

// A clock that jumps by hours, forward and back, while events arrive and hours
// are summed up changes no total, also after a restart.
func TestClockJumps(t *testing.T) {
	var now atomic.Int64
	base := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	now.Store(base.UnixMicro())
	o := Options{
		Dir: t.TempDir(), Now: func() time.Time { return time.UnixMicro(now.Load()) },
		SumAfter: time.Millisecond, SumEvery: time.Millisecond, SumFactor: 1,
	}
	r := rand.New(rand.NewPCG(5, 5))
	sent := 0
	for range 3 {
		e, err := Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		for range 40 {
			now.Store(base.Add(time.Duration(r.IntN(96)-48) * time.Hour).UnixMicro())
			if _, err := e.Append(t.Context(), sample(sent, 7)); err != nil {
				t.Fatal(err)
			}
			sent += 7
			back := r.IntN(sent)
			if _, err := e.Append(t.Context(), sample(back, min(5, sent-back))); err != nil {
				t.Fatal(err)
			}
			got, err := e.Query(t.Context(), analytics.Query{})
			if err != nil || got.Calls != int64(sent) {
				t.Fatalf("%d calls, want %d, %v", got.Calls, sent, err)
			}
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
