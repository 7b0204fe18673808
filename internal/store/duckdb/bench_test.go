package duckdb

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/costprof/costprof/internal/usage"
)

// BenchmarkAppend is the engine alone, without HTTP, JSON or pricing: 16 callers
// with batches of 100 events, durable. It reports events per second.
func BenchmarkAppend(b *testing.B) {
	e, err := Open(b.Context(), Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	var next atomic.Int64
	start := time.Now()
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			recs := make([]usage.Record, 100)
			for {
				from := int(next.Add(100)) - 100
				if from >= b.N*100 {
					return
				}
				for i := range recs {
					recs[i] = benchRecord(from + i)
				}
				if _, err := e.Append(b.Context(), recs); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N*100)/time.Since(start).Seconds(), "events/s")
}

func benchRecord(n int) usage.Record {
	r := usage.Record{Event: usage.Event{
		Project: "default", TraceID: fmt.Sprintf("trace-%d", n/5), SpanID: fmt.Sprintf("span-%d", n),
		Timestamp: time.Date(2026, 5, 1, 0, 0, 0, n*1000*100, time.UTC).Truncate(time.Microsecond), Feature: fmt.Sprintf("feature-%d", n%12),
		Provider: "openai", Model: "gpt-4o", ProviderID: "openai", ModelID: "gpt-4o", UserID: fmt.Sprintf("user-%d", n%5000),
		Environment: "production", Latency: time.Second, TimeToFirstToken: -1,
	}}
	r.Counts[usage.Input], r.Counts[usage.Output], r.Counts[usage.CacheRead] = 1000, 100, 300
	r.Source, r.PriceID = usage.SourceCatalog, "p_0123456789abcdef"
	r.Classes[usage.ClassInput], r.Classes[usage.ClassOutput] = 1_000_000, 2_000_000
	r.ReceivedAt = r.Timestamp
	r.ID = r.Identity()
	return r
}

// BenchmarkIntern is what new combinations of attribution and new tag sets cost
// at ingest, beside the same events without any: one caller, batches of 5,000
// events of which each has a combination or a set of its own.
func BenchmarkIntern(b *testing.B) {
	for name, change := range map[string]func(*usage.Record, int){
		"known": func(*usage.Record, int) {},
		"cells": func(r *usage.Record, n int) { r.Operation = fmt.Sprint("operation-", n) },
		"tags":  func(r *usage.Record, n int) { r.Tags = map[string]string{"order": fmt.Sprint(n), "team": "red"} },
	} {
		b.Run(name, func(b *testing.B) {
			e, err := Open(b.Context(), Options{Dir: b.TempDir()})
			if err != nil {
				b.Fatal(err)
			}
			defer e.Close()
			recs := make([]usage.Record, maxCommit)
			n := 0
			for b.Loop() {
				b.StopTimer()
				for i := range recs {
					recs[i] = benchRecord(n)
					change(&recs[i], n)
					n++
				}
				b.StartTimer()
				if _, err := e.Append(b.Context(), recs); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
