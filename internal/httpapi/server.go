// Package httpapi is the HTTP edge: the routes, what each accepts and answers,
// who may come in, the one shape of errors, and the OpenAPI document made of the
// same declarations that serve the requests. It owns no rule about money, events
// or storage; those it asks through small interfaces.
package httpapi

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/ingest"
	"github.com/costprof/costprof/internal/store"
)

// Ingester stores a batch. It returns without error only when what it counts as
// accepted is durable.
type Ingester interface {
	Ingest(ctx context.Context, b ingest.Batch) (ingest.Result, error)
}

// Pinger says whether the engine can store and answer now.
type Pinger interface {
	Ping(ctx context.Context) (store.Health, error)
}

// Cache says whether what servers share beside the ledger answers.
type Cache interface {
	Up() bool
	// Failed is how many requests to it failed so far.
	Failed() int64
}

// Params are what the API is made of.
type Params struct {
	Ingest  Ingester
	Prices  Prices
	Reports Reports
	Live    Streams
	Engine  Pinger
	// Cache is what servers share beside the ledger; nil where each is alone.
	Cache   Cache
	Metrics *Metrics
	Access  Access
	Auth    Auth
	Audit   Audit
	// Retention is how long projects keep what.
	Retention Retention
	Capture   Capture
	Texts     store.Texts
	// Similar compares prompts.
	Similar Similar
	Backups Backups
	Limits  Limits
	// IngestMemory bounds the bytes of event batches held at once, IngestWait how
	// long one waits for its share.
	IngestMemory int64
	IngestWait   time.Duration
	// RequestTimeout bounds the work for one request once its body arrived.
	RequestTimeout time.Duration
	Version        string
	// Ledger is what /health says of the ledger: "embedded" or "postgres".
	Ledger string
	Now    func() time.Time
	Log    *slog.Logger
	// Level is how much the log holds.
	Level *slog.LevelVar
}

// API is the HTTP handler of the whole server.
type API struct {
	server  *server
	handler http.Handler
}

// server is what the handlers share. It does not change once it serves.
type server struct {
	ingest   Ingester
	prices   Prices
	reports  Reports
	live     Streams
	engine   Pinger
	cache    Cache
	metrics  *Metrics
	access   Access
	auth     Auth
	audit    Audit
	keeping  Retention
	capture  Capture
	texts    store.Texts
	similar  Similar
	backups  Backups
	limits   Limits
	bodies   bodies
	answers  answers
	exports  *budget
	timeout  time.Duration
	recheck  time.Duration // of who reads a stream
	version  string
	ledger   string
	now      func() time.Time
	log      *slog.Logger
	level    *slog.LevelVar
	mux      *http.ServeMux
	schemas  huma.Registry
	document []byte
	docs     docsPage
	closing  atomic.Bool
	accepted atomic.Int64
	// backingUp: a backup is being made.
	backingUp atomic.Bool
	// profiling: a profile of a time is being made.
	profiling atomic.Bool
}

const busyStoring = "The server is busy storing other batches; nothing of this one was stored. Try again"

// New makes the handler.
func New(p Params) (*API, error) {
	s := &server{
		ingest: p.Ingest, prices: p.Prices, reports: p.Reports, live: p.Live, engine: p.Engine, cache: p.Cache, metrics: p.Metrics,
		access: p.Access, auth: p.Auth, audit: p.Audit, keeping: p.Retention, capture: p.Capture, texts: p.Texts, similar: p.Similar, backups: p.Backups, limits: p.Limits, timeout: p.RequestTimeout, version: p.Version, ledger: p.Ledger, now: p.Now, log: p.Log, level: p.Level,
		recheck: recheckStream,
		bodies:  bodies{budget: newBudget(p.IngestMemory, p.IngestWait, busyStoring)},
		answers: newAnswers(p.RequestTimeout / 2), exports: newBudget(maxExports, p.RequestTimeout/2, busyExporting),
		mux: http.NewServeMux(), schemas: newSchemas(),
	}
	s.metrics.follow(s.live)
	s.metrics.watch(s.cache)
	s.metrics.writing(s.exports)
	s.metrics.embedding(s.similar)
	var err error
	routes := s.routes()
	if s.document, err = s.mount(routes); err != nil {
		return nil, err
	}
	order := make([]string, len(routes))
	for i, rt := range routes {
		order[i] = rt.id
	}
	if s.docs, err = newDocsPage(s.document, order); err != nil {
		return nil, err
	}
	var h http.Handler = http.HandlerFunc(s.routed)
	for _, wrap := range []func(http.Handler) http.Handler{
		// The innermost first.
		s.draining,
		s.crossOrigin,
		s.local,
		s.recovered,
		secured,
		s.logged,
		s.identified,
	} {
		h = wrap(h)
	}
	return &API{server: s, handler: h}, nil
}

func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.handler.ServeHTTP(w, r) }

// Closing makes /health/ready say that no new work should come, and refuses new
// work with 503; what was accepted goes on, but for streams, which end.
func (a *API) Closing() {
	a.server.closing.Store(true)
	a.server.live.Close()
}

// Accepted is how many requests are being worked on.
func (a *API) Accepted() int { return int(a.server.accepted.Load()) }

// draining counts what was accepted, and refuses what comes after Closing: by an
// answer, since whoever sends on a kept connection that is simply closed cannot
// know whether the request was read.
func (s *server) draining(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.accepted.Add(1)
		if !s.closing.Load() {
			defer s.accepted.Add(-1)
			next.ServeHTTP(w, r)
			return
		}
		s.accepted.Add(-1)
		w.Header().Set("Connection", "close")
		if !operational(r.URL.Path) {
			s.fail(w, r, errClosing)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// operational says whether the path tells about the server itself.
func operational(path string) bool {
	return path == "/health" || strings.HasPrefix(path, "/health/") || path == "/metrics"
}

var errClosing = &fault.Error{
	Code: fault.Unavailable, Message: "The server is shutting down; nothing of this request was done", RetryAfter: 5 * time.Second,
}
