package httpapi

import (
	"bufio"
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/costprof/costprof/internal/auth"
	"github.com/costprof/costprof/internal/backup"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/store"
)

// Backups give the whole ledger, and keep who took it.
type Backups interface {
	store.Dumper
	AppendAudit(ctx context.Context, entry store.AuditEntry) error
}

const (
	backupMedia = "application/vnd.costprof.backup"
	// backupWait is how long who takes a backup may keep one write waiting; what
	// the engine holds for it must not be held for nobody.
	backupWait = 30 * time.Second
)

func (s *server) backupRoute() *route {
	return &route{
		id: "backup", method: http.MethodGet, path: "/api/v1/admin/backup", tag: "Access", need: auth.Administer, everywhere: true, pace: paceExport,
		summary: "Everything the ledger stores, as a file",
		doc: "Of one moment, while the server goes on storing; costprof restore makes a ledger of it, in either engine. The file ends with a checksum of everything before: " +
			"one without it was cut off. It holds hashes of keys and the secret that sessions are signed with. One at a time is made.",
		status: http.StatusOK, media: backupMedia, answer: &huma.Schema{Type: huma.TypeString, Format: "binary"},
		errors: []int{http.StatusServiceUnavailable}, raw: s.takeBackup,
	}
}

func (s *server) takeBackup(w http.ResponseWriter, r *http.Request) {
	if s.refuseQuery(w, r) {
		return
	}
	begun := s.now().UTC()
	headers := func() {
		w.Header().Set("Content-Type", backupMedia)
		w.Header().Set("Content-Disposition", `attachment; filename="costprof-`+begun.Format("20060102-150405")+`.backup"`)
	}
	if r.Method == http.MethodHead {
		headers()
		w.WriteHeader(http.StatusOK)
		return
	}
	if !s.backingUp.CompareAndSwap(false, true) {
		s.fail(w, r, &fault.Error{Code: fault.Unavailable, Message: "Another backup is being made; one at a time", RetryAfter: 10 * time.Second})
		return
	}
	defer s.backingUp.Store(false)
	entry, err := store.NewAuditEntry(begun, exchangeOf(r.Context()).who.Actor, "backup.take", map[string]string{"requestId": exchangeOf(r.Context()).id})
	if err == nil {
		err = s.backups.AppendAudit(r.Context(), entry)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Time{}) // the server's deadlines are for short requests
	out := &patient{w: w, rc: rc, begin: headers}
	buffered := bufio.NewWriterSize(out, 64<<10)
	_, err = backup.Write(r.Context(), buffered, s.backups, backup.Header{Made: begun, Program: "costprof " + s.version, Ledger: s.ledger})
	if err == nil {
		err = buffered.Flush()
	}
	if err == nil {
		s.metrics.backup.Set(float64(s.now().Unix()))
		return
	}
	if out.begun {
		exchangeOf(r.Context()).cause = err
		s.log.Warn("a backup broke off; who takes it sees that its end is missing", "requestId", exchangeOf(r.Context()).id, "error", err)
		panic(http.ErrAbortHandler) // the connection must not end clean
	}
	s.fail(w, r, err)
}

// patient waits for each write on its own, however long all take together.
type patient struct {
	w     http.ResponseWriter
	rc    *http.ResponseController
	begin func()
	begun bool
}

func (p *patient) Write(b []byte) (int, error) {
	if !p.begun {
		p.begun = true
		p.begin()
		p.w.WriteHeader(http.StatusOK)
	}
	_ = p.rc.SetWriteDeadline(time.Now().Add(backupWait)) // a recorder in a test has none
	return p.w.Write(b)
}
