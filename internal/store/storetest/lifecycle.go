package storetest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/pricing"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/usage"
)

func testReopen(t *testing.T, open Opener) {
	dir := t.TempDir()
	e := open(t, dir)
	recs := calls(500)
	for i := range recs {
		recs[i].Tags = map[string]string{"team": string(rune('a' + i%3))}
	}
	appendAll(t, e, recs)
	first := ask(t, e, analytics.Query{})
	mustClose(t, e)
	e = reopen(t, open, dir)
	wantAnswers(t, e, recs)
	again := ask(t, e, analytics.Query{})
	if again.Revision != first.Revision {
		t.Fatalf("a restart changed the revision from %d to %d", first.Revision, again.Revision)
	}
	wantAll(t, e, recs, store.Duplicate)
	more := call(9999, func(r *usage.Record) { r.Tags = map[string]string{"team": "a"} })
	appendAll(t, e, []usage.Record{more})
	wantAnswers(t, e, append(recs, more))
	// A moment before the restart can still be named, and commits go on counting.
	if got := ask(t, e, analytics.Query{Filter: analytics.Filter{AsOf: first.AsOf}}); got.Calls != first.Calls {
		t.Fatalf("as of before the restart: %d calls, want %d", got.Calls, first.Calls)
	}
	if got := ask(t, e, analytics.Query{}); got.AsOf <= first.AsOf {
		t.Fatalf("as of %d after a restart, %d before", got.AsOf, first.AsOf)
	}
}

// Events arrive late for times that others were stored for before a restart.
func testLateAfterReopen(t *testing.T, open Opener) {
	dir := t.TempDir()
	e := open(t, dir)
	early := make([]usage.Record, 600)
	late := make([]usage.Record, len(early))
	for i := range early {
		at := func(r *usage.Record) { r.Timestamp = epoch.Add(time.Duration(i/20) * 40 * 24 * time.Hour) }
		early[i] = call(i, at)
		late[i] = call(i, at, func(r *usage.Record) { r.SpanID += "-late"; r.Feature = "late" })
	}
	appendAll(t, e, early)
	mustClose(t, e)
	e = reopen(t, open, dir)
	for i := 0; i < len(late); i += 150 {
		wantAll(t, e, late[i:i+150], store.Stored)
		wantAll(t, e, append(late[i:i+150:i+150], early[i:i+150]...), store.Duplicate)
	}
	wantAnswers(t, e, append(late, early...))
	mustClose(t, e)
	e = reopen(t, open, dir)
	wantAll(t, e, append(late, early...), store.Duplicate)
}

