package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/store/reference"
	"github.com/costprof/costprof/internal/usage"
)

// Rankings with many ties are the same however they are cut into pages, and the
// sums are those of the whole on each of them.
func testRankings(t *testing.T, open Opener) {
	e := fresh(t, open)
	names := []string{"", "B", "a", "aa", "z", "é", "ß", "🙂", "\uffff", "A", "(other)", "b", "ä", "0", "9", "10"}
	var recs []usage.Record
	for i := range 8 * len(names) {
		recs = append(recs, call(i, func(r *usage.Record) {
			n := names[i%len(names)]
			r.UserID, r.Operation, r.Feature = n, n, n+"."
			r.Tags = map[string]string{"t": n}
			r.Classes = [usage.NumClasses]money.USD{usage.ClassOutput: money.USD(i % len(names) / 6)} // a third is free
			r.Counts[usage.Input] = int64(100 + 900*(i%2))
		}))
	}
	appendAll(t, e, recs)
	for _, by := range [][]analytics.Dimension{
		{analytics.User}, {analytics.Operation}, {analytics.Feature}, {analytics.Tag("t")}, {analytics.Operation, analytics.User}, {analytics.Tag("t"), analytics.Feature},
	} {
		for _, measures := range []analytics.Measures{0, everyMeasure} {
			q := analytics.Query{GroupBy: by, Measures: measures}
			whole := reference.Query(recs, q)
			if d := diffTables(whole, ask(t, e, q)); d != "" {
				t.Fatalf("by %v (-reference +engine):\n%s", by, d)
			}
			for q.Limit = range []int{1, 3, 5, 16, 17} {
				if q.Limit == 0 {
					continue
				}
				var rows []analytics.Row
				for q.Offset = 0; ; q.Offset += q.Limit {
					page := ask(t, e, q)
					rows = append(rows, page.Rows...)
					if page.Cost != whole.Cost || page.Calls != whole.Calls {
						t.Fatalf("by %v behind %d: sums of %d calls, want %d", by, q.Offset, page.Calls, whole.Calls)
					}
					if page.More != (q.Offset+q.Limit < len(whole.Rows)) {
						t.Fatalf("by %v behind %d: more is %t", by, q.Offset, page.More)
					}
					if !page.More {
						break
					}
				}
				if d := diff(whole.Rows, rows); d != "" {
					t.Fatalf("by %v in pages of %d:\n%s", by, q.Limit, d)
				}
			}
			q.Offset = 10_000
			if got := ask(t, e, q); len(got.Rows) != 0 || got.More || got.Cost != whole.Cost || got.Calls != whole.Calls {
				t.Fatalf("behind the last: %+v", got)
			}
		}
	}
	for offset := range 10 {
		checkBloat(t, e, recs, analytics.BloatQuery{MinRatio: 1000, MinCalls: 2, Limit: 7, Offset: 7 * offset})
	}
	checkBloat(t, e, recs, analytics.BloatQuery{MinRatio: 1000, MinCalls: 8})
	checkBloat(t, e, recs, analytics.BloatQuery{MinRatio: 1000, MinCalls: 9, Spread: true})
}

// Windows are half-open to the microsecond, wherever in an hour they begin and
// end.
func testBounds(t *testing.T, open Opener) {
	e := fresh(t, open)
	var recs []usage.Record
	for i := range 240 { // around the turn of every quarter of an hour
		recs = append(recs, call(i, func(r *usage.Record) {
			r.Timestamp = epoch.Add(time.Duration(i/3)*15*time.Minute + time.Duration(i%3-1)*time.Microsecond)
			r.UserID, r.Feature = fmt.Sprint("u", i%2), fmt.Sprint("f", i%2)
			r.Counts[usage.Input] = int64(i + 1)
		}))
	}
	appendAll(t, e, recs)
	for i := range recs {
		// All bounds, each with another that lies some hours away.
		f := analytics.Filter{From: recs[i].Timestamp, To: recs[(i*7+50)%len(recs)].Timestamp}
		switch i % 5 {
		case 0:
			f.To = time.Time{}
		case 1:
			f.From = time.Time{}
		}
		for _, q := range []analytics.Query{
			{Measures: analytics.MeasureSeen},
			{GroupBy: []analytics.Dimension{analytics.Feature}, Grain: time.Hour},
			{GroupBy: []analytics.Dimension{analytics.User}, Grain: 15 * time.Minute},
		} {
			q.Filter = f
			if wrong := diffTables(reference.Query(recs, q), ask(t, e, q)); wrong != "" {
				t.Fatalf("%+v (-reference +engine):\n%s", q, wrong)
			}
		}
		if i%10 > 1 {
			continue
		}
		if d := diff(reference.Events(recs, store.EventQuery{Filter: f}), collect(t, e, store.EventQuery{Filter: f})); d != "" {
			t.Fatalf("events %+v (-reference +engine):\n%s", f, d)
		}
		checkBloat(t, e, recs, analytics.BloatQuery{Filter: f, MinRatio: 1000, MinCalls: 1})
	}
}

