package jsonevents

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/usage"
)

// wire writes an event as a client would, for round trips.
func wire(e *usage.Event) []byte {
	m := map[string]any{"latencyMs": json.Number(money.USD(e.Latency.Microseconds() * 1e9).String())}
	if !e.TimestampDefaulted {
		m["timestamp"] = e.Timestamp.Format(time.RFC3339Nano)
	}
	if e.TimeToFirstToken >= 0 {
		m["timeToFirstTokenMs"] = json.Number(money.USD(e.TimeToFirstToken.Microseconds() * 1e9).String())
	}
	for name, s := range map[string]string{
		"traceId": e.TraceID, "spanId": e.SpanID, "parentSpanId": e.ParentSpanID, "name": e.Name, "feature": e.Feature,
		"provider": e.Provider, "model": e.Model, "serviceTier": e.ServiceTier, "region": e.Region, "userId": e.UserID,
		"sessionId": e.SessionID, "department": e.Department, "environment": e.Environment, "operation": e.Operation,
		"errorCode": e.ErrorCode, "prompt": e.Prompt, "project": e.Project, "eventId": e.EventID,
	} {
		if s != "" {
			m[name] = s
		}
	}
	counts := map[string]int64{}
	for u := range usage.NumUnits {
		switch n := e.Counts[u]; {
		case u == usage.Input || u == usage.Output || (u.IsTotal() && n != 0):
			m[usage.Units[u].Count] = n
		case n != 0:
			counts[usage.Units[u].Count] = n
		}
	}
	if len(counts) > 0 {
		m["usage"] = counts
	}
	if e.Tags != nil {
		m["tags"] = e.Tags
	}
	if e.Billed != nil {
		m["billedCostUsd"] = e.Billed
	}
	if e.Estimated != nil {
		m["estimatedCostUsd"] = e.Estimated
	}
	for name, b := range map[string]bool{"isStreaming": e.Streaming, "isError": e.Error, "aggregate": e.Aggregate} {
		if b {
			m[name] = b
		}
	}
	if e.RetryCount != 0 {
		m["retryCount"] = e.RetryCount
	}
	b, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	if e.Metadata != nil {
		// Marshal would compact it, and it is kept as sent.
		b = append(bytes.TrimSuffix(b, []byte("}")), `,"metadata":`...)
		b = append(append(b, e.Metadata...), '}')
	}
	return append(append([]byte(`{"events":[`), b...), "]}"...)
}
