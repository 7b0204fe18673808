package rating

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/pricing"
	"github.com/costprof/costprof/internal/usage"
)

var (
	twoEight  = map[string]json.Number{"input": "2", "output": "8"}
	threeNine = map[string]json.Number{"input": "3", "output": "9"}
)

func TestPutPricesTheFirstSeenCall(t *testing.T) {
	r := newRig(t)
	first := noon.Add(-48 * time.Hour)
	estimated, billed := amount(t, "0.5"), amount(t, "0.7")
	guess, paid, sum := call("guess", "acme", "nova-1", noon.Add(-time.Hour)), call("paid", "acme", "nova-1", first), call("sum", "acme", "nova-1", first)
	guess.Estimated, paid.Billed, sum.Aggregate = &estimated, &billed, true
	r.store(
		call("a", "acme", "nova-1", first.Add(time.Second)), call("b", "ACME", "Nova-1", first.Add(2*time.Second)),
		call("c", "acme", "nova-1", noon.Add(-time.Minute)), call("other", "acme", "nova-2", first.Add(-time.Hour)),
		guess, paid, sum,
	)

	got := r.put(pricing.PutRequest{Provider: "acme", Model: "nova-1", Prices: twoEight})
	if !got.Price.From.Equal(first) {
		t.Errorf("the price starts %v, want the first call without a price, %v", got.Price.From, first)
	}
	// Of two prices that hold at once the one put last wins.
	if stored := r.catalog.own; len(stored) != 1 || !stored[0].PutAt.Equal(noon) {
		t.Errorf("stored is %+v, want one price, put at noon", stored)
	}
	job, err := r.Job(t.Context(), got.JobID)
	if err != nil || job.State != "running" {
		t.Errorf("before the worker ran the job is %q, %v", job.State, err)
	}
	r.settled()

	want := []string{
		"a catalog 0.0028", "b catalog 0.0028", "c catalog 0.0028", "guess catalog 0.0028",
		"other unpriced 0", "paid billed 0.7", "sum catalog 0.0028",
	}
	if diff := cmp.Diff(want, r.costs()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for span, rec := range r.ledger.all(t) {
		if rec.Source == usage.SourceCatalog && rec.PriceID != got.Price.ID {
			t.Errorf("%s has the price %s", span, rec.PriceID)
		}
	}
	if _, err := r.catalog.GetVersion(t.Context(), got.Price.ID); err != nil {
		t.Errorf("the version is not kept: %v", err)
	}

	if job, err = r.Job(t.Context(), got.JobID); err != nil || job.State != "done" || job.Finished.IsZero() {
		t.Errorf("the job is %+v, %v", job, err)
	}
	var did result
	if err := json.Unmarshal(job.Result, &did); err != nil {
		t.Fatal(err)
	}
	old, now := money.TotalOf(estimated), money.TotalOf(4*amount(t, "0.0028"))
	wantResult := result{Scanned: did.Scanned, Calls: 4, Aggregates: 1, OldCost: old, NewCost: now}
	if diff := cmp.Diff(wantResult, did, cmp.AllowUnexported(money.Total{})); diff != "" {
		t.Errorf("result (-want +got):\n%s", diff)
	}
	if len(r.catalog.log) != 2 || r.catalog.log[0].Action != "prices.put" || r.catalog.log[1].Action != BackfillName {
		t.Fatalf("audit log: %+v", r.catalog.log)
	}
	for i, parts := range [][]string{{got.JobID, got.Price.ID, `"nova-1"`}, {got.JobID, `"oldCost":0.5`, `"newCost":0.0112`, `"calls":4`}} {
		e := r.catalog.log[i]
		for _, part := range parts {
			if !strings.Contains(string(e.Detail), part) || e.Actor != "tester" {
				t.Errorf("audit entry %s of %s lacks %s: %s", e.Action, e.Actor, part, e.Detail)
			}
		}
	}
}

// The book says which calls a price is for, not the equality of names.
func TestPutFindsDecoratedNames(t *testing.T) {
	r := newRig(t)
	r.store(call("a", "openai", "openai/nova-mini", noon), call("b", "openai", "Nova-Mini", noon.Add(time.Second)),
		call("c", "azure-openai", "nova-mini", noon))
	got := r.put(pricing.PutRequest{Provider: "OpenAI", Model: "nova-mini", EffectiveFrom: "2026-10-01", Prices: twoEight})
	r.settled()
	for span, rec := range r.ledger.all(t) {
		q, err := r.Book().Quote(pricing.Call{Provider: rec.Provider, Model: rec.Model, At: rec.Timestamp, Counts: rec.Counts})
		if err != nil || q.PriceID != rec.PriceID {
			t.Errorf("%s is stored with the price %q and quoted with %q, %v", span, rec.PriceID, q.PriceID, err)
		}
		if priced := rec.PriceID == got.Price.ID; priced != (span != "c") {
			t.Errorf("%s is priced: %v", span, priced)
		}
	}
}

func TestPutStartsNowForAPricedModel(t *testing.T) {
	r := newRig(t)
	r.store(call("before", "openai", "gpt-4o", noon.Add(-time.Hour)))
	before := r.costs()
	got := r.put(pricing.PutRequest{Provider: "openai", Model: "gpt-4o", Prices: twoEight})
	if !got.Price.From.Equal(noon) {
		t.Errorf("the price starts %v, want now", got.Price.From)
	}
	r.settled()
	if diff := cmp.Diff(before, r.costs()); diff != "" {
		t.Errorf("a priced call changed (-before +after):\n%s", diff)
	}
	r.store(call("late", "openai", "gpt-4o", noon.Add(-time.Minute)), call("new", "openai", "openai/gpt-4o", noon))
	all := r.ledger.all(t)
	if all["late"].PriceID == got.Price.ID || all["new"].PriceID != got.Price.ID {
		t.Errorf("each call must have the price of its own time: late %s, new %s", all["late"].PriceID, all["new"].PriceID)
	}
}

func TestPutStartsNowForAnUnseenModel(t *testing.T) {
	r := newRig(t)
	if got := r.put(pricing.PutRequest{Provider: "acme", Model: "unseen", Prices: twoEight}); !got.Price.From.Equal(noon) {
		t.Errorf("the price starts %v, want now", got.Price.From)
	}
	own, err := r.Book().ParsePut(pricing.PutRequest{Provider: "openai", Model: "gpt-4o", EffectiveTo: "2026-01-01", Prices: twoEight})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Put(t.Context(), own, "tester"); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("a price that ends before it starts: %v", err)
	}
}

