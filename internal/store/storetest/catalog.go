package storetest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/pricing"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/usage"
)

func version(id string) pricing.Version {
	return pricing.Version{
		ID: id, Provider: "acme", Model: "m", From: epoch, Source: "own",
		Rates:  []pricing.Rate{{Unit: usage.Input, Price: 5, Above: []pricing.Step{{InputTokens: 10, Price: 7}}, Minimum: 3}},
		Window: &pricing.Window{Start: time.Hour, End: 2 * time.Hour, Weekdays: []time.Weekday{1, 2}, Zone: "Asia/Shanghai"},
	}
}

func own(id string) pricing.Own { return pricing.Own{PutAt: epoch, Version: version(id)} }

func entry(action string) store.AuditEntry {
	return store.AuditEntry{At: epoch.Add(time.Microsecond), Actor: "zoë", Action: action, Detail: []byte(`{"a":"'ß'"}`)}
}

// wantPrices checks the own prices and how many entries the audit log has.
func wantPrices(t *testing.T, e store.Catalog, ids []string, entries int) {
	t.Helper()
	got, err := e.ListPrices(ctx(t))
	if err != nil {
		t.Fatal(err)
	}
	want := make([]pricing.Own, len(ids))
	for i, id := range ids {
		want[i] = own(id)
	}
	if d := diff(want, got); d != "" {
		t.Fatalf("prices (-want +got):\n%s", d)
	}
	log, err := e.ListAudit(ctx(t), 0, 100)
	if err != nil || len(log) != entries {
		t.Fatalf("%d audit entries, %v; want %d", len(log), err, entries)
	}
}

func testPrices(t *testing.T, open Opener) {
	e := fresh(t, open)
	wantPrices(t, e, nil, 0)
	entries := 0
	for _, step := range []struct{ remove, puts, want []string }{
		{nil, []string{"p_b", "p_a"}, []string{"p_b", "p_a"}},
		{[]string{"p_b"}, []string{"p_c"}, []string{"p_a", "p_c"}},
		{[]string{"p_a"}, []string{"p_a"}, []string{"p_c", "p_a"}},
		{[]string{"p_a", "p_c", "p_x"}, nil, nil},
		{nil, []string{"p_a"}, []string{"p_a"}},
	} {
		puts := make([]pricing.Own, len(step.puts))
		for i, id := range step.puts {
			puts[i] = own(id)
		}
		if err := e.ReplacePrices(ctx(t), step.remove, puts, entry(fmt.Sprint(step.puts))); err != nil {
			t.Fatal(err)
		}
		entries++
		wantPrices(t, e, step.want, entries)
	}
	ended, cancel := context.WithCancel(ctx(t))
	cancel()
	if err := e.ReplacePrices(ended, []string{"p_a"}, []pricing.Own{own("p_z")}, entry("late")); err == nil {
		wantPrices(t, e, []string{"p_z"}, entries+1)
	} else {
		wantPrices(t, e, []string{"p_a"}, entries)
	}
}

// What breaks in the middle leaves nothing behind, neither prices nor an entry of
// the audit log: no engine can store text that is not UTF-8, which is put into
// the second price and then into the entry.
func testPricesAllOrNothing(t *testing.T, open Opener) {
	e := fresh(t, open)
	if err := e.ReplacePrices(ctx(t), nil, []pricing.Own{own("p_a"), own("p_b")}, entry("first")); err != nil {
		t.Fatal(err)
	}
	broken, unsigned := own("p_\xff"), entry("unsigned")
	unsigned.Actor = "\xff"
	for name, change := range map[string]struct {
		puts  []pricing.Own
		entry store.AuditEntry
	}{
		"a broken price": {[]pricing.Own{own("p_c"), broken, own("p_d")}, entry("broken")},
		"a broken entry": {[]pricing.Own{own("p_c")}, unsigned},
		"only an entry":  {nil, unsigned},
	} {
		if err := e.ReplacePrices(ctx(t), []string{"p_a"}, change.puts, change.entry); err == nil {
			t.Fatalf("%s was stored", name)
		}
		wantPrices(t, e, []string{"p_a", "p_b"}, 1)
	}
	if err := e.ReplacePrices(ctx(t), []string{"p_a"}, []pricing.Own{own("p_c")}, entry("last")); err != nil {
		t.Fatal(err)
	}
	wantPrices(t, e, []string{"p_b", "p_c"}, 2)
}

