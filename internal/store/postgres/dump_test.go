package postgres_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/store/postgres"
)

// Whatever the schema holds is in a dump, or is made anew from it: a table or a
// column that somebody adds must not be missing from backups.
func TestDumpIsComplete(t *testing.T) {
	url := schemaURL(t, t.Name())
	e := open(t, postgres.Options{URL: url})
	defer e.Close()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	anew := []string{"ledger", "explicit_ids", "hours", "wide_hours", "days", "wide_days", "coarse_cells", "coarse_hours", "coarse_days", "schema_versions", "nearest"}
	rows, err := conn.Query(t.Context(), `SELECT table_name, column_name, is_nullable = 'NO' FROM information_schema.columns WHERE table_schema = current_schema()`)
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	var table, column string
	var required bool
	if _, err := pgx.ForEachRow(rows, []any{&table, &column, &required}, func() error {
		if !slices.Contains(anew, table) && !strings.HasPrefix(table, "events_") {
			have[table+"."+column] = required
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, table := range store.Tables() {
		if table.Name == store.PositionTable {
			continue
		}
		for _, c := range table.Columns {
			name := table.Name + "." + c.Name
			if required, there := have[name]; !there || required != c.Required {
				t.Errorf("%s: in the schema %t, NOT NULL %t, in a dump required %t", name, there, required, c.Required)
			}
			delete(have, name)
		}
	}
	for name := range have {
		t.Errorf("%s is in no dump: add it to store.Tables, or here when it is made anew", name)
	}
}

// While one has the ledger for itself no server comes, and the other way round.
func TestExclusive(t *testing.T) {
	url := schemaURL(t, t.Name())
	server := open(t, postgres.Options{URL: url})
	beside := open(t, postgres.Options{URL: url}) // servers share it
	beside.Close()
	if _, err := postgres.Open(t.Context(), postgres.Options{URL: url, Exclusive: true}); fault.CodeOf(err) != fault.Conflict {
		t.Fatalf("alone beside a server: %v", err)
	}
	server.Close()
	alone := open(t, postgres.Options{URL: url, Exclusive: true})
	if e, err := postgres.Open(t.Context(), postgres.Options{URL: url}); err == nil || !strings.Contains(err.Error(), "for itself") {
		if err == nil {
			e.Close()
		}
		t.Fatalf("a server beside one alone: %v", err)
	}
	alone.Close()
	open(t, postgres.Options{URL: url}).Close()
}
