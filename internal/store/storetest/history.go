package storetest

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/usage"
)

// Every cost that an event ever had stays to be asked for, and goes with it.
func testHistory(t *testing.T, open Opener) {
	dir := t.TempDir()
	e := open(t, dir)
	recs := calls(6)
	appendAll(t, e, recs)
	want := make([][]store.PastCost, len(recs)) // newest first
	check := func() {
		t.Helper()
		for i, r := range recs {
			got, err := e.History(ctx(t), store.EventKey{Timestamp: r.Timestamp, ID: r.ID})
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want[i][:min(len(want[i]), store.MaxHistory)], got); d != "" && len(want[i])+len(got) > 0 {
				t.Fatalf("history of event %d (-want +got):\n%s", i, d)
			}
		}
	}
	check()
	correct := func(n int, reason string, which ...int) {
		t.Helper()
		c := store.Correction{Reason: reason, At: epoch.Add(time.Duration(n) * time.Microsecond)}
		for _, i := range which {
			now := usage.Costing{Source: usage.SourceCatalog, PriceID: "p_" + reason, CacheSaving: -1, Fallback: n%2 == 0}
			for k := range now.Classes {
				now.Classes[k] += 3 << k
			}
			now.Classes[usage.ClassInput] += 1 << 50
			if n%3 == 2 {
				now = usage.Costing{} // no price any more
			}
			c.Changes = append(c.Changes, change(recs[i], now))
			was := recs[i].Costing
			was.Fallback = false
			want[i] = append([]store.PastCost{{
				At: c.At, Reason: reason, Was: was, NowCost: now.Total(), NowSource: now.Source, NowPriceID: now.PriceID,
			}}, want[i]...)
			recs[i].Costing = now
		}
		if got, err := e.Correct(ctx(t), c); err != nil || got != int64(len(which)) {
			t.Fatalf("corrected %d, %v", got, err)
		}
	}
	correct(0, "first 'ß'", 0, 1, 2, 3)
	correct(1, "second", 1, 3)
	correct(2, "third", 1, 2)
	check()
	wantAnswers(t, e, recs)
	mustClose(t, e)
	e = reopen(t, open, dir)
	check()
	for n := range store.MaxHistory + 1 {
		correct(3+n, "again", 1)
	}
	check()
	cut := recs[2].Timestamp
	if _, err := e.Prune(ctx(t), from(cut)); err != nil {
		t.Fatal(err)
	}
	for i := range recs {
		if recs[i].Timestamp.Before(cut) {
			want[i] = nil
		}
	}
	check()
}

func testPriceList(t *testing.T, open Opener) {
	dir := t.TempDir()
	e := open(t, dir)
	entries := 0
	check := func(want store.PriceList) {
		t.Helper()
		got, err := e.GetList(ctx(t))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("list (-want +got):\n%s", d)
		}
		wantPrices(t, e, nil, entries)
	}
	put := func(was int64, book []byte) {
		t.Helper()
		if err := e.ReplaceList(ctx(t), was, book, entry("list")); err != nil {
			t.Fatal(err)
		}
		entries++
	}
	refused := func(was int64) {
		t.Helper()
		if err := e.ReplaceList(ctx(t), was, []byte("{}"), entry("late")); fault.CodeOf(err) != fault.Conflict {
			t.Fatalf("over number %d: %v", was, err)
		}
	}
	check(store.PriceList{})
	refused(1)
	check(store.PriceList{})
	made := entry("").At
	first := []byte(`{"a":"'ß'"}`)
	put(0, first)
	check(store.PriceList{Number: 1, Made: made, Book: first})
	refused(0)
	refused(2)
	check(store.PriceList{Number: 1, Made: made, Book: first})
	large := make([]byte, 2<<20)
	for i := range large {
		large[i] = 'a' + byte(i%26)
	}
	put(1, large)
	check(store.PriceList{Number: 2, Made: made, Book: large})
	mustClose(t, e)
	e = reopen(t, open, dir)
	check(store.PriceList{Number: 2, Made: made, Book: large})
	put(2, nil)
	check(store.PriceList{Number: 3, Made: made})
	refused(0)
	put(3, first)
	check(store.PriceList{Number: 4, Made: made, Book: first})
}
