package duckdb

import (
	"fmt"
	"time"

	"github.com/costprof/costprof/internal/usage"
)

// sample makes n distinct records beginning with number from, seven seconds
// apart.
func sample(from, n int) []usage.Record {
	out := make([]usage.Record, n)
	for i := range out {
		r := &out[i]
		r.Event = usage.Event{
			Project: "default", TraceID: "trace", SpanID: fmt.Sprintf("span-%d", from+i),
			Timestamp: time.Date(2026, 5, 1, 0, 0, 7*(from+i), 0, time.UTC), Feature: "chat",
			Provider: "openai", Model: "gpt-4o", ProviderID: "openai", ModelID: "gpt-4o",
			Latency: time.Second, TimeToFirstToken: -1,
		}
		r.Counts[usage.Input], r.Counts[usage.Output] = 1000, 100
		r.Source, r.PriceID = usage.SourceCatalog, "p_1"
		r.Classes[usage.ClassInput] = 1_000_000
		r.ReceivedAt = r.Timestamp
		r.ID = r.Identity()
	}
	return out
}
