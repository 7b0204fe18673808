package storetest

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/store/reference"
	"github.com/costprof/costprof/internal/usage"
)

// rounds is how many random questions the differential test asks of each of
// its ledgers.
const rounds = 150

// Random events and random questions: the engine and the naive evaluation give
// the same answer to the last digit.
func testDifferential(t *testing.T, open Opener) {
	for seed := range uint64(2) {
		r := rand.New(rand.NewPCG(seed, 77))
		e := fresh(t, open)
		recs := make([]usage.Record, 3000)
		for i := range recs {
			recs[i] = random(r, i)
		}
		for at := 0; at < len(recs); {
			n := min(1+r.IntN(400), len(recs)-at)
			appendAll(t, e, recs[at:at+n])
			at += n
		}
		for i := range rounds {
			q := randomQuery(r)
			name := fmt.Sprintf("seed %d question %d %+v", seed, i, q)
			got, err := e.Query(ctx(t), q)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			want := reference.Query(recs, q)
			if d := diffTables(want, got); d != "" {
				t.Fatalf("%s (-reference +engine):\n%s", name, d)
			}
			if i%5 == 0 {
				eq := store.EventQuery{Filter: randomFilter(r), Limit: r.IntN(60)}
				if r.IntN(2) == 0 {
					k := reference.Key(&recs[r.IntN(len(recs))])
					eq.After = &k
				}
				if d := diff(reference.Events(recs, eq), collect(t, e, eq)); d != "" {
					t.Fatalf("seed %d events %+v (-reference +engine):\n%s", seed, eq, d)
				}
				bq := analytics.BloatQuery{Filter: randomFilter(r), MinRatio: 1000 + r.Int64N(2000), MinCalls: 1 + r.Int64N(20), Spread: r.IntN(2) == 0, Limit: 1 + r.IntN(50), Offset: r.IntN(20)}
				checkBloat(t, e, recs, bq)
				checkGrowth(t, e, recs, randomGrowth(r))
				checkResent(t, e, recs, randomResent(r))
			}
		}
	}
}

func randomDimension(r *rand.Rand) analytics.Dimension {
	all := append([]analytics.Dimension{analytics.Tag("team"), analytics.Tag("tier"), analytics.Tag("a:b"), analytics.Tag("nothing"), analytics.Tier, analytics.Trace}, analytics.Dimensions...)
	return all[r.IntN(len(all))]
}

func randomFilter(r *rand.Rand) analytics.Filter {
	f := analytics.Filter{Status: analytics.Status(r.IntN(3)), Aggregates: r.IntN(4) == 0}
	at := func() time.Time {
		// Whole hours often: those are what engines keep sums of.
		unit := []time.Duration{time.Microsecond, time.Hour}[r.IntN(2)]
		return epoch.Add(time.Duration(r.Int64N(int64(22 * 24 * time.Hour)))).Truncate(unit)
	}
	if r.IntN(2) == 0 {
		f.From = at()
	}
	if r.IntN(2) == 0 {
		f.To = at()
	}
	if r.IntN(4) == 0 {
		f.Sources = []usage.Source{usage.Source(r.IntN(4)), usage.Source(r.IntN(4))}
	}
	values := []string{"", "chat", "search", "gpt-4o", "openai", "ann", "red", "green", "default", "shop", "production", "s-1", "plan", "sales", "naïve", "batch", "t3", "t7"}
	for range r.IntN(3) {
		if f.Any == nil {
			f.Any = map[analytics.Dimension][]string{}
		}
		var vs []string
		for range 1 + r.IntN(4) {
			vs = append(vs, values[r.IntN(len(values))])
		}
		f.Any[randomDimension(r)] = vs
	}
	if r.IntN(4) == 0 {
		names := []string{"gpt-4o", "openai/gpt-4o", "gpt-4o-mini", "OpenAI", "openai", "azure", "azure-openai", ""}
		d := []analytics.Dimension{analytics.Provider, analytics.Model}[r.IntN(2)]
		f.Called = map[analytics.Dimension][]string{d: {names[r.IntN(len(names))], names[r.IntN(len(names))]}}
	}
	return f
}

func randomQuery(r *rand.Rand) analytics.Query {
	q := analytics.Query{Filter: randomFilter(r), Measures: analytics.Measures(r.IntN(int(analytics.EveryMeasure) + 1)), BySent: r.IntN(6) == 0}
	for range r.IntN(4) {
		q.GroupBy = append(q.GroupBy, randomDimension(r))
	}
	if r.IntN(3) == 0 {
		q.Grain = []time.Duration{time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 24 * time.Hour}[r.IntN(5)]
		if r.IntN(2) == 0 { // from a minute to a day
			q.Shift = time.Duration(r.Int64N(int64(q.Grain/time.Minute))) * time.Minute
			if q.Grain > time.Hour && r.IntN(2) == 0 {
				q.Shift = q.Shift.Truncate(time.Hour)
			}
		}
		return q
	}
	if len(q.GroupBy) > 0 && r.IntN(2) == 0 {
		q.Limit, q.Offset = 1+r.IntN(10), r.IntN(5)
	}
	if len(q.GroupBy) > 0 && r.IntN(4) == 0 {
		other := randomFilter(r)
		q.Measures, q.Baseline = 0, analytics.Window{From: other.From, To: other.To} // may overlap, or be none
	}
	return q
}
