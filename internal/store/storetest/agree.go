package storetest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/store/reference"
	"github.com/costprof/costprof/internal/usage"
)

// stage is a moment of a ledger: how many of the records were stored, and the
// commit by which each engine names it.
type stage struct {
	records int
	asOf    map[string]int64
}

// Agree stores the same random events in several engines and asks them the same
// random questions, of now and of earlier moments, before and after corrections
// and a removal, and for series in zones whose offsets and changes of the clock are
// not whole hours: all answers are the same, and those of the reference.
func Agree(t *testing.T, engines map[string]store.Engine) {
	r := rand.New(rand.NewPCG(11, 2026))
	recs := make([]usage.Record, 2500)
	for i := range recs {
		recs[i] = random(r, i)
	}
	names := slices.Sorted(maps.Keys(engines))
	var stages []stage
	for at := 0; at < len(recs); {
		n := min(1+r.IntN(400), len(recs)-at)
		s := stage{at + n, map[string]int64{}}
		for _, name := range names {
			appendAll(t, engines[name], recs[at:at+n])
			s.asOf[name] = ask(t, engines[name], analytics.Query{}).AsOf
		}
		stages = append(stages, s)
		at += n
	}
	var pruned map[string]time.Time
	round := func(when string, questions int) {
		t.Helper()
		for i := range questions {
			q, known := randomQuery(r), recs
			var moment *stage
			if pruned == nil && r.IntN(3) == 0 {
				moment = &stages[r.IntN(len(stages))]
				known = recs[:moment.records]
			}
			want := reference.QueryPruned(known, pruned, q)
			for _, name := range names {
				if moment != nil {
					q.AsOf = moment.asOf[name]
				}
				if d := diffTables(want, ask(t, engines[name], q)); d != "" {
					t.Fatalf("%s, question %d, %s: %+v (-reference +engine):\n%s", when, i, name, q, d)
				}
			}
		}
	}
	round("stored", 300)
	agreeOnZones(t, names, engines, recs)

	// Costs change, and calls become aggregates, in all engines alike.
	c := store.Correction{Reason: "test", At: epoch}
	for i := range recs {
		if i%7 == 3 {
			now := usage.Costing{Source: usage.Source(r.IntN(4)), Fallback: r.IntN(2) == 0}
			if now.Source == usage.SourceCatalog {
				now.PriceID = "p_3"
			}
			now.Classes[r.IntN(len(now.Classes))] = 4711
			c.Changes = append(c.Changes, change(recs[i], now))
			recs[i].Costing = now
		} else if i%7 == 5 && !recs[i].Aggregate {
			c.Marks = append(c.Marks, keyOf(recs[i]))
			recs[i].Aggregate = true
		}
	}
	for _, name := range names {
		if n, err := engines[name].Correct(ctx(t), c); err != nil || n != int64(len(c.Changes)+len(c.Marks)) {
			t.Fatalf("%s corrected %d of %d: %v", name, n, len(c.Changes)+len(c.Marks), err)
		}
	}
	round("corrected", 150)

	pruned = map[string]time.Time{"default": epoch.Add(5*24*time.Hour + 17*time.Minute), "shop": epoch.AddDate(0, 0, 9)}
	for _, name := range names {
		if _, err := engines[name].Prune(ctx(t), pruned); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	round("removed", 150)
}

func agreeOnZones(t *testing.T, names []string, engines map[string]store.Engine, recs []usage.Record) {
	t.Helper()
	for _, zone := range []string{"Asia/Kathmandu", "Australia/Lord_Howe", "America/New_York", "UTC"} {
		loc, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range []analytics.Granularity{analytics.Hour, analytics.Day, analytics.Week, analytics.Month} {
			for _, q := range []analytics.Query{
				{Measures: additive},
				{Measures: additive, Filter: analytics.Filter{Any: map[analytics.Dimension][]string{analytics.Feature: {"chat", "search"}}}},
				{Measures: analytics.MeasureTokens, Filter: analytics.Filter{Any: map[analytics.Dimension][]string{analytics.User: {"", "ann"}}}},
			} {
				from := time.Date(epoch.Year(), epoch.Month(), epoch.Day(), 0, 0, 0, 0, loc)
				q.From, q.To = from, from.AddDate(0, 0, 21)
				edges, err := analytics.Edges(q.From, q.To, g, loc)
				if err != nil {
					t.Fatal(err)
				}
				q.Grain, q.Shift = analytics.GrainFor(edges)
				series := func(table analytics.Table) []analytics.Row {
					rows, err := analytics.Fold(table.Rows, edges)
					if err != nil {
						t.Fatal(err)
					}
					return rows
				}
				want := series(reference.Query(recs, q))
				for _, name := range names {
					if d := diff(want, series(ask(t, engines[name], q))); d != "" {
						t.Fatalf("%s, %s by %v, grain %s (-reference +engine):\n%s", name, zone, g, q.Grain, d)
					}
				}
			}
		}
	}
	// The clock of Lord Howe goes half an hour back and forth.
	if loc, _ := time.LoadLocation("Australia/Lord_Howe"); loc != nil {
		_, winter := time.Date(2026, 7, 1, 0, 0, 0, 0, loc).Zone()
		_, summer := time.Date(2026, 1, 1, 0, 0, 0, 0, loc).Zone()
		if summer-winter != 1800 {
			t.Fatal(fmt.Sprint("the zone data has another change of ", summer-winter, " s"))
		}
	}
}
