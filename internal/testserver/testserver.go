// Package testserver names the real PostgreSQL and Redis servers that tests run
// against; tools/services.sh starts them. It is linked into no program.
package testserver

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// Postgres is the URL of a PostgreSQL server on which a test may make schemas
// and databases of its own. Without one the test is skipped, or fails where
// COSTPROF_REQUIRE names postgres.
func Postgres(t testing.TB) string {
	t.Helper()
	return url(t, "postgres", "TEST_DATABASE_URL")
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
