package httpapi

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/live"
	"github.com/costprof/costprof/internal/money"
)

// message is one SSE message as a reader takes it.
type message struct {
	id, data, comment string

	Type         string
	TotalCost    money.Total
	RunningTotal money.Total
	Count        int64
	CallCount    int64
	RunningCount int64
	Features     json.RawMessage
	FeatureCosts map[string]money.Total
	Timestamp    time.Time
}

type reader struct {
	*testing.T
	f      *fixture
	lines  *bufio.Scanner
	res    *http.Response
	cancel context.CancelFunc
	schema *openapi3.Schema
}

// listen serves the fixture's API as a real server, with deadlines far shorter
// than the tests of streams.
func (f *fixture) listen() *httptest.Server {
	f.Helper()
	ts := httptest.NewUnstartedServer(f.api)
	ts.Config.ReadTimeout = 50 * time.Millisecond
	ts.Config.WriteTimeout = 50 * time.Millisecond
	ts.Start()
	f.Cleanup(func() {
		f.live.Close()
		ts.Close()
	})
	return ts
}

func (f *fixture) stream(url string, options ...option) *reader {
	f.Helper()
	ctx, cancel := context.WithTimeout(f.Context(), 30*time.Second)
	f.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		f.Fatal(err)
	}
	for _, o := range options {
		o(req)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { res.Body.Close() })
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<20)
	return &reader{f.T, f, lines, res, cancel,
		f.doc.Paths.Value("/api/v1/stream/costs").Get.Responses.Value("200").Value.Content.Get("text/event-stream").Schema.Value}
}

// next reads one message, and holds it against the document; false at the end.
func (r *reader) next() (message, bool) {
	r.Helper()
	var m message
	for r.lines.Scan() {
		line := r.lines.Text()
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "" && m.data != "":
			if err := json.Unmarshal([]byte(m.data), &m); err != nil {
				r.Fatalf("%v: %s", err, m.data)
			}
			var v any
			_ = json.Unmarshal([]byte(m.data), &v)
			if err := r.schema.VisitJSON(v); err != nil {
				r.Errorf("the message does not fit its schema: %v\n%s", err, m.data)
			}
			return m, true
		case line == "" && m.comment != "":
			return m, true
		case name == "data":
			m.data += value
		case name == "id":
			m.id = value
		case name == "":
			m.comment = value
		}
	}
	return m, false
}

func (r *reader) must() message {
	r.Helper()
	m, ok := r.next()
	if !ok {
		r.Fatalf("the stream ended: %v", r.lines.Err())
	}
	return m
}

