package storetest

import (
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/store/reference"
	"github.com/costprof/costprof/internal/usage"
	"github.com/google/go-cmp/cmp"
)

// from is the removal of everything from before a time, of the usual project.
func from(cut time.Time) map[string]time.Time { return map[string]time.Time{"default": cut} }

func mustPrune(t *testing.T, e store.Ledger, before map[string]time.Time, want int) {
	t.Helper()
	if n, err := e.Prune(ctx(t), before); err != nil || n != int64(want) {
		t.Fatalf("Prune: %d, %v; want %d", n, err, want)
	}
}

func wantTooOld(t *testing.T, e store.Ledger, recs []usage.Record) {
	t.Helper()
	if _, err := e.Append(ctx(t), recs); !errors.Is(err, store.ErrTooOld) {
		t.Fatalf("appending what is too old: %v", err)
	}
}

// wantPruned checks that the ledger holds the records that were not removed and
// answers for those that were.
func wantPruned(t *testing.T, e store.Ledger, recs []usage.Record, before map[string]time.Time) {
	t.Helper()
	all := analytics.Filter{Aggregates: true}
	if d := diff(reference.Events(reference.Left(recs, before), store.EventQuery{Filter: all}), collect(t, e, store.EventQuery{Filter: all})); d != "" {
		t.Fatalf("events (-reference +engine):\n%s", d)
	}
	for _, q := range []analytics.Query{
		{Measures: everyMeasure &^ analytics.MeasureRoot},
		{GroupBy: []analytics.Dimension{analytics.Feature}, Measures: additive &^ analytics.MeasureRoot},
		{GroupBy: []analytics.Dimension{analytics.Feature}, Measures: everyMeasure},
		{Grain: 24 * time.Hour, Measures: additive &^ analytics.MeasureRoot},
		{Grain: time.Hour, Measures: additive},
		{GroupBy: []analytics.Dimension{analytics.User}, Measures: everyMeasure, Limit: 3},
	} {
		if d := diffTables(reference.QueryPruned(recs, before, q), ask(t, e, q)); d != "" {
			t.Fatalf("%+v (-reference +engine):\n%s", q, d)
		}
	}
}

func testPrune(t *testing.T, open Opener) {
	dir := t.TempDir()
	e := open(t, dir)
	recs := calls(400)
	for i := range recs {
		if i%5 == 0 {
			recs[i] = call(i, func(r *usage.Record) { r.EventID = r.SpanID; r.Tags = map[string]string{"team": "red"} })
		}
	}
	recs[20].Aggregate = true
	appendAll(t, e, recs)
	before := ask(t, e, analytics.Query{})
	cut := from(recs[150].Timestamp) // this one stays
	mustPrune(t, e, cut, 150)
	wantPruned(t, e, recs, cut)
	wantTotals(t, e, recs)
	checkBloat(t, e, recs[150:], analytics.BloatQuery{MinRatio: 1000, MinCalls: 1, Limit: 500})
	for _, f := range []analytics.Filter{{}, {Any: map[analytics.Dimension][]string{analytics.Project: {"shop"}}}, {From: cut["default"]}} {
		want := cut["default"]
		if f.Any != nil || !f.From.IsZero() {
			want = time.Time{}
		}
		if got := bloat(t, e, analytics.BloatQuery{Filter: f, MinRatio: 1000, MinCalls: 1, Limit: 1}).TruncatedBefore; !got.Equal(want) {
			t.Fatalf("bloat of %+v lacks what was before %s, want %s", f, got, want)
		}
		if got, err := e.CallTree(ctx(t), analytics.CallTreeQuery{Filter: f}); err != nil || !got.TruncatedBefore.Equal(want) {
			t.Fatalf("the call tree of %+v lacks what was before %s, %v; want %s", f, got.TruncatedBefore, err, want)
		}
	}
	if _, err := e.Get(ctx(t), recs[149].ID, analytics.Filter{}); fault.CodeOf(err) != fault.NotFound {
		t.Fatalf("Get of a removed event: %v", err)
	}
	after := ask(t, e, analytics.Query{})
	if after.Revision == before.Revision {
		t.Fatal("a removal left the revision as it was")
	}
	mustPrune(t, e, cut, 0)
	mustPrune(t, e, from(recs[10].Timestamp), 0)
	mustPrune(t, e, map[string]time.Time{"shop": recs[399].Timestamp}, 0) // has nothing
	if again := ask(t, e, analytics.Query{}); again.Revision != after.Revision {
		t.Fatal("a removal of nothing changed the revision")
	}
	if n, err := e.Correct(ctx(t), store.Correction{Reason: "late", At: epoch, Changes: []store.CostChange{change(recs[0], usage.Costing{})}}); err != nil || n != 0 {
		t.Fatalf("a removed event was corrected: %d, %v", n, err)
	}
	check := func() {
		t.Helper()
		wantAll(t, e, recs[150:], store.Duplicate)
		// A late retry of what was removed must not count again, nor take what comes
		// with it along; another project's and another time's events are nothing to it.
		wantTooOld(t, e, recs[100:150])
		wantTooOld(t, e, recs[149:151])
		wantTooOld(t, e, []usage.Record{call(5000), recs[149]})
		pruned, err := e.Pruned(ctx(t))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(cut, pruned); d != "" {
			t.Fatalf("what was removed (-want +got):\n%s", d)
		}
		wantPruned(t, e, recs, cut)
	}
	check()
	mustClose(t, e)
	e = reopen(t, open, dir)
	check()
	other := call(0, func(r *usage.Record) { r.Project = "shop" })
	wantOutcomes(t, e, []usage.Record{other, call(5000)}, store.Stored, store.Stored)
	wantPruned(t, e, append(recs, other, call(5000)), cut)
}

