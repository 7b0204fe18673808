package httpapi

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/costprof/costprof/internal/ingest"
	"github.com/costprof/costprof/internal/usage"
)

// Metrics are the numbers of /metrics, on a registry of their own.
type Metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	inFlight prometheus.Gauge
	storing  prometheus.Histogram
	events   *prometheus.CounterVec
	refused  prometheus.Counter
	failed   prometheus.Counter
	limited  *prometheus.CounterVec
	backup   prometheus.Gauge
	priced   *prometheus.CounterVec

	// Asked for when the numbers are read.
	up, size, queued, degraded, waiting prometheus.Gauge
}

// NewMetrics makes them; version labels the build.
func NewMetrics(version string) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "costprof_http_requests_total", Help: "Requests answered, by method, route and status.",
		}, []string{"method", "route", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "costprof_http_request_duration_seconds", Help: "Time to answer, by route.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}, []string{"method", "route"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "costprof_http_requests_in_flight", Help: "Requests being answered.",
		}),
		storing: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "costprof_ingest_batch_duration_seconds", Help: "Time to decode, price and store a batch until it is durable.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "costprof_ingest_events_total", Help: "Events of answered batches: accepted, duplicate, conflict or rejected.",
		}, []string{"result"}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "costprof_ingest_refused_batches_total", Help: "Batches of which nothing was acknowledged.",
		}),
		failed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "costprof_ingest_failed_batches_total", Help: "Those of them that were no fault of the sender: the ledger could not store them, or not in time.",
		}),
		limited: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "costprof_rate_limited_total", Help: "Requests that were refused because someone asks too often, by rule.",
		}, []string{"rule"}),
		backup: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "costprof_backup_last_success_timestamp_seconds", Help: "When a backup was last taken of this server and came to its end; 0 is not since it started.",
		}),
		priced: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "costprof_events_stored_total", Help: "Newly stored events by where their cost came from; unpriced ones count as 0.",
		}, []string{"cost_source"}),
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	m.up = gauge("costprof_ledger_up", "1 while the ledger can store and answer.")
	m.size = gauge("costprof_ledger_events", "Events stored.")
	m.queued = gauge("costprof_ledger_queued_events", "Events that wait to be committed.")
	m.degraded = gauge("costprof_ledger_degraded", "1 when something was lost or broken.")
	m.waiting = gauge("costprof_ingest_waiting_batches", "Batches that wait for memory.")
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "costprof_build_info", Help: "1, labelled with the version.", ConstLabels: prometheus.Labels{"version": version},
	})
	info.Set(1)
	for _, result := range []string{"accepted", "duplicate", "conflict", "rejected"} {
		m.events.WithLabelValues(result)
	}
	for _, rule := range []string{"events", "requests", "export", failures.Name} {
		m.limited.WithLabelValues(rule)
	}
	for _, source := range []usage.Source{usage.SourceUnpriced, usage.SourceBilled, usage.SourceCatalog, usage.SourceClient} {
		m.priced.WithLabelValues(source.String())
	}
	m.registry.MustRegister(m.requests, m.duration, m.inFlight, m.storing, m.events, m.refused, m.failed, m.limited, m.backup, m.priced, info,
		m.up, m.size, m.queued, m.degraded, m.waiting,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// follow counts streams when the numbers are read.
func (m *Metrics) follow(s Streams) {
	m.registry.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "costprof_live_streams", Help: "Live streams being followed.",
		}, func() float64 { return float64(s.Streams()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "costprof_live_dropped_readers_total", Help: "Live streams that were ended because they were read too slowly.",
		}, func() float64 { return float64(s.Dropped()) }),
	)
}

// writing counts exports when the numbers are read.
func (m *Metrics) writing(exports *budget) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "costprof_exports_active", Help: "Exports being written.",
	}, func() float64 { return float64(maxExports - exports.left()) }))
}

// watch shows the state of the cache, where there is one.
func (m *Metrics) watch(c Cache) {
	if c == nil {
		return
	}
	m.registry.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "costprof_cache_up", Help: "1 while Redis answers.",
		}, func() float64 {
			if c.Up() {
				return 1
			}
			return 0
		}),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "costprof_cache_failures_total", Help: "Commands that Redis did not answer, or not in time.",
		}, func() float64 { return float64(c.Failed()) }),
	)
}

// embedding shows how far the embedding of prompts is.
func (m *Metrics) embedding(e Similar) {
	number := func(name, help string, of func(Embedding) int64) {
		read := func() float64 { return float64(of(e.Embedding())) }
		if strings.HasSuffix(name, "_total") {
			m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, read))
			return
		}
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, read))
	}
	number("costprof_embedding_queued_prompts", "Prompts that wait for a vector, as of some seconds ago.", func(s Embedding) int64 { return max(0, s.Waiting) })
	number("costprof_embedding_indexed_prompts", "Prompts that can be found by likeness.", func(s Embedding) int64 { return s.Indexed })
	number("costprof_embedding_prompts_total", "Prompts embedded by this server.", func(s Embedding) int64 { return s.Embedded })
	number("costprof_embedding_cached_total", "Those of them whose vector was paid for lately, so that nobody was asked.", func(s Embedding) int64 { return s.Cached })
	number("costprof_embedding_requests_total", "Requests to the embedder.", func(s Embedding) int64 { return s.Requests })
	number("costprof_embedding_failures_total", "Those of them that failed.", func(s Embedding) int64 { return s.Failures })
	number("costprof_embedding_tokens_total", "Tokens that it counted.", func(s Embedding) int64 { return s.InputTokens })
	number("costprof_embedding_down", "1 while prompts cannot be embedded.", func(s Embedding) int64 {
		if s.Error != "" {
			return 1
		}
		return 0
	})
}

// Stored counts newly stored events; ingest announces them.
func (m *Metrics) Stored(records []usage.Record) {
	var counts [4]int
	for i := range records {
		counts[records[i].Source]++
	}
	for source, n := range counts {
		if n > 0 {
			m.priced.WithLabelValues(usage.Source(source).String()).Add(float64(n))
		}
	}
}

func (m *Metrics) ingested(r *ingest.Result) {
	m.events.WithLabelValues("accepted").Add(float64(r.Accepted))
	m.events.WithLabelValues("duplicate").Add(float64(r.Duplicates))
	m.events.WithLabelValues("conflict").Add(float64(len(r.Conflicts)))
	m.events.WithLabelValues("rejected").Add(float64(len(r.Rejected)))
}

// observe counts an answered request. Methods and routes come from closed sets,
// so that no caller can make the number of series grow.
func (m *Metrics) observe(method string, x *exchange, took time.Duration) {
	route := x.route
	if route == "" {
		route = "none"
	}
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions, http.MethodPatch:
	default:
		method = "other"
	}
	m.requests.WithLabelValues(method, route, strconv.Itoa(x.status)).Inc()
	m.duration.WithLabelValues(method, route).Observe(took.Seconds())
}

// handler asks the engine when the numbers are read.
func (m *Metrics) handler(engine Pinger, b *budget) http.Handler {
	write := promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), pingTimeout)
		defer cancel()
		m.waiting.Set(float64(b.waiting()))
		h, err := engine.Ping(ctx)
		m.up.Set(0)
		if err == nil {
			m.up.Set(1)
			m.size.Set(float64(h.Events))
			m.queued.Set(float64(h.Queued))
			m.degraded.Set(0)
			if h.Degraded != "" {
				m.degraded.Set(1)
			}
		}
		write.ServeHTTP(w, r)
	})
}
