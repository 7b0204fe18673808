package storetest

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/store/reference"
	"github.com/costprof/costprof/internal/usage"
)

func checkBloat(t *testing.T, e store.Ledger, recs []usage.Record, q analytics.BloatQuery) {
	t.Helper()
	got := bloat(t, e, q)
	got.AsOf, got.Revision = 0, 0
	if d := diff(reference.Bloat(recs, q), got); d != "" {
		t.Fatalf("bloat %+v (-reference +engine):\n%s", q, d)
	}
}

// Halves of a picodollar round to even, of small amounts as of those whose
// products are beyond 64 bits, and only what input cost is waste.
func testBloatRounding(t *testing.T, open Opener) {
	e := fresh(t, open)
	paid := []money.USD{1, 2, 3, 5, 6, 7, 999, money.Max - 1, money.Max - 3, money.Max - 4, money.Max - 5}
	var recs []usage.Record
	for i := range 4 * len(paid) {
		recs = append(recs, call(i, func(r *usage.Record) {
			r.Counts[usage.Input], r.Counts[usage.CacheRead] = 100, 10
			if i < len(paid) {
				r.Counts[usage.Input] = 200 // half of it beyond the median
			}
			r.Classes = [usage.NumClasses]money.USD{usage.ClassOutput: 3, usage.ClassMedia: 5, usage.ClassUnsplit: 7}
			for k := range paid[i%len(paid)] {
				if k == 4 {
					r.Classes[usage.ClassInput] += paid[i%len(paid)] - k
					break
				}
				r.Classes[usage.ClassInput+usage.Class(k)]++ // the input classes
			}
		}))
	}
	appendAll(t, e, recs)
	q := analytics.BloatQuery{MinRatio: 2000, MinCalls: 5, Limit: 100}
	checkBloat(t, e, recs, q)
	q.Spread = true
	checkBloat(t, e, recs, q)
	if got := bloat(t, e, q); len(got.Rows) != len(paid) {
		t.Fatalf("%d calls, want %d", len(got.Rows), len(paid))
	}
}

func testRecordComesBack(t *testing.T, open Opener) {
	e := fresh(t, open)
	r := rand.New(rand.NewPCG(3, 4))
	recs := make([]usage.Record, 300)
	for i := range recs {
		recs[i] = random(r, i)
	}
	appendAll(t, e, recs)
	past := analytics.Filter{To: usage.Epoch} // bounds in time do not hide an event, nor does being an aggregate
	for _, want := range recs {
		got, err := e.Get(ctx(t), want.ID, past)
		if err != nil {
			t.Fatal(err)
		}
		if d := diff(want, got); d != "" {
			t.Fatalf("record changed (-sent +got):\n%s", d)
		}
	}
	if _, err := e.Get(ctx(t), usage.ID{1, 2, 3}, analytics.Filter{}); fault.CodeOf(err) != fault.NotFound {
		t.Fatalf("Get of an unknown id: %v", err)
	}
	wantAnswers(t, e, recs)
}

func testEmpty(t *testing.T, open Opener) {
	e := fresh(t, open)
	wantAnswers(t, e, nil)
	for _, q := range []analytics.Query{
		{},
		{Measures: everyMeasure, Filter: analytics.Filter{From: epoch}},
		{GroupBy: []analytics.Dimension{analytics.Feature}, Limit: 10, Offset: 10, Measures: everyMeasure},
		{GroupBy: []analytics.Dimension{analytics.Tag("x")}},
		{Grain: time.Hour},
	} {
		if d := diffTables(reference.Query(nil, q), ask(t, e, q)); d != "" {
			t.Fatalf("%+v on nothing (-reference +engine):\n%s", q, d)
		}
	}
	checkBloat(t, e, nil, analytics.BloatQuery{MinRatio: 2000, MinCalls: 1, Limit: 5})
	if n, err := e.Prune(ctx(t), from(epoch)); err != nil || n != 0 {
		t.Fatalf("Prune of nothing: %d, %v", n, err)
	}
	if n, err := e.Correct(ctx(t), store.Correction{Reason: "none", At: epoch}); err != nil || n != 0 {
		t.Fatalf("Correct of nothing: %d, %v", n, err)
	}
}

// pages reads all events by pages of limit.
func pages(t *testing.T, e store.Ledger, f analytics.Filter, limit int) []usage.Record {
	t.Helper()
	var all []usage.Record
	var after *store.EventKey
	for {
		page := collect(t, e, store.EventQuery{Filter: f, After: after, Limit: limit})
		if len(page) > limit {
			t.Fatalf("a page of %d events, limit %d", len(page), limit)
		}
		all = append(all, page...)
		if len(page) == 0 {
			return all
		}
		key := reference.Key(&page[len(page)-1])
		after = &key
	}
}

