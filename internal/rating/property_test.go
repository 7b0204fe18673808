package rating

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/pricing"
	"github.com/costprof/costprof/internal/usage"
)

// Whatever is called, put, taken back, loaded and rerated in whatever order: a
// call that the book or the provider priced changes by a rerate only, and after
// one over everything the ledger is what the final book makes of each call, class
// by class.
func TestRerateProperty(t *testing.T) {
	full, err := shipped()
	if err != nil {
		t.Fatal(err)
	}
	book := small(t, full, []string{"openai", "azure"}, "gpt-4o")
	rapid.Check(t, func(rt *rapid.T) {
		r := newRig(t)
		r.book = book
		r.open()
		r.log.Reset()
		r.Service.Log = slog.New(slog.DiscardHandler)
		models := []string{"acme nova", "acme other", "openai gpt-4o", "openai gpt-4o-2024-05-13", "azure gpt-4o"}
		pick := func(label string) (provider, model string) {
			m := rapid.SampledFrom(models).Draw(rt, label)
			_, err := fmt.Sscan(m, &provider, &model)
			if err != nil {
				rt.Fatal(err)
			}
			return provider, model
		}
		hour := func(label string) time.Time {
			return noon.Add(time.Duration(rapid.IntRange(-48, 12).Draw(rt, label)) * time.Hour)
		}
		events, listed := 0, 1
		var previewed string
		steps := rapid.IntRange(3, 14).Draw(rt, "steps")
		for step := range steps {
			before := r.ledger.all(t)
			rerated := false
			kind := rapid.SampledFrom([]string{"call", "call", "call", "put", "put", "delete", "list", "reset", "rerate", "preview", "apply", "restart", "tick"}).Draw(rt, fmt.Sprint("step ", step))
			switch kind {
			case "call":
				for range rapid.IntRange(1, 5).Draw(rt, "calls") {
					provider, model := pick("call")
					e := call(fmt.Sprint(events), provider, model, hour("at"))
					events++
					e.Project = rapid.SampledFrom([]string{"default", "p"}).Draw(rt, "project")
					e.ServiceTier = rapid.SampledFrom([]string{"", "batch"}).Draw(rt, "tier")
					e.Counts[usage.CacheRead] = int64(rapid.IntRange(0, 1000).Draw(rt, "cached"))
					e.Aggregate = rapid.IntRange(0, 9).Draw(rt, "aggregate") == 0
					some := money.USD(rapid.IntRange(0, 1000).Draw(rt, "amount"))
					switch rapid.IntRange(0, 5).Draw(rt, "known") {
					case 0:
						e.Billed = &some
					case 1:
						e.Estimated = &some
					}
					r.store(e)
				}
			case "put":
				provider, model := pick("put")
				req := pricing.PutRequest{
					Provider: provider, Model: model, Project: rapid.SampledFrom([]string{"", "p"}).Draw(rt, "for"),
					ServiceTier: rapid.SampledFrom([]string{"", "batch"}).Draw(rt, "tier"), Prices: twoEight,
				}
				if rapid.Bool().Draw(rt, "three") {
					req.Prices = threeNine
				}
				from := hour("from")
				if rapid.Bool().Draw(rt, "dated") {
					req.EffectiveFrom = from.Format(time.RFC3339)
					if rapid.Bool().Draw(rt, "ends") {
						req.EffectiveTo = from.Add(time.Duration(rapid.IntRange(1, 30).Draw(rt, "length")) * time.Hour).Format(time.RFC3339)
					}
				}
				r.put(req)
			case "delete":
				provider, model := pick("delete")
				gone := fromNow(provider, model)
				gone.From = hour("deleted from")
				_ = r.Delete(t.Context(), gone, "tester") // there may be none
			case "list":
				listed++
				price := rapid.SampledFrom([]string{"1", "4", "6"}).Draw(rt, "listed price")
				day := time.Date(2026, 9, 24+listed, 0, 0, 0, 0, time.UTC)
				if day.After(r.now) {
					continue
				}
				_, err := r.UpdateList(t.Context(), ListUpdate{Book: list(day.Format(time.DateOnly), "nova "+price, "other 2"), Partial: true, Apply: true})
				if err != nil {
					rt.Fatal(err)
				}
			case "reset":
				listed = 1
				_ = r.ResetList(t.Context(), "tester") // there may be none
			case "preview":
				_, res := r.rerate(year)
				previewed = res.Token
			case "apply":
				if previewed == "" {
					continue
				}
				rerated = true
				q := year
				q.Token = previewed
				if _, err := r.Rerate(t.Context(), q); err != nil {
					rerated = false // it moved
				}
			case "rerate":
				rerated = true
				r.applied(year)
			case "restart":
				r.open()
				r.Service.Log = slog.New(slog.DiscardHandler)
			case "tick":
				r.now = r.now.Add(time.Duration(rapid.IntRange(1, 6).Draw(rt, "hours")) * time.Hour)
			}
			r.settled()
			after := r.ledger.all(t)
			for span, was := range before {
				now := after[span]
				if was.Source == usage.SourceBilled && now.Costing != was.Costing {
					rt.Fatalf("%s changed what was billed", kind)
				}
				if !rerated && was.Source == usage.SourceCatalog && now.Costing != was.Costing {
					rt.Fatalf("%s changed a call that had a price: %+v, now %+v", kind, was.Costing, now.Costing)
				}
			}
		}
		run, res := r.applied(year)
		if run.State != "done" {
			rt.Fatalf("the last rerate is %q: %s", run.State, run.Error)
		}
		var total money.Total
		for span, rec := range r.ledger.all(t) {
			e := rec.Event
			want, err := r.Book().Price(&e)
			if err != nil {
				rt.Fatal(err)
			}
			if !sameCost(&rec.Costing, &want) {
				rt.Fatalf("%s %s %s at %v: %+v, afresh %+v", span, e.Provider, e.Model, e.Timestamp, rec.Costing, want)
			}
			if !e.Aggregate {
				total = total.Add(want.Total())
			}
		}
		if _, again := r.rerate(year); again.Calls != 0 || again.Aggregates != 0 || again.Total > again.Scanned {
			rt.Fatalf("something is left: %+v after %+v", again, res)
		}
		sum := money.Total{}
		for _, rec := range r.ledger.all(t) {
			if !rec.Aggregate {
				sum = sum.Add(rec.Total())
			}
		}
		if sum.Cmp(total) != 0 {
			rt.Fatalf("the ledger sums to %s, afresh %s", sum, total)
		}
	})
}
