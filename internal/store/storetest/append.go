package storetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/usage"
)

// totals asks for calls and cost of everything.
func totals(t *testing.T, e store.Ledger) (int64, money.Total) {
	t.Helper()
	got, err := e.Query(t.Context(), analytics.Query{})
	if err != nil {
		t.Fatalf("Query: %v", err)
	}
	if len(got.Rows) != 1 {
		t.Fatalf("a query without groups gave %d rows", len(got.Rows))
	}
	return got.Rows[0].Calls, got.Rows[0].Cost
}

func wantTotals(t *testing.T, e store.Ledger, recs []usage.Record) {
	t.Helper()
	var cost money.Total
	for _, r := range recs {
		cost = cost.Add(r.Total())
	}
	calls, got := totals(t, e)
	if calls != int64(len(recs)) || got != cost {
		t.Fatalf("ledger has %d calls of %s, want %d of %s", calls, got, len(recs), cost)
	}
}

func testAppend(t *testing.T, open Opener) {
	e := fresh(t, open)
	if out, err := e.Append(ctx(t), nil); err != nil || len(out) != 0 {
		t.Fatalf("Append of nothing: %v, %v", out, err)
	}
	recs := calls(1200)
	if n := count(appendAll(t, e, recs), store.Stored); n != len(recs) {
		t.Fatalf("%d stored, want %d", n, len(recs))
	}
	wantTotals(t, e, recs)
}

// A retry of a whole or partial batch, in any order, at any age, twice in one
// call, changes nothing.
func testDuplicates(t *testing.T, open Opener) {
	e := fresh(t, open)
	recs := calls(900)
	appendAll(t, e, recs)
	r := rand.New(rand.NewPCG(1, 2))
	for range 12 {
		part := append([]usage.Record(nil), recs[r.IntN(300):400+r.IntN(500)]...)
		r.Shuffle(len(part), func(i, j int) { part[i], part[j] = part[j], part[i] })
		if n := count(appendAll(t, e, part), store.Duplicate); n != len(part) {
			t.Fatalf("%d of %d recognised", n, len(part))
		}
	}
	old := call(-200_000)
	out := appendAll(t, e, []usage.Record{old, recs[3], old})
	if out[0] != store.Stored || out[1] != store.Duplicate || out[2] != store.Duplicate {
		t.Fatalf("outcomes %v", out)
	}
	// The same span with other content is another call.
	other := call(5, func(r *usage.Record) { r.Counts[usage.Output]++ })
	if out := appendAll(t, e, []usage.Record{other}); out[0] != store.Stored {
		t.Fatalf("another call with the same span: %v", out)
	}
	wantTotals(t, e, append(append([]usage.Record(nil), recs...), old, other))
}

func testConflicts(t *testing.T, open Opener) {
	e := fresh(t, open)
	own := func(change ...func(*usage.Record)) usage.Record {
		return call(1, append([]func(*usage.Record){func(r *usage.Record) { r.EventID = "order-7" }}, change...)...)
	}
	first := own()
	late := own(func(r *usage.Record) { r.Timestamp = r.Timestamp.Add(1000 * time.Hour) })
	elsewhere := own(func(r *usage.Record) { r.Project = "shop" })
	tagged := own(func(r *usage.Record) { r.Tags = map[string]string{"a": "b"} })
	out := appendAll(t, e, []usage.Record{first, first, late, elsewhere})
	if want := []store.Outcome{store.Stored, store.Duplicate, store.Conflict, store.Stored}; fmt.Sprint(out) != fmt.Sprint(want) {
		t.Fatalf("in one call: %v, want %v", out, want)
	}
	out = appendAll(t, e, []usage.Record{late, first, tagged})
	if want := []store.Outcome{store.Conflict, store.Duplicate, store.Conflict}; fmt.Sprint(out) != fmt.Sprint(want) {
		t.Fatalf("later: %v, want %v", out, want)
	}
	// A timestamp that the server filled in differs on a retry and is no conflict.
	arrived := func(at time.Duration) usage.Record {
		return own(func(r *usage.Record) {
			r.EventID, r.Timestamp, r.TimestampDefaulted = "order-8", r.Timestamp.Add(at), true
		})
	}
	appendAll(t, e, []usage.Record{arrived(0)})
	if out := appendAll(t, e, []usage.Record{arrived(time.Hour)}); out[0] != store.Duplicate {
		t.Fatalf("a retry without a timestamp: %v", out)
	}
	got, err := e.Get(ctx(t), first.ID, analytics.Filter{})
	if err != nil || !got.Timestamp.Equal(first.Timestamp) || got.EventID != "order-7" {
		t.Fatalf("the first is kept: %+v, %v", got, err)
	}
}

