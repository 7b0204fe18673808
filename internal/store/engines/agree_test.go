package engines_test

import (
	"context"
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/store/duckdb"
	"github.com/costprof/costprof/internal/store/postgres"
	"github.com/costprof/costprof/internal/store/storetest"
	"github.com/costprof/costprof/internal/testserver"
)

// Both engines, with their sums of hours and without, give the same answers.
func TestEnginesAgree(t *testing.T) {
	server := testserver.Postgres(t)
	engines := map[string]store.Engine{}
	for name, o := range map[string]duckdb.Options{
		"duckdb from events": {SumEvery: time.Hour},
		"duckdb from sums":   {SumAfter: time.Nanosecond, SumEvery: time.Millisecond, SumFactor: 1},
	} {
		o.Dir = t.TempDir()
		e, err := duckdb.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		engines[name] = e
	}
	for name, o := range map[string]postgres.Options{
		"postgres from events": {NoSums: true},
		"postgres from sums":   {},
	} {
		o.URL = schema(t, server, fmt.Sprintf("agree_%d_%t", time.Now().UnixNano(), o.NoSums))
		e, err := postgres.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		engines[name] = e
	}
	for name, e := range engines {
		t.Cleanup(func() {
			if err := e.Close(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	storetest.Agree(t, engines)
}

// schema makes a schema that goes with the test and gives the URL that leads
// there.
func schema(t *testing.T, server, name string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.Background()
		if _, err := conn.Exec(ctx, `DROP SCHEMA `+name+` CASCADE`); err != nil {
			t.Error(err)
		}
		conn.Close(ctx)
	})
	if _, err := conn.Exec(t.Context(), `CREATE SCHEMA `+name); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("search_path", name)
	u.RawQuery = q.Encode()
	return u.String()
}