// until waits for what must come, a minute at most.
func until(t *testing.T, done func() bool) {
	t.Helper()
	for range 60_000 {
		if done() {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("it did not happen")
}

func total(t *testing.T, s string) money.Total {
	t.Helper()
	v, err := money.ParseTotal(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestStream(t *testing.T) {
	f := setup(t)
	ts := f.listen()
	f.post("/api/v1/events", batch(event(1), event(2, `{"feature":"search"}`), event(3, `{"aggregate":true}`))).want(202)
	each := total(t, "0.0035") // 1000 × 2.5 + 100 × 10 USD per million
	for _, path := range []string{"/api/v1/stream/costs", "/api/stream/costs"} {
		r := f.stream(ts.URL + path)
		if r.res.StatusCode != 200 || r.res.Header.Get("Content-Type") != "text/event-stream" || r.res.Header.Get("X-Accel-Buffering") != "no" ||
			r.res.Header.Get("Cache-Control") != "no-store" || r.res.Header.Get("Content-Encoding") != "" || r.res.Header.Get("X-Request-ID") == "" {
			t.Fatalf("%s: %d, headers %v", path, r.res.StatusCode, r.res.Header)
		}
		first := r.must()
		features := map[string]money.Total{}
		if err := json.Unmarshal(first.Features, &features); err != nil {
			t.Fatal(err)
		}
		if first.Type != "snapshot" || first.TotalCost != each.Plus(each) || first.CallCount != 2 || len(features) != 2 || features["chat"] != each || first.id == "" {
			t.Fatalf("%s begins with %s, id %q", path, first.data, first.id)
		}
		r.cancel()
	}

	r := f.stream(ts.URL + "/api/v1/stream/costs?feature=chat&feature=search")
	first := r.must()
	time.Sleep(120 * time.Millisecond) // beyond the server's deadlines
	f.post("/api/v1/events", batch(event(10, `{"feature":"search"}`), event(11), event(1), event(12, `{"feature":"other"}`))).want(202)
	m := r.must()
	if m.Type != "update" || m.Count != 2 || m.TotalCost != each.Plus(each) || m.RunningTotal != first.TotalCost.Plus(m.TotalCost) || m.RunningCount != 4 ||
		string(m.Features) != `["chat","search"]` || m.FeatureCosts["search"] != each || m.id == first.id || m.Timestamp.IsZero() {
		t.Fatalf("update %s", m.data)
	}
	r.cancel()

	// What was missed comes at once, whole.
	for i := range 3 {
		f.post("/api/v1/events", batch(event(20+i))).want(202)
	}
	again := f.stream(ts.URL+"/api/v1/stream/costs?feature=search&feature=chat", header("Last-Event-ID", m.id))
	missed := again.must()
	for missed.Type == "update" && missed.RunningCount < 7 {
		missed = again.must()
	}
	if missed.Type != "update" || missed.RunningTotal != m.RunningTotal.Plus(each).Plus(each).Plus(each) {
		t.Fatalf("after coming back: %s", missed.data)
	}
	// Another server, or another question, begins afresh.
	for _, r := range []*reader{
		f.stream(ts.URL+"/api/v1/stream/costs", header("Last-Event-ID", m.id)),
		f.stream(ts.URL+"/api/v1/stream/costs?feature=search&feature=chat", header("Last-Event-ID", "0"+m.id)),
	} {
		if m := r.must(); m.Type != "snapshot" {
			t.Errorf("began with %s", m.data)
		}
		r.cancel()
	}
}

func TestStreamRefusals(t *testing.T) {
	f := setup(t)
	ts := f.listen()
	f.get("/api/v1/stream/costs?from=2026-01-01").want(400).says("from", "is not a parameter")
	f.get("/api/v1/stream/costs?status=maybe").want(400).says("status")
	f.get("/api/v1/stream/costs", host("evil.example.com")).want(403)
	f.get("/api/v1/stream/costs", header("X-Forwarded-For", "1.2.3.4")).want(403)
	f.post("/api/v1/stream/costs", "{}").want(405)
	if h := f.do("HEAD", "/api/v1/stream/costs", ""); h.status != 200 || h.header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("HEAD: %d %v", h.status, h.header)
	}
	var readers []*reader
	for range 3 { // the fixture's most
		r := f.stream(ts.URL + "/api/v1/stream/costs")
		r.must()
		readers = append(readers, r)
	}
	if a := f.get("/api/v1/stream/costs").want(503).says("SSE_MAX_CONNECTIONS"); a.header.Get("Retry-After") == "" {
		t.Errorf("no Retry-After")
	}
	if text := string(f.get("/metrics").want(200).body); !strings.Contains(text, "costprof_live_streams 3\n") {
		t.Errorf("metrics do not count 3 streams")
	}
	for _, r := range readers {
		r.cancel()
	}
	until(t, func() bool { return f.live.Streams() == 0 })
}

// Shutdown ends streams at once, with a clean end; new ones are refused.
func TestStreamShutdown(t *testing.T) {
	f := setup(t)
	ts := f.listen()
	r := f.stream(ts.URL + "/api/v1/stream/costs")
	r.must()
	f.api.Closing()
	if m, ok := r.next(); ok || r.lines.Err() != nil {
		t.Errorf("after Closing: %s, %v", m.data, r.lines.Err())
	}
	until(t, func() bool { return f.api.Accepted() == 0 })
	f.get("/api/v1/stream/costs").want(503)
}

// noStreams is a hub whose ledger does not answer.
type noStreams struct{ *live.Hub }

func (noStreams) Subscribe(context.Context, live.Request) (*live.Stream, error) {
	return nil, &fault.Error{Code: fault.Unavailable, Message: "The ledger cannot be opened at the moment", RetryAfter: 5 * time.Second}
}

func TestStreamWithoutLedger(t *testing.T) {
	f := setup(t, func(p *Params) { p.Live = noStreams{p.Live.(*live.Hub)} })
	if a := f.get("/api/v1/stream/costs").want(503); a.header.Get("Retry-After") != "5" {
		t.Errorf("Retry-After %q", a.header.Get("Retry-After"))
	}
}

// A reader that takes nothing is dropped, and holds up neither ingest nor others.
func TestStreamSlowReader(t *testing.T) {
	f := setup(t)
	ts := f.listen()
	slow, err := net.Dial("tcp", strings.TrimPrefix(ts.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	_ = slow.(*net.TCPConn).SetReadBuffer(1)
	fmt.Fprintf(slow, "GET /api/v1/stream/costs HTTP/1.1\r\nHost: localhost\r\n\r\n")
	quick := f.stream(ts.URL + "/api/v1/stream/costs")
	quick.must()
	until(t, func() bool { return f.live.Streams() == 2 })
	// Long names fill the buffers of the connection soon.
	for i := 0; f.live.Streams() > 1 && i < 5000; i++ {
		var events []string
		for k := range 100 {
			name := strings.Repeat("é", 195) + fmt.Sprintf("%05d", k)
			events = append(events, event(1000+i*100+k, fmt.Sprintf(`{"feature":%q}`, name)))
		}
		f.post("/api/v1/events", batch(events...)).want(202)
		for m := quick.must(); m.RunningCount < int64(100*(i+1)); m = quick.must() {
		}
	}
	if f.live.Dropped() != 1 {
		t.Errorf("%d readers were dropped, want 1", f.live.Dropped())
	}
}

// A stream ends with the right to read it.
func TestStreamEndsWithItsKey(t *testing.T) {
	f := setup(t)
	f.api.server.recheck = 10 * time.Millisecond
	ts := f.listen()
	var made struct{ Data struct{ ID, Secret string } }
	open := f.stream(ts.URL + "/api/v1/stream/costs")
	if m, ok := open.next(); !ok || m.Type != "snapshot" {
		t.Fatalf("%+v", m)
	}
	f.post("/api/v1/admin/keys", `{"role":"admin"}`).want(201).into(&made)
	if m, ok := open.next(); ok {
		t.Fatalf("of a server that was closed meanwhile: %+v", m)
	}
	admin := header("X-API-Key", made.Data.Secret)
	f.post("/api/v1/admin/keys", `{"role":"viewer","project":"a"}`, admin).want(201).into(&made)
	mine := f.stream(ts.URL+"/api/v1/stream/costs", header("X-API-Key", made.Data.Secret))
	if m, ok := mine.next(); !ok || m.Type != "snapshot" {
		t.Fatalf("%+v", m)
	}
	f.post("/api/v1/events", batch(event(1, `{"project":"b"}`), event(2, `{"project":"a"}`)), admin).want(202)
	if m, ok := mine.next(); !ok || m.Count != 1 {
		t.Fatalf("of its own project: %+v", m)
	}
	f.do("DELETE", "/api/v1/admin/keys/"+made.Data.ID, "", admin).want(204)
	if m, ok := mine.next(); ok {
		t.Fatalf("after the key was revoked: %+v", m)
	}
}
