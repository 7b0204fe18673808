package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/costprof/costprof/internal/store/engines"
)

// place is where a ledger is: a data directory, or a PostgreSQL URL that leads to
// a schema.
type place string

func (p place) database() bool { return strings.HasPrefix(string(p), "postgres") }

// options are those of the engine.
func (p place) options() engines.Options {
	if p.database() {
		return engines.Options{URL: string(p)}
	}
	return engines.Options{Dir: string(p)}
}

// env is how the server is told.
func (p place) env() string {
	if p.database() {
		return "DATABASE_URL=" + string(p)
	}
	return "COSTPROF_DATA=" + string(p)
}

// schema is the place of a schema in the database, made when missing.
func (o options) schema(ctx context.Context, name string) (place, error) {
	if err := o.exec(ctx, `CREATE SCHEMA IF NOT EXISTS `+name); err != nil {
		return "", err
	}
	u, err := url.Parse(o.database)
	if err != nil {
		return "", errors.New("-database is no URL")
	}
	q := u.Query()
	q.Set("search_path", name)
	u.RawQuery = q.Encode()
	return place(u.String()), nil
}

func (o options) exec(ctx context.Context, text string) error {
	conn, err := pgx.Connect(ctx, o.database)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, text)
	return err
}

// filled is where the filled ledger is.
func (o options) filled(ctx context.Context) (place, error) {
	if o.database == "" {
		return place(o.dir), nil
	}
	return o.schema(ctx, "bench_filled")
}

// empty is a place for an empty ledger; remove takes it away.
func (o options) empty(ctx context.Context) (p place, remove func(), err error) {
	if o.database == "" {
		dir, err := os.MkdirTemp("", "costprof-bench-")
		return place(dir), func() { os.RemoveAll(dir) }, err
	}
	name := fmt.Sprintf("bench_%d", time.Now().UnixNano())
	p, err = o.schema(ctx, name)
	return p, func() { _ = o.exec(context.WithoutCancel(ctx), `DROP SCHEMA `+name+` CASCADE`) }, err
}

// bar is what a question must reach there: on PostgreSQL those that sums of hours
// answer have another, the rest none.
func (o options) bar(q question) time.Duration {
	switch {
	case o.database == "":
		return q.bar
	case q.bar == 50*time.Millisecond:
		return 100 * time.Millisecond
	}
	return 0
}

const untilName = "bench-until"

// filledUntil reads when the filled ledger ends.
func filledUntil(ctx context.Context, o options) (time.Time, error) {
	fail := func(err error) (time.Time, error) {
		return time.Time{}, fmt.Errorf("run the scenario fill first: %w", err)
	}
	var b []byte
	p, err := o.filled(ctx)
	if err != nil {
		return fail(err)
	}
	if p.database() {
		conn, err := pgx.Connect(ctx, string(p))
		if err != nil {
			return fail(err)
		}
		defer conn.Close(ctx)
		if err := conn.QueryRow(ctx, `SELECT value FROM settings WHERE name = $1`, untilName).Scan(&b); err != nil {
			return fail(err)
		}
	} else if b, err = os.ReadFile(filepath.Join(o.dir, untilName)); err != nil {
		return fail(err)
	}
	return time.Parse(time.RFC3339, string(b))
}

// startFilled runs the server on the filled ledger, which ends at until.
func (o options) startFilled(ctx context.Context) (s *server, p place, until time.Time, err error) {
	if until, err = filledUntil(ctx, o); err != nil {
		return nil, "", until, err
	}
	if p, err = o.filled(ctx); err != nil {
		return nil, "", until, err
	}
	s, err = start(ctx, o, p)
	return s, p, until, err
}

// size says how much disk the filled ledger takes.
func (o options) size(ctx context.Context, p place) (bytes int64, err error) {
	if !p.database() {
		info, err := os.Stat(filepath.Join(o.dir, "ledger.duckdb"))
		if err != nil {
			return 0, err
		}
		return info.Size(), nil
	}
	conn, err := pgx.Connect(ctx, string(p))
	if err != nil {
		return 0, err
	}
	defer conn.Close(ctx)
	// New rows are not known to the planner, nor their pages to be visible, until
	// this ran; the server does it by itself after a while.
	if _, err := conn.Exec(ctx, `VACUUM ANALYZE`); err != nil {
		return 0, err
	}
	err = conn.QueryRow(ctx, `SELECT sum(pg_total_relation_size(oid))::BIGINT FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'`).Scan(&bytes)
	return bytes, err
}
