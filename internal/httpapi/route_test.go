package httpapi

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/ingest"
	"github.com/costprof/costprof/internal/report"
	"github.com/costprof/costprof/internal/usage"
)

func TestUnknownRoutes(t *testing.T) {
	f := setup(t)
	for _, path := range []string{
		"/nowhere", "/api", "/api/", "/api/v1", "/api/v2/events", "/api/v1/events/", "/api/v1/events/x/y", "/api//v1/events",
		"/api/v1/../v1/events", "/./", "//", "/health/", "/API/v1/events", "/docs/", "/api/prices", "/index.html",
	} {
		f.get(path).want(404).says("/openapi.json")
	}
	for _, tc := range []struct{ method, path, allow string }{
		{"DELETE", "/api/v1/events", "GET, HEAD, POST"},
		{"POST", "/api/v1/analytics/cost-breakdown", "GET, HEAD"},
		{"GET", "/api/v1/prices/quote", "POST"},
		{"PATCH", "/api/v1/prices", "DELETE, GET, HEAD, PUT"},
		{"PUT", "/health", "GET, HEAD"},
		{"BREW", "/", "GET, HEAD"},
		{"TRACE", "/health", "GET, HEAD"},
		{"OPTIONS", "/health", "GET, HEAD"},
		{"CONNECT", "/health", "GET, HEAD"},
	} {
		if a := f.do(tc.method, tc.path, "").want(405); a.header.Get("Allow") != tc.allow {
			t.Errorf("%s %s: Allow %q, want %q", tc.method, tc.path, a.header.Get("Allow"), tc.allow)
		}
	}
	f.do("POST", "/nowhere", "{}").want(404)
}

// Ids are text from outside: what no id can be is nowhere.
func TestStrangeIDs(t *testing.T) {
	f := setup(t)
	for _, id := range []string{"\xff\xfe", "\x00", "a\x00b", "..", "x y", "💥", "a\r\nb", strings.Repeat("0", 129), strings.Repeat("0", 60_000)} {
		for _, path := range []string{"/api/v1/jobs/", "/api/v1/events/"} {
			if a := f.get(path + id).want(404); len(a.body) > 200 {
				t.Errorf("%s%.20q answers %d bytes", path, id, len(a.body))
			}
		}
	}
}

func TestHead(t *testing.T) {
	f := setup(t)
	for _, path := range []string{"/", "/health", "/openapi.json", "/api/v1/events", "/api/v1/analytics/cost-breakdown", "/api/v1/prices"} {
		f.do(http.MethodHead, path, "").want(200)
	}
}

func TestRoot(t *testing.T) {
	f := setup(t)
	f.get("/").want(200).says("/openapi.json", "/health")
}

func TestRequestID(t *testing.T) {
	f := setup(t)
	for sent, kept := range map[string]bool{
		"abc-123": true, "a b": true, "ünïcode": true, strings.Repeat("x", 128): true,
		strings.Repeat("x", 129): false, "a\x00b": false, "a\tb": false, "\x1b[31m": false, "\xff": false, "": false,
	} {
		got := f.get("/nowhere", func(r *http.Request) { r.Header["X-Request-Id"] = []string{sent} }).header.Get("X-Request-ID")
		if (got == sent) != kept || got == "" {
			t.Errorf("sent %q, got %q", sent, got)
		}
	}
	a, b := f.get("/").header.Get("X-Request-ID"), f.get("/").header.Get("X-Request-ID")
	if a == b {
		t.Errorf("two requests have the id %q", a)
	}
}

// ingester answers every batch the same way.
type ingester func(context.Context) (ingest.Result, error)

func (i ingester) Ingest(ctx context.Context, _ ingest.Batch) (ingest.Result, error) { return i(ctx) }

// Every fault has its status, and what is the server's own never shows.
func TestFaults(t *testing.T) {
	const secret = "SELECT token FROM secrets"
	cause := errors.New(secret)
	for _, tc := range []struct {
		err        error
		status     int
		says       string
		retryAfter string
	}{
		{&fault.Error{Code: fault.Invalid, Message: "Validation failed", Details: map[string][]string{"a": {"b"}}, Err: cause}, 400, `"a":["b"]`, ""},
		{fault.New(fault.NotFound, secret), 404, "nothing with this id", ""},
		{fault.New(fault.Forbidden, "not yours"), 403, "not yours", ""},
		{fault.New(fault.TooLarge, "too much"), 413, "too much", ""},
		{fault.New(fault.Unsupported, "not that"), 415, "not that", ""},
		{&fault.Error{Code: fault.Unavailable, Message: "later", Err: cause}, 503, "later", "1"},
		{&fault.Error{Code: fault.Unavailable, Message: "later", RetryAfter: 2500 * time.Millisecond, Err: cause}, 503, "later", "3"},
		{&fault.Error{Code: fault.Internal, Message: secret, Err: cause}, 500, "went wrong", ""},
		{fault.New("new code", secret), 500, "went wrong", ""},
		{cause, 500, "went wrong", ""},
		{context.DeadlineExceeded, 503, "too long", "5"},
	} {
		f := setup(t, func(p *Params) {
			p.Ingest = ingester(func(context.Context) (ingest.Result, error) { return ingest.Result{Accepted: 1}, tc.err })
		})
		var a *answer
		switch tc.status {
		case 404: // ingest cannot give it
			f.api.server.reports = failing{tc.err}
			a = f.get("/api/v1/events/00000000000000000000000000000000")
		default:
			a = f.post("/api/v1/events", batch(event(1)))
		}
		a.want(tc.status).says(tc.says)
		if strings.Contains(string(a.body), secret) || strings.Contains(string(a.body), "accepted") {
			t.Errorf("%v leaks: %s", tc.err, a.body)
		}
		if got := a.header.Get("Retry-After"); got != tc.retryAfter {
			t.Errorf("%v: Retry-After %q, want %q", tc.err, got, tc.retryAfter)
		}
		if logged := strings.Contains(f.log.String(), secret); logged != (tc.status >= 500 && tc.err != context.DeadlineExceeded) {
			t.Errorf("%v: cause in the log: %v\n%s", tc.err, logged, f.log)
		}
	}
}

