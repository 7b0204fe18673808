package rating

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/pricing"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/usage"
)

// Wherever a run is interrupted, before or after an operation of the store took
// effect, resuming it gives every call its price once and sums up exactly.
func TestBackfillResumes(t *testing.T) {
	const calls = 8 // three pages
	for _, late := range []bool{false, true} {
		for at := 1; ; at++ {
			r := newRig(t)
			for i := range calls {
				e := call(fmt.Sprint(i), "acme", "nova", noon.Add(-time.Duration(i)*time.Hour))
				estimate := money.USD(i)
				e.Estimated = &estimate
				r.store(e)
			}
			r.store(call("other", "acme", "other", noon))
			put := r.put(pricing.PutRequest{Provider: "acme", Model: "nova", EffectiveFrom: "2026-01-01", Prices: twoEight})

			r.outage.calls, r.outage.at, r.outage.late = 0, at, late
			err := r.work(t.Context())
			if err == nil {
				if at < 10 {
					t.Fatalf("the run took %d operations, too few to be interrupted", r.outage.calls)
				}
				break
			}
			if fault.CodeOf(err) != fault.Unavailable {
				t.Fatal(err)
			}
			r.open()
			r.settled()

			job, err := r.Job(t.Context(), put.JobID)
			if err != nil || job.State != "done" {
				t.Fatalf("interrupted at %d (late %v) the job is %q, %v", at, late, job.State, err)
			}
			var got result
			if err := json.Unmarshal(job.Result, &got); err != nil {
				t.Fatal(err)
			}
			want := result{Scanned: got.Scanned, Calls: calls, OldCost: money.TotalOf(28), NewCost: money.TotalOf(calls * amount(t, "0.0028"))}
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(money.Total{})); diff != "" {
				t.Errorf("interrupted at %d (late %v) (-want +got):\n%s", at, late, diff)
			}
			audits := 0
			for _, e := range r.catalog.log {
				if e.Action == BackfillName {
					audits++
				}
			}
			if audits != 1 {
				t.Errorf("interrupted at %d (late %v): %d audit entries", at, late, audits)
			}
			for span, rec := range r.ledger.all(t) {
				if (rec.Source == usage.SourceCatalog) != (span != "other") {
					t.Errorf("interrupted at %d (late %v): %s is %s", at, late, span, rec.Source)
				}
			}
		}
	}
}

// What another run, or retention, did to a batch is left out of the sums.
func TestBackfillCountsWhatItChanged(t *testing.T) {
	r := newRig(t)
	for i := range 3 {
		r.store(call(fmt.Sprint(i), "acme", "nova", noon.Add(-time.Duration(i)*time.Hour)))
	}
	put := r.put(pricing.PutRequest{Provider: "acme", Model: "nova", EffectiveFrom: "2026-01-01", Prices: twoEight})
	r.Ledger = &pruning{fakeLedger: r.ledger, before: noon.Add(-time.Hour)}
	r.settled()
	job, err := r.Job(t.Context(), put.JobID)
	if err != nil {
		t.Fatal(err)
	}
	var got result
	if err := json.Unmarshal(job.Result, &got); err != nil {
		t.Fatal(err)
	}
	if got.Calls != 2 || got.NewCost != money.TotalOf(2*amount(t, "0.0028")) {
		t.Errorf("with one of 3 calls pruned the result is %s", job.Result)
	}
}

// pruning removes old events just before they are corrected.
type pruning struct {
	*fakeLedger
	before time.Time
}

func (l *pruning) Correct(ctx context.Context, c store.Correction) (int64, error) {
	if _, err := l.Prune(ctx, map[string]time.Time{"default": l.before}); err != nil {
		return 0, err
	}
	return l.fakeLedger.Correct(ctx, c)
}

