package httpapi

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/costprof/costprof/internal/backup"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/store"
)

// fakeLedger gives settings, and then what its function says.
type fakeLedger struct {
	*memoryCatalog
	rows int
	then func() error
}

func (l *fakeLedger) AppendAudit(_ context.Context, e store.AuditEntry) error {
	l.audit = append(l.audit, e)
	return nil
}

func (l *fakeLedger) Dump(_ context.Context, to store.Sink) error {
	random := rand.New(rand.NewPCG(1, 2))
	for _, t := range store.Tables() {
		if err := to.Table(t); err != nil {
			return err
		}
		n := 0
		switch t.Name {
		case "settings":
			n = l.rows
		case store.PositionTable:
			if err := to.Row([]any{int64(1)}); err != nil {
				return err
			}
		}
		for range n {
			value := make([]byte, 64) // random bytes do not compress
			for k := range value {
				value[k] = byte(random.Uint32())
			}
			if err := to.Row([]any{"name", value}); err != nil {
				return err
			}
		}
	}
	if l.then != nil {
		return l.then()
	}
	return nil
}

func TestBackup(t *testing.T) {
	ledger := &fakeLedger{memoryCatalog: &memoryCatalog{}, rows: 3}
	f := setup(t, func(p *Params) { p.Backups = ledger })
	a := f.get("/api/v1/admin/backup").want(200)
	if a.header.Get("Content-Type") != backupMedia || !strings.Contains(a.header.Get("Content-Disposition"), ".backup") {
		t.Errorf("headers %v", a.header)
	}
	s, err := backup.Read(t.Context(), bytes.NewReader(a.body), backup.NewTally())
	if err != nil || s.Rows["settings"] != 3 || s.Program != "costprof test" || s.Ledger != "embedded" {
		t.Errorf("the backup is %+v, %v", s, err)
	}
	if len(ledger.audit) != 1 || ledger.audit[0].Action != "backup.take" || ledger.audit[0].Actor != "anonymous" {
		t.Errorf("audit %+v", ledger.audit)
	}
	f.get("/api/v1/admin/backup?form=2").want(400)

	// One at a time; what fails before it begins is an ordinary error.
	ledger.then = func() error {
		f.get("/api/v1/admin/backup").want(503).says("Another backup")
		return &fault.Error{Code: fault.Unavailable, Message: "the ledger is away"}
	}
	f.get("/api/v1/admin/backup").want(503).says("the ledger is away")
	ledger.then = nil
	f.get("/api/v1/admin/backup").want(200)
}

// A backup that breaks off on the way does not end like a whole one.
func TestBackupBreaksOff(t *testing.T) {
	ledger := &fakeLedger{memoryCatalog: &memoryCatalog{}, rows: 20_000, then: func() error { return errors.New("gone") }}
	f := setup(t, func(p *Params) { p.Backups = ledger })
	server := httptest.NewServer(f.api)
	defer server.Close()
	resp, err := http.Get(server.URL + "/api/v1/admin/backup")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if resp.StatusCode != 200 || err == nil {
		t.Fatalf("%d with %d bytes, and then %v; want the connection broken", resp.StatusCode, len(b), err)
	}
	if _, err := backup.Read(t.Context(), bytes.NewReader(b), backup.NewTally()); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("what came reads: %v", err)
	}
}