// A value that was not sent and one that is empty are both the name "", and come
// back as they were sent.
func testMissingValues(t *testing.T, open Opener) {
	e := fresh(t, open)
	optional := map[analytics.Dimension]func(*usage.Record) *string{
		analytics.User:        func(r *usage.Record) *string { return &r.UserID },
		analytics.Session:     func(r *usage.Record) *string { return &r.SessionID },
		analytics.Department:  func(r *usage.Record) *string { return &r.Department },
		analytics.Environment: func(r *usage.Record) *string { return &r.Environment },
		analytics.Operation:   func(r *usage.Record) *string { return &r.Operation },
		analytics.Provider:    func(r *usage.Record) *string { return &r.ProviderID },
		analytics.Model:       func(r *usage.Record) *string { return &r.ModelID },
	}
	var recs []usage.Record
	for i := range 12 {
		recs = append(recs, call(i, func(r *usage.Record) {
			for _, field := range optional {
				*field(r) = []string{"", "x", "y"}[i%3]
			}
			r.Tags = []map[string]string{nil, {"t": ""}, {"t": "x"}, {"u": "x"}, {"t": "x", "u": ""}, {"u": "", "t": ""}}[i%6]
		}))
	}
	appendAll(t, e, recs)
	wantAnswers(t, e, recs)
	dims := []analytics.Dimension{analytics.Tag("t"), analytics.Tag("u"), analytics.Tag("never")}
	for d := range optional {
		dims = append(dims, d)
	}
	for _, d := range dims {
		for _, accepted := range [][]string{nil, {}, {""}, {"x"}, {"", "x"}, {"x", "x"}, {"", ""}, {"never"}, {"never", ""}} {
			q := analytics.Query{GroupBy: []analytics.Dimension{d}, Measures: everyMeasure}
			if accepted != nil {
				q.Any = map[analytics.Dimension][]string{d: accepted}
			}
			for _, q.Limit = range []int{0, 2} {
				if wrong := diffTables(reference.Query(recs, q), ask(t, e, q)); wrong != "" {
					t.Fatalf("%s any of %q (-reference +engine):\n%s", d, accepted, wrong)
				}
			}
		}
	}
}

// A filter for one project hides the others in every method, to the point that
// they could as well not be there.
func testOneProject(t *testing.T, open Opener) {
	e := fresh(t, open)
	var recs, own []usage.Record
	for i := range 400 {
		r := call(i, func(r *usage.Record) {
			r.Project = []string{"default", "shop", "Shop", ""}[i%4]
			r.UserID, r.SessionID, r.Feature = fmt.Sprint("u", i%9), fmt.Sprint("s", i%11), fmt.Sprint("f", i%3)
			r.Department, r.Environment, r.Operation = fmt.Sprint("d", i%5), fmt.Sprint("e", i%4), fmt.Sprint("o", i%4)
			r.Tags = map[string]string{"team": fmt.Sprint("t", i%4), "all": "x"}
			r.Counts[usage.Input] = int64(1+i%4) * 500 * int64(1+i%5*i%3) // medians of the others lie elsewhere
			r.Error, r.Aggregate = i%10 == 0, i%21 == 0
		})
		recs = append(recs, r)
		if r.Project == "shop" {
			own = append(own, r)
		}
	}
	appendAll(t, e, recs)
	only := analytics.Filter{Any: map[analytics.Dimension][]string{analytics.Project: {"shop"}}}

	for _, d := range append([]analytics.Dimension{analytics.Tag("team"), analytics.Tag("all")}, analytics.Dimensions...) {
		for _, q := range []analytics.Query{
			{GroupBy: []analytics.Dimension{d}, Measures: everyMeasure},
			{GroupBy: []analytics.Dimension{d}, Measures: everyMeasure, Limit: 2, Offset: 1},
			{GroupBy: []analytics.Dimension{d}, Grain: time.Hour},
			{Measures: everyMeasure},
		} {
			want := reference.Query(own, q)
			q.Filter = only
			if wrong := diffTables(want, ask(t, e, q)); wrong != "" {
				t.Fatalf("%+v (-own records alone +filtered):\n%s", q, wrong)
			}
		}
	}
	bq := analytics.BloatQuery{MinRatio: 1000, MinCalls: 2, Limit: 50}
	want := reference.Bloat(own, bq)
	bq.Filter = only
	if d := diff(want, bloat(t, e, bq)); d != "" {
		t.Fatalf("bloat (-own records alone +filtered):\n%s", d)
	}
	if len(want.Rows) == 0 {
		t.Fatal("nothing to compare")
	}
	listed := pages(t, e, only, 13)
	if d := diff(reference.Events(own, store.EventQuery{}), listed); d != "" {
		t.Fatalf("events (-own records alone +filtered):\n%s", d)
	}
	for _, r := range recs {
		got, err := e.Get(ctx(t), r.ID, only)
		switch mine := r.Project == "shop"; {
		case mine && (err != nil || got.ID != r.ID):
			t.Fatalf("Get of an own event: %v", err)
		case !mine && fault.CodeOf(err) != fault.NotFound:
			t.Fatalf("Get of an event of project %q: %v", r.Project, err)
		}
	}
	// Get judges by what the event is, not only by its project.
	first := own[slices.IndexFunc(own, func(r usage.Record) bool { return !r.Error })]
	for name, f := range map[string]analytics.Filter{
		"status":      {Status: analytics.StatusError},
		"source":      {Sources: []usage.Source{usage.SourceBilled}},
		"tag":         {Any: map[analytics.Dimension][]string{analytics.Tag("all"): {""}}},
		"user":        {Any: map[analytics.Dimension][]string{analytics.User: {"nobody"}}},
		"none of all": {Any: map[analytics.Dimension][]string{analytics.Project: {}}},
	} {
		if _, err := e.Get(ctx(t), first.ID, f); fault.CodeOf(err) != fault.NotFound {
			t.Fatalf("Get with a filter by %s: %v", name, err)
		}
	}
}
