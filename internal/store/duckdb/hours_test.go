package duckdb

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/store/reference"
	"github.com/costprof/costprof/internal/usage"
)

func summedHours(t *testing.T, e *Engine) int {
	t.Helper()
	var n int
	if err := e.db.QueryRow(`SELECT count(*) FROM hours_done`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func waitForSums(t *testing.T, e *Engine, want int) {
	t.Helper()
	for range 2000 {
		if summedHours(t, e) == want {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("%d hours are summed up, want %d", summedHours(t, e), want)
}

// Sums are made of settled hours, serve questions, go when an event of their
// hour changes, and come again.
func TestHoursAreSummedUp(t *testing.T) {
	dir := t.TempDir()
	o := Options{Dir: dir, SumAfter: 30 * time.Millisecond, SumEvery: time.Millisecond}
	e, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	recs := sample(0, 4000) // 7 s apart: not quite 8 hours
	if _, err := e.Append(t.Context(), recs); err != nil {
		t.Fatal(err)
	}
	waitForSums(t, e, 8)

	q := analytics.Query{
		Filter:  analytics.Filter{From: recs[300].Timestamp, To: recs[3700].Timestamp},
		GroupBy: []analytics.Dimension{analytics.Feature}, Measures: analytics.MeasureTokens | analytics.MeasureClasses | analytics.MeasureSeen,
	}
	ask := q
	ask.AsOf = e.last.Load()
	kept, err := findSums(t.Context(), e.db, ask)
	if err != nil || kept == nil || kept.To-kept.From != 6 || len(kept.Holes) != 0 {
		t.Fatalf("the question would read the sums %+v (%v), want the 6 whole hours", kept, err)
	}
	want := answer(t, e, q)

	// A late event takes its hour back to the events, also when the answer is of
	// an earlier moment.
	late := sample(2000, 1)
	late[0].SpanID = "late"
	late[0].ID = late[0].Identity()
	before := e.last.Load()
	if _, err := e.Append(t.Context(), late); err != nil {
		t.Fatal(err)
	}
	if n := summedHours(t, e); n != 7 {
		t.Fatalf("%d hours after a late event, want 7", n)
	}
	if got := answer(t, e, q); got.Calls != want.Calls+1 {
		t.Fatalf("%d calls after a late event, want %d", got.Calls, want.Calls+1)
	}
	waitForSums(t, e, 8)
	q.AsOf = before
	if got := answer(t, e, q); !cmp.Equal(got.Rows, want.Rows, cmp.AllowUnexported(money.Total{})) {
		t.Fatalf("the earlier moment answers otherwise:\n%s", cmp.Diff(want.Rows, got.Rows, cmp.AllowUnexported(money.Total{})))
	}
	q.AsOf = 0
	if got := answer(t, e, q); got.Calls != want.Calls+1 {
		t.Fatalf("%d calls from the new sums, want %d", got.Calls, want.Calls+1)
	}

	// They outlive a restart.
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if e, err = Open(t.Context(), Options{Dir: dir, SumEvery: time.Hour}); err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if n := summedHours(t, e); n != 8 {
		t.Fatalf("%d hours after a restart, want 8", n)
	}
	if _, err := e.Append(t.Context(), func() []usage.Record { r := sample(5, 1); r[0].SpanID = "x"; r[0].ID = r[0].Identity(); return r }()); err != nil {
		t.Fatal(err)
	}
	if n := summedHours(t, e); n != 7 {
		t.Fatalf("%d hours after a late event and a restart, want 7", n)
	}
}

func answer(t *testing.T, e *Engine, q analytics.Query) analytics.Table {
	t.Helper()
	got, err := e.Query(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// A window of whole hours reads no event, whatever it asks: what is bound for
// events has no place then.
func TestWindowsOfWholeHours(t *testing.T) {
	e, err := Open(t.Context(), Options{Dir: t.TempDir(), SumAfter: time.Nanosecond, SumEvery: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	recs := sample(0, 4000)
	for i := range recs {
		recs[i].Feature = [...]string{"chat", "search", "mail"}[i%3]
		recs[i].ID = recs[i].Identity()
	}
	if _, err := e.Append(t.Context(), recs); err != nil {
		t.Fatal(err)
	}
	waitForSums(t, e, 8)
	start := recs[0].Timestamp.Truncate(time.Hour)
	for _, any := range []map[analytics.Dimension][]string{nil, {analytics.Feature: {"chat", "mail"}}, {analytics.Feature: {"chat"}, analytics.Model: {"gpt-4o", "x"}}, {analytics.Feature: {}}} {
		for _, by := range [][]analytics.Dimension{nil, {analytics.Feature}, {analytics.Model, analytics.Tier}} {
			for _, grain := range []time.Duration{0, time.Hour, 24 * time.Hour} {
				q := analytics.Query{
					Filter:  analytics.Filter{From: start.Add(time.Hour), To: start.Add(5 * time.Hour), Any: any},
					GroupBy: by, Grain: grain, Measures: analytics.EveryMeasure &^ analytics.MeasureP95,
				}
				if d := cmp.Diff(reference.Query(recs, q).Rows, answer(t, e, q).Rows, cmp.AllowUnexported(money.Total{}), cmpopts.EquateEmpty()); d != "" {
					t.Errorf("%v by %v in %s (-reference +engine):\n%s", any, by, grain, d)
				}
			}
		}
	}
}
