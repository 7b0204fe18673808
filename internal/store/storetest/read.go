package storetest

import (
	"context"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/usage"
)

func contextWithCancel(t *testing.T) (context.Context, context.CancelFunc) {
	return context.WithCancel(t.Context())
}

// same are the options under which records are equal.
var same = cmp.Options{
	cmpopts.IgnoreFields(usage.Event{}, "Prompt", "TimestampDefaulted"),
	cmpopts.EquateEmpty(),
	cmp.AllowUnexported(money.Total{}),
}

func collect(t *testing.T, e store.Ledger, q store.EventQuery) []usage.Record {
	t.Helper()
	var out []usage.Record
	for r, err := range e.Events(t.Context(), q) {
		if err != nil {
			t.Fatalf("Events: %v", err)
		}
		out = append(out, r)
	}
	return out
}

func testRecordComesBack(t *testing.T, open Opener) {
	e := fresh(t, open)
	r := rand.New(rand.NewPCG(3, 4))
	recs := make([]usage.Record, 300)
	for i := range recs {
		recs[i] = random(r, i)
	}
	appendAll(t, e, recs)
	for _, want := range recs {
		got, err := e.Get(ctx(t), want.ID, analytics.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got, same); d != "" {
			t.Fatalf("record changed (-sent +got):\n%s", d)
		}
	}
	_, err := e.Get(ctx(t), usage.ID{1, 2, 3}, analytics.Filter{})
	if fault.CodeOf(err) != fault.NotFound {
		t.Fatalf("Get of an unknown id: %v", err)
	}
	_, err = e.Get(ctx(t), recs[0].ID, analytics.Filter{Any: map[analytics.Dimension][]string{analytics.Project: {"nobody's"}}})
	if fault.CodeOf(err) != fault.NotFound {
		t.Fatalf("Get outside the filter: %v", err)
	}
}

func testEmpty(t *testing.T, open Opener) {
	e := fresh(t, open)
	wantTotals(t, e, nil)
	for _, q := range []analytics.Query{
		{GroupBy: []analytics.Dimension{analytics.Feature}, Limit: 10, Measures: math.MaxUint16},
		{GroupBy: []analytics.Dimension{analytics.Tag("x")}},
		{Grain: time.Hour},
	} {
		got, err := e.Query(ctx(t), q)
		if err != nil || len(got.Rows) != 0 || got.More {
			t.Fatalf("%+v on nothing: %+v, %v", q, got, err)
		}
	}
	if got := collect(t, e, store.EventQuery{Limit: 5}); len(got) != 0 {
		t.Fatalf("events on nothing: %v", got)
	}
	b, err := e.Bloat(ctx(t), analytics.BloatQuery{MinRatio: 2000, MinCalls: 1, Limit: 5})
	if err != nil || len(b.Rows) != 0 {
		t.Fatalf("bloat on nothing: %v, %v", b, err)
	}
	h, err := e.Ping(ctx(t))
	if err != nil || h.Degraded != "" || h.Events != 0 {
		t.Fatalf("Ping: %+v, %v", h, err)
	}
}

func testEventPages(t *testing.T, open Opener) {
	e := fresh(t, open)
	r := rand.New(rand.NewPCG(5, 6))
	var recs []usage.Record
	for i := range 700 {
		rec := random(r, i)
		if i%3 == 0 { // many at the same instant
			rec.Timestamp = epoch.Add(time.Hour)
			rec.ID = rec.Identity()
		}
		recs = append(recs, rec)
	}
	appendAll(t, e, recs)
	whole := collect(t, e, store.EventQuery{Filter: analytics.Filter{Aggregates: true}})
	if len(whole) != len(recs) {
		t.Fatalf("%d events, want %d", len(whole), len(recs))
	}
	for i := 1; i < len(whole); i++ {
		a, b := whole[i-1], whole[i]
		if a.Timestamp.Before(b.Timestamp) || a.Timestamp.Equal(b.Timestamp) && strings.Compare(a.ID.String(), b.ID.String()) <= 0 {
			t.Fatalf("order broken at %d", i)
		}
	}
	for _, limit := range []int{1, 7, 100, 1000} {
		var paged []usage.Record
		var after *store.EventKey
		for {
			page := collect(t, e, store.EventQuery{Filter: analytics.Filter{Aggregates: true}, After: after, Limit: limit})
			if len(page) == 0 {
				break
			}
			paged = append(paged, page...)
			after = &store.EventKey{Timestamp: page[len(page)-1].Timestamp, ID: page[len(page)-1].ID}
		}
		if d := cmp.Diff(whole, paged, same); d != "" {
			t.Fatalf("pages of %d differ from the whole:\n%s", limit, d)
		}
	}
}

