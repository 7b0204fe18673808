package storetest

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/store/reference"
	"github.com/costprof/costprof/internal/usage"
)

func checkGrowth(t *testing.T, e store.Ledger, recs []usage.Record, q analytics.GrowthQuery) analytics.GrowthTable {
	t.Helper()
	got, err := e.Growth(ctx(t), q)
	if err != nil {
		t.Fatalf("Growth %+v: %v", q, err)
	}
	plain := got
	plain.AsOf, plain.Revision, plain.TruncatedBefore = 0, 0, time.Time{}
	if d := diff(reference.Growth(recs, q), plain); d != "" {
		t.Fatalf("growth %+v (-reference +engine):\n%s", q, d)
	}
	return got
}

func checkResent(t *testing.T, e store.Ledger, recs []usage.Record, q analytics.HistoryQuery) analytics.HistoryTable {
	t.Helper()
	got, err := e.Resent(ctx(t), q)
	if err != nil {
		t.Fatalf("Resent %+v: %v", q, err)
	}
	plain := got
	plain.AsOf, plain.Revision, plain.TruncatedBefore = 0, 0, time.Time{}
	if d := diff(reference.Resent(recs, q), plain); d != "" {
		t.Fatalf("resent %+v (-reference +engine):\n%s", q, d)
	}
	return got
}

func randomGrowth(r *rand.Rand) analytics.GrowthQuery {
	q := analytics.GrowthQuery{Filter: randomFilter(r), Parts: 1 + r.IntN(12), Groups: r.IntN(15)}
	q.From = epoch.Add(time.Duration(r.Int64N(int64(10 * 24 * time.Hour)))).Truncate(time.Microsecond)
	q.To = q.From.Add(time.Duration(1 + r.Int64N(int64(12*24*time.Hour)))).Truncate(time.Microsecond).Add(time.Microsecond)
	return q
}

func randomResent(r *rand.Rand) analytics.HistoryQuery {
	return analytics.HistoryQuery{Filter: randomFilter(r), BySession: r.IntN(2) == 0, Limit: r.IntN(12), Offset: r.IntN(4)}
}

// Parts are half-open to the microsecond, and the calls of a shorter window than
// there are parts stand each in one of them.
func testGrowth(t *testing.T, open Opener) {
	e := fresh(t, open)
	var recs []usage.Record
	for i := range 60 {
		recs = append(recs, call(i, func(r *usage.Record) {
			r.Timestamp = epoch.Add(time.Duration(i) * time.Microsecond)
			r.Feature = fmt.Sprint("f", i%3)
			r.Counts[usage.Input] = int64(100 * (i % 7)) // of some nothing
			r.Aggregate = i%11 == 0
		}))
	}
	appendAll(t, e, recs[:40])
	asOf := checkGrowth(t, e, recs[:40], analytics.GrowthQuery{Filter: analytics.Filter{From: epoch, To: epoch.Add(time.Millisecond)}, Parts: 1}).AsOf
	appendAll(t, e, recs[40:])
	for _, length := range []time.Duration{1, 2, 7, 39, 40, 60, 1000} {
		for parts := 1; parts <= 9; parts++ {
			q := analytics.GrowthQuery{Filter: analytics.Filter{From: epoch.Add(3 * time.Microsecond)}, Parts: parts}
			q.To = q.From.Add(length * time.Microsecond)
			checkGrowth(t, e, recs, q)
			q.AsOf = asOf
			checkGrowth(t, e, recs[:40], q)
		}
	}
	q := analytics.GrowthQuery{Filter: analytics.Filter{From: epoch, To: epoch.Add(time.Hour)}, Parts: 4, Groups: 2}
	if got := checkGrowth(t, e, recs, q); len(got.Groups) != 2 || got.Left != 1 {
		t.Fatalf("%d groups, %d left", len(got.Groups), got.Left)
	}
	checkGrowth(t, e, nil, analytics.GrowthQuery{Filter: analytics.Filter{From: epoch.Add(time.Hour), To: epoch.Add(2 * time.Hour)}, Parts: 3})
}

// What is sent again in a session, with halves of a picodollar, amounts whose
// products are beyond 64 bits, and calls of one moment.
func testResent(t *testing.T, open Opener) {
	e := fresh(t, open)
	r := rand.New(rand.NewPCG(8, 9))
	paid := []money.USD{0, 1, 3, 5, 999, money.Max / 4, money.Max/4 - 1}
	var recs []usage.Record
	for i := range 400 {
		recs = append(recs, call(i, func(rec *usage.Record) {
			rec.Timestamp = epoch.Add(time.Duration(i/3) * time.Second)
			rec.Feature, rec.Project = fmt.Sprint("f", i%2), []string{"p", "q"}[r.IntN(2)]
			rec.SessionID = []string{"", "s1", "s2", "S1"}[r.IntN(4)]
			input := []int64{0, 1, 2, 100, 200, 300, usage.MaxCount}[r.IntN(7)]
			rec.Counts = usage.Counts{}
			rec.Counts[usage.Input], rec.Counts[usage.CacheRead], rec.Counts[usage.CacheWrite] = input, input/2, input/5
			rec.Counts[usage.Output] = int64(r.IntN(40))
			rec.Classes = [usage.NumClasses]money.USD{}
			if input > 0 {
				rec.Classes[usage.ClassInput], rec.Classes[usage.ClassCacheRead] = paid[r.IntN(len(paid))], paid[r.IntN(len(paid))]
				rec.Classes[usage.ClassCacheWrite1h], rec.Classes[usage.ClassUnsplit] = paid[r.IntN(5)], 7
			}
			rec.Aggregate = r.IntN(20) == 0
		}))
	}
	appendAll(t, e, recs)
	for _, by := range []bool{false, true} {
		all := checkResent(t, e, recs, analytics.HistoryQuery{BySession: by})
		if len(all.Rows) < 2 || all.Rows[0].HistoryCost.Sign() <= 0 || all.Rows[0].HistoryCached == 0 {
			t.Fatalf("%+v", all.Rows)
		}
		for offset := range len(all.Rows) + 1 {
			checkResent(t, e, recs, analytics.HistoryQuery{BySession: by, Limit: 2, Offset: offset})
		}
	}
	only := analytics.Filter{Any: map[analytics.Dimension][]string{analytics.Project: {"q"}}}
	checkResent(t, e, recs, analytics.HistoryQuery{Filter: only, BySession: true})
	checkResent(t, e, nil, analytics.HistoryQuery{Filter: analytics.Filter{To: epoch}})
}
