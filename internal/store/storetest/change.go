package storetest

import (
	"slices"
	"testing"
	"time"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/usage"
)

// change gives a record another cost.
func change(r usage.Record, now usage.Costing) store.CostChange {
	return store.CostChange{ID: r.ID, Timestamp: r.Timestamp, WasSource: r.Source, WasPriceID: r.PriceID, Now: now}
}

func testCorrect(t *testing.T, open Opener) {
	dir := t.TempDir()
	e := open(t, dir)
	recs := calls(300)
	for i := range recs[:100] {
		recs[i].Costing = usage.Costing{}
	}
	recs[5].Aggregate, recs[6].EventID = true, "own"
	recs[6].ID = recs[6].Identity()
	appendAll(t, e, recs)
	before := ask(t, e, analytics.Query{})
	now := usage.Costing{Source: usage.SourceCatalog, PriceID: "p_9", CacheSaving: -5, Fallback: true}
	for i := range now.Classes {
		now.Classes[i] = 7 << i
	}
	c := store.Correction{Reason: "backfill", At: epoch.Add(time.Hour)}
	sent := slices.Clone(recs)
	for i := range recs[:100] {
		c.Changes = append(c.Changes, change(recs[i], now))
		recs[i].Costing = now
	}
	n, err := e.Correct(ctx(t), c)
	if err != nil || n != 100 {
		t.Fatalf("Correct changed %d, %v; want 100", n, err)
	}
	wantAnswers(t, e, recs)
	after := ask(t, e, analytics.Query{})
	if after.Revision == before.Revision {
		t.Fatalf("the revision is still %d", after.Revision)
	}
	if n, err := e.Correct(ctx(t), c); err != nil || n != 0 {
		t.Fatalf("again: %d, %v", n, err)
	}
	got, err := e.Get(ctx(t), recs[0].ID, analytics.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	if d := diff(recs[0], got); d != "" {
		t.Fatalf("corrected record (-want +got):\n%s", d)
	}
	// A retry of a corrected event is still a duplicate, and changes no cost back.
	wantAll(t, e, sent, store.Duplicate)
	wantTotals(t, e, recs)
	mustClose(t, e)
	e = reopen(t, open, dir)
	wantAnswers(t, e, recs)
	if again := ask(t, e, analytics.Query{}); again.Revision != after.Revision {
		t.Fatalf("revision after a restart %d, want %d", again.Revision, after.Revision)
	}
	wantAll(t, e, sent, store.Duplicate)
}

// What is gone, or no longer at the price that the change was computed from, is
// skipped, and the rest of the correction is applied.
func testCorrectWas(t *testing.T, open Opener) {
	e := fresh(t, open)
	recs := calls(8)
	recs[2].Costing = usage.Costing{}
	recs[3].Costing.PriceID = "p_2"
	recs[4].Costing = usage.Costing{Source: usage.SourceClient}
	recs[5].Costing = usage.Costing{Source: usage.SourceBilled}
	appendAll(t, e, recs)
	now := usage.Costing{Source: usage.SourceCatalog, PriceID: "p_9"}
	now.Classes[usage.ClassInput] = 1
	was := func(i int, source usage.Source, price string) store.CostChange {
		return store.CostChange{ID: recs[i].ID, Timestamp: recs[i].Timestamp, WasSource: source, WasPriceID: price, Now: now}
	}
	before := ask(t, e, analytics.Query{})
	skipped := []store.CostChange{
		was(0, usage.SourceUnpriced, ""),     // is priced
		was(1, usage.SourceCatalog, "p_2"),   // by another price
		was(2, usage.SourceCatalog, "p_1"),   // is unpriced
		was(3, usage.SourceCatalog, ""),      // by a price
		was(3, usage.SourceClient, "p_2"),    // from elsewhere
		was(4, usage.SourceUnpriced, ""),     // is estimated
		was(5, usage.SourceClient, ""),       // is billed
		change(call(4711), usage.Costing{}),  // is gone
		change(call(-4711), usage.Costing{}), // is gone
	}
	if n, err := e.Correct(ctx(t), store.Correction{Reason: "late", At: epoch, Changes: skipped}); err != nil || n != 0 {
		t.Fatalf("corrected %d, %v; want none", n, err)
	}
	wantAnswers(t, e, recs)
	if after := ask(t, e, analytics.Query{}); after.Revision != before.Revision {
		t.Fatal("a correction of nothing changed the revision")
	}
	applied := []store.CostChange{was(2, usage.SourceUnpriced, ""), was(3, usage.SourceCatalog, "p_2"), was(4, usage.SourceClient, ""), was(7, usage.SourceCatalog, "p_1")}
	if n, err := e.Correct(ctx(t), store.Correction{Reason: "late", At: epoch, Changes: slices.Concat(skipped[:2], applied, skipped[5:])}); err != nil || n != 4 {
		t.Fatalf("corrected %d, %v; want 4", n, err)
	}
	for _, i := range []int{2, 3, 4, 7} {
		recs[i].Costing = now
	}
	wantAnswers(t, e, recs)
}
