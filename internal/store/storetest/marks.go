package storetest

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/store/reference"
	"github.com/costprof/costprof/internal/usage"
)

func keyOf(r usage.Record) store.EventKey {
	return store.EventKey{Timestamp: r.Timestamp, ID: r.ID}
}

func marked(r usage.Record) usage.Record {
	r.Aggregate = true
	return r
}

// sendMarks appends and then makes the marks that are missing, as the pipeline
// does; it gives how many there were.
func sendMarks(t *testing.T, e store.Ledger, recs []usage.Record) int64 {
	t.Helper()
	receipt := appendNumbered(t, e, recs)
	n, err := e.Correct(t.Context(), store.Correction{Reason: "aggregate", At: epoch, Marks: receipt.Unmarked})
	if err != nil || n != int64(len(receipt.Unmarked)) {
		t.Fatalf("marked %d of %d: %v", n, len(receipt.Unmarked), err)
	}
	return n
}

// An event that is marked leaves all totals, keeps its place in its trace, and is
// what it would be had it come with the mark.
func testMarks(t *testing.T, open Opener) {
	dir := t.TempDir()
	e := open(t, dir)
	recs := calls(300)
	for i := range recs {
		recs[i].ParentSpanID = recs[i/3].SpanID
		if i%7 == 0 {
			recs[i].EventID = recs[i].SpanID
		}
		recs[i].TraceID = "t"
		recs[i].ID = recs[i].Identity()
	}
	recs[9].Aggregate = true
	appendAll(t, e, recs)
	first := recs[14].Timestamp
	before := ask(t, e, analytics.Query{})
	sent := slices.Clone(recs)
	for _, i := range []int{0, 3, 14, 120} { // 0 and 14 have an id of their own
		recs[i].Aggregate = true
	}
	again := []usage.Record{recs[0], recs[3], recs[9], sent[5], recs[14], recs[120], recs[3]}
	got := appendNumbered(t, e, again)
	want := []store.EventKey{keyOf(recs[0]), keyOf(recs[3]), keyOf(recs[14]), keyOf(recs[120])}
	if d := cmp.Diff(want, got.Unmarked); d != "" || count(got.Outcomes, store.Duplicate) != len(again) {
		t.Fatalf("outcomes %v, unmarked (-want +got):\n%s", got.Outcomes, d)
	}
	wantAnswers(t, e, sent) // as they were: Append changes nothing
	if now := ask(t, e, analytics.Query{}); now.Revision != before.Revision {
		t.Fatal("an append changed the revision")
	}
	c := store.Correction{Reason: "aggregate 'ß'", At: epoch.Add(time.Hour), Marks: slices.Concat(got.Unmarked, []store.EventKey{
		keyOf(recs[9]),    // is one already
		keyOf(call(4711)), // is gone
		{Timestamp: recs[5].Timestamp.Add(time.Microsecond), ID: recs[5].ID}, // is not at that time
	})}
	if n, err := e.Correct(ctx(t), c); err != nil || n != 4 {
		t.Fatalf("marked %d, %v; want 4", n, err)
	}
	check := func() {
		t.Helper()
		wantAnswers(t, e, recs)
		tree, err := e.CallTree(ctx(t), analytics.CallTreeQuery{})
		if err != nil {
			t.Fatal(err)
		}
		if d := diffTables(reference.CallTree(recs, analytics.CallTreeQuery{}), tree); d != "" {
			t.Fatalf("call tree (-reference +engine):\n%s", d)
		}
		was := recs[14].Costing
		past := []store.PastCost{{At: c.At, Reason: c.Reason, Was: was, NowCost: was.Total(), NowSource: was.Source, NowPriceID: was.PriceID, Marked: true}}
		history, err := e.History(ctx(t), store.EventKey{Timestamp: first, ID: recs[14].ID})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(past, history); d != "" {
			t.Fatalf("history (-want +got):\n%s", d)
		}
	}
	check()
	after := ask(t, e, analytics.Query{})
	if after.Revision == before.Revision {
		t.Fatalf("the revision is still %d", after.Revision)
	}
	// An earlier moment is corrected with the rest.
	if d := diffTables(reference.Query(recs, analytics.Query{}), ask(t, e, analytics.Query{Filter: analytics.Filter{AsOf: before.AsOf}})); d != "" {
		t.Fatalf("the earlier moment (-reference +engine):\n%s", d)
	}
	if n, err := e.Correct(ctx(t), c); err != nil || n != 0 {
		t.Fatalf("again: %d, %v", n, err)
	}
	if again := ask(t, e, analytics.Query{}); again.Revision != after.Revision {
		t.Fatal("marks that were there changed the revision")
	}
	// Neither form, sent again, changes anything.
	for _, rs := range [][]usage.Record{sent, recs} {
		if got := appendNumbered(t, e, rs); count(got.Outcomes, store.Duplicate) != len(rs) || len(got.Unmarked) > 0 {
			t.Fatalf("outcomes %v, unmarked %v", got.Outcomes, got.Unmarked)
		}
	}
	// A mark does not hide that the content is another.
	other := marked(recs[7])
	other.Name = "other"
	wantOutcomes(t, e, []usage.Record{other}, store.Conflict)
	mustClose(t, e)
	e = reopen(t, open, dir)
	check()
	if again := ask(t, e, analytics.Query{}); again.Revision != after.Revision {
		t.Fatalf("revision after a restart %d, want %d", again.Revision, after.Revision)
	}
	if got := appendNumbered(t, e, sent); len(got.Unmarked) > 0 {
		t.Fatalf("unmarked after a restart: %v", got.Unmarked)
	}
	mustPrune(t, e, from(recs[150].Timestamp), 150)
	if n, err := e.Correct(ctx(t), c); err != nil || n != 0 {
		t.Fatalf("marked %d that were removed, %v", n, err)
	}
	if past, err := e.History(ctx(t), keyOf(recs[14])); err != nil || len(past) > 0 {
		t.Fatalf("history of a removed event: %v, %v", past, err)
	}
	wantTooOld(t, e, sent[:150])
	wantPruned(t, e, recs, from(recs[150].Timestamp))
}

