package duckdb

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/store"
)

// Whatever the schema holds is in a dump, or is made anew from it: a table or a
// column that somebody adds must not be missing from backups.
func TestDumpIsComplete(t *testing.T) {
	e, err := Open(t.Context(), Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	anew := []string{"hours", "hours_done", "commits", versionTable}
	rows, err := e.db.QueryContext(t.Context(), `SELECT table_name, column_name, is_nullable = 'NO' FROM information_schema.columns WHERE table_schema = 'main'`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	have := map[string]bool{}
	for rows.Next() {
		var table, column string
		var required bool
		if err := rows.Scan(&table, &column, &required); err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(anew, table) {
			have[table+"."+column] = required
		}
	}
	for _, table := range store.Tables() {
		if table.Name == store.PositionTable {
			continue
		}
		for _, c := range table.Columns {
			name := table.Name + "." + c.Name
			if required, there := have[name]; !there || required != c.Required && c.Before == nil { // NOT NULL cannot be added
				t.Errorf("%s: in the schema %t, NOT NULL %t, in a dump required %t", name, there, required, c.Required)
			}
			delete(have, name)
		}
	}
	for name := range have {
		t.Errorf("%s is in no dump: add it to store.Tables, or here when it is made anew", name)
	}
}

// A restore that was cut off while it replaced the ledger is not opened as if it
// were one, and can be run again.
func TestLoadCutOff(t *testing.T) {
	dir := t.TempDir()
	source := func(n int64) store.Load {
		return store.Load{Force: true, Source: emptyDump(n)}
	}
	if err := Load(t.Context(), Options{Dir: dir}, source(5)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, replacingFile), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, restoringDir), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Options{Dir: dir}); fault.CodeOf(err) != fault.Conflict || !strings.Contains(err.Error(), "cut off") {
		t.Fatalf("opening a half restored ledger: %v", err)
	}
	again := source(7)
	again.Force = false
	if err := Load(t.Context(), Options{Dir: dir}, again); fault.CodeOf(err) != fault.Conflict {
		t.Fatalf("restoring without force: %v", err)
	}
	if err := Load(t.Context(), Options{Dir: dir}, source(7)); err != nil {
		t.Fatal(err)
	}
	e, err := Open(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if got := e.last.Load(); got != 8 {
		t.Errorf("the last commit is %d, want 8", got)
	}
	if h, err := e.Ping(t.Context()); err != nil || h.Degraded != "" {
		t.Errorf("health %+v, %v", h, err)
	}
	if _, err := os.Stat(filepath.Join(dir, restoringDir)); err == nil {
		t.Error("what the restore was building is still there")
	}
}

// emptyDump is that of a ledger without events, after n commits.
func emptyDump(n int64) func(context.Context, store.Sink) error {
	return func(_ context.Context, to store.Sink) error {
		for _, t := range store.Tables() {
			if err := to.Table(t); err != nil {
				return err
			}
			if t.Name == store.PositionTable {
				if err := to.Row([]any{n}); err != nil {
					return err
				}
			}
		}
		return nil
	}
}
