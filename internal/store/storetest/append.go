package storetest

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/usage"
)

func appendAll(t *testing.T, e store.Ledger, recs []usage.Record) []store.Outcome {
	t.Helper()
	return appendNumbered(t, e, recs).Outcomes
}

// appendNumbered appends and holds the receipt to what it promises.
func appendNumbered(t *testing.T, e store.Ledger, recs []usage.Record) store.Receipt {
	t.Helper()
	r, err := e.Append(t.Context(), recs)
	if err != nil {
		t.Fatalf("Append of %d: %v", len(recs), err)
	}
	if len(r.Outcomes) != len(recs) {
		t.Fatalf("Append of %d gave %d outcomes", len(recs), len(r.Outcomes))
	}
	if n := count(r.Outcomes, store.Stored); (r.Commit > 0) != (n > 0) {
		t.Fatalf("Append of %d new ones of %d has the commit %d", n, len(recs), r.Commit)
	}
	return r
}

func count(out []store.Outcome, want store.Outcome) int {
	n := 0
	for _, o := range out {
		if o == want {
			n++
		}
	}
	return n
}

// wantOutcomes appends and checks what became of each record.
func wantOutcomes(t *testing.T, e store.Ledger, recs []usage.Record, want ...store.Outcome) {
	t.Helper()
	if d := cmp.Diff(want, appendAll(t, e, recs)); d != "" {
		t.Fatalf("outcomes (-want +got):\n%s", d)
	}
}

// wantAll appends records that all have one outcome.
func wantAll(t *testing.T, e store.Ledger, recs []usage.Record, want store.Outcome) {
	t.Helper()
	if n := count(appendAll(t, e, recs), want); n != len(recs) {
		t.Fatalf("%d of %d have the outcome %d", n, len(recs), want)
	}
}

func testAppend(t *testing.T, open Opener) {
	e := fresh(t, open)
	if got, err := e.Append(ctx(t), nil); err != nil || len(got.Outcomes) != 0 || got.Commit != 0 {
		t.Fatalf("Append of nothing: %v, %v", got, err)
	}
	recs := calls(6200)
	wantAll(t, e, recs[:1200], store.Stored)
	wantTotals(t, e, recs[:1200])
	wantAll(t, e, recs[1200:], store.Stored)
	wantTotals(t, e, recs)
}

// A retry of a whole or partial batch, in any order, at any age, twice in one
// call, changes nothing.
func testDuplicates(t *testing.T, open Opener) {
	e := fresh(t, open)
	recs := calls(900)
	appendAll(t, e, recs)
	before := ask(t, e, analytics.Query{})
	r := rand.New(rand.NewPCG(1, 2))
	for range 12 {
		part := slices.Clone(recs[r.IntN(300) : 400+r.IntN(500)])
		r.Shuffle(len(part), func(i, j int) { part[i], part[j] = part[j], part[i] })
		wantAll(t, e, part, store.Duplicate)
	}
	if after := ask(t, e, analytics.Query{}); after.Revision != before.Revision {
		t.Fatal("an append changed the revision")
	}
	old := call(-200_000)
	wantOutcomes(t, e, []usage.Record{old, recs[3], old}, store.Stored, store.Duplicate, store.Duplicate)
	// The same span with other content is another call.
	other := call(5, func(r *usage.Record) { r.Counts[usage.Output]++ })
	wantOutcomes(t, e, []usage.Record{other}, store.Stored)
	// What is no part of a derived identity does not make another event: the first
	// one is kept as it is.
	retold := call(7, func(r *usage.Record) {
		r.Tags, r.UserID, r.Department = map[string]string{"a": "b"}, "ann", "sales"
		r.Classes[usage.ClassInput]++
		r.ReceivedAt = r.ReceivedAt.Add(time.Hour)
	})
	wantOutcomes(t, e, []usage.Record{retold}, store.Duplicate)

	// New and known ones shuffled: each has its own outcome.
	mixed, want := slices.Clone(recs[:100]), make([]store.Outcome, 200)
	var fresh []usage.Record
	for i := range 100 {
		fresh = append(fresh, call(-1000-i))
	}
	mixed = append(mixed, fresh...)
	r.Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
	for i, m := range mixed {
		if !m.Timestamp.Before(epoch) {
			want[i] = store.Duplicate
		}
	}
	wantOutcomes(t, e, mixed, want...)
	wantAnswers(t, e, slices.Concat(recs, fresh, []usage.Record{old, other}))
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
	repriced := own(func(r *usage.Record) { r.PriceID = "p_2"; r.Classes[usage.ClassInput]++ })
	unnamed := call(1) // the same call without an identity of its own
	wantOutcomes(t, e, []usage.Record{first, first, late, elsewhere, unnamed},
		store.Stored, store.Duplicate, store.Conflict, store.Stored, store.Stored)
	wantOutcomes(t, e, []usage.Record{late, first, late, tagged, repriced},
		store.Conflict, store.Duplicate, store.Conflict, store.Conflict, store.Duplicate)
	// A timestamp that the server filled in differs on a retry and is no conflict.
	arrived := func(at time.Duration) usage.Record {
		return own(func(r *usage.Record) {
			r.EventID, r.Timestamp, r.TimestampDefaulted = "order-8", r.Timestamp.Add(at), true
		})
	}
	wantOutcomes(t, e, []usage.Record{arrived(0)}, store.Stored)
	wantOutcomes(t, e, []usage.Record{arrived(time.Hour)}, store.Duplicate)
	wantAnswers(t, e, []usage.Record{first, elsewhere, unnamed, arrived(0)})
}

