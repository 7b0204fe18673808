package storetest

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/store/reference"
	"github.com/costprof/costprof/internal/usage"
)

// batch is the size of the large appends.
const batch = 5_000

// An import brings years at once, in any order, and again.
func testYears(t *testing.T, open Opener) {
	dir := t.TempDir()
	e := open(t, dir)
	r := rand.New(rand.NewPCG(7, 8))
	years := make([]usage.Record, batch)
	for i := range years {
		years[i] = call(i, func(rec *usage.Record) {
			rec.Timestamp = usage.Epoch.Add(time.Duration(r.Int64N(int64(7 * 365 * 24 * time.Hour)))).Truncate(time.Microsecond)
			rec.Feature = fmt.Sprint("f", i%7)
			if i%4 == 0 {
				rec.EventID = fmt.Sprint("row-", i)
			}
		})
	}
	wantAll(t, e, years, store.Stored)
	wantAll(t, e, years, store.Duplicate)
	mustClose(t, e)
	e = reopen(t, open, dir)
	wantAll(t, e, years, store.Duplicate)
	wantTotals(t, e, years)
	q := analytics.Query{GroupBy: []analytics.Dimension{analytics.Feature}, Grain: 24 * time.Hour, Measures: analytics.MeasureSeen}
	if d := diffTables(reference.Query(years, q), ask(t, e, q)); d != "" {
		t.Fatalf("by day (-reference +engine):\n%s", d)
	}
	for _, eq := range []store.EventQuery{
		{Limit: 30},
		{Limit: 30, After: &store.EventKey{Timestamp: usage.Epoch.AddDate(2, 0, 0)}},
		{Limit: 30, After: &store.EventKey{Timestamp: usage.Epoch}},
		{Limit: 30, Filter: analytics.Filter{Any: map[analytics.Dimension][]string{analytics.Feature: {"f3"}}, To: usage.Epoch.AddDate(1, 0, 0)}},
		{}, // more than an engine reads at a time
	} {
		if d := diff(reference.Events(years, eq), collect(t, e, eq)); d != "" {
			t.Fatalf("events %+v (-reference +engine):\n%s", eq, d)
		}
	}
}

// Events are in order however many have the same instant: far more than an engine
// reads at a time, beside some that come before and after them.
func testManyAtOneInstant(t *testing.T, open Opener) {
	e := fresh(t, open)
	recs := make([]usage.Record, 2*batch+2_500)
	for i := range recs {
		recs[i] = call(i, func(rec *usage.Record) {
			rec.Timestamp = epoch.Add(time.Hour)
			if i%10 == 0 {
				rec.Timestamp = rec.Timestamp.Add(time.Duration(i-batch) * time.Microsecond)
			}
			rec.Metadata = []byte(fmt.Sprintf(`{"n":%d}`, i))
		})
	}
	appendAll(t, e, recs)
	if d := diff(reference.Events(recs, store.EventQuery{}), collect(t, e, store.EventQuery{})); d != "" {
		t.Fatalf("(-reference +engine):\n%s", d)
	}
}

func testTinyAppends(t *testing.T, open Opener) {
	e := fresh(t, open)
	recs := calls(500)
	for i := range 100 {
		wantOutcomes(t, e, recs[i:i+1], store.Stored)
	}
	var wg sync.WaitGroup
	for c := range 8 {
		wg.Go(func() {
			for i := 100 + c; i < len(recs); i += 8 {
				if got, err := e.Append(t.Context(), recs[i:i+1]); err != nil || got.Outcomes[0] != store.Stored {
					t.Errorf("append %d: %v, %v", i, got, err)
					return
				}
			}
		})
	}
	wg.Wait()
	wantTotals(t, e, recs)
}

// many makes records that differ by what change does to the i-th.
func many(n int, change func(i int, r *usage.Record)) []usage.Record {
	out := make([]usage.Record, n)
	for i := range out {
		out[i] = call(0, func(r *usage.Record) {
			r.Timestamp = epoch.Add(time.Duration(i) * time.Second)
			change(i, r)
		})
	}
	return out
}

// testManyValues stores 20,000 events, each with another value, and checks that
// none is lost, mixed up or stored twice, also after a restart.
func testManyValues(t *testing.T, open Opener, d analytics.Dimension, change func(i int, r *usage.Record)) {
	dir := t.TempDir()
	e := open(t, dir)
	recs := many(4*batch, change)
	for i := 0; i < len(recs); i += batch {
		wantAll(t, e, recs[i:i+batch], store.Stored)
	}
	value := func(i int) string { return reference.Value(&recs[i], d, false) }
	check := func() {
		t.Helper()
		all := ask(t, e, analytics.Query{GroupBy: []analytics.Dimension{d}})
		if len(all.Rows) != len(recs) || all.Calls != int64(len(recs)) {
			t.Fatalf("%d values in %d calls, want %d", len(all.Rows), all.Calls, len(recs))
		}
		for _, i := range []int{0, batch - 1, batch, 3*batch + 77, 4*batch - 1} {
			got := ask(t, e, analytics.Query{Filter: analytics.Filter{Any: map[analytics.Dimension][]string{d: {value(i)}}}, Measures: analytics.MeasureSeen})
			if got.Calls != 1 || !got.Rows[0].First.Equal(recs[i].Timestamp) {
				t.Fatalf("%s = %q: %+v", d, value(i), got.Rows)
			}
		}
		page := ask(t, e, analytics.Query{GroupBy: []analytics.Dimension{d}, Measures: everyMeasure, Limit: 100, Offset: 9_950})
		want := reference.Query(recs, analytics.Query{GroupBy: []analytics.Dimension{d}, Measures: everyMeasure, Limit: 100, Offset: 9_950})
		if d := diffTables(want, page); d != "" {
			t.Fatalf("a page of the ranking (-reference +engine):\n%s", d)
		}
	}
	check()
	mustClose(t, e)
	e = reopen(t, open, dir)
	wantAll(t, e, recs[:batch], store.Duplicate)
	// A value that is known is not stored as another one.
	again := many(50, func(i int, r *usage.Record) { change(i*400, r); r.SpanID = "again" })
	wantAll(t, e, again, store.Stored)
	if got := ask(t, e, analytics.Query{GroupBy: []analytics.Dimension{d}, Limit: 51}); len(got.Rows) != 51 || got.Rows[49].Calls != 2 || got.Rows[50].Calls != 1 {
		t.Fatalf("known values came again as others: %+v", got.Rows)
	}
	if got := ask(t, e, analytics.Query{GroupBy: []analytics.Dimension{d}}); len(got.Rows) != len(recs) {
		t.Fatalf("%d values, want %d", len(got.Rows), len(recs))
	}
}

func testManyCombinations(t *testing.T, open Opener) {
	testManyValues(t, open, analytics.Feature, func(i int, r *usage.Record) { r.Feature = fmt.Sprint("feature-", i) })
}

func testManyTagSets(t *testing.T, open Opener) {
	testManyValues(t, open, analytics.Tag("request"), func(i int, r *usage.Record) {
		r.Tags = map[string]string{"request": fmt.Sprint("r-", i), "team": []string{"red", "blue", ""}[i%3]}
	})
}
