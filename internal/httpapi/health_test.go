package httpapi

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/costprof/costprof/internal/ingest"
	"github.com/costprof/costprof/internal/store"
)

func TestHealth(t *testing.T) {
	f := setup(t)
	const ok = `"status":"ok","timestamp":"2026-11-22T12:00:00.123456789Z","version":"test","services":{"database":"ok","cache":"in-process","ai":"local","mcp":"off"}`
	for _, path := range []string{"/health", "/health/live", "/health/ready"} {
		f.get(path).want(200).says(ok)
		f.get(path + "?verbose=1").want(400)
	}
	f.engine.health = store.Health{Degraded: "The log was damaged"}
	f.get("/health").want(200).says(`"status":"degraded"`, `"database":"degraded"`, "The log was damaged")
	f.get("/health/ready").want(200)

	f.engine.err = errors.New("SELECT secret: disk gone")
	for _, path := range []string{"/health", "/health/ready"} {
		a := f.get(path).want(503).says(`"status":"degraded"`, `"database":"unavailable"`, `"error"`)
		if strings.Contains(string(a.body), "SELECT") || a.header.Get("Retry-After") == "" {
			t.Errorf("%s: %v %s", path, a.header, a.body)
		}
	}
	if !strings.Contains(f.log.String(), "disk gone") {
		t.Error("the cause is not in the log")
	}
	f.get("/health/live").want(200).says(`"status":"ok"`)
}

func TestReadyWhileClosing(t *testing.T) {
	f := setup(t)
	f.api.Closing()
	f.get("/health/ready").want(503).says("shutting down")
	f.get("/health").want(200)
	f.get("/metrics").want(200)
	// New work is told so: a kept connection that is only closed tells nothing.
	a := f.post("/api/v1/events", batch(event(1))).want(503).says("shutting down", "nothing")
	if a.header.Get("Connection") != "close" || a.header.Get("Retry-After") == "" {
		t.Errorf("headers %v", a.header)
	}
	if f.stored() != 0 || f.api.Accepted() != 0 {
		t.Errorf("stored %d, %d accepted", f.stored(), f.api.Accepted())
	}
}

// A request that was accepted before goes on.
func TestAcceptedWhileClosing(t *testing.T) {
	begun, goOn := make(chan struct{}), make(chan struct{})
	f := setup(t, func(p *Params) {
		p.Ingest = ingester(func(context.Context) (ingest.Result, error) {
			close(begun)
			<-goOn
			return ingest.Result{Accepted: 1}, nil
		})
	})
	done := make(chan *answer)
	go func() { done <- f.post("/api/v1/events", batch(event(1))) }()
	<-begun
	f.api.Closing()
	if got := f.api.Accepted(); got != 1 {
		t.Errorf("%d accepted", got)
	}
	close(goOn)
	(<-done).want(202)
	if got := f.api.Accepted(); got != 0 {
		t.Errorf("%d accepted after the answer", got)
	}
}

func TestMetrics(t *testing.T) {
	f := setup(t)
	f.engine.health = store.Health{Events: 42, Queued: 7}
	f.post("/api/v1/events", batch(event(1), event(2))).want(202)
	f.post("/api/v1/events", batch(event(1))).want(202)
	f.post("/api/v1/events?partial=true", batch(event(1, `{"inputTokens":-1}`))).want(202)
	f.post("/api/v1/events", "{").want(400)
	f.get("/api/v1/events/nope").want(404)
	for range 3 {
		f.get("/some/hostile/path")
		f.do("BREW", "/tea", "")
	}
	a := f.get("/metrics").want(200)
	for _, line := range []string{
		`costprof_http_requests_total{method="POST",route="POST /api/v1/events",status="202"} 3`,
		`costprof_http_requests_total{method="GET",route="GET /api/v1/events/{id}",status="404"} 1`,
		`costprof_http_requests_total{method="GET",route="none",status="404"} 3`,
		`costprof_http_requests_total{method="other",route="none",status="404"} 3`,
		`costprof_ingest_events_total{result="accepted"} 2`,
		`costprof_ingest_events_total{result="duplicate"} 1`,
		`costprof_ingest_events_total{result="rejected"} 1`,
		`costprof_ingest_events_total{result="conflict"} 0`,
		`costprof_ingest_refused_batches_total 1`,
		`costprof_ledger_events 42`,
		`costprof_ledger_queued_events 7`,
		`costprof_ledger_up 1`,
		`costprof_build_info{version="test"} 1`,
	} {
		if !strings.Contains(string(a.body), line+"\n") {
			t.Errorf("no %s", line)
		}
	}
	for _, name := range []string{"go_goroutines", "process_resident_memory_bytes", "costprof_http_request_duration_seconds_bucket", "costprof_events_stored_total"} {
		if !regexp.MustCompile(`(?m)^` + name + `[ {]`).Match(a.body) {
			t.Errorf("no %s", name)
		}
	}
	if strings.Contains(string(a.body), "hostile") || strings.Contains(string(a.body), "BREW") {
		t.Error("a caller can make labels")
	}
	f.engine.err = errors.New("gone")
	f.get("/metrics").want(200).says("costprof_ledger_up 0")
	f.get("/metrics?name=x").want(400)
}
