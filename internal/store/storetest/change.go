package storetest

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/pricing"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/usage"
)

func testCorrect(t *testing.T, open Opener) {
	dir := t.TempDir()
	e := open(t, dir)
	recs := calls(300)
	for i := range recs[:100] {
		recs[i].Costing = usage.Costing{}
	}
	appendAll(t, e, recs)
	before, err := e.Query(ctx(t), analytics.Query{})
	if err != nil {
		t.Fatal(err)
	}
	now := usage.Costing{Source: usage.SourceCatalog, PriceID: "p_9", CacheSaving: -5, Fallback: true}
	now.Classes[usage.ClassInput], now.Classes[usage.ClassUnits] = 7, 11
	c := store.Correction{Reason: "backfill", At: epoch.Add(time.Hour)}
	for i := range 120 {
		c.Changes = append(c.Changes, store.CostChange{ID: recs[i].ID, Timestamp: recs[i].Timestamp, WasSource: usage.SourceUnpriced, Now: now})
	}
	c.Changes = append(c.Changes, store.CostChange{ID: usage.ID{9}, Timestamp: epoch, Now: now}) // gone
	n, err := e.Correct(ctx(t), c)
	if err != nil || n != 100 {
		t.Fatalf("Correct changed %d, %v; want the 100 that are as they were", n, err)
	}
	for i := range recs[:100] {
		recs[i].Costing = now
	}
	wantTotals(t, e, recs)
	after, err := e.Query(ctx(t), analytics.Query{})
	if err != nil || after.Revision == before.Revision {
		t.Fatalf("the revision did not change: %d, %v", after.Revision, err)
	}
	if n, err := e.Correct(ctx(t), c); err != nil || n != 0 {
		t.Fatalf("again: %d, %v", n, err)
	}
	got, err := e.Get(ctx(t), recs[0].ID, analytics.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(recs[0], got, same); d != "" {
		t.Fatalf("corrected record (-want +got):\n%s", d)
	}
	// A retry of a corrected event is still a duplicate.
	if out := appendAll(t, e, calls(10)); count(out, store.Duplicate) != 10 {
		t.Fatalf("retry after correction: %v", out)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = reopen(t, open, dir)
	wantTotals(t, e, recs)
	if again, err := e.Query(ctx(t), analytics.Query{}); err != nil || again.Revision != after.Revision {
		t.Fatalf("revision after a restart %d, want %d (%v)", again.Revision, after.Revision, err)
	}
}

func testPrune(t *testing.T, open Opener) {
	e := fresh(t, open)
	recs := calls(400)
	appendAll(t, e, recs)
	n, err := e.Prune(ctx(t), recs[150].Timestamp)
	if err != nil || n != 150 {
		t.Fatalf("Prune: %d, %v", n, err)
	}
	wantTotals(t, e, recs[150:])
	if n, err := e.Prune(ctx(t), recs[150].Timestamp); err != nil || n != 0 {
		t.Fatalf("again: %d, %v", n, err)
	}
	if out := appendAll(t, e, recs[150:]); count(out, store.Duplicate) != 250 {
		t.Fatal("what is left was not recognised")
	}
	if got := collect(t, e, store.EventQuery{}); len(got) != 250 {
		t.Fatalf("%d events left", len(got))
	}
}

func testReopen(t *testing.T, open Opener) {
	dir := t.TempDir()
	e := open(t, dir)
	recs := calls(500)
	for i := range recs {
		recs[i].Tags = map[string]string{"n": string(rune('a' + i%3))}
	}
	appendAll(t, e, recs)
	first, err := e.Query(ctx(t), analytics.Query{})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = reopen(t, open, dir)
	wantTotals(t, e, recs)
	if out := appendAll(t, e, recs); count(out, store.Duplicate) != len(recs) {
		t.Fatal("a restart forgot identities")
	}
	more := call(9999, func(r *usage.Record) { r.Tags = map[string]string{"n": "a"} })
	appendAll(t, e, []usage.Record{more})
	got, err := e.Query(ctx(t), analytics.Query{GroupBy: []analytics.Dimension{analytics.Tag("n")}})
	if err != nil || len(got.Rows) != 3 || got.AsOf <= first.AsOf {
		t.Fatalf("tags after a restart: %+v, %v", got, err)
	}
}

func testPrices(t *testing.T, open Opener) {
	e := fresh(t, open)
	own := func(id string) pricing.Own {
		return pricing.Own{PutAt: epoch, Version: pricing.Version{
			ID: id, Provider: "acme", Model: "m", From: epoch, Source: "own",
			Rates:  []pricing.Rate{{Unit: usage.Input, Price: 5, Above: []pricing.Step{{InputTokens: 10, Price: 7}}, Minimum: 3}},
			Window: &pricing.Window{Start: time.Hour, End: 2 * time.Hour, Weekdays: []time.Weekday{1, 2}, Zone: "Asia/Shanghai"},
		}}
	}
	entry := store.AuditEntry{At: epoch, Actor: "test", Action: "prices.put", Detail: []byte(`{"a":1}`)}
	for _, step := range []struct {
		remove []string
		puts   []pricing.Own
		want   []string
	}{
		{nil, []pricing.Own{own("p_b"), own("p_a")}, []string{"p_b", "p_a"}},
		{[]string{"p_b"}, []pricing.Own{own("p_c")}, []string{"p_a", "p_c"}},
		{[]string{"p_a", "p_c", "p_x"}, nil, nil},
	} {
		if err := e.ReplacePrices(ctx(t), step.remove, step.puts, entry); err != nil {
			t.Fatal(err)
		}
		got, err := e.ListPrices(ctx(t))
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, p := range got {
			ids = append(ids, p.ID)
			if d := cmp.Diff(own(p.ID), p); d != "" {
				t.Fatalf("price changed:\n%s", d)
			}
		}
		if d := cmp.Diff(step.want, ids); d != "" {
			t.Fatalf("prices:\n%s", d)
		}
	}
	v := own("p_v").Version
	for range 2 {
		if err := e.PutVersions(ctx(t), []pricing.Version{v}); err != nil {
			t.Fatal(err)
		}
	}
	got, err := e.GetVersion(ctx(t), "p_v")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(v, got); d != "" {
		t.Fatal(d)
	}
	if _, err := e.GetVersion(ctx(t), "p_none"); fault.CodeOf(err) != fault.NotFound {
		t.Fatalf("unknown version: %v", err)
	}
	log, err := e.ListAudit(ctx(t), 0, 10)
	if err != nil || len(log) != 3 || string(log[0].Detail) != `{"a":1}` {
		t.Fatalf("audit: %+v, %v", log, err)
	}
}

func testAudit(t *testing.T, open Opener) {
	e := fresh(t, open)
	for i := range 25 {
		if err := e.AppendAudit(ctx(t), store.AuditEntry{At: epoch.Add(time.Duration(i) * time.Second), Actor: "a", Action: "b", Detail: []byte(`{}`)}); err != nil {
			t.Fatal(err)
		}
	}
	var below int64
	seen := 0
	for {
		page, err := e.ListAudit(ctx(t), below, 10)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, a := range page {
			if below != 0 && a.ID >= below {
				t.Fatal("not newest first")
			}
			below = a.ID
			seen++
		}
	}
	if seen != 25 {
		t.Fatalf("%d entries", seen)
	}
}

func testRuns(t *testing.T, open Opener) {
	e := fresh(t, open)
	r := store.Run{ID: "r1", Name: "backfill", State: "running", Started: epoch, Input: []byte(`{"x":1}`)}
	if err := e.PutRun(ctx(t), r); err != nil {
		t.Fatal(err)
	}
	got, err := e.GetRun(ctx(t), "r1")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(r, got); d != "" {
		t.Fatal(d)
	}
	r.State, r.Finished, r.Result, r.Error = "failed", epoch.Add(time.Minute), []byte(`{}`), "it broke"
	if err := e.PutRun(ctx(t), r); err != nil {
		t.Fatal(err)
	}
	if err := e.PutRun(ctx(t), store.Run{ID: "r2", Name: "backfill", State: "running", Started: epoch.Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	all, err := e.ListRuns(ctx(t), "", 10)
	if err != nil || len(all) != 2 || all[0].ID != "r2" {
		t.Fatalf("runs: %+v, %v", all, err)
	}
	if d := cmp.Diff(r, all[1]); d != "" {
		t.Fatal(d)
	}
	running, err := e.ListRuns(ctx(t), "running", 10)
	if err != nil || len(running) != 1 {
		t.Fatalf("running: %+v, %v", running, err)
	}
	if _, err := e.GetRun(ctx(t), "r3"); fault.CodeOf(err) != fault.NotFound {
		t.Fatalf("unknown run: %v", err)
	}
}