// Within one call, and of one event from many callers at once, the mark is found
// and made exactly once.
func testMarksOfOneCall(t *testing.T, open Opener) {
	e := fresh(t, open)
	plain := call(1, func(r *usage.Record) { r.EventID = "own" })
	late := marked(plain)
	// The time that a server fills in differs with each retry; the event keeps its first.
	plain.TimestampDefaulted, late.TimestampDefaulted = true, true
	late.Timestamp = plain.Timestamp.Add(7 * time.Hour)
	derived := call(2)
	both := []usage.Record{plain, late, derived, marked(derived), marked(derived), call(3)}
	got := appendNumbered(t, e, both)
	want := []store.Outcome{store.Stored, store.Duplicate, store.Stored, store.Duplicate, store.Duplicate, store.Stored}
	if d := cmp.Diff(want, got.Outcomes); d != "" {
		t.Fatalf("outcomes (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]store.EventKey{keyOf(plain), keyOf(derived)}, got.Unmarked); d != "" {
		t.Fatalf("unmarked (-want +got):\n%s", d)
	}
	if got := appendNumbered(t, e, []usage.Record{late}); !slices.Equal(got.Unmarked, []store.EventKey{keyOf(plain)}) {
		t.Fatalf("unmarked: %v", got.Unmarked)
	}

	var wg sync.WaitGroup
	var mu sync.Mutex
	var all int64
	for range 8 {
		wg.Go(func() {
			receipt, err := e.Append(t.Context(), both)
			if err != nil {
				t.Error(err)
				return
			}
			n, err := e.Correct(t.Context(), store.Correction{Reason: "aggregate", At: epoch, Marks: receipt.Unmarked})
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			all += n
		})
	}
	wg.Wait()
	if all != 2 {
		t.Fatalf("%d marks were made, want 2", all)
	}
	wantAnswers(t, e, []usage.Record{marked(plain), marked(derived), call(3)})
}

// In whatever order events and their marks arrive, in which batches and how
// often, also beside changes of price: answers are those of a ledger that got each
// once, as it turned out to be.
func testMarksInAnyOrder(t *testing.T, open Opener) {
	for seed := range uint64(3) {
		r := rand.New(rand.NewPCG(seed, 88))
		e := fresh(t, open)
		var final, arrivals []usage.Record
		for i := range 500 {
			rec := tangled(r, i)
			if r.IntN(2) == 0 {
				rec.EventID = ""
				rec.ID = rec.Identity()
			}
			rec.Aggregate = r.IntN(3) == 0
			final = append(final, rec)
			for range 1 + r.IntN(3) {
				again := rec
				again.Aggregate = rec.Aggregate && r.IntN(2) == 0
				arrivals = append(arrivals, again)
			}
			if rec.Aggregate {
				arrivals = append(arrivals, rec)
			}
		}
		r.Shuffle(len(arrivals), func(i, j int) { arrivals[i], arrivals[j] = arrivals[j], arrivals[i] })
		changes := 0
		for len(arrivals) > 0 {
			n := min(1+r.IntN(120), len(arrivals))
			sendMarks(t, e, arrivals[:n])
			arrivals = arrivals[n:]
			if r.IntN(3) > 0 {
				continue
			}
			at := r.IntN(len(final))
			if _, err := e.Get(ctx(t), final[at].ID, analytics.Filter{}); fault.CodeOf(err) == fault.NotFound {
				continue
			}
			now := usage.Costing{Source: usage.SourceCatalog, PriceID: "p_9"}
			now.Classes[usage.ClassOutput] = 12345
			c := store.Correction{Reason: "late", At: epoch, Changes: []store.CostChange{change(final[at], now)}}
			if applied, err := e.Correct(ctx(t), c); err != nil || applied != 1 {
				t.Fatalf("corrected %d, %v", applied, err)
			}
			final[at].Costing = now
			changes++
		}
		if changes == 0 {
			t.Fatal("nothing was repriced")
		}
		wantAnswers(t, e, final)
		for range 40 {
			q := randomQuery(r)
			if d := diffTables(reference.Query(final, q), ask(t, e, q)); d != "" {
				t.Fatalf("seed %d %+v (-reference +engine):\n%s", seed, q, d)
			}
		}
		for range 5 {
			q := analytics.CallTreeQuery{Filter: randomFilter(r)}
			got, err := e.CallTree(ctx(t), q)
			if err != nil {
				t.Fatal(err)
			}
			if d := diffTables(reference.CallTree(final, q), got); d != "" {
				t.Fatalf("seed %d %+v (-reference +engine):\n%s", seed, q, d)
			}
		}
	}
}
