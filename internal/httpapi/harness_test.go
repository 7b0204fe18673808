package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"github.com/costprof/costprof/internal/auth"
	"github.com/costprof/costprof/internal/ingest"
	"github.com/costprof/costprof/internal/limit"
	"github.com/costprof/costprof/internal/live"
	"github.com/costprof/costprof/internal/pricing"
	"github.com/costprof/costprof/internal/prompts"
	"github.com/costprof/costprof/internal/rating"
	"github.com/costprof/costprof/internal/report"
	"github.com/costprof/costprof/internal/retention"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/store/reference"
	"github.com/costprof/costprof/internal/usage"
)

// shippedBook is parsed once for all tests.
var shippedBook = sync.OnceValues(pricing.Shipped)

// fixture is an API over the real pipeline, price book and reports, on a ledger
// in memory.
type fixture struct {
	*testing.T
	api     *API
	ledger  *reference.Ledger
	engine  *fakeEngine
	prices  *rating.Service
	catalog *memoryCatalog
	keeping *retention.Service
	texts   *prompts.Service
	similar *fakeSimilar
	live    *live.Hub
	log     *bytes.Buffer
	doc     *openapi3.T
	now     time.Time
}

type fakeEngine struct {
	health store.Health
	err    error
}

func (e *fakeEngine) Ping(context.Context) (store.Health, error) { return e.health, e.err }

// appender lets a test make the ledger fail.
type appender struct {
	ingest.Ledger
	fail func() error
}

func (a *appender) Append(ctx context.Context, rs []usage.Record) (store.Receipt, error) {
	if a.fail != nil {
		if err := a.fail(); err != nil {
			return store.Receipt{}, err
		}
	}
	return a.Ledger.Append(ctx, rs)
}