// Many clients send overlapping batches at once: each event is stored once and
// is told to be new to exactly one of them.
func testConcurrent(t *testing.T, open Opener) {
	e := fresh(t, open)
	recs := calls(2000)
	var mu sync.Mutex
	stored := 0
	var wg sync.WaitGroup
	for c := range 8 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(c), 9))
			for range 10 {
				from := r.IntN(len(recs) - 200)
				out, err := e.Append(t.Context(), recs[from:from+200])
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				stored += count(out, store.Stored)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	out := appendAll(t, e, recs)
	stored += count(out, store.Stored)
	if stored != len(recs) {
		t.Fatalf("%d told to be new, want %d", stored, len(recs))
	}
	wantTotals(t, e, recs)
}

func testAppendAfterClose(t *testing.T, open Opener) {
	e := open(t, t.TempDir())
	appendAll(t, e, calls(3))
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := e.Append(ctx(t), calls(1))
	if fault.CodeOf(err) != fault.Unavailable {
		t.Fatalf("Append after Close: %v, want unavailable", err)
	}
	if _, err := e.Query(ctx(t), analytics.Query{}); fault.CodeOf(err) != fault.Unavailable {
		t.Fatalf("Query after Close: %v, want unavailable", err)
	}
	if err := e.Close(); err != nil {
		t.Fatalf("second Close: %v", err)
	}
}

func testHugeAmounts(t *testing.T, open Opener) {
	e := fresh(t, open)
	var recs []usage.Record
	for i := range 20 {
		recs = append(recs, call(i, func(r *usage.Record) {
			r.Classes = [usage.NumClasses]money.USD{usage.ClassUnsplit: money.Max}
			r.Source, r.PriceID = usage.SourceBilled, ""
			r.Counts[usage.Input] = usage.MaxCount
		}))
	}
	appendAll(t, e, recs)
	wantTotals(t, e, recs) // 180 million USD: beyond 64 bits of picodollars
	got, err := e.Query(ctx(t), analytics.Query{GroupBy: []analytics.Dimension{analytics.Feature}, Measures: analytics.MeasureTokens | analytics.MeasureClasses})
	if err != nil {
		t.Fatal(err)
	}
	if s := got.Rows[0].Cost.String(); s != "180000000" || got.Cost.String() != s || got.Rows[0].Classes[usage.ClassUnsplit].String() != s {
		t.Fatalf("cost %s, total %s", s, got.Cost)
	}
	if got.Rows[0].Input != 20*usage.MaxCount {
		t.Fatalf("input %d", got.Rows[0].Input)
	}
}

func testCancel(t *testing.T, open Opener) {
	e := fresh(t, open)
	appendAll(t, e, calls(50))
	c, cancel := contextWithCancel(t)
	cancel()
	if _, err := e.Query(c, analytics.Query{}); err == nil {
		t.Fatal("Query with an ended context gave no error")
	}
	if _, err := e.Append(c, calls(60)); err != nil && fault.CodeOf(err) != fault.Unavailable {
		t.Fatalf("Append with an ended context: %v", err)
	}
	// Whatever became of it, a retry ends with each event stored once.
	appendAll(t, e, calls(60))
	wantTotals(t, e, calls(60))
	for _, err := range e.Events(c, store.EventQuery{}) {
		if err == nil {
			t.Fatal("Events with an ended context yielded")
		}
		if errors.Is(err, fault.New(fault.NotFound, "")) {
			t.Fatal(err)
		}
	}
}