// A record that breaks the rules of its fields may be refused, but then nothing
// of the call is stored, and the next one is served.
func testAllOrNothing(t *testing.T, open Opener) {
	e := fresh(t, open)
	recs := calls(300)
	appendAll(t, e, recs[:100])
	impossible := call(1000, func(r *usage.Record) {
		r.Counts[usage.Input], r.Counts[usage.CacheRead], r.Counts[usage.CacheWrite] = 10, 10, 10
	})
	batch := slices.Insert(slices.Clone(recs[50:]), 180, impossible)
	stored := recs[:100]
	if _, err := e.Append(ctx(t), batch); err == nil {
		stored = append(slices.Clone(recs), impossible)
	}
	wantTotals(t, e, stored)
	appendAll(t, e, recs)
	if len(stored) == 100 {
		stored = recs
	}
	wantTotals(t, e, stored)
}

// A record that cannot be stored fails its own call, and none of those that are
// stored in the same moment; to try it again is no use.
func testBesideBadRecords(t *testing.T, open Opener) {
	e := fresh(t, open)
	recs := calls(1200)
	bad := []usage.Record{
		call(9001, func(r *usage.Record) { r.Counts[usage.Input], r.Counts[usage.CacheRead] = 10, 11 }),
		call(9002, func(r *usage.Record) { r.Counts[usage.Output] = -1 }),
		call(9003, func(r *usage.Record) { r.UserID = "\xff" }),
		call(9004, func(r *usage.Record) { r.Feature = "f\xc3" }),
		call(9005, func(r *usage.Record) { r.Tags = map[string]string{"team": "\xff"} }),
		call(9006, func(r *usage.Record) { r.Metadata = []byte("{\"a\":\"\xff\"}") }),
	}
	var wg sync.WaitGroup
	for c := range 4 {
		own := recs[c*300 : (c+1)*300]
		wg.Go(func() {
			for at := 0; at < len(own); at += 10 {
				receipt, err := e.Append(t.Context(), own[at:at+10])
				if err != nil || count(receipt.Outcomes, store.Stored) != 10 {
					t.Errorf("a good call beside bad ones: %v, %v", receipt.Outcomes, err)
					return
				}
			}
		})
	}
	for _, r := range bad {
		wg.Go(func() {
			for range 20 {
				if _, err := e.Append(t.Context(), []usage.Record{recs[0], r}); fault.CodeOf(err) != fault.Invalid {
					t.Errorf("the record %s: %v, want invalid", r.ID, err)
					return
				}
			}
		})
	}
	wg.Wait()
	wantTotals(t, e, recs)
}

// Many clients send overlapping batches at once: each event is stored once and
// is told to be new to exactly one of them.
func testConcurrent(t *testing.T, open Opener) {
	e := fresh(t, open)
	recs := calls(2000)
	for i := range recs {
		if i%3 == 0 {
			recs[i] = call(i, func(r *usage.Record) { r.EventID = r.SpanID })
		}
	}
	var mu sync.Mutex
	stored := 0
	var wg sync.WaitGroup
	for c := range 8 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(c), 9))
			for range 10 {
				from := r.IntN(len(recs) - 200)
				receipt, err := e.Append(t.Context(), recs[from:from+200])
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				stored += count(receipt.Outcomes, store.Stored)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	stored += count(appendAll(t, e, recs), store.Stored)
	if stored != len(recs) {
		t.Fatalf("%d told to be new, want %d", stored, len(recs))
	}
	wantTotals(t, e, recs)
}

func testCancel(t *testing.T, open Opener) {
	e := fresh(t, open)
	appendAll(t, e, calls(50))
	ended, cancel := context.WithCancel(ctx(t))
	cancel()
	if _, err := e.Query(ended, analytics.Query{}); err == nil {
		t.Fatal("Query with an ended context gave no error")
	}
	if _, err := e.Bloat(ended, analytics.BloatQuery{MinRatio: 2000, Limit: 1}); err == nil {
		t.Fatal("Bloat with an ended context gave no error")
	}
	if _, err := e.Append(ended, calls(60)); err != nil && fault.CodeOf(err) != fault.Unavailable {
		t.Fatalf("Append with an ended context: %v", err)
	}
	// Whatever became of it, a retry ends with each event stored once.
	appendAll(t, e, calls(60))
	wantTotals(t, e, calls(60))
	failed := false
	for r, err := range e.Events(ended, store.EventQuery{}) {
		if err == nil {
			t.Fatalf("Events with an ended context yielded %s", r.ID)
		}
		failed = true
	}
	if !failed {
		t.Fatal("Events with an ended context gave no error")
	}
}

func testHugeAmounts(t *testing.T, open Opener) {
	e := fresh(t, open)
	var recs []usage.Record
	for i := range 20 {
		recs = append(recs, call(i, func(r *usage.Record) {
			r.Classes = [usage.NumClasses]money.USD{usage.ClassUnsplit: money.Max}
			if i < 5 {
				r.Classes = [usage.NumClasses]money.USD{usage.ClassInput: money.Max}
			}
			r.Source, r.PriceID = usage.SourceBilled, ""
			r.Counts[usage.Input] = usage.MaxCount
			if i > 10 {
				r.Counts[usage.Input] = 1
			}
			r.CacheSaving = -money.Max
		}))
	}
	appendAll(t, e, recs)
	wantAnswers(t, e, recs) // 180 million USD: beyond 64 bits of picodollars
	got := ask(t, e, analytics.Query{GroupBy: []analytics.Dimension{analytics.Feature}})
	if s := got.Rows[0].Cost.String(); s != "180000000" {
		t.Fatalf("cost %s", s)
	}
	// The product of an amount and a count is beyond 64 bits, too.
	q := analytics.BloatQuery{MinRatio: 2000, MinCalls: 1, Limit: 30}
	checkBloat(t, e, recs, q)
	q.MinRatio = 1_000_000_000
	checkBloat(t, e, recs, q)
}
