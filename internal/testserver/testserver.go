// Package testserver names the real PostgreSQL and Redis servers that tests run
// against; tools/services.sh starts them. It is linked into no program.
package testserver

import (
	"context"
	"crypto/rand"
	neturl "net/url"
	"os"
	"os/exec"
	"regexp"
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
	return DatabaseOn(t, Postgres(t))
}

// DatabaseOn is Database on the server with the given URL.
func DatabaseOn(t testing.TB, server string) string {
	t.Helper()
	name := "test_" + strings.ToLower(rand.Text())
	admin := func(ctx context.Context, text string) {
		conn, err := pgx.Connect(ctx, server)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close(ctx) }()
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

// Own is a PostgreSQL server of the test's own, which it may take away: halt stops
// it as a crash would, and start brings it back at the same address, with its data. It goes
// with the test. name keeps tests that run at the same time apart; the test's
// package lies two directories below the module's.
type Own struct {
	t    testing.TB
	name string
	// URL is where it listens.
	URL string
}

var printed = regexp.MustCompile(`TEST_DATABASE_URL='([^']*)'`)

// NewOwn starts a server of the test's own, with the rules of Postgres.
func NewOwn(t testing.TB, name string) *Own {
	t.Helper()
	Postgres(t)
	o := &Own{t: t, name: name}
	t.Cleanup(func() { o.run("stop") })
	m := printed.FindStringSubmatch(o.run("start"))
	if m == nil {
		t.Skip("no PostgreSQL of the test's own can be started here")
	}
	o.URL = m[1]
	return o
}

// Halt stops the server as a crash would.
func (o *Own) Halt() { o.t.Helper(); o.run("halt") }

// Start brings the server back.
func (o *Own) Start() { o.t.Helper(); o.run("start") }

func (o *Own) run(command string) string {
	o.t.Helper()
	// Also when the test is over.
	cmd := exec.CommandContext(context.WithoutCancel(o.t.Context()), "bash", "../../tools/services.sh", command)
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "TEST_") }),
		"SERVICES_NAME="+o.name, "SERVICES_ONLY=postgres")
	out, err := cmd.Output()
	if err != nil {
		o.t.Fatalf("services %s: %v", command, err)
	}
	return string(out)
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
