package rating

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/pricing"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/usage"
)

var year = Rerate{From: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), To: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC), Actor: "tester"}

// rerate does what is asked and returns the run's end.
func (r *rig) rerate(q Rerate) (store.Run, rerateResult) {
	r.t.Helper()
	run, err := r.Rerate(r.t.Context(), q)
	if err != nil {
		r.t.Fatal(err)
	}
	r.settled()
	return r.ended(run.ID)
}

func (r *rig) ended(id string) (store.Run, rerateResult) {
	r.t.Helper()
	run, err := r.Job(r.t.Context(), id)
	if err != nil {
		r.t.Fatal(err)
	}
	var res rerateResult
	if err := json.Unmarshal(run.Result, &res); err != nil {
		r.t.Fatal(err)
	}
	return run, res
}

func (r *rig) applied(q Rerate) (store.Run, rerateResult) {
	r.t.Helper()
	_, preview := r.rerate(q)
	q.Token = preview.Token
	return r.rerate(q)
}

// mixed stores calls that a price of the past changes, and others.
func (r *rig) mixed() {
	billed, guess := amount(r.t, "0.7"), amount(r.t, "0.5")
	paid, sum, other := call("paid", "openai", "gpt-4o", noon), call("sum", "openai", "gpt-4o", noon), call("other", "openai", "gpt-4o-mini", noon)
	paid.Billed, sum.Aggregate = &billed, true
	guessed := call("guess", "acme", "nova", noon.Add(-time.Hour))
	guessed.Estimated = &guess
	for i := range 4 {
		r.store(call(fmt.Sprint(i), "openai", "gpt-4o", noon.Add(-time.Duration(i)*time.Hour)))
	}
	r.store(paid, sum, other, guessed, call("older", "openai", "gpt-4o", noon.AddDate(-1, 0, 0)))
}

