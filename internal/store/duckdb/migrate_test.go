package duckdb

import (
	"database/sql"
	"io/fs"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pressly/goose/v3"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/store/reference"
	"github.com/costprof/costprof/internal/usage"
)

// A ledger whose hours were summed up by a version that kept no tokens of
// classes answers at once, from the events, and its hours are summed up anew.
func TestOldSumsAreMadeAgain(t *testing.T) {
	dir := t.TempDir()
	recs := sample(0, 4000)
	for i := range recs {
		c := &recs[i].Counts
		c[usage.CacheRead], c[usage.CacheWrite], c[usage.CacheWrite1h] = int64(i%400), int64(i%30), int64(i%7)
		c[usage.InputAudio], c[usage.OutputImage], c[usage.Reasoning] = int64(i%50), int64(i%11), int64(i%13)
		recs[i].ServiceTier = [...]string{"", "batch"}[i%2]
		recs[i].ID = recs[i].Identity()
	}
	e, err := Open(t.Context(), Options{Dir: dir, SumEvery: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Append(t.Context(), recs); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	makeOld(t, filepath.Join(dir, ledgerFile))

	q := analytics.Query{GroupBy: []analytics.Dimension{analytics.Feature, analytics.Tier}, Measures: analytics.EveryMeasure &^ analytics.MeasureP95}
	want := reference.Query(recs, q)
	check := func(when string) {
		t.Helper()
		if d := cmp.Diff(want.Rows, answer(t, e, q).Rows, cmp.AllowUnexported(money.Total{})); d != "" {
			t.Fatalf("%s (-reference +engine):\n%s", when, d)
		}
	}
	if e, err = Open(t.Context(), Options{Dir: dir, SumEvery: time.Hour}); err != nil {
		t.Fatal(err)
	}
	if n := summedHours(t, e); n != 0 {
		t.Fatalf("%d hours are still summed up as they were", n)
	}
	check("before the hours are summed up")
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if e, err = Open(t.Context(), Options{Dir: dir, SumAfter: time.Nanosecond, SumEvery: time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	waitForSums(t, e, 8)
	check("from the new sums")
}

// makeOld takes the ledger back to the schema that had sums without tokens of
// classes, with each hour summed up.
func makeOld(t *testing.T, file string) {
	t.Helper()
	db, err := sql.Open("duckdb", file)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		t.Fatal(err)
	}
	p, err := goose.NewProvider(goose.DialectCustom, db, dir, goose.WithStore(versions{}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.DownTo(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		`INSERT INTO hours SELECT epoch_us(ts) // 3600000000, cell, count(*), 0, 0, 0, sum(t_input), sum(t_output), sum(t_cache_read), sum(latency),
			min(ts), max(ts), sum(c_input), 0, 0, 0, 0, 0, 0, 0, 0, sum(cost), sum(saving) FROM events GROUP BY 1, 2`,
		`INSERT INTO hours_done SELECT epoch_us(ts) // 3600000000, max(seq) FROM events GROUP BY 1`,
	} {
		if _, err := db.Exec(text); err != nil {
			t.Fatal(err)
		}
	}
}
