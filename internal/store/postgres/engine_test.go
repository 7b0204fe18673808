package postgres_test

import (
	"context"
	"fmt"
	"hash/fnv"
	"net/url"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/store/postgres"
	"github.com/costprof/costprof/internal/store/storetest"
	"github.com/costprof/costprof/internal/testserver"
)

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

func open(t *testing.T, o postgres.Options) store.Engine {
	t.Helper()
	e, err := postgres.Open(t.Context(), o)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return e
}

func TestConformance(t *testing.T) {
	t.Run("sums", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T, dir string) store.Engine {
			return open(t, postgres.Options{URL: schemaURL(t, dir)})
		})
	})
	t.Run("events", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T, dir string) store.Engine {
			return open(t, postgres.Options{URL: schemaURL(t, dir), NoSums: true})
		})
	})
}