func TestStartLooksForPricesThatAreKnownNow(t *testing.T) {
	r := newRig(t)
	r.settled()
	if len(r.catalog.runs) != 0 {
		t.Errorf("an empty ledger made runs: %+v", r.catalog.runs)
	}
	// Stored when the program did not know the model.
	e := call("old", "openai", "gpt-4o-mini", noon.Add(-time.Hour))
	e.ProviderID, e.ModelID = "OpenAI?", "as an older program normalised it"
	unknown := call("unknown", "acme", "nova", noon)
	unknown.ProviderID, unknown.ModelID = "acme", "nova"
	for _, e := range []usage.Event{e, unknown} {
		if _, err := r.ledger.Append(t.Context(), []usage.Record{{ID: e.Identity(), Event: e}}); err != nil {
			t.Fatal(err)
		}
	}
	r.open()
	r.settled()
	want := []string{"old catalog 0.00021", "unknown unpriced 0"}
	if diff := cmp.Diff(want, r.costs()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	r.open()
	r.settled()
	if len(r.catalog.runs) != 1 {
		t.Errorf("starting again made another run: %+v", r.catalog.runs)
	}
}

func TestBackfillReadsOnlyWhatItMayPrice(t *testing.T) {
	r := newRig(t)
	for i := range 20 {
		r.store(call(fmt.Sprint("other", i), "acme", fmt.Sprint("other-", i), noon.Add(-time.Duration(i)*time.Minute)))
	}
	r.store(call("a", "acme", "nova", noon.Add(-19*time.Minute)), call("b", "acme", "nova", noon))
	put := r.put(pricing.PutRequest{Provider: "acme", Model: "nova", Prices: twoEight})
	r.settled()
	job, err := r.Job(t.Context(), put.JobID)
	if err != nil {
		t.Fatal(err)
	}
	var got result
	if err := json.Unmarshal(job.Result, &got); err != nil || got.Scanned != 2 || got.Calls != 2 {
		t.Errorf("2 calls of a model cost a look at %d events: %s, %v", got.Scanned, job.Result, err)
	}
}

func TestBackfillRefusesImpossibleCosts(t *testing.T) {
	r := newRig(t)
	huge, small := call("huge", "acme", "nova", noon), call("small", "acme", "nova", noon)
	huge.Counts[usage.Input] = usage.MaxCount
	r.store(huge, small)
	put := r.put(pricing.PutRequest{Provider: "acme", Model: "nova", Prices: map[string]json.Number{"input": "100000"}})
	r.settled()
	job, err := r.Job(t.Context(), put.JobID)
	if err != nil || job.State != "done" {
		t.Fatalf("job %+v, %v", job, err)
	}
	var got result
	if err := json.Unmarshal(job.Result, &got); err != nil || got.Refused != 1 || got.Calls != 1 {
		t.Errorf("result %s, %v", job.Result, err)
	}
	if diff := cmp.Diff([]string{"huge unpriced 0", "small catalog 100"}, r.costs()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Events priced by a book that is replaced before they are stored get the new
// price all the same.
func TestNothingFallsBetweenTheBooks(t *testing.T) {
	r := newRig(t)
	r.pageSize = 50
	ctx, cancel := context.WithCancel(t.Context())
	var worker, senders sync.WaitGroup
	worker.Go(func() {
		if err := r.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	for sender := range 4 {
		senders.Go(func() {
			for i := range 60 {
				e := call(fmt.Sprintf("%d-%d", sender, i), "acme", fmt.Sprint("nova-", i%3), noon.Add(time.Duration(i)*time.Second))
				book := r.Book()
				if err := appendPriced(ctx, r.Service, r.ledger, e); err != nil {
					t.Error(err)
				}
				if r.Book() != book {
					r.Recheck()
				}
			}
		})
	}
	for i := range 3 {
		r.put(pricing.PutRequest{Provider: "acme", Model: fmt.Sprint("nova-", i), EffectiveFrom: "2026-01-01", Prices: twoEight})
	}
	senders.Wait()
	deadline := time.Now().Add(30 * time.Second)
	for {
		table, err := r.ledger.Query(t.Context(), analytics.Query{Filter: analytics.Filter{Sources: withoutPrice}})
		if err != nil {
			t.Fatal(err)
		}
		if table.Calls == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d calls never got their price", table.Calls)
		}
		time.Sleep(time.Millisecond)
	}
	cancel()
	worker.Wait()
	if n := len(r.ledger.all(t)); n != 240 {
		t.Errorf("%d events, want 240", n)
	}
}

func TestRunWaitsForTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.store(call("a", "acme", "nova", noon))
		put := r.put(pricing.PutRequest{Provider: "acme", Model: "nova", Prices: twoEight})
		r.outage.calls, r.outage.at = 0, 1
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- r.Run(ctx) }()
		time.Sleep(500 * time.Millisecond)
		synctest.Wait()
		if job, _ := r.Job(t.Context(), put.JobID); job.State != "running" {
			t.Errorf("while the store is away the job is %q", job.State)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if job, _ := r.Job(t.Context(), put.JobID); job.State != "done" {
			t.Errorf("when the store is back the job is %q", job.State)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run returns %v at the end", err)
		}
	})
}

func TestBackfillFailsForGood(t *testing.T) {
	r := newRig(t)
	r.store(call("a", "acme", "nova", noon))
	put := r.put(pricing.PutRequest{Provider: "acme", Model: "nova", Prices: twoEight})
	r.Ledger = &broken{r.ledger}
	r.settled()
	job, err := r.Job(t.Context(), put.JobID)
	if err != nil || job.State != "failed" || job.Error == "" {
		t.Errorf("job %+v, %v", job, err)
	}
	unreadable := store.Run{ID: "x", Name: BackfillName, State: "running", Input: []byte("{")}
	foreign := store.Run{ID: "y", Name: "another", State: "running"}
	r.catalog.runs["x"], r.catalog.runs["y"] = unreadable, foreign
	r.settled()
	if got := r.catalog.runs["x"]; got.State != "failed" || got.Finished.IsZero() {
		t.Errorf("an unreadable run is %+v", got)
	}
	if diff := cmp.Diff(foreign, r.catalog.runs["y"]); diff != "" {
		t.Errorf("another job's run changed (-before +after):\n%s", diff)
	}
}

type broken struct{ *fakeLedger }

func (broken) Correct(context.Context, store.Correction) (int64, error) {
	return 0, fmt.Errorf("disk on fire")
}

// A run's sums are those of the price that was put, whatever else waits for a
// price; a price that a later put has cut in two is still the same price.
func TestARunAppliesItsOwnPrice(t *testing.T) {
	r := newRig(t)
	r.store(
		call("a1", "acme", "nova", noon.Add(-4*time.Hour)), call("a2", "acme", "nova", noon.Add(-time.Hour)),
		call("b", "acme", "other", noon.Add(-2*time.Hour)),
	)
	batch := call("batch", "acme", "nova", noon.Add(-4*time.Hour))
	batch.ServiceTier = "batch"
	r.store(batch)
	puts := []PutResult{
		r.put(pricing.PutRequest{Provider: "acme", Model: "nova", EffectiveFrom: "2026-01-01", Prices: twoEight}),
		r.put(pricing.PutRequest{Provider: "acme", Model: "other", EffectiveFrom: "2026-01-01", Prices: twoEight}),
		r.put(pricing.PutRequest{Provider: "acme", Model: "nova", ServiceTier: "batch", EffectiveFrom: "2026-01-01", Prices: threeNine}),
		r.put(pricing.PutRequest{
			Provider: "Acme", Model: "NOVA", Prices: threeNine,
			EffectiveFrom: noon.Add(-3 * time.Hour).Format(time.RFC3339), EffectiveTo: noon.Add(-2 * time.Hour).Format(time.RFC3339),
		}),
	}
	r.settled()
	want := []string{"a1 catalog 0.0028", "a2 catalog 0.0028", "b catalog 0.0028", "batch catalog 0.0039"}
	if diff := cmp.Diff(want, r.costs()); diff != "" {
		t.Errorf("costs (-want +got):\n%s", diff)
	}
	for i, sums := range []result{
		{Calls: 2, NewCost: money.TotalOf(2 * amount(t, "0.0028"))},
		{Calls: 1, NewCost: money.TotalOf(amount(t, "0.0028"))},
		{Calls: 1, NewCost: money.TotalOf(amount(t, "0.0039"))},
		{},
	} {
		job, err := r.Job(t.Context(), puts[i].JobID)
		if err != nil {
			t.Fatal(err)
		}
		var got result
		if err := json.Unmarshal(job.Result, &got); err != nil {
			t.Fatal(err)
		}
		sums.Scanned = got.Scanned
		if diff := cmp.Diff(sums, got, cmp.AllowUnexported(money.Total{})); diff != "" {
			t.Errorf("put %d (-want +got):\n%s", i, diff)
		}
	}
}

// A price inside of the time between a model's first and last call is found, too.
func TestRecheckFindsAPriceBetween(t *testing.T) {
	r := newRig(t)
	for i, at := range []time.Time{noon.Add(-4 * time.Hour), noon.Add(-2 * time.Hour), noon} {
		e := call(fmt.Sprint(i), "acme", "nova", at)
		if _, err := r.ledger.Append(t.Context(), []usage.Record{{ID: e.Identity(), Event: e}}); err != nil {
			t.Fatal(err)
		}
	}
	r.put(pricing.PutRequest{
		Provider: "acme", Model: "nova", Prices: twoEight,
		EffectiveFrom: noon.Add(-3 * time.Hour).Format(time.RFC3339), EffectiveTo: noon.Add(-time.Hour).Format(time.RFC3339),
	})
	clear(r.catalog.runs) // as if the put had not made one
	r.open()
	r.settled()
	if diff := cmp.Diff([]string{"0 unpriced 0", "1 catalog 0.0028", "2 unpriced 0"}, r.costs()); diff != "" {
		t.Errorf("costs (-want +got):\n%s", diff)
	}
	audits := len(r.catalog.log)
	// What is left looks as if it might get a price at each start. That is a run
	// without a change, which is nobody's doing.
	r.open()
	r.settled()
	if len(r.catalog.log) != audits {
		t.Errorf("a look without a change is in the audit log: %+v", r.catalog.log[audits:])
	}
}
