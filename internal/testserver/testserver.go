// Package testserver names the real PostgreSQL and Redis servers that tests run
// against; tools/services.sh starts them. It is linked into no program.
package testserver

import (
	"context"
	"crypto/rand"
	neturl "net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Postgres is the URL of a PostgreSQL server on which a test may make schemas
// and databases of its own. Without one the test is skipped, or fails where
// COSTPROF_REQUIRE names postgres.
func Postgres(t testing.TB) string {
	t.Helper()
	return url(t, "postgres", "TEST_DATABASE_URL")
}

// Database makes an empty database on it that goes with the test, and gives its
// URL.
func Database(t testing.TB) string {
	t.Helper()
	server := Postgres(t)
	name := "test_" + strings.ToLower(rand.Text())
	admin := func(ctx context.Context, text string) {
		conn, err := pgx.Connect(ctx, server)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(ctx)
		if _, err := conn.Exec(ctx, text); err != nil {
			t.Fatal(err)
		}
	}
	admin(t.Context(), "CREATE DATABASE "+name)
	t.Cleanup(func() { admin(context.Background(), "DROP DATABASE "+name+" WITH (FORCE)") })
	u, err := neturl.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	return u.String()
}

// Redis is the URL of a Redis server, with the same rules; tests share it and
// keep to keys of their own.
func Redis(t testing.TB) string {
	t.Helper()
	return url(t, "redis", "TEST_REDIS_URL")
}

func url(t testing.TB, service, variable string) string {
	t.Helper()
	if u := os.Getenv(variable); u != "" {
		return u
	}
	sentence := variable + ` is not set, so there is no ` + service + ` to test with: eval "$(tools/services.sh start)" starts one`
	if slices.Contains(strings.Split(os.Getenv("COSTPROF_REQUIRE"), ","), service) {
		t.Fatal(sentence)
	}
	t.Skip(sentence)
	return ""
}
