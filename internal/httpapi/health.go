package httpapi

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/costprof/costprof/internal/auth"
	"github.com/costprof/costprof/internal/fault"
)

// pingTimeout is how long the engine may take to say that it works.
const pingTimeout = 2 * time.Second

// health is what the server says about itself; a status of 503 adds error and
// requestId.
type health struct {
	Status    string    `json:"status" enum:"ok,degraded" doc:"ok, or degraded when something is lost, broken or away."`
	Timestamp time.Time `json:"timestamp"`
	Version   string    `json:"version"`
	Services  services  `json:"services"`
	Ledger    string    `json:"ledger" enum:"embedded,postgres" doc:"What keeps the ledger: a data directory, or a PostgreSQL database that servers may share."`
	Reason    string    `json:"reason,omitempty" doc:"Why it is degraded though it works."`
	Error     string    `json:"error,omitempty" doc:"Why it cannot work now."`
	RequestID string    `json:"requestId,omitempty"`
}

type services struct {
	Database string `json:"database" enum:"ok,degraded,unavailable"`
	Cache    string `json:"cache" enum:"ok,degraded,in-process" doc:"Redis: ok, or degraded while it is away; in-process without one."`
	AI       string `json:"ai" enum:"ok,degraded,local" doc:"Who embeds prompts: ok, or degraded while it does not answer; local without a key."`
	MCP      string `json:"mcp" enum:"off"`
}

func (s *server) healthRoutes() []*route {
	answer := schemaOf[health](s)
	metrics := s.metrics.handler(s.engine, s.bodies.budget)
	return []*route{
		{
			id: "health", method: http.MethodGet, path: "/health", tag: "Operation", need: auth.Public, pace: paceExempt, summary: "Health of the server and what it uses",
			doc: "200 while it can store and answer, also when degraded; else 503.", status: http.StatusOK, answer: answer,
			unavailable: answer, raw: s.getHealth,
		},
		{
			id: "health-live", method: http.MethodGet, path: "/health/live", tag: "Operation", need: auth.Public, pace: paceExempt, summary: "Whether the process runs",
			status: http.StatusOK, answer: answer, raw: s.getLive,
		},
		{
			id: "health-ready", method: http.MethodGet, path: "/health/ready", tag: "Operation", need: auth.Public, pace: paceExempt, summary: "Whether to send it work",
			doc: "503 while it cannot store, and as soon as it is told to stop.", status: http.StatusOK, answer: answer,
			unavailable: answer, raw: s.getReady,
		},
		{
			id: "metrics", method: http.MethodGet, path: "/metrics", tag: "Operation", need: auth.Read, everywhere: true, pace: paceExempt, summary: "Numbers for Prometheus",
			status: http.StatusOK, answer: text(), media: "text/plain", raw: func(w http.ResponseWriter, r *http.Request) {
				if s.refuseQuery(w, r) {
					return
				}
				metrics.ServeHTTP(w, r)
			},
		},
	}
}

func (s *server) newHealth() health {
	return health{
		Status: "ok", Timestamp: s.now().UTC(), Version: s.version, Ledger: s.ledger,
		Services: services{Database: "ok", Cache: s.cacheState(), AI: s.aiState(), MCP: "off"},
	}
}

func (s *server) cacheState() string {
	switch {
	case s.cache == nil:
		return "in-process"
	case s.cache.Up():
		return "ok"
	}
	return "degraded"
}

// aiState does not make the server degraded: everything but new similarities goes on.
func (s *server) aiState() string {
	switch st := s.similar.Embedding(); {
	case st.Error != "":
		return "degraded"
	case st.Charged:
		return "ok"
	}
	return "local"
}

func (s *server) getHealth(w http.ResponseWriter, r *http.Request) {
	if s.refuseQuery(w, r) {
		return
	}
	s.answerHealth(w, r, s.check(r.Context()))
}

func (s *server) getReady(w http.ResponseWriter, r *http.Request) {
	if s.refuseQuery(w, r) {
		return
	}
	h := s.check(r.Context())
	if s.closing.Load() {
		h.Status, h.Error = "degraded", "The server is shutting down"
	}
	s.answerHealth(w, r, h)
}

func (s *server) getLive(w http.ResponseWriter, r *http.Request) {
	if s.refuseQuery(w, r) {
		return
	}
	s.write(w, r, http.StatusOK, s.newHealth())
}

// check asks the engine. Error is set only when it cannot work.
func (s *server) check(ctx context.Context) health {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	h := s.newHealth()
	if h.Services.Cache == "degraded" {
		h.Status = "degraded"
		h.Reason = "Redis is away: each server counts rate limits for itself, and live streams hear of other servers late"
	}
	state, err := s.engine.Ping(ctx)
	switch {
	case err != nil:
		exchangeOf(ctx).cause = err
		h.Status, h.Services.Database = "degraded", "unavailable"
		h.Error = "The ledger cannot store or answer now"
		var f *fault.Error
		if errors.As(err, &f) && f.Code == fault.Unavailable {
			h.Error += ": " + f.Message
		}
	case state.Degraded != "":
		h.Status, h.Services.Database, h.Reason = "degraded", "degraded", state.Degraded
	}
	return h
}

func (s *server) answerHealth(w http.ResponseWriter, r *http.Request, h health) {
	status := http.StatusOK
	if h.Error != "" {
		status = http.StatusServiceUnavailable
		h.RequestID = exchangeOf(r.Context()).id
		w.Header().Set("Retry-After", "5")
	}
	s.write(w, r, status, h)
}

// refuseQuery answers a plain route that was given parameters.
func (s *server) refuseQuery(w http.ResponseWriter, r *http.Request) bool {
	err := queryOf(r, nil).err()
	if err != nil {
		s.fail(w, r, err)
	}
	return err != nil
}