func testEventPages(t *testing.T, open Opener) {
	e := fresh(t, open)
	r := rand.New(rand.NewPCG(5, 6))
	recs := make([]usage.Record, 700)
	for i := range recs {
		recs[i] = random(r, i)
		if i%3 == 0 { // many at the same instant
			recs[i].Timestamp = epoch.Add(time.Hour)
			recs[i].ID = recs[i].Identity()
		}
	}
	appendAll(t, e, recs)
	all := analytics.Filter{Aggregates: true}
	few := analytics.Filter{From: epoch.Add(time.Hour), To: epoch.AddDate(0, 0, 2), Any: map[analytics.Dimension][]string{analytics.User: {"ann"}}}
	for _, c := range []struct {
		filter analytics.Filter
		limits []int
	}{
		{all, []int{7, 100, 700, 1000}},
		{few, []int{1, 2}},
	} {
		want := reference.Events(recs, store.EventQuery{Filter: c.filter})
		for _, limit := range c.limits {
			if d := diff(want, pages(t, e, c.filter, limit)); d != "" {
				t.Fatalf("pages of %d differ from the whole:\n%s", limit, d)
			}
		}
	}
	// A page goes on behind a place where no event is, or is no longer.
	for _, id := range []usage.ID{{}, {0x7f, 0xff}, {0x80}, usage.ID(bytes.Repeat([]byte{0xff}, 16))} {
		for _, at := range []time.Time{epoch, epoch.Add(time.Hour), epoch.AddDate(0, 0, 5), epoch.AddDate(9, 0, 0)} {
			q := store.EventQuery{Filter: all, After: &store.EventKey{Timestamp: at, ID: id}, Limit: 3}
			if d := diff(reference.Events(recs, q), collect(t, e, q)); d != "" {
				t.Fatalf("behind %+v (-reference +engine):\n%s", *q.After, d)
			}
		}
	}
}

func testEventsEnd(t *testing.T, open Opener) {
	e := fresh(t, open)
	appendAll(t, e, calls(batch))
	running, cancel := context.WithCancel(ctx(t))
	defer cancel()
	yielded, failed := 0, 0
	for _, err := range e.Events(running, store.EventQuery{}) {
		if failed > 0 {
			t.Fatal("the sequence went on after an error")
		}
		if err != nil {
			failed++
			continue
		}
		yielded++
		cancel()
	}
	if failed == 0 && yielded != batch {
		t.Fatalf("%d events of %d and no error", yielded, batch)
	}
	// Who leaves early leaves nothing behind that would hinder others.
	for range 50 {
		for _, err := range e.Events(ctx(t), store.EventQuery{}) {
			if err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	wantTotals(t, e, calls(batch))
}

func testHostileText(t *testing.T, open Opener) {
	e := fresh(t, open)
	hostile := []string{"'; DROP TABLE events; --", `"quoted"`, "\u202eevil", "new\nline", "\\", "%", "_", "$1", "?", "NULL", "ß", "🙂", "\u00a0", " ", "a\tb", "e\u0301", "\ufeff", "\uffff", strings.Repeat("é", 200)}
	var recs []usage.Record
	for i, h := range hostile {
		recs = append(recs, call(i, func(r *usage.Record) {
			r.Feature, r.UserID, r.SessionID, r.ModelID, r.Model, r.Operation = h, h, h, h, h, h
			r.TraceID, r.SpanID, r.ParentSpanID, r.Name, r.EventID, r.ErrorCode, r.PriceID = h, h, h, h, h, h, h
			r.Tags = map[string]string{h: h}
			r.Metadata = fmt.Appendf(nil, `{"k":%q}`, "ß")
		}))
	}
	appendAll(t, e, recs)
	for _, d := range []analytics.Dimension{analytics.Feature, analytics.User, analytics.Session, analytics.Model, analytics.Operation} {
		for i, h := range hostile {
			q := analytics.Query{Filter: analytics.Filter{Any: map[analytics.Dimension][]string{d: {h}}}, GroupBy: []analytics.Dimension{d, analytics.Tag(h)}, Measures: everyMeasure}
			if wrong := diffTables(reference.Query(recs[i:i+1], q), ask(t, e, q)); wrong != "" {
				t.Fatalf("%s = %q (-reference +engine):\n%s", d, h, wrong)
			}
		}
	}
	wantAnswers(t, e, recs)
}