// Rows stored before the first page come exactly once while others arrive.
func testEventsWhileAppending(t *testing.T, open Opener) {
	e := fresh(t, open)
	before := calls(500)
	appendAll(t, e, before)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			rec := call(i%600, func(r *usage.Record) { r.SpanID = "late-" + r.SpanID; r.RetryCount = int64(i); r.Feature = "late" })
			if _, err := e.Append(t.Context(), []usage.Record{rec}); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for range 5 {
		seen := map[usage.ID]int{}
		var after *store.EventKey
		for {
			page := collect(t, e, store.EventQuery{After: after, Limit: 40})
			if len(page) == 0 {
				break
			}
			for _, r := range page {
				seen[r.ID]++
			}
			after = &store.EventKey{Timestamp: page[len(page)-1].Timestamp, ID: page[len(page)-1].ID}
		}
		for _, r := range before {
			if seen[r.ID] != 1 {
				t.Fatalf("event %s seen %d times", r.SpanID, seen[r.ID])
			}
		}
	}
	close(stop)
	wg.Wait()
}

func testAsOf(t *testing.T, open Opener) {
	e := fresh(t, open)
	appendAll(t, e, calls(100))
	q := analytics.Query{GroupBy: []analytics.Dimension{analytics.Feature}}
	first, err := e.Query(ctx(t), q)
	if err != nil {
		t.Fatal(err)
	}
	for i := 100; i < 200; i += 10 {
		appendAll(t, e, calls(200)[i:i+10])
	}
	q.AsOf = first.AsOf
	again, err := e.Query(ctx(t), q)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(first, again, same); d != "" {
		t.Fatalf("the same moment answers otherwise:\n%s", d)
	}
	q.AsOf = 0
	now, err := e.Query(ctx(t), q)
	if err != nil || now.Calls != 200 || now.AsOf <= first.AsOf {
		t.Fatalf("now: %+v, %v", now, err)
	}
}

func testHostileText(t *testing.T, open Opener) {
	e := fresh(t, open)
	hostile := []string{"'; DROP TABLE events; --", `"quoted"`, "\u202eevil", "new\nline", "\\", "%", "_", "$1", "NULL", "ß", "🙂", "\u00a0", "a\tb", strings.Repeat("é", 200)}
	var recs []usage.Record
	for i, h := range hostile {
		recs = append(recs, call(i, func(r *usage.Record) {
			r.Feature, r.UserID, r.SessionID, r.ModelID, r.Model = h, h, h, h, h
			r.Tags = map[string]string{h: h}
		}))
	}
	appendAll(t, e, recs)
	for _, d := range []analytics.Dimension{analytics.Feature, analytics.User, analytics.Session, analytics.Model} {
		for _, h := range hostile {
			got, err := e.Query(ctx(t), analytics.Query{Filter: analytics.Filter{Any: map[analytics.Dimension][]string{d: {h}}}, GroupBy: []analytics.Dimension{d, analytics.Tag(h)}})
			if err != nil {
				t.Fatalf("%s = %q: %v", d, h, err)
			}
			if len(got.Rows) != 1 || got.Rows[0].Names[0] != h || got.Rows[0].Names[1] != h || got.Calls != 1 {
				t.Fatalf("%s = %q: %+v", d, h, got.Rows)
			}
		}
	}
	wantTotals(t, e, recs)
}
