package duckdb

import (
	"fmt"
	"testing"
	"time"

	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/usage"
)

// BenchmarkEvents is what reading many events costs, without writing them
// anywhere: spread over days, and all in the same seconds. It reports events per
// second.
func BenchmarkEvents(b *testing.B) {
	b.Run("spread", func(b *testing.B) { benchEvents(b, false) })
	b.Run("dense", func(b *testing.B) { benchEvents(b, true) })
}

func benchEvents(b *testing.B, dense bool) {
	e, err := Open(b.Context(), Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	const events = 200_000
	spacing := 800 * time.Millisecond // as 10 million in 90 days
	if dense {
		spacing = 0
	}
	recs := make([]usage.Record, 5000)
	for n := 0; n < events; n += len(recs) {
		for i := range recs {
			recs[i] = benchRecord(n + i)
			recs[i].Tags = map[string]string{"team": fmt.Sprint(i % 7)}
			recs[i].Timestamp = recs[i].Timestamp.Add(time.Duration(n+i) * spacing)
			recs[i].ID = recs[i].Identity()
		}
		if _, err := e.Append(b.Context(), recs); err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	b.ReportAllocs()
	start := time.Now()
	read := 0
	for b.Loop() {
		for _, err := range e.Events(b.Context(), store.EventQuery{}) {
			if err != nil {
				b.Fatal(err)
			}
			read++
		}
	}
	b.ReportMetric(float64(read)/time.Since(start).Seconds(), "events/s")
}