func testVersions(t *testing.T, open Opener) {
	e := fresh(t, open)
	first, other := version("p_v"), version("p_v")
	other.Model = "another"
	if err := e.PutVersions(ctx(t), []pricing.Version{first, version("p_w"), first}); err != nil {
		t.Fatal(err)
	}
	if err := e.PutVersions(ctx(t), []pricing.Version{other, version("p_x")}); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]pricing.Version{"p_v": first, "p_w": version("p_w"), "p_x": version("p_x")} {
		got, err := e.GetVersion(ctx(t), id)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("version %s (-want +got):\n%s", id, d)
		}
	}
	if _, err := e.GetVersion(ctx(t), "p_none"); fault.CodeOf(err) != fault.NotFound {
		t.Fatalf("unknown version: %v", err)
	}
	wantPrices(t, e, nil, 0) // a version that was used is not an own price
}

func testAudit(t *testing.T, open Opener) {
	e := fresh(t, open)
	for i := range 25 {
		a := entry(fmt.Sprint(i))
		a.At = epoch.Add(time.Duration(i%3) * time.Second) // the clock does not order them
		if err := e.AppendAudit(ctx(t), a); err != nil {
			t.Fatal(err)
		}
	}
	var below int64
	for want := 24; want >= 0; {
		page, err := e.ListAudit(ctx(t), below, 10)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) != min(10, want+1) {
			t.Fatalf("a page of %d, want %d", len(page), min(10, want+1))
		}
		for _, got := range page {
			a := entry(fmt.Sprint(want))
			a.At, a.ID = epoch.Add(time.Duration(want%3)*time.Second), got.ID
			if d := cmp.Diff(a, got); d != "" {
				t.Fatalf("entry %d (-want +got):\n%s", want, d)
			}
			if got.ID <= 0 || below != 0 && got.ID >= below {
				t.Fatalf("id %d after %d", got.ID, below)
			}
			below = got.ID
			want--
		}
	}
	if page, err := e.ListAudit(ctx(t), below, 10); err != nil || len(page) != 0 {
		t.Fatalf("below the oldest: %v, %v", page, err)
	}
}

func testRuns(t *testing.T, open Opener) {
	e := fresh(t, open)
	put := func(r store.Run) {
		t.Helper()
		if err := e.PutRun(ctx(t), r); err != nil {
			t.Fatal(err)
		}
		got, err := e.GetRun(ctx(t), r.ID)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(r, got); d != "" {
			t.Fatalf("run (-put +got):\n%s", d)
		}
	}
	list := func(state string, limit int, want ...string) {
		t.Helper()
		runs, err := e.ListRuns(ctx(t), state, limit)
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, r := range runs {
			ids = append(ids, r.ID)
		}
		if d := cmp.Diff(want, ids); d != "" {
			t.Fatalf("runs %q (-want +got):\n%s", state, d)
		}
	}
	list("", 10)
	late := store.Run{ID: "r1", Name: "backfill", State: "running", Started: epoch.Add(time.Hour), Input: []byte(`{"x":1}`)}
	early := store.Run{ID: "r2", Name: "backfill", State: "running", Started: epoch}
	put(late)
	put(early)
	list("running", 10, "r1", "r2")
	early.State, early.Finished, early.Result, early.Error = "failed", epoch.Add(time.Minute), []byte(`{}`), "it broke: 'ß'"
	put(early)
	list("", 10, "r1", "r2")
	list("", 1, "r1")
	list("running", 10, "r1")
	list("failed", 10, "r2")
	list("done", 10)
	if _, err := e.GetRun(ctx(t), "r3"); fault.CodeOf(err) != fault.NotFound {
		t.Fatalf("unknown run: %v", err)
	}
}

func testCatalogReopened(t *testing.T, open Opener) {
	dir := t.TempDir()
	e := open(t, dir)
	run := store.Run{ID: "r1", Name: "backfill", State: "running", Started: epoch, Input: []byte(`{"x":1}`)}
	for _, err := range []error{
		e.ReplacePrices(ctx(t), nil, []pricing.Own{own("p_b"), own("p_a")}, entry("put")),
		e.PutVersions(ctx(t), []pricing.Version{version("p_v")}),
		e.PutRun(ctx(t), run),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	mustClose(t, e)
	e = reopen(t, open, dir)
	if err := e.ReplacePrices(ctx(t), nil, []pricing.Own{own("p_0")}, entry("put")); err != nil {
		t.Fatal(err)
	}
	wantPrices(t, e, []string{"p_b", "p_a", "p_0"}, 2)
	if log, err := e.ListAudit(ctx(t), 0, 10); err != nil || log[0].ID <= log[1].ID {
		t.Fatalf("audit after a restart: %+v, %v", log, err)
	}
	if v, err := e.GetVersion(ctx(t), "p_v"); err != nil || v.ID != "p_v" {
		t.Fatalf("version after a restart: %+v, %v", v, err)
	}
	if got, err := e.GetRun(ctx(t), "r1"); err != nil || !cmp.Equal(run, got) {
		t.Fatalf("run after a restart: %+v, %v", got, err)
	}
}
