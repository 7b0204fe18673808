package postgres_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/store/postgres"
	"github.com/costprof/costprof/internal/usage"
)

// What is kept by coarse cells is the sum of what is kept by cell, after every
// kind of change; also what was stored before there were any.
func TestCoarseSums(t *testing.T) {
	url := schemaURL(t, t.Name())
	e := open(t, postgres.Options{URL: url})
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	number := func(text string) (n int64) {
		t.Helper()
		if err := conn.QueryRow(t.Context(), text).Scan(&n); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		return n
	}
	check := func(after string, most int64) {
		t.Helper()
		for _, l := range [][3]string{{"hours", "coarse_hours", "hour"}, {"days", "coarse_days", "day"}} {
			var names []string
			rows, err := conn.Query(t.Context(), `SELECT attname::text FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 2 AND NOT attisdropped ORDER BY attnum`, l[0])
			if err != nil {
				t.Fatal(err)
			}
			if names, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
				t.Fatal(err)
			}
			sums := make([]string, len(names))
			for i, n := range names {
				switch n {
				case "first":
					sums[i] = "min(first)"
				case "last":
					sums[i] = "max(last)"
				default:
					sums[i] = "sum(" + n + ")"
				}
			}
			want := fmt.Sprintf("SELECT c.kind, %[1]s, c.coarse, %[2]s FROM %[3]s JOIN coarse_cells c USING (cell) GROUP BY 1, 2, 3", l[2], strings.Join(sums, ", "), l[0])
			got := fmt.Sprintf("SELECT kind, %s, cell, %s FROM %s", l[2], strings.Join(names, ", "), l[1])
			if n := number("SELECT count(*) FROM ((" + want + " EXCEPT ALL " + got + ") UNION ALL (" + got + " EXCEPT ALL " + want + ")) x"); n != 0 {
				t.Errorf("after %s: %d sums of %s are not those by cell", after, n, l[1])
			}
			if n := number("SELECT count(*) FROM " + l[1] + " WHERE kind = 0"); n == 0 || n > most {
				t.Errorf("after %s: %d sums of projects in %s", after, n, l[1])
			}
		}
		if n := number(`SELECT count(*) FROM hours h WHERE 5 <> (SELECT count(*) FROM coarse_cells c WHERE c.cell = h.cell)`); n != 0 {
			t.Errorf("after %s: %d cells of sums lack a coarse one", after, n)
		}
		if n := number(`SELECT count(*) FROM coarse_cells JOIN cells f ON f.id = cell JOIN cells c ON c.id = coarse WHERE
			(c.project, c.sent_provider, c.sent_model, c.operation, c.service_tier, c.region) IS DISTINCT FROM (f.project, '', '', '', '', '')
			OR (c.feature, c.provider, c.model, c.environment, c.department) IS DISTINCT FROM (CASE kind WHEN 1 THEN f.feature ELSE '' END,
				CASE kind WHEN 2 THEN f.provider ELSE '' END, CASE kind WHEN 2 THEN f.model ELSE '' END, CASE kind WHEN 3 THEN f.environment ELSE '' END, CASE kind WHEN 4 THEN f.department ELSE '' END)`); n != 0 {
			t.Errorf("after %s: %d coarse cells have other texts", after, n)
		}
	}
	var records []usage.Record
	at := time.Date(2026, 5, 30, 22, 10, 0, 0, time.UTC)
	for i := range 400 {
		ev := usage.Event{
			Project: fmt.Sprint("p", i%2), TraceID: "t", SpanID: fmt.Sprint(i), Timestamp: at.Add(time.Duration(i*i%97) * 30 * time.Minute), Feature: fmt.Sprint("f", i%5),
			Provider: "P", Model: fmt.Sprint("M", i%3), ProviderID: "p", ModelID: fmt.Sprint("m", i%3), Environment: []string{"", "prod"}[i%7/6],
			Department: fmt.Sprint("d", i%4), Operation: fmt.Sprint("o", i%2), TimeToFirstToken: -1, Aggregate: i%50 == 3, Error: i%9 == 0,
		}
		ev.Counts[usage.Input] = int64(i)
		r := usage.Record{Event: ev, ReceivedAt: at}
		r.Classes[usage.ClassInput], r.Source = money.USD(i*1000), usage.Source(i%3)
		r.ID = r.Identity()
		records = append(records, r)
	}
	for i := 0; i < len(records); i += 80 {
		if _, err := e.Append(t.Context(), records[i:i+80]); err != nil {
			t.Fatal(err)
		}
	}
	const most = 300
	check("storing", most)

	c := store.Correction{Reason: "test", At: at}
	for i := range 60 {
		r := &records[i*6]
		c.Changes = append(c.Changes, store.CostChange{ID: r.ID, Timestamp: r.Timestamp, WasSource: r.Source, WasPriceID: r.PriceID, Now: usage.Costing{Source: usage.SourceCatalog, PriceID: "p_2", Classes: [usage.NumClasses]money.USD{usage.ClassOutput: 77}}})
	}
	for i := range 20 {
		c.Marks = append(c.Marks, store.EventKey{Timestamp: records[i*7+1].Timestamp, ID: records[i*7+1].ID})
	}
	if n, err := e.Correct(t.Context(), c); err != nil || n < 70 {
		t.Fatalf("corrected %d, %v", n, err)
	}
	check("a correction", most)

	// Each fits its cell, both do not fit their project.
	for i := range 2 {
		r := records[0]
		r.SpanID, r.Feature, r.Timestamp = fmt.Sprint("dear", i), fmt.Sprint("dear", i), at.Add(200*time.Hour)
		r.Classes = [usage.NumClasses]money.USD{usage.ClassUnsplit: 9_000_000_000_000_000_000}
		r.ID = r.Identity()
		if _, err := e.Append(t.Context(), []usage.Record{r}); err != nil {
			t.Fatal(err)
		}
	}
	check("sums that do not fit", most)
	if n := number(`SELECT count(*) FROM wide_hours`); n != 1 {
		t.Errorf("%d hours are without sums", n)
	}
	dear := analytics.Query{Filter: analytics.Filter{From: at.Add(199 * time.Hour)}, Grain: time.Hour}
	if got, err := e.Query(t.Context(), dear); err != nil || len(got.Rows) != 1 || got.Rows[0].Cost.String() != "18000000" {
		t.Errorf("both cost %v, %v", got.Rows, err)
	}
	if n, err := e.Prune(t.Context(), map[string]time.Time{"p0": at.Add(20 * time.Hour), "p1": at.Add(30 * time.Hour)}); err != nil || n < 100 {
		t.Fatalf("removed %d, %v", n, err)
	}
	check("a removal", most)

	// A ledger of a version that kept none, with an hour whose coarse sums do not fit.
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), `TRUNCATE coarse_cells, coarse_hours, coarse_days, wide_hours, wide_days; UPDATE ledger SET form = 0;
		UPDATE hours SET cost = 9000000000000000000 WHERE hour = (SELECT max(hour) FROM hours)`); err != nil {
		t.Fatal(err)
	}
	e = open(t, postgres.Options{URL: url})
	check("an upgrade", most)
	if n := number(`SELECT count(*) FROM wide_hours`); n != 1 {
		t.Errorf("%d hours are without sums after an upgrade", n)
	}

	// A later version's ledger is left alone.
	if _, err := conn.Exec(t.Context(), `UPDATE ledger SET form = 99`); err != nil {
		t.Fatal(err)
	}
	r := records[0]
	r.SpanID = "late"
	r.ID = r.Identity()
	if _, err := e.Append(t.Context(), []usage.Record{r}); fault.CodeOf(err) != fault.Unavailable || !strings.Contains(err.Error(), "newer version") {
		t.Errorf("stored beside a newer version: %v", err)
	}
	if _, err := e.Query(t.Context(), dear); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("answered from a newer version's ledger: %v", err)
	}
	// Nor is one read that lacks the sums, as a replica may for a moment.
	if _, err := conn.Exec(t.Context(), `UPDATE ledger SET form = 0`); err != nil {
		t.Fatal(err)
	}
	if got, err := e.Query(t.Context(), dear); err == nil {
		t.Errorf("answered from sums that are not there: %v", got)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}
