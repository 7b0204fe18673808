package httpapi

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/costprof/costprof/internal/auth"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/ingest"
)

func TestLogLevel(t *testing.T) {
	f := closed(t)
	admin := as(auth.Admin, "")
	const path = "/api/v1/admin/log-level"
	f.get(path, admin).want(200).says(`"level":"info"`)
	f.do(http.MethodPut, path, `{"level":"debug"}`, admin).want(200).says(`"level":"debug"`)
	if got := f.api.server.level.Level().String(); got != "DEBUG" {
		t.Errorf("the log's level is %s", got)
	}
	f.get(path, admin).want(200).says(`"level":"debug"`)
	f.get("/api/v1/admin/audit", admin).want(200).says(`"action":"log.level"`, `"from":"info"`, `"to":"debug"`)
	for _, body := range []string{`{}`, `{"level":"loud"}`, `{"level":"DEBUG"}`, `{"level":1}`, `{"level":"info","for":"1h"}`} {
		f.do(http.MethodPut, path, body, admin).want(400)
	}
	if n := len(f.catalog.audit); n != 1 {
		t.Errorf("%d changes in the audit log, want 1", n)
	}
	// Who belongs to one project does not set what all see.
	f.do(http.MethodPut, path, `{"level":"error"}`, as(auth.Admin, "a")).want(403)
}

func TestProfiles(t *testing.T) {
	f := closed(t)
	admin := as(auth.Admin, "")
	const path = "/api/v1/admin/debug/pprof/"
	for _, name := range snapshots() {
		a := f.get(path+name, admin).want(200)
		if !bytes.HasPrefix(a.body, []byte("\x1f\x8b")) || !strings.Contains(a.header.Get("Content-Disposition"), name) {
			t.Errorf("%s: %v, %.20q", name, a.header, a.body)
		}
	}
	f.get(path+"cmdline", admin).want(404)
	f.get(path+"heap?seconds=5", admin).want(400).says("seconds")
	f.get(path+"profile?seconds=61", admin).want(400).says("between 1 and 60")
	f.do(http.MethodHead, path+"profile", "", admin).want(200)
	f.get(path+"heap", as(auth.Editor, "")).want(403)
	f.get(path+"heap", as(auth.Admin, "a")).want(403)

	// One of a time at once, which ends with who asked for it.
	for _, name := range []string{"profile", "trace"} {
		ctx, leave := context.WithCancel(t.Context())
		done := make(chan int, 1)
		go func() {
			done <- f.get(path+name+"?seconds=60", admin, func(r *http.Request) { *r = *r.WithContext(ctx) }).status
		}()
		until(t, f.api.server.profiling.Load)
		f.get(path+"profile?seconds=1", admin).want(503).says("one at a time")
		leave()
		select {
		case status := <-done:
			if status != 200 {
				t.Errorf("%s: %d", name, status)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%s goes on though nobody takes it", name)
		}
	}
}

// What is worth waking somebody for is counted from the start, so that a first
// increase is seen as one.
func TestMetricsOfTrouble(t *testing.T) {
	f := closed(t, limited)
	f.api.server.ingest = ingester(func(context.Context) (ingest.Result, error) {
		return ingest.Result{}, fault.New(fault.Unavailable, "The ledger is behind")
	})
	f.post("/api/v1/events", batch(event(1)), as(auth.Ingest, "")).want(503)
	f.post("/api/v1/events", "{", as(auth.Ingest, "")).want(400)
	f.post("/api/v1/events", "{", as(auth.Ingest, "")).want(400)
	f.post("/api/v1/events", "{", as(auth.Ingest, "")).want(429)
	for range failures.Most + 2 {
		f.get("/api/v1/events", header("X-API-Key", "guess"))
	}
	f.get("/api/v1/admin/backup", as(auth.Admin, "")).want(200)
	text := string(f.get("/metrics", as(auth.Viewer, "")).want(200).body)
	for _, line := range []string{
		"costprof_ingest_failed_batches_total 1", "costprof_ingest_refused_batches_total 3",
		`costprof_rate_limited_total{rule="events"} 1`, `costprof_rate_limited_total{rule="requests"} 0`, `costprof_rate_limited_total{rule="failed-credentials"} 2`,
		"costprof_backup_last_success_timestamp_seconds 1.7",
	} {
		if !strings.Contains(text, "\n"+line) {
			t.Errorf("no %s", line)
		}
	}
}
