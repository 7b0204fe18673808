package backup_test

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"net/url"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/costprof/costprof/internal/backup"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/store/engines"
	"github.com/costprof/costprof/internal/store/storetest"
	"github.com/costprof/costprof/internal/testserver"
)

// A backup of either engine, restored into either, is the same ledger.
func TestMove(t *testing.T) {
	embedded := func(t *testing.T, dir string) engines.Options { return engines.Options{Dir: dir} }
	shared := func(t *testing.T, dir string) engines.Options { return engines.Options{URL: schemaURL(t, dir)} }
	kinds := map[string]func(*testing.T, string) engines.Options{"duckdb": embedded, "postgres": shared}
	for from, fromOptions := range kinds {
		for to, toOptions := range kinds {
			t.Run(from+" to "+to, func(t *testing.T) {
				storetest.Move(t, opener(fromOptions), storetest.Mover{
					Open: opener(toOptions),
					Move: func(t *testing.T, d store.Dumper, dir string, force bool) error {
						return move(t, d, toOptions(t, dir), force)
					},
				})
			})
		}
	}
}

func opener(options func(*testing.T, string) engines.Options) storetest.Opener {
	return func(t *testing.T, dir string) store.Engine {
		t.Helper()
		e, err := engines.Open(t.Context(), options(t, dir))
		if err != nil {
			t.Fatalf("Open: %v", err)
		}
		return e
	}
}

// move goes through a file, and counts on both sides of it.
func move(t *testing.T, from store.Dumper, o engines.Options, force bool) error {
	t.Helper()
	counted := backup.NewTally()
	var wrote backup.Summary
	err := engines.Load(t.Context(), o, store.Load{Force: force, Source: func(ctx context.Context, to store.Sink) error {
		r, w := io.Pipe()
		go func() {
			var err error
			wrote, err = backup.Write(ctx, w, from, backup.Header{Program: "costprof test", Ledger: "test"})
			w.CloseWithError(err)
		}()
		_, err := backup.Read(ctx, r, backup.Tee(to, counted))
		return errors.Join(err, r.Close())
	}})
	if err != nil {
		return err
	}
	there, err := backup.TallyOf(t.Context(), from)
	if err != nil {
		return err
	}
	o.Exclusive = true
	e, err := engines.Open(t.Context(), o)
	if err != nil {
		return err
	}
	defer e.Close()
	here, err := backup.TallyOf(t.Context(), e)
	if err != nil {
		return err
	}
	for _, other := range []*backup.Tally{counted, here} {
		if err := there.Equal(other); err != nil {
			t.Errorf("tally: %v", err)
		}
	}
	if wrote.Rows[store.EventsTable] != here.Rows(store.EventsTable) {
		t.Errorf("%d events written, %d there", wrote.Rows[store.EventsTable], here.Rows(store.EventsTable))
	}
	return nil
}

// schemaURL makes a schema of its own for a name and gives the URL that leads
// there; it goes with the test.
func schemaURL(t *testing.T, name string) string {
	t.Helper()
	base := testserver.Postgres(t)
	h := fnv.New64a()
	h.Write([]byte(name))
	schema := fmt.Sprintf("test_%x", h.Sum64())
	admin := func(ctx context.Context, text string) error {
		conn, err := pgx.Connect(ctx, base)
		if err != nil {
			return err
		}
		defer conn.Close(ctx)
		_, err = conn.Exec(ctx, text)
		return err
	}
	if err := admin(t.Context(), `CREATE SCHEMA IF NOT EXISTS `+schema); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := admin(context.Background(), `DROP SCHEMA IF EXISTS `+schema+` CASCADE`); err != nil {
			t.Error(err)
		}
	})
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("search_path", schema)
	u.RawQuery = q.Encode()
	return u.String()
}