type failing struct{ err error }

func (r failing) Event(context.Context, usage.ID, analytics.Filter) (usage.Record, error) {
	return usage.Record{}, r.err
}

func (r failing) Events(context.Context, report.EventsRequest) (report.Events, error) {
	return report.Events{}, r.err
}

func (r failing) Breakdown(ctx context.Context, _ report.BreakdownRequest) (report.Breakdown, error) {
	if r.err == nil {
		<-ctx.Done()
		return report.Breakdown{}, ctx.Err()
	}
	return report.Breakdown{}, r.err
}

func (r failing) Timeseries(context.Context, report.TimeseriesRequest) (report.Timeseries, error) {
	panic("the secret " + r.err.Error())
}

func (r failing) Compare(context.Context, report.CompareRequest) (report.Comparison, error) {
	return report.Comparison{}, r.err
}

func (r failing) Traces(context.Context, report.TracesRequest) (report.Traces, error) {
	return report.Traces{}, r.err
}

func (r failing) Trace(context.Context, report.TraceRequest) (report.Trace, error) {
	return report.Trace{}, r.err
}

func (r failing) Flamegraph(context.Context, report.FlamegraphRequest) (*analytics.Node, error) {
	panic(http.ErrAbortHandler)
}

func (r failing) Prompts(context.Context, report.PromptsRequest) (report.Prompts, error) {
	return report.Prompts{}, r.err
}

func (r failing) Growth(context.Context, report.GrowthRequest) (report.Growths, error) {
	return report.Growths{}, r.err
}

func (r failing) History(context.Context, report.HistoryRequest) (report.Histories, error) {
	return report.Histories{}, r.err
}

func (r failing) Export(context.Context, report.ExportRequest) (*report.Export, error) {
	return nil, r.err
}

func (r failing) ExportBreakdown(context.Context, report.BreakdownRequest) (*report.Ranking[report.BreakdownRow], error) {
	return nil, r.err
}

func (r failing) ExportPrompts(context.Context, report.PromptsRequest) (*report.Ranking[report.Prompt], error) {
	return nil, r.err
}

func (r failing) Totals(context.Context, report.TotalsRequest) ([]report.Total, error) {
	return nil, r.err
}

func TestGone(t *testing.T) {
	f := setup(t, func(p *Params) { p.Reports = failing{fault.New(fault.Gone, "start again")} })
	f.get("/api/v1/analytics/features").want(410).says("start again")
	f.get("/api/v1/analytics/prompts").want(410)
	f.get("/api/v1/analytics/prompts/growth").want(410)
	f.get("/api/v1/analytics/prompts/history").want(410)
}

func TestPanic(t *testing.T) {
	f := setup(t, func(p *Params) { p.Reports = failing{errors.New("hunter2")} })
	a := f.get("/api/v1/analytics/timeseries").want(500)
	if strings.Contains(string(a.body), "hunter2") || strings.Contains(string(a.body), "goroutine") {
		t.Errorf("the panic shows: %s", a.body)
	}
	if log := f.log.String(); !strings.Contains(log, "hunter2") || !strings.Contains(log, a.header.Get("X-Request-ID")) {
		t.Errorf("the panic is not in the log: %s", log)
	}
	// The value by which a handler breaks its connection passes.
	defer func() {
		if recover() != http.ErrAbortHandler { //nolint:errorlint // the value that net/http names
			t.Error("ErrAbortHandler was swallowed")
		}
	}()
	f.get("/api/v1/analytics/flamegraph")
}

// A question that takes too long ends with 503 and frees its place.
func TestRequestTimeout(t *testing.T) {
	f := setup(t, func(p *Params) {
		p.Reports = failing{}
		p.RequestTimeout = 20 * time.Millisecond
	})
	a := f.get("/api/v1/analytics/cost-breakdown").want(503).says("too long")
	if a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}

// Neither query values nor headers nor bodies are logged.
func TestLogHoldsNoSecrets(t *testing.T) {
	f := setup(t)
	f.get("/api/v1/events?user=s3cret", header("Authorization", "Bearer s3cret"), header("Cookie", "s3cret"))
	f.post("/api/v1/events?token=s3cret", batch(event(1, `{"userId":"s3cret"}`)))
	f.post("/api/v1/prices/quote", `{"provider":"s3cret"`)
	if strings.Contains(f.log.String(), "s3cret") {
		t.Errorf("the log holds a secret: %s", f.log)
	}
	if !strings.Contains(f.log.String(), "/api/v1/prices/quote") {
		t.Errorf("requests are not logged: %s", f.log)
	}
}