func TestPutWithinItsInterval(t *testing.T) {
	r := newRig(t)
	day := func(d int) time.Time { return time.Date(2026, 10, d, 0, 0, 0, 0, time.UTC) }
	other := call("elsewhere", "acme", "nova", day(5))
	other.Project = "other"
	r.store(call("early", "acme", "nova", day(1).Add(-time.Microsecond)), call("first", "acme", "nova", day(1)),
		call("last", "acme", "nova", day(10).Add(-time.Microsecond)), call("end", "acme", "nova", day(10)), other)
	r.put(pricing.PutRequest{Provider: "acme", Model: "nova", Project: "default", EffectiveFrom: "2026-10-01T00:00:00Z", EffectiveTo: "2026-10-10T00:00:00Z", Prices: twoEight})
	r.settled()
	want := []string{"early unpriced 0", "elsewhere unpriced 0", "end unpriced 0", "first catalog 0.0028", "last catalog 0.0028"}
	if diff := cmp.Diff(want, r.costs()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// A second price over a part of the first changes nothing that is priced.
	r.put(pricing.PutRequest{Provider: "acme", Model: "nova", EffectiveFrom: "2026-09-01", EffectiveTo: "2026-10-20", Prices: threeNine})
	r.settled()
	want = []string{"early catalog 0.0039", "elsewhere catalog 0.0039", "end catalog 0.0039", "first catalog 0.0028", "last catalog 0.0028"}
	if diff := cmp.Diff(want, r.costs()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestPutForOneTier(t *testing.T) {
	r := newRig(t)
	batch, standard := call("batch", "acme", "nova", noon.Add(-time.Hour)), call("standard", "acme", "nova", noon.Add(-2*time.Hour))
	batch.ServiceTier = "batch"
	r.store(batch, standard)
	r.put(pricing.PutRequest{Provider: "acme", Model: "nova", ServiceTier: "batch", EffectiveFrom: "2026-01-01", Prices: twoEight})
	r.settled()
	all := r.ledger.all(t)
	if all["batch"].Source != usage.SourceCatalog {
		t.Errorf("the batch call is %s", all["batch"].Source)
	}
	if q, err := r.Book().Quote(pricing.Call{Project: "default", Provider: "acme", Model: "nova", At: standard.Timestamp, Counts: standard.Counts}); err != nil || q.Source != all["standard"].Source {
		t.Errorf("the standard call is stored as %s and quoted as %s, %v", all["standard"].Source, q.Source, err)
	}
}

func TestPutSamePriceAgain(t *testing.T) {
	r := newRig(t)
	request := pricing.PutRequest{Provider: "acme", Model: "nova", EffectiveFrom: "2026-01-01", Prices: twoEight}
	first := r.put(request)
	r.now = noon.Add(time.Hour)
	second := r.put(request)
	if first.Price.ID != second.Price.ID || len(r.catalog.own) != 1 {
		t.Errorf("%d own prices after putting one twice: %+v", len(r.catalog.own), r.catalog.own)
	}
	r.open()
	if q, err := r.Book().Quote(pricing.Call{Provider: "acme", Model: "nova", At: noon}); err != nil || q.PriceID != first.Price.ID {
		t.Errorf("after a restart the price is %q, %v", q.PriceID, err)
	}
}

func fromNow(provider, model string) pricing.Removal {
	return pricing.Removal{Selector: pricing.Selector{Provider: provider, Model: model}}
}

// A price put by mistake for a time that is over can be taken back: calls that
// come late do not take it, nor do those that waited for a price; calls priced
// already keep their cost.
func TestDeleteOfThePast(t *testing.T) {
	r := newRig(t)
	r.put(pricing.PutRequest{Provider: "acme", Model: "nova", EffectiveFrom: "2026-01-01", Prices: twoEight})
	day := func(d int) time.Time { return time.Date(2026, 2, d, 0, 0, 0, 0, time.UTC) }
	r.store(call("a", "acme", "nova", day(10)))
	gone := fromNow("acme", "nova")
	gone.From, gone.To = day(5), day(15)
	if err := r.Delete(t.Context(), gone, "tester"); err != nil {
		t.Fatal(err)
	}
	r.store(call("b", "acme", "nova", day(5)), call("c", "acme", "nova", day(15)), call("d", "acme", "nova", day(4)), call("e", "acme", "nova", noon),
		call("f", "acme", "nova", day(15).Add(-time.Microsecond)))
	r.settled()
	want := []string{"a catalog 0.0028", "b unpriced 0", "c catalog 0.0028", "d catalog 0.0028", "e catalog 0.0028", "f unpriced 0"}
	if diff := cmp.Diff(want, r.costs()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := r.Delete(t.Context(), gone, "tester"); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("again: %v", err)
	}
	for _, at := range []time.Time{day(5), day(4)} {
		if err := r.Delete(t.Context(), pricing.Removal{Selector: gone.Selector, From: day(5), To: at}, "tester"); fault.CodeOf(err) != fault.Invalid {
			t.Errorf("from %v to %v: %v", day(5), at, err)
		}
	}
	gone.From, gone.To = time.Time{}, r.now.Add(-time.Hour)
	if err := r.Delete(t.Context(), gone, "tester"); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("from now to an hour ago: %v", err)
	}
	last := r.catalog.log[len(r.catalog.log)-1]
	for _, e := range r.catalog.log {
		if e.Action == "prices.delete" {
			last = e
		}
	}
	if text := string(last.Detail); !strings.Contains(text, `"from":"2026-02-05T00:00:00Z","to":"2026-02-15T00:00:00Z"`) || last.Actor != "tester" {
		t.Errorf("audit entry of %s: %s", last.Actor, text)
	}
	// What is gone stays gone after a restart.
	r.open()
	if q, err := r.Book().Quote(pricing.Call{Provider: "acme", Model: "nova", At: day(10)}); err != nil || q.Source != usage.SourceUnpriced {
		t.Errorf("after a restart: %+v, %v", q, err)
	}
	// A price for all takes the place of the project's that is taken back, for the
	// calls that had none.
	r.put(pricing.PutRequest{Provider: "acme", Model: "nova", EffectiveFrom: "2026-02-05", EffectiveTo: "2026-02-07", Prices: twoEight})
	r.settled()
	if got := r.costs()[1]; got != "b catalog 0.0028" {
		t.Errorf("with a price for that time: %s", got)
	}
}

func TestDelete(t *testing.T) {
	r := newRig(t)
	put := r.put(pricing.PutRequest{Provider: "acme", Model: "nova", EffectiveFrom: "2026-01-01", Prices: twoEight})
	r.store(call("a", "acme", "nova", noon))
	r.now = noon.Add(time.Hour)
	if err := r.Delete(t.Context(), fromNow("ACME", "nova"), "tester"); err != nil {
		t.Fatal(err)
	}
	r.store(call("b", "acme", "nova", noon.Add(time.Minute)), call("c", "acme", "nova", r.now))
	r.settled()
	want := []string{"a catalog 0.0028", "b catalog 0.0028", "c unpriced 0"}
	if diff := cmp.Diff(want, r.costs()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// The price that was ended goes by another id; the lines of a stays known.
	a := r.ledger.all(t)["a"]
	if a.PriceID != put.Price.ID {
		t.Fatalf("a has the price %s", a.PriceID)
	}
	for _, sel := range []pricing.Removal{fromNow("acme", "nova"), fromNow("acme", "none"), fromNow("openai", "gpt-4o")} {
		if err := r.Delete(t.Context(), sel, "tester"); fault.CodeOf(err) != fault.NotFound {
			t.Errorf("Delete(%+v) = %v, want not found", sel, err)
		}
	}
	r.put(pricing.PutRequest{Provider: "azure-openai", Model: "nova", EffectiveFrom: "2026-01-01", Prices: twoEight})
	if err := r.Delete(t.Context(), fromNow("Azure-OpenAI", "nova"), "tester"); err != nil {
		t.Errorf("by the provider's other name: %v", err)
	}
	if e := r.catalog.log[1]; e.Action != "prices.delete" || !strings.Contains(string(e.Detail), `"model":"nova"`) {
		t.Errorf("audit entry %s: %s", e.Action, e.Detail)
	}
}

func TestLines(t *testing.T) {
	r := newRig(t)
	put := r.put(pricing.PutRequest{Provider: "acme", Model: "nova", EffectiveFrom: "2026-01-01", Prices: twoEight})
	billed := amount(t, "1")
	paid := call("paid", "acme", "nova", noon)
	paid.Billed = &billed
	r.store(call("own", "acme", "nova", noon), call("list", "openai", "gpt-4o", noon), paid, call("none", "acme", "x", noon))
	check := func(when string) {
		t.Helper()
		for span, rec := range r.ledger.all(t) {
			lines, err := r.Lines(t.Context(), rec)
			if err != nil {
				t.Fatal(err)
			}
			var sum money.USD
			for _, line := range lines {
				sum += line.Amount
			}
			if rec.Source == usage.SourceCatalog && (sum != rec.Total() || len(lines) != 2) {
				t.Errorf("%s: the lines of %s sum to %s, its cost is %s: %+v", when, span, sum, rec.Total(), lines)
			}
			if rec.Source != usage.SourceCatalog && len(lines) > 0 {
				t.Errorf("%s: %s has lines: %+v", when, span, lines)
			}
		}
	}
	check("at first")
	if err := r.catalog.PutVersions(t.Context(), []pricing.Version{put.Price.Version}); err != nil {
		t.Fatal(err)
	}
	r.now = noon.Add(time.Hour)
	r.put(pricing.PutRequest{Provider: "acme", Model: "nova", EffectiveFrom: "2025-01-01", Prices: threeNine})
	check("after the price was replaced")

	// What a call's price was a fallback for is known while that price is in force.
	flex := call("flex", "openai", "gpt-4o", noon)
	flex.ServiceTier = "flex"
	r.store(flex)
	if lines, err := r.Lines(t.Context(), r.ledger.all(t)["flex"]); err != nil || len(lines) != 2 || lines[0].Fallback != "tier" {
		t.Errorf("lines of a tier without a price: %+v, %v", lines, err)
	}

	rec := r.ledger.all(t)["own"]
	rec.PriceID = "p_lost"
	if lines, err := r.Lines(t.Context(), rec); err != nil || lines != nil || !strings.Contains(r.log.String(), "p_lost") {
		t.Errorf("a lost version gives %v, %v", lines, err)
	}
}

func TestPutFailures(t *testing.T) {
	for at := 1; at <= 2; at++ {
		for _, late := range []bool{false, true} {
			r := newRig(t)
			r.store(call("a", "acme", "nova", noon.Add(-time.Hour)))
			own, err := r.Book().ParsePut(pricing.PutRequest{Provider: "acme", Model: "nova", Prices: twoEight})
			if err != nil {
				t.Fatal(err)
			}
			r.outage.at, r.outage.late = at, late
			if _, err := r.Put(t.Context(), own, "tester"); fault.CodeOf(err) != fault.Unavailable {
				t.Fatalf("operation %d fails: %v", at, err)
			}
			r.settled()
			// Whatever was stored, the book and the ledger agree after a restart.
			r.open()
			r.settled()
			want := usage.SourceUnpriced
			if len(r.catalog.own) > 0 {
				want = usage.SourceCatalog
			}
			if got := r.ledger.all(t)["a"].Source; got != want {
				t.Errorf("operation %d (late %v): %d own prices are stored and the call is %s", at, late, len(r.catalog.own), got)
			}
			if failed, err := r.Jobs(t.Context(), "failed", 10); err != nil || len(failed) > 0 && failed[0].Error == "" {
				t.Errorf("a run failed without a reason: %+v, %v", failed, err)
			}
			if running, err := r.Jobs(t.Context(), "running", 10); err != nil || len(running) > 0 {
				t.Errorf("runs that never end: %+v, %v", running, err)
			}
		}
	}
}