func TestRerate(t *testing.T) {
	r := newRig(t)
	r.mixed()
	r.put(pricing.PutRequest{Provider: "openai", Model: "gpt-4o", EffectiveFrom: "2026-11-01T10:00:00Z", Prices: twoEight})
	r.settled()
	before := r.costs()
	run, preview := r.rerate(year)
	if run.State != "done" || run.Name != RerateName {
		t.Fatalf("the preview is %q: %s", run.State, run.Error)
	}
	want := rerateResult{
		Total: 7, Scanned: 7, Calls: 3, Aggregates: 1,
		OldCost: money.TotalOf(3 * amount(t, "0.0035")), NewCost: money.TotalOf(3 * amount(t, "0.0028")), Difference: money.TotalOf(-3 * amount(t, "0.0007")),
		Models: []modelDifference{{
			Provider: "openai", Model: "gpt-4o", Calls: 3,
			OldCost: money.TotalOf(3 * amount(t, "0.0035")), NewCost: money.TotalOf(3 * amount(t, "0.0028")), Difference: money.TotalOf(-3 * amount(t, "0.0007")),
		}},
	}
	want.Token, want.Book, want.Digest, want.AsOf, want.Revision = preview.Token, preview.Book, preview.Digest, preview.AsOf, preview.Revision
	if diff := cmp.Diff(want, preview, cmp.AllowUnexported(money.Total{})); diff != "" {
		t.Errorf("preview (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(before, r.costs()); diff != "" {
		t.Errorf("a preview changed costs (-want +got):\n%s", diff)
	}
	if !strings.HasPrefix(preview.Token, run.ID) || preview.AsOf == 0 {
		t.Errorf("token %q as of %d", preview.Token, preview.AsOf)
	}

	q := year
	q.Token = preview.Token
	run, done := r.rerate(q)
	if run.State != "done" || done.Calls != 3 || done.Aggregates != 1 || done.NewCost.Cmp(preview.NewCost) != 0 || done.OldCost.Cmp(preview.OldCost) != 0 || done.Scanned != 7 {
		t.Errorf("applied: %q %s %+v", run.State, run.Error, done)
	}
	wantCosts := []string{
		"0 catalog 0.0028", "1 catalog 0.0028", "2 catalog 0.0028", "3 catalog 0.0035", "guess client 0.5",
		"older catalog 0.0035", "other catalog 0.00021", "paid billed 0.7", "sum catalog 0.0028",
	}
	if diff := cmp.Diff(wantCosts, r.costs()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	last := r.catalog.log[len(r.catalog.log)-1]
	if last.Action != RerateName || last.Actor != "tester" || !strings.Contains(string(last.Detail), `"oldCost":0.0105,"newCost":0.0084,"difference":-0.0021`) {
		t.Errorf("audit: %s by %s: %s", last.Action, last.Actor, last.Detail)
	}
	rec := r.ledger.all(t)["0"]
	past, err := r.ledger.History(t.Context(), store.EventKey{Timestamp: rec.Timestamp, ID: rec.ID})
	if err != nil || len(past) != 1 || past[0].Was.Total() != amount(t, "0.0035") || past[0].Reason != "rerate "+run.ID || past[0].NowCost != amount(t, "0.0028") {
		t.Errorf("history %+v, %v", past, err)
	}
	// Nothing is left to do, and the token does nothing twice.
	if _, again := r.rerate(year); again.Calls != 0 || len(again.Models) != 0 {
		t.Errorf("again: %+v", again)
	}
	if run, again := r.rerate(q); run.State != "failed" || again.Calls != 0 {
		t.Errorf("the token again: %q %+v", run.State, again)
	}
}

func TestRerateOfSomeCalls(t *testing.T) {
	for name, want := range map[string]int64{
		"": 5, "model gpt-4o": 4, "model none": 0, "provider OPEN-AI": 5, "provider x": 0, "project default": 5, "project p": 0, "short": 1,
	} {
		r := newRig(t)
		r.mixed()
		for _, m := range []string{"gpt-4o", "gpt-4o-mini"} {
			r.put(pricing.PutRequest{Provider: "openai", Model: m, EffectiveFrom: "2026-01-01", Prices: threeNine})
		}
		q := year
		field, value, _ := strings.Cut(name, " ")
		switch field {
		case "model":
			q.Model = value
		case "provider":
			q.Provider = value
		case "project":
			q.Project = value
		case "short":
			q.From, q.To = noon.Add(-time.Hour), noon
		}
		if _, res := r.applied(q); res.Calls != want {
			t.Errorf("%s: %d calls, want %d", name, res.Calls, want)
		}
	}
}

// A wrong price of the past that is taken back and rerated leaves no trace in any
// total.
func TestDeleteAndRerateCure(t *testing.T) {
	r := newRig(t)
	r.store(call("waits", "acme", "nova", noon.Add(-3*time.Hour)))
	r.mixed()
	clean := r.costs()
	for _, m := range [][2]string{{"openai", "gpt-4o"}, {"acme", "nova"}} {
		r.put(pricing.PutRequest{Provider: m[0], Model: m[1], EffectiveFrom: "2026-01-01", Prices: threeNine})
	}
	r.settled()
	r.applied(year)
	if diff := cmp.Diff(clean, r.costs()); diff == "" {
		t.Fatal("the wrong price changed nothing")
	}
	for _, m := range [][2]string{{"openai", "gpt-4o"}, {"acme", "nova"}} {
		gone := fromNow(m[0], m[1])
		gone.From = year.From
		if err := r.Delete(t.Context(), gone, "tester"); err != nil {
			t.Fatal(err)
		}
	}
	r.settled()
	r.applied(year)
	if diff := cmp.Diff(clean, r.costs()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Wherever a run is interrupted, every call is priced once and summed up exactly.
func TestRerateResumes(t *testing.T) {
	for _, late := range []bool{false, true} {
		for at := 1; ; at++ {
			r := newRig(t)
			for i := range 8 {
				r.store(call(fmt.Sprint(i), "openai", "gpt-4o", noon.Add(-time.Duration(i)*time.Hour)))
			}
			r.put(pricing.PutRequest{Provider: "openai", Model: "gpt-4o", EffectiveFrom: "2026-01-01", Prices: twoEight})
			_, preview := r.rerate(year)
			q := year
			q.Token = preview.Token
			run, err := r.Rerate(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			r.outage.calls, r.outage.at, r.outage.late = 0, at, late
			err = r.work(t.Context())
			if err == nil {
				if at < 8 {
					t.Fatalf("the run took %d operations, too few to be interrupted", r.outage.calls)
				}
				break
			}
			if fault.CodeOf(err) != fault.Unavailable {
				t.Fatal(err)
			}
			r.open()
			r.store(call("late", "openai", "gpt-4o", noon.Add(-time.Minute)))
			r.settled()
			job, got := r.ended(run.ID)
			if job.State != "done" || got.Calls != 8 || got.Scanned != 8 || got.Pending != nil ||
				got.OldCost.Cmp(money.TotalOf(8*amount(t, "0.0035"))) != 0 || got.NewCost.Cmp(money.TotalOf(8*amount(t, "0.0028"))) != 0 {
				t.Errorf("interrupted at %d (late %v): %q %s %+v", at, late, job.State, job.Error, got)
			}
			audits := 0
			for _, e := range r.catalog.log {
				if e.Action == RerateName {
					audits++
				}
			}
			if audits != 1 {
				t.Errorf("interrupted at %d (late %v): %d audit entries", at, late, audits)
			}
			for span, rec := range r.ledger.all(t) {
				if rec.Total() != amount(t, "0.0028") {
					t.Errorf("interrupted at %d (late %v): %s costs %s", at, late, span, rec.Total())
				}
				past, _ := r.ledger.History(t.Context(), store.EventKey{Timestamp: rec.Timestamp, ID: rec.ID})
				if want := 1; span != "late" && len(past) != want {
					t.Errorf("interrupted at %d (late %v): %s was corrected %d times", at, late, span, len(past))
				}
			}
		}
	}
}

// What was previewed is applied, or nothing is.
func TestRerateThatMoved(t *testing.T) {
	fresh := func() (*rig, Rerate) {
		r := newRig(t)
		r.mixed()
		r.put(pricing.PutRequest{Provider: "openai", Model: "gpt-4o", EffectiveFrom: "2026-01-01", Prices: twoEight})
		r.settled()
		_, preview := r.rerate(year)
		q := year
		q.Token = preview.Token
		return r, q
	}
	t.Run("the prices before", func(t *testing.T) {
		r, q := fresh()
		r.put(pricing.PutRequest{Provider: "openai", Model: "gpt-4o", EffectiveFrom: "2026-01-01", Prices: threeNine})
		if _, err := r.Rerate(t.Context(), q); fault.CodeOf(err) != fault.Conflict {
			t.Errorf("%v", err)
		}
	})
	t.Run("the prices after", func(t *testing.T) {
		r, q := fresh()
		run, err := r.Rerate(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		before := r.costs()
		r.put(pricing.PutRequest{Provider: "openai", Model: "gpt-4o", EffectiveFrom: "2026-01-01", Prices: threeNine})
		r.settled()
		if job, _ := r.ended(run.ID); job.State != "failed" || !strings.Contains(job.Error, "nothing was applied") {
			t.Errorf("%q %s", job.State, job.Error)
		}
		if diff := cmp.Diff(before, r.costs()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
	t.Run("a call that matters", func(t *testing.T) {
		r, q := fresh()
		rec := r.ledger.all(t)["0"]
		now := usage.Costing{Source: usage.SourceCatalog, PriceID: "p_x"}
		if _, err := r.ledger.Ledger.Correct(t.Context(), store.Correction{Changes: []store.CostChange{{
			ID: rec.ID, Timestamp: rec.Timestamp, WasSource: rec.Source, WasPriceID: rec.PriceID, Now: now,
		}}}); err != nil {
			t.Fatal(err)
		}
		before := r.costs()
		if job, _ := r.rerate(q); job.State != "failed" || !strings.Contains(job.Error, "nothing was applied") {
			t.Errorf("%q %s", job.State, job.Error)
		}
		if diff := cmp.Diff(before, r.costs()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
	t.Run("a call that does not", func(t *testing.T) {
		r, q := fresh()
		rec := r.ledger.all(t)["older"]
		if _, err := r.ledger.Ledger.Correct(t.Context(), store.Correction{Changes: []store.CostChange{{
			ID: rec.ID, Timestamp: rec.Timestamp, WasSource: rec.Source, WasPriceID: rec.PriceID,
		}}}); err != nil {
			t.Fatal(err)
		}
		r.store(call("late", "openai", "gpt-4o", noon.Add(-time.Minute)))
		if job, res := r.rerate(q); job.State != "done" || res.Calls != 4 {
			t.Errorf("%q %s %+v", job.State, job.Error, res)
		}
	})
	t.Run("another request", func(t *testing.T) {
		r, q := fresh()
		for name, change := range map[string]func(*Rerate){
			"model": func(q *Rerate) { q.Model = "gpt-4o" }, "to": func(q *Rerate) { q.To = noon }, "token": func(q *Rerate) { q.Token += "0" },
			"nothing": func(q *Rerate) { q.Token = "x" }, "project": func(q *Rerate) { q.Project = "p" }, "order": func(q *Rerate) { q.To = q.From },
		} {
			other := q
			change(&other)
			if _, err := r.Rerate(t.Context(), other); fault.CodeOf(err) != fault.Invalid {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
	t.Run("an empty ledger", func(t *testing.T) {
		r := newRig(t)
		_, preview := r.rerate(year)
		q := year
		q.Token = preview.Token
		r.store(call("a", "openai", "gpt-4o", noon))
		if job, res := r.rerate(q); job.State != "done" || res.Calls != 0 {
			t.Errorf("%q %s %+v", job.State, job.Error, res)
		}
	})
}

// Prices that change while a rerate is applied stop it; it says what it did, once
// in the audit log, and another one does the rest.
func TestRerateStopsWhenPricesChange(t *testing.T) {
	r := newRig(t)
	for i := range 7 {
		r.store(call(fmt.Sprint(i), "openai", "gpt-4o", noon.Add(-time.Duration(i)*time.Minute)))
	}
	r.put(pricing.PutRequest{Provider: "openai", Model: "gpt-4o", EffectiveFrom: "2026-11-01T10:00:00Z", Prices: twoEight})
	_, preview := r.rerate(year)
	q := year
	q.Token = preview.Token
	run, err := r.Rerate(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	pages := 0
	r.ledger.before = func() {
		if pages++; pages == 2 {
			r.put(pricing.PutRequest{Provider: "openai", Model: "gpt-4o", EffectiveFrom: "2026-11-01T10:00:00Z", Prices: threeNine})
		}
	}
	r.settled()
	r.ledger.before = nil
	run, res := r.ended(run.ID)
	if run.State != "failed" || !strings.Contains(run.Error, "6 of 7 calls have their new cost (0.021 USD before, 0.0168 now)") || res.Calls != 6 {
		t.Fatalf("%s %q %+v", run.State, run.Error, res)
	}
	entries := 0
	for _, e := range r.catalog.log {
		if e.Action == RerateName {
			entries++
		}
	}
	if entries != 1 {
		t.Errorf("%d entries in the audit log", entries)
	}
	if _, rest := r.applied(year); rest.Calls != 7 {
		t.Errorf("the rest: %+v", rest)
	}
}