// After Close every method says that it is not available, and closing again is
// no error.
func testClosed(t *testing.T, open Opener) {
	e := open(t, t.TempDir())
	recs := calls(3)
	appendAll(t, e, recs)
	mustClose(t, e)
	for name, call := range map[string]func() error{
		"Append": func() error { _, err := e.Append(ctx(t), recs); return err },
		"Dump":   func() error { return e.Dump(ctx(t), &meddler{meddle: func(int) {}}) },
		"Query":  func() error { _, err := e.Query(ctx(t), analytics.Query{}); return err },
		"Bloat": func() error {
			_, err := e.Bloat(ctx(t), analytics.BloatQuery{MinRatio: 2000, MinCalls: 1, Limit: 1})
			return err
		},
		"Growth": func() error {
			_, err := e.Growth(ctx(t), analytics.GrowthQuery{Filter: analytics.Filter{From: epoch, To: epoch.Add(time.Hour)}, Parts: 2})
			return err
		},
		"Resent": func() error { _, err := e.Resent(ctx(t), analytics.HistoryQuery{}); return err },
		"Events": func() error {
			for _, err := range e.Events(ctx(t), store.EventQuery{}) {
				return err
			}
			return nil
		},
		"Get": func() error { _, err := e.Get(ctx(t), recs[0].ID, analytics.Filter{}); return err },
		"Correct": func() error {
			_, err := e.Correct(ctx(t), store.Correction{At: epoch, Changes: []store.CostChange{change(recs[0], usage.Costing{})}})
			return err
		},
		"Prune":         func() error { _, err := e.Prune(ctx(t), from(epoch)); return err },
		"Pruned":        func() error { _, err := e.Pruned(ctx(t)); return err },
		"ListRetention": func() error { _, err := e.ListRetention(ctx(t)); return err },
		"PutRetention":  func() error { return e.PutRetention(ctx(t), store.Retention{}, entry("put")) },
		"ListPrices":    func() error { _, err := e.ListPrices(ctx(t)); return err },
		"ReplacePrices": func() error { return e.ReplacePrices(ctx(t), nil, []pricing.Own{own("p")}, entry("put")) },
		"GetList":       func() error { _, err := e.GetList(ctx(t)); return err },
		"ReplaceList":   func() error { return e.ReplaceList(ctx(t), 0, nil, entry("list")) },
		"History":       func() error { _, err := e.History(ctx(t), store.EventKey{Timestamp: epoch}); return err },
		"PutVersions":   func() error { return e.PutVersions(ctx(t), []pricing.Version{version("p")}) },
		"GetVersion":    func() error { _, err := e.GetVersion(ctx(t), "p"); return err },
		"AppendAudit":   func() error { return e.AppendAudit(ctx(t), entry("put")) },
		"ListAudit":     func() error { _, err := e.ListAudit(ctx(t), 0, 1); return err },
		"PutRun":        func() error { return e.PutRun(ctx(t), store.Run{ID: "r", Started: epoch}) },
		"GetRun":        func() error { _, err := e.GetRun(ctx(t), "r"); return err },
		"ListRuns":      func() error { _, err := e.ListRuns(ctx(t), "", 1); return err },
		"Ping":          func() error { _, err := e.Ping(ctx(t)); return err },
	} {
		if err := call(); fault.CodeOf(err) != fault.Unavailable {
			t.Errorf("%s after Close: %v, want unavailable", name, err)
		}
	}
	mustClose(t, e)
}

// Close finishes what it accepted: what was acknowledged is there afterwards, and
// of the rest nothing or everything.
func testCloseWhileAppending(t *testing.T, open Opener) {
	const clients, size = 6, 20
	dir := t.TempDir()
	e := open(t, dir)
	batchOf := func(client, i int) []usage.Record {
		out := make([]usage.Record, size)
		for k := range out {
			out[k] = call(k, func(r *usage.Record) { r.SpanID = fmt.Sprintf("%d/%d/%d", client, i, k) })
		}
		return out
	}
	var acknowledged [clients]int
	var total atomic.Int64
	enough := make(chan struct{})
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			for i := 0; ; i++ {
				receipt, err := e.Append(t.Context(), batchOf(c, i))
				if err != nil {
					if fault.CodeOf(err) != fault.Unavailable {
						t.Errorf("Append beside Close: %v, want unavailable", err)
					}
					return
				}
				if count(receipt.Outcomes, store.Stored) != size {
					t.Errorf("outcomes %v", receipt.Outcomes)
					return
				}
				acknowledged[c] = i + 1
				if total.Add(1) == 30 {
					close(enough)
				}
			}
		})
	}
	<-enough
	mustClose(t, e)
	wg.Wait()
	e = reopen(t, open, dir)
	for c := range clients {
		for i := range acknowledged[c] {
			wantAll(t, e, batchOf(c, i), store.Duplicate)
		}
		out := appendAll(t, e, batchOf(c, acknowledged[c]))
		if n := count(out, store.Stored); n != 0 && n != size {
			t.Fatalf("%d of %d events of an append without an answer were stored", size-n, size)
		}
	}
}

func testHealth(t *testing.T, open Opener) {
	dir := t.TempDir()
	e := open(t, dir)
	want := func(events int64) {
		t.Helper()
		h, err := e.Ping(ctx(t))
		if err != nil || h != (store.Health{Events: events}) {
			t.Fatalf("Ping: %+v, %v; want %d events", h, err, events)
		}
	}
	want(0)
	recs := calls(250)
	recs[7].Aggregate = true
	recs[8].EventID = "own"
	recs[8].ID = recs[8].Identity()
	appendAll(t, e, recs)
	appendAll(t, e, recs)
	want(250)
	mustPrune(t, e, from(recs[50].Timestamp), 50)
	want(200)
	appendAll(t, e, recs[50:60])
	want(200)
	mustClose(t, e)
	e = reopen(t, open, dir)
	want(200)
}