// Appends beside a removal: each is stored whole or refused whole, and a refused
// one spoils none that is committed with it.
func testPruneBesideAppends(t *testing.T, open Opener) {
	e := fresh(t, open)
	recs := calls(300)
	appendAll(t, e, recs)
	cut := from(recs[200].Timestamp)
	mustPrune(t, e, cut, 200)
	done := make(chan error, 40)
	for i := range 40 {
		go func() {
			batch := []usage.Record{call(1000 + 2*i), call(1001 + 2*i)}
			if i%2 == 0 {
				batch = append(batch, recs[i])
			}
			_, err := e.Append(t.Context(), batch)
			if i%2 == 0 && errors.Is(err, store.ErrTooOld) {
				err = nil
			} else if i%2 == 0 {
				err = errors.Join(errors.New("stored what is too old"), err)
			}
			done <- err
		}()
	}
	for range 40 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	for i := range 40 {
		if i%2 == 1 {
			recs = append(recs, call(1000+2*i), call(1001+2*i))
		}
	}
	wantPruned(t, e, recs, cut)
}

// Sums of a day that no integer holds stay exact.
func testPruneHugeAmounts(t *testing.T, open Opener) {
	e := fresh(t, open)
	recs := calls(60)
	for i := range recs {
		if i%2 == 0 {
			recs[i].Classes[usage.ClassUnsplit] = money.Max - 10_000_000_000
		}
	}
	appendAll(t, e, recs)
	for _, cut := range []map[string]time.Time{from(recs[31].Timestamp), from(recs[40].Timestamp), from(epoch.AddDate(0, 2, 0))} {
		if _, err := e.Prune(ctx(t), cut); err != nil {
			t.Fatal(err)
		}
		wantTotals(t, e, recs)
		wantPruned(t, e, recs, cut)
	}
}

