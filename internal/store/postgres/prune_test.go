package postgres_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/store/postgres"
	"github.com/costprof/costprof/internal/usage"
)

// A month that no project keeps goes with its partition, also while another
// server believes that it is there; one that somebody keeps stays.
func TestPruneDropsMonths(t *testing.T) {
	url := schemaURL(t, t.Name())
	a, b := open(t, postgres.Options{URL: url}), open(t, postgres.Options{URL: url})
	defer a.Close()
	defer b.Close()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	months := func() []string {
		t.Helper()
		rows, err := conn.Query(t.Context(), `SELECT relname::text FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid WHERE inhparent = 'events'::regclass AND relname < 'events_2026_09' ORDER BY 1`)
		if err != nil {
			t.Fatal(err)
		}
		names, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	record := func(project string, at time.Time) usage.Record {
		r := usage.Record{Event: usage.Event{
			Project: project, TraceID: "t", SpanID: fmt.Sprint(at.Unix()), Timestamp: at, Feature: "chat", Provider: "p", Model: "m", ProviderID: "p", ModelID: "m", TimeToFirstToken: -1,
		}, ReceivedAt: at}
		r.Classes[usage.ClassUnsplit] = 7
		r.ID = r.Identity()
		return r
	}
	day := func(month time.Month, day int) time.Time { return time.Date(2026, month, day, 13, 0, 0, 0, time.UTC) }
	appendTo := func(e store.Engine, rs ...usage.Record) {
		t.Helper()
		if _, err := e.Append(t.Context(), rs); err != nil {
			t.Fatal(err)
		}
	}
	appendTo(a, record("x", day(3, 5)), record("y", day(3, 6)), record("x", day(4, 7)), record("y", day(4, 8)), record("x", day(5, 9)))
	appendTo(b, record("y", day(3, 9)))
	check := func(calls int64, left int64, want ...string) {
		t.Helper()
		got, err := b.Query(t.Context(), analytics.Query{})
		if err != nil || got.Calls != calls || got.Cost.String() != fmt.Sprintf("0.%012d", 7*calls) {
			t.Errorf("%d calls of %s, %v; want %d", got.Calls, got.Cost, err, calls)
		}
		if h, err := a.Ping(t.Context()); err != nil || h.Events != left {
			t.Errorf("%d events are left, %v; want %d", h.Events, err, left)
		}
		if d := cmp.Diff(want, months()); d != "" {
			t.Errorf("partitions (-want +got):\n%s", d)
		}
	}
	check(6, 6, "events_2026_03", "events_2026_04", "events_2026_05")
	prune := func(before map[string]time.Time, want int64) {
		t.Helper()
		if n, err := a.Prune(t.Context(), before); err != nil || n != want {
			t.Fatalf("removed %d, %v; want %d", n, err, want)
		}
	}
	// y keeps April, and nobody March.
	prune(map[string]time.Time{"x": day(5, 1), "y": day(4, 1)}, 4)
	check(6, 2, "events_2026_04", "events_2026_05")
	// b stores in March for a project that keeps everything: it has to make the month again.
	appendTo(b, record("z", day(3, 20)))
	check(7, 3, "events_2026_03", "events_2026_04", "events_2026_05")
	prune(map[string]time.Time{"y": day(5, 1)}, 1)
	check(7, 2, "events_2026_03", "events_2026_05")

	// While somebody reads the month its events go one by one.
	reader, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if err := reader.QueryRow(t.Context(), `SELECT count(*) FROM events WHERE ts < $1`, day(5, 1).UnixMicro()).Scan(&n); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	prune(map[string]time.Time{"z": day(4, 1)}, 1)
	if err := reader.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	check(7, 1, "events_2026_03", "events_2026_05")
	if got := months(); !slices.Contains(got, "events_2026_03") {
		t.Errorf("a month was dropped under a reader: %v", got)
	}
}