func setup(t *testing.T, change ...func(*Params)) *fixture {
	t.Helper()
	book, err := shippedBook()
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{T: t, ledger: &reference.Ledger{}, engine: &fakeEngine{}, similar: &fakeSimilar{state: Embedding{Searcher: "memory"}}, log: &bytes.Buffer{}, now: noon}
	f.catalog = &memoryCatalog{}
	clock := func() time.Time { return f.now }
	log := slog.New(slog.NewTextHandler(f.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	f.prices, err = rating.Open(t.Context(), rating.Params{Ledger: f.ledger, Catalog: f.catalog, Shipped: book, Now: clock, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	f.live = live.New(t.Context(), live.Params{Ledger: f.ledger, Channel: live.NewMemory(), MaxStreams: 3, Now: clock, Log: log})
	t.Cleanup(f.live.Close)
	if f.texts, err = prompts.Open(t.Context(), prompts.Params{Settings: f.catalog, Secrets: f.catalog, Now: clock, Log: log}); err != nil {
		t.Fatal(err)
	}
	p := Params{
		Live: f.live, Capture: f.texts, Texts: f.ledger, Similar: f.similar,
		Ingest: ingest.New(ingest.Params{
			Guard:         f.texts,
			Announce:      f.live.Announce,
			OldestAllowed: func(project string) time.Time { return f.keeping.OldestAllowed(project) },
			TooOld:        func(ctx context.Context) error { return f.keeping.Refresh(ctx) },
			Ledger:        f.ledger, Book: func() ingest.Book { return f.prices.Book() }, Versions: f.catalog, Now: clock, Log: log,
		}),
		Prices: f.prices, Reports: &report.Service{Ledger: f.ledger, Now: clock}, Engine: f.engine, Metrics: NewMetrics("test"),
		Audit: f.catalog, Limits: Limits{Limiter: &limit.Limiter{Local: limit.NewMemory(clock, 0), Log: log, Now: clock}},
		Access:       Access{AllowedHosts: []string{"costs.example.com", "other.example.com:8443"}, CORSOrigins: []string{"http://localhost:3000"}},
		IngestMemory: 64 << 20, IngestWait: time.Second, RequestTimeout: 10 * time.Second,
		Version: "test", Ledger: "embedded", Now: clock, Log: log, Level: &slog.LevelVar{},
	}
	keeping, err := retention.Open(t.Context(), retention.Params{Ledger: f.ledger, Catalog: f.catalog, Now: clock, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	f.keeping, p.Retention = keeping, keeping
	p.Backups = &fakeLedger{memoryCatalog: f.catalog, rows: 3}
	for _, c := range change {
		c(&p)
	}
	if p.Auth == nil {
		p.Auth = f.authorize(auth.Params{})
	}
	if f.api, err = New(p); err != nil {
		t.Fatal(err)
	}
	if f.doc, err = loaded(f.api.server.document); err != nil {
		t.Fatalf("the document does not load: %v", err)
	}
	return f
}

// documents are those that were loaded: loading one takes longer than most tests
// take with it, and nearly all servers have the same.
var documents sync.Map

func loaded(document []byte) (*openapi3.T, error) {
	if doc, ok := documents.Load(string(document)); ok {
		return doc.(*openapi3.T), nil
	}
	doc, err := openapi3.NewLoader().LoadFromData(document)
	if err == nil {
		documents.Store(string(document), doc)
	}
	return doc, err
}

// authorize opens who may come in over the fixture's catalog.
func (f *fixture) authorize(p auth.Params) *auth.Service {
	f.Helper()
	p.Catalog, p.Secrets, p.Now, p.Log = f.catalog, f.catalog, func() time.Time { return f.now }, slog.New(slog.DiscardHandler)
	s, err := auth.Open(f.Context(), p)
	if err != nil {
		f.Fatal(err)
	}
	return s
}

// answer is what came back, already held against the document.
type answer struct {
	status int
	header http.Header
	body   []byte
	f      *fixture
}

type option func(*http.Request)

func header(name, value string) option {
	return func(r *http.Request) { r.Header.Add(name, value) }
}

func host(h string) option { return func(r *http.Request) { r.Host = h } }

func (f *fixture) do(method, target, body string, options ...option) *answer {
	f.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, "http://localhost:3100/", reader)
	target, query, _ := strings.Cut(target, "?")
	r.URL.Path, r.URL.RawQuery, r.RequestURI = target, query, target
	r.Host = "localhost:3100"
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, o := range options {
		o(r)
	}
	if strings.Contains(target, "/stream/") { // it does not end by itself
		ctx, cancel := context.WithTimeout(r.Context(), 100*time.Millisecond)
		defer cancel()
		r = r.WithContext(ctx)
	}
	return f.send(r)
}

func (f *fixture) send(r *http.Request) *answer {
	f.Helper()
	var sent []byte
	if r.Body != nil {
		sent, _ = io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(sent))
	}
	w := httptest.NewRecorder()
	f.api.ServeHTTP(&leaver{w, r.Context()}, r)
	a := &answer{status: w.Code, header: w.Header(), body: w.Body.Bytes(), f: f}
	a.check(r)
	if a.status < 300 && r.Method != http.MethodOptions {
		r.Body = io.NopCloser(bytes.NewReader(sent))
		f.checkRequest(r)
	}
	return a
}

// leaver is a client that leaves a stream once it began, where its context says
// how.
type leaver struct {
	*httptest.ResponseRecorder
	ctx context.Context //nolint:containedctx // of the one request
}

type leaveKey struct{}

func (l *leaver) Write(b []byte) (int, error) {
	if leave, ok := l.ctx.Value(leaveKey{}).(context.CancelFunc); ok {
		leave()
	}
	return l.ResponseRecorder.Write(b)
}

// checkRequest holds a request that was accepted against the document: whoever
// follows it must be able to send that.
func (f *fixture) checkRequest(r *http.Request) {
	f.Helper()
	op := f.operation(r.Method, r.URL.Path)
	if op == nil {
		return
	}
	for name := range r.URL.Query() {
		known := strings.HasPrefix(name, "tag:")
		for _, p := range op.Parameters {
			known = known || p.Value.In == "query" && p.Value.Name == name
		}
		if !known {
			f.Errorf("%s %s accepts %s, which the document does not know", r.Method, r.URL.Path, name)
		}
	}
	// The checker cannot read open-ended names, nor lines of JSON; a partial batch
	// may hold events that fit nothing.
	checked := *op
	checked.Parameters = slices.DeleteFunc(slices.Clone(op.Parameters), func(p *openapi3.ParameterRef) bool { return p.Value.Name == tagParam })
	body := r.Header.Get("Content-Encoding") == "" && strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") && !r.URL.Query().Has("partial")
	input := &openapi3filter.RequestValidationInput{
		Request: r.Clone(f.Context()), QueryParams: r.URL.Query(),
		PathParams: map[string]string{"id": path.Base(r.URL.Path), "traceId": path.Base(r.URL.Path), "name": path.Base(r.URL.Path)},
		Route:      &routers.Route{Spec: f.doc, PathItem: &openapi3.PathItem{}, Operation: &checked, Method: r.Method},
		Options:    &openapi3filter.Options{ExcludeRequestBody: !body, AuthenticationFunc: openapi3filter.NoopAuthenticationFunc},
	}
	if err := openapi3filter.ValidateRequest(f.Context(), input); err != nil {
		f.Errorf("%s %s was accepted and does not fit the document: %.600v", r.Method, r.URL, err)
	}
}

func (f *fixture) get(target string, options ...option) *answer {
	f.Helper()
	return f.do(http.MethodGet, target, "", options...)
}

func (f *fixture) post(target, body string, options ...option) *answer {
	f.Helper()
	return f.do(http.MethodPost, target, body, options...)
}

var pathParam = regexp.MustCompile(`\{[^}]*\}`)

// operation finds what the document says of a request.
func (f *fixture) operation(method, path string) *openapi3.Operation {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	var found *openapi3.Operation
	for pattern, item := range f.doc.Paths.Map() {
		op := item.GetOperation(method)
		re := "^" + pathParam.ReplaceAllString(strings.ReplaceAll(pattern, ".", `\.`), "[^/]+") + "$"
		if op != nil && regexp.MustCompile(re).MatchString(path) && (found == nil || pattern == path) {
			found = op
		}
	}
	return found
}

// check holds the answer against the document: the status is one that the
// operation names and the body fits its schema. Every error has the one shape.
func (a *answer) check(r *http.Request) {
	a.f.Helper()
	if a.header.Get("X-Request-ID") == "" {
		a.f.Errorf("%s %s: no X-Request-ID", r.Method, r.URL.Path)
	}
	if a.header.Get("X-Content-Type-Options") != "nosniff" || a.header.Get("Server") != "" {
		a.f.Errorf("%s %s: security headers %v", r.Method, r.URL.Path, a.header)
	}
	if a.status >= 400 {
		var e struct {
			Error, RequestID string
			Details          map[string][]string
		}
		if err := json.Unmarshal(a.body, &e); err != nil || e.Error == "" || e.RequestID != a.header.Get("X-Request-ID") {
			a.f.Errorf("%s %s: %d is not in the shape of errors: %s", r.Method, r.URL.Path, a.status, a.body)
		}
	}
	op := a.f.operation(r.Method, r.URL.Path)
	if op == nil {
		if a.status < 400 && r.Method != http.MethodOptions {
			a.f.Errorf("%s %s answered %d and is not in the document", r.Method, r.URL.Path, a.status)
		}
		return
	}
	response := op.Responses.Value(fmt.Sprint(a.status))
	if response == nil || response.Value == nil {
		a.f.Errorf("%s %s: the document knows no %d (%s)", r.Method, r.URL.Path, a.status, a.body)
		return
	}
	if len(response.Value.Content) == 0 {
		if len(a.body) > 0 {
			a.f.Errorf("%s %s: a body where the document has none", r.Method, r.URL.Path)
		}
		return
	}
	mediaType, _, _ := strings.Cut(a.header.Get("Content-Type"), ";")
	media := response.Value.Content.Get(mediaType)
	if media == nil {
		a.f.Errorf("%s %s: the document knows no %q", r.Method, r.URL.Path, mediaType)
		return
	}
	if mediaType != "application/json" {
		return
	}
	var v any
	dec := json.NewDecoder(bytes.NewReader(a.body))
	if err := dec.Decode(&v); err != nil {
		a.f.Errorf("%s %s: %v", r.Method, r.URL.Path, err)
		return
	}
	if err := media.Schema.Value.VisitJSON(v); err != nil {
		a.f.Errorf("%s %s: the answer does not fit its schema: %.600v\n%.300s", r.Method, r.URL.Path, err, a.body)
	}
}

// want stops the test when the status is another one.
func (a *answer) want(status int) *answer {
	a.f.Helper()
	if a.status != status {
		a.f.Fatalf("status %d, want %d: %s", a.status, status, a.body)
	}
	return a
}

// says checks that the error names each of the words, in its sentence or details.
func (a *answer) says(words ...string) *answer {
	a.f.Helper()
	for _, w := range words {
		if !bytes.Contains(a.body, []byte(w)) {
			a.f.Errorf("%s does not say %q", a.body, w)
		}
	}
	return a
}

// lacks checks that the answer has none of the words.
func (a *answer) lacks(words ...string) *answer {
	a.f.Helper()
	for _, w := range words {
		if bytes.Contains(a.body, []byte(w)) {
			a.f.Errorf("%s says %q", a.body, w)
		}
	}
	return a
}

// into decodes the answer.
func (a *answer) into(v any) *answer {
	a.f.Helper()
	if err := json.Unmarshal(a.body, v); err != nil {
		a.f.Fatal(err)
	}
	return a
}

// stored is how many events the ledger holds.
func (f *fixture) stored() int {
	f.Helper()
	n := 0
	for _, err := range f.ledger.Events(f.Context(), store.EventQuery{}) {
		if err != nil {
			f.Fatal(err)
		}
		n++
	}
	return n
}

// event is the JSON of an event, with changes.
func event(n int, changes ...string) string {
	e := map[string]json.RawMessage{}
	base := fmt.Sprintf(`{"traceId":"t%d","spanId":"s%d","timestamp":"2026-11-20T10:00:00Z","feature":"chat","provider":"openai","model":"gpt-4o",
		"inputTokens":1000,"outputTokens":100,"latencyMs":250.5}`, n, n)
	for _, text := range append([]string{base}, changes...) {
		if err := json.Unmarshal([]byte(text), &e); err != nil {
			panic(err)
		}
	}
	out, err := json.Marshal(e)
	if err != nil {
		panic(err)
	}
	return string(out)
}

func batch(events ...string) string { return `{"events":[` + strings.Join(events, ",") + `]}` }