// Whatever is removed when, of which project: answers are those of the reference,
// and where they do not say that something lacks, they are as if nothing had been
// removed.
func testPruneProperty(t *testing.T, open Opener) {
	for seed := range uint64(3) {
		r := rand.New(rand.NewPCG(seed, 9))
		e := fresh(t, open)
		recs := make([]usage.Record, 500)
		for i := range recs {
			recs[i] = random(r, i)
			recs[i].Timestamp = recs[i].Timestamp.AddDate(0, 0, r.IntN(60)) // several months
			recs[i].ID = recs[i].Identity()
		}
		appendAll(t, e, recs)
		marks := map[string]time.Time{}
		for step := range 3 {
			cut := map[string]time.Time{}
			for _, project := range []string{"default", "shop", "büro"} {
				if r.IntN(3) > 0 {
					unit := []time.Duration{time.Microsecond, time.Hour, 24 * time.Hour, 24 * time.Hour}[r.IntN(4)]
					cut[project] = epoch.Add(time.Duration(r.Int64N(int64(80 * 24 * time.Hour)))).Truncate(unit)
				}
			}
			left := reference.Left(recs, marks)
			mustPrune(t, e, cut, len(left)-len(reference.Left(left, cut)))
			for project, at := range cut {
				has := slices.ContainsFunc(left, func(r usage.Record) bool { return r.Project == project && r.Timestamp.Before(at) })
				if has && at.After(marks[project]) {
					marks[project] = at
				}
			}
			pruned, err := e.Pruned(ctx(t))
			if err != nil || !maps.EqualFunc(marks, pruned, time.Time.Equal) {
				t.Fatalf("seed %d step %d: removed before %v, %v; want %v", seed, step, pruned, err, marks)
			}
			wantTotals(t, e, recs)
			for i := range 40 {
				q := randomQuery(r)
				if r.IntN(2) == 0 { // what sums of days can answer
					q.Status, q.Sources, q.Aggregates, q.Measures = 0, nil, false, q.Measures&^(analytics.MeasureRoot|analytics.MeasureP95)
					q.From, q.To = q.From.Truncate(24*time.Hour), q.To.Truncate(24*time.Hour)
					if q.Grain != 0 {
						q.Grain, q.Shift = 24*time.Hour, 0
					}
				}
				got := ask(t, e, q)
				if d := diffTables(reference.QueryPruned(recs, marks, q), got); d != "" {
					t.Fatalf("seed %d step %d question %d, removed before %v: %+v (-reference +engine):\n%s", seed, step, i, marks, q, d)
				}
				if got.TruncatedBefore.IsZero() || got.TruncatedP95 {
					whole := reference.Query(recs, q)
					for i := range whole.Rows {
						if got.TruncatedP95 && i < len(got.Rows) {
							whole.Rows[i].P95Micros = got.Rows[i].P95Micros
						}
					}
					got.TruncatedBefore, got.TruncatedP95 = time.Time{}, false
					if d := diffTables(whole, got); d != "" {
						t.Fatalf("seed %d step %d question %d does not say what it lacks, removed before %v: %+v (-as if nothing was +engine):\n%s", seed, step, i, marks, q, d)
					}
				}
			}
		}
	}
}

func testRetention(t *testing.T, open Opener) {
	dir := t.TempDir()
	e := open(t, dir)
	days := func(n int64) *int64 { return &n }
	want := func(rs ...store.Retention) {
		t.Helper()
		got, err := e.ListRetention(ctx(t))
		if err != nil {
			t.Fatal(err)
		}
		if d := diff(rs, got); d != "" {
			t.Fatalf("retention (-want +got):\n%s", d)
		}
	}
	put := func(r store.Retention) {
		t.Helper()
		if err := e.PutRetention(ctx(t), r, entry("retention")); err != nil {
			t.Fatal(err)
		}
	}
	want()
	shop, all, buero := store.Retention{Project: "shop", EventDays: days(30)}, store.Retention{EventDays: days(0), PromptDays: days(7)}, store.Retention{Project: "büro's", PromptDays: days(1)}
	put(shop)
	put(all)
	put(buero)
	want(all, buero, shop)
	shop.EventDays, shop.PromptDays = days(400), days(0)
	put(shop)
	put(store.Retention{Project: "büro's"})
	want(all, shop)
	entries, err := e.ListAudit(ctx(t), 0, 10)
	if err != nil || len(entries) != 5 {
		t.Fatalf("%d audit entries, %v; want 5", len(entries), err)
	}
	mustClose(t, e)
	e = reopen(t, open, dir)
	want(all, shop)
}
