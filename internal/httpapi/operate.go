package httpapi

import (
	"log/slog"
	"net/http"
	"runtime/pprof"
	runtimetrace "runtime/trace"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/costprof/costprof/internal/auth"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/store"
)

// levels are the names of the log's levels, loudest last.
var levels = []struct {
	name  string
	level slog.Level
}{{"debug", slog.LevelDebug}, {"info", slog.LevelInfo}, {"warn", slog.LevelWarn}, {"error", slog.LevelError}}

func levelNames() []string {
	names := make([]string, len(levels))
	for i, l := range levels {
		names[i] = l.name
	}
	return names
}

// logLevel is what the log holds.
type logLevel struct {
	Level string `json:"level" enum:"debug,info,warn,error"`
}

const (
	profileMedia   = "application/octet-stream"
	profileSeconds = 10
	// maxProfile is the longest that a profile watches, in seconds.
	maxProfile = 60
	// profileWait is how long who takes a profile may need to take it.
	profileWait = 30 * time.Second
)

// snapshots are the profiles of one moment, by name.
func snapshots() []string {
	return []string{"allocs", "block", "goroutine", "heap", "mutex", "threadcreate"}
}

func (s *server) operateRoutes() []*route {
	level := s.envelope(schemaOf[logLevel](s), nil)
	return []*route{
		{
			id: "get-log-level", method: http.MethodGet, path: "/api/v1/admin/log-level", tag: "Operation", need: auth.Administer, everywhere: true,
			summary: "How much the log holds", status: http.StatusOK, answer: level, serve: s.getLogLevel,
		},
		{
			id: "put-log-level", method: http.MethodPut, path: "/api/v1/admin/log-level", tag: "Operation", need: auth.Administer, everywhere: true,
			summary: "Let the log hold more or less", doc: "Of this server, until it stops; LOG_LEVEL says what the next start begins with.",
			body: jsonBody(&huma.Schema{
				Type: huma.TypeObject, AdditionalProperties: false, Required: []string{"level"},
				Properties: map[string]*huma.Schema{"level": text("debug", "info", "warn", "error")},
			}),
			status: http.StatusOK, answer: level, errors: []int{http.StatusServiceUnavailable}, serve: s.putLogLevel,
		},
		{
			id: "profile", method: http.MethodGet, path: "/api/v1/admin/debug/pprof/{name}", tag: "Operation", need: auth.Administer, everywhere: true,
			summary: "A profile of the server itself",
			doc: "name is " + strings.Join(snapshots(), ", ") + ": as it is now; profile (of the processor) or trace: for some seconds, one at a time. " +
				"The file is for go tool pprof, that of trace for go tool trace.",
			params: []param{{name: "seconds", doc: "How long profile and trace watch.", schema: wholeNumber(profileSeconds, 1, maxProfile)}},
			status: http.StatusOK, media: profileMedia, answer: &huma.Schema{Type: huma.TypeString, Format: "binary"},
			errors: []int{http.StatusNotFound, http.StatusServiceUnavailable}, raw: s.takeProfile,
		},
	}
}

func (s *server) currentLevel() logLevel {
	now := logLevel{levels[0].name}
	for _, l := range levels {
		if s.level.Level() >= l.level {
			now.Level = l.name
		}
	}
	return now
}

func (s *server) getLogLevel(c *call) (*reply, error) {
	return &reply{Data: s.currentLevel()}, c.q.err()
}

func (s *server) putLogLevel(c *call) (*reply, error) {
	f, err := s.readObject(c)
	if err != nil {
		return nil, err
	}
	f.only("level")
	asked := f.text("level", 1, 16)
	at := slices.Index(levelNames(), asked)
	if at < 0 && asked != "" {
		f.bad("level", "must be one of "+strings.Join(levelNames(), ", "))
	}
	if err := c.q.err(); err != nil {
		return nil, err
	}
	entry, err := store.NewAuditEntry(s.now(), c.who().Actor, "log.level", map[string]string{"from": s.currentLevel().Level, "to": asked})
	if err != nil {
		return nil, err
	}
	if err := s.audit.AppendAudit(c, entry); err != nil {
		return nil, err
	}
	s.level.Set(levels[at].level)
	return &reply{Data: s.currentLevel()}, nil
}

// takeProfile is a plain handler: what it watches for a time outlasts the
// deadlines of questions.
func (s *server) takeProfile(w http.ResponseWriter, r *http.Request) {
	q := queryOf(r, []param{{name: "seconds"}})
	seconds := q.whole("seconds", profileSeconds, 1, maxProfile)
	name := r.PathValue("name")
	timed := name == "profile" || name == "trace"
	if !timed && q.has("seconds") {
		q.bad("seconds", "goes with profile and trace")
	}
	if err := q.err(); err != nil {
		s.fail(w, r, err)
		return
	}
	if !timed && !slices.Contains(snapshots(), name) {
		s.fail(w, r, errNoThing)
		return
	}
	ending := ".pb.gz"
	if name == "trace" {
		ending = ".trace"
	}
	headers := func() {
		w.Header().Set("Content-Type", profileMedia)
		w.Header().Set("Content-Disposition", `attachment; filename="costprof-`+name+"-"+s.now().UTC().Format("20060102-150405")+ending+`"`)
		w.WriteHeader(http.StatusOK)
	}
	if r.Method == http.MethodHead {
		headers()
		return
	}
	watch := time.Duration(0)
	if timed {
		if !s.profiling.CompareAndSwap(false, true) {
			s.fail(w, r, &fault.Error{Code: fault.Unavailable, Message: "Another profile is being made; one at a time", RetryAfter: maxProfile * time.Second})
			return
		}
		defer s.profiling.Store(false)
		watch = time.Duration(seconds) * time.Second
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(watch + profileWait)) // a recorder in a test has none
	headers()
	var err error
	switch name {
	case "profile":
		if err = pprof.StartCPUProfile(w); err == nil {
			s.watch(r, watch)
			pprof.StopCPUProfile()
		}
	case "trace":
		if err = runtimetrace.Start(w); err == nil {
			s.watch(r, watch)
			runtimetrace.Stop()
		}
	default:
		err = pprof.Lookup(name).WriteTo(w, 0)
	}
	if err != nil {
		exchangeOf(r.Context()).cause = err
		panic(http.ErrAbortHandler) // a part of it may be out
	}
}

// watch waits while something is recorded, until who asked for it is gone.
func (s *server) watch(r *http.Request, how time.Duration) {
	t := time.NewTimer(how)
	defer t.Stop()
	select {
	case <-t.C:
	case <-r.Context().Done():
	}
}
