package httpapi

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// fillTraces stores a trace with a parent that sums its children, an orphan and a
// call with a child of its own, and a cheap trace of the same id elsewhere.
func fillTraces(f *fixture) {
	f.Helper()
	span := func(n int, changes ...string) string {
		return event(n, append([]string{fmt.Sprintf(`{"traceId":"t 1 ü","timestamp":"2026-11-20T10:00:0%dZ"}`, n)}, changes...)...)
	}
	f.post("/api/v1/events", batch(
		span(1, `{"spanId":"root","name":"agent","aggregate":true,"inputTokens":3000,"outputTokens":300,"latencyMs":9000}`),
		span(2, `{"spanId":"plan","parentSpanId":"root","operation":"plan"}`),
		span(3, `{"spanId":"answer","parentSpanId":"plan","operation":"answer","isError":true}`),
		span(4, `{"spanId":"lost","parentSpanId":"nobody","operation":"tool"}`),
		event(5, `{"traceId":"t5","inputTokens":10,"timestamp":"2026-11-20T10:00:05Z"}`),
		event(6, `{"traceId":"t5","inputTokens":20,"project":"shop","timestamp":"2026-11-20T10:00:05Z"}`),
	)).want(202)
}

func TestTraces(t *testing.T) {
	f := setup(t)
	fillTraces(f)
	type row struct {
		TraceID, Project, Name               string
		TotalCost, DurationMs                json.Number
		CallCount, ErrorCount, SpanCount     int
		Start, FirstTimestamp, LastTimestamp string
	}
	var got struct {
		Data       []row
		Meta       struct{ TotalCost json.Number }
		Pagination struct{ NextCursor string }
	}
	f.get("/api/v1/traces?limit=2&tz=Europe/Berlin&" + november).want(200).into(&got)
	if len(got.Data) != 2 || got.Meta.TotalCost != "0.012575" || got.Pagination.NextCursor == "" {
		t.Fatalf("got %+v", got)
	}
	want := row{
		"t 1 ü", "default", "agent", "0.0105", "9000", 3, 1, 4,
		"2026-11-20T11:00:01+01:00", "2026-11-20T11:00:02+01:00", "2026-11-20T11:00:04+01:00",
	}
	if got.Data[0] != want {
		t.Errorf("got %+v, want %+v", got.Data[0], want)
	}
	if r := got.Data[1]; r.TraceID != "t5" || r.Project != "shop" || r.CallCount != 1 || r.Name != "chat" {
		t.Errorf("got %+v", r)
	}
	f.get("/api/v1/traces?limit=2&cursor="+got.Pagination.NextCursor+"&tz=Europe/Berlin&"+november).want(200).says(`"project":"default","name":"chat"`, `"nextCursor":null`)
	f.get("/api/v1/traces?status=error&"+november).want(200).says(`"callCount":1,"errorCount":1`, `"spanCount":4`)
	f.get("/api/v1/traces?feature=never").want(200).says(`"data":[]`)
	f.get("/api/v1/traces?traceId=t5").want(400).says("traceId")
	f.get("/api/v1/traces?limit=0").want(400).says("limit")
	f.get("/api/v1/traces?cursor=x").want(400).says("cursor")
}

func TestTrace(t *testing.T) {
	f := setup(t)
	fillTraces(f)
	path := "/api/v1/traces/t 1 ü"
	text := string(f.get(path).want(200).body)
	for _, want := range []string{
		`"traceId":"t 1 ü","project":"default","name":"agent","totalCost":0.0105,"totalTokens":3300,`, `"spanCount":4,"readSpans":4,"spans":[`,
		`"spanId":"root","name":"agent"`, `"offsetMs":0,"latencyMs":9000,"cost":0.0105,"totalCost":0.007,`, `"aggregate":true,"children":[{`,
		`"spanId":"answer","parentSpanId":"plan","name":"answer"`, `"spanId":"lost","parentSpanId":"nobody","name":"tool"`, `"orphan":true`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
	f.get(path + "?maxSpans=2").want(200).says(`"hidden":{"spanCount":1,"cost":0.0035}`)
	f.get("/api/v1/traces/t5").want(409).says("must be one of default, shop")
	f.get("/api/v1/traces/t5?project=shop").want(200).says(`"project":"shop"`, `"inputTokens":20`)
	f.get("/api/v1/traces/t5?project=").want(400).says("project")
	f.get("/api/v1/traces/t5?project=none").want(404)
	f.get("/api/v1/traces/none").want(404)
	f.get("/api/v1/traces/" + strings.Repeat("x", 600)).want(404)
	f.get("/api/v1/traces/t5?maxSpans=0").want(400).says("maxSpans")
}

func TestCallTree(t *testing.T) {
	f := setup(t)
	fillTraces(f)
	f.get("/api/v1/analytics/flamegraph?levels=trace&project=default&"+november).want(200).says(
		`{"name":"Project","value":0.011525,"callCount":4,`,
		`{"name":"agent","value":0.007,"callCount":2,"tokens":2200,"unpricedCalls":0,"fallbackCalls":0,"children":[`+
			`{"name":"plan","value":0.007,"callCount":2,"tokens":2200,"unpricedCalls":0,"fallbackCalls":0,"own":{"value":0.0035,"callCount":1,"tokens":1100},"children":[`+
			`{"name":"answer","value":0.0035,`,
		`{"name":"tool","value":0.0035,`, `{"name":"chat","value":0.001025,`)
	f.get("/api/v1/analytics/flamegraph?levels=trace&status=error&"+november).want(200).says(`"name":"agent","value":0.0035`, `"name":"answer","value":0.0035`)
	folded := string(f.get("/api/v1/analytics/flamegraph?levels=trace&format=folded&project=default&" + november).want(200).body)
	if want := "agent;plan 3500000000\nagent;plan;answer 3500000000\ntool 3500000000\nchat 1025000000\n"; folded != want {
		t.Errorf("got %s, want %s", folded, want)
	}
}
