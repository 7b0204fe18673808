package pricing

import (
	"fmt"
	"math/big"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/costprof/costprof/internal/usage"
)

func own(t testing.TB, v Version, input string) Own {
	t.Helper()
	v.Rates = []Rate{rate(t, usage.Input, input)}
	v.Source = SourceOwn
	return Own{Version: v.sealed(), PutAt: instant(t, "2026-01-01T00:00:00Z")}
}

func with(t testing.TB, b *Book, owns ...Own) *Book {
	t.Helper()
	out, err := b.With(owns)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestOwnPricesPrecede(t *testing.T) {
	day := func(s string) time.Time { return instant(t, s+"T00:00:00Z") }
	base := shippedBook(t)
	b := with(t, base,
		own(t, Version{Provider: "openai", Model: "gpt-4o", From: day("2026-02-01")}, "1"),
		own(t, Version{Provider: "openai", Model: "gpt-4o", Project: "p", From: day("2026-03-01"), To: day("2026-04-01")}, "2"),
		own(t, Version{Provider: "openai", Model: "gpt-4o", ServiceTier: "Batch"}, "3"),
		own(t, Version{Provider: "openai", Model: "gpt-4o", ServiceTier: "batch", Region: "EU"}, "4"),
		own(t, Version{Provider: "Azure-OpenAI", Model: "my-deployment"}, "5"),
		own(t, Version{Provider: "self-hosted", Model: "Llama-3"}, "6"),
		own(t, Version{Provider: "litellm", Model: "ollama/llama3"}, "7"),
		own(t, Version{Provider: "ollama", Model: "qwen3"}, "8"),
		own(t, Version{Provider: "anthropic", Model: "claude-opus-4-7"}, "9"),
		own(t, Version{Provider: "anthropic", Model: "claude-opus-4-7-20991231"}, "10"),
		own(t, Version{Provider: "self-hosted", Model: "night", Window: &Window{
			Start: 22 * time.Hour, End: 6 * time.Hour, Weekdays: []time.Weekday{time.Friday}, Zone: "Europe/Berlin",
		}}, "11"),
		own(t, Version{Provider: "self-hosted", Model: "night"}, "12"),
	)
	tests := []struct {
		name string
		call Call
		at   string
		want string
		fall string
	}{
		{"before it starts", Call{Provider: "openai", Model: "gpt-4o"}, "2026-01-31T23:59:59Z", "2.5", ""},
		{"from its start on", Call{Provider: "openai", Model: "gpt-4o"}, "2026-02-01T00:00:00Z", "1", ""},
		{"a project's own", Call{Provider: "openai", Model: "gpt-4o", Project: "p"}, "2026-03-01T00:00:00Z", "2", ""},
		{"another project", Call{Provider: "openai", Model: "gpt-4o", Project: "q"}, "2026-03-01T00:00:00Z", "1", ""},
		{"after a project's own", Call{Provider: "openai", Model: "gpt-4o", Project: "p"}, "2026-04-01T00:00:00Z", "1", ""},
		{"a tier", Call{Provider: "openai", Model: "gpt-4o", ServiceTier: "BATCH"}, "2026-05-01T00:00:00Z", "3", ""},
		{"a tier and region", Call{Provider: "openai", Model: "gpt-4o", ServiceTier: "batch", Region: "eu"}, "2026-05-01T00:00:00Z", "4", ""},
		{"a tier without the region", Call{Provider: "openai", Model: "gpt-4o", ServiceTier: "batch", Region: "us"}, "2026-05-01T00:00:00Z", "3", "region"},
		{"a tier without a price", Call{Provider: "openai", Model: "gpt-4o", ServiceTier: "flex"}, "2026-05-01T00:00:00Z", "1", "tier"},
		{"neither", Call{Provider: "openai", Model: "gpt-4o", ServiceTier: "flex", Region: "eu"}, "2026-05-01T00:00:00Z", "1", "tier"},
		{"only a tier in force", Call{Provider: "openai", Model: "gpt-4o"}, "2025-05-01T00:00:00Z", "2.5", ""},
		{"by the shipped alias", Call{Provider: "openai", Model: "openai/gpt-4o-2024-08-06"}, "2026-05-01T00:00:00Z", "1", ""},
		{"not for a model of its own", Call{Provider: "openai", Model: "gpt-4o-2024-05-13"}, "2026-05-01T00:00:00Z", "5", ""},
		{"not for another provider that serves it", Call{Provider: "azure", Model: "gpt-4o"}, "2026-05-01T00:00:00Z", "2.5", ""},
		{"a model nobody lists", Call{Provider: "azure", Model: "azure/My-Deployment"}, "2026-05-01T00:00:00Z", "5", ""},
		{"a provider nobody knows", Call{Provider: "Self-Hosted", Model: "llama-3"}, "2026-05-01T00:00:00Z", "6", ""},
		{"its dated name", Call{Provider: "self-hosted", Model: "llama-3-2026-01-01"}, "2026-05-01T00:00:00Z", "6", ""},
		{"a gateway", Call{Provider: "litellm", Model: "ollama/llama3"}, "2026-05-01T00:00:00Z", "7", ""},
		{"a vendor behind a gateway", Call{Provider: "litellm", Model: "ollama/qwen3"}, "2026-05-01T00:00:00Z", "8", ""},
		{"the listed model for a dated name", Call{Provider: "anthropic", Model: "claude-opus-4-7-20260601"}, "2026-05-01T00:00:00Z", "9", ""},
		{"the exact name before the listed model", Call{Provider: "anthropic", Model: "claude-opus-4-7-20991231"}, "2026-05-01T00:00:00Z", "10", ""},
		// Friday 22:00 in Berlin is 20:00Z in summer; the night belongs to Friday.
		{"a window before", Call{Provider: "self-hosted", Model: "night"}, "2026-07-03T19:59:59Z", "12", ""},
		{"a window", Call{Provider: "self-hosted", Model: "night"}, "2026-07-03T20:00:00Z", "11", ""},
		{"a window after midnight", Call{Provider: "self-hosted", Model: "night"}, "2026-07-04T03:59:59Z", "11", ""},
		{"a window after", Call{Provider: "self-hosted", Model: "night"}, "2026-07-04T04:00:00Z", "12", ""},
		{"a window's hours on another day", Call{Provider: "self-hosted", Model: "night"}, "2026-07-03T03:00:00Z", "12", ""},
		{"a window in winter", Call{Provider: "self-hosted", Model: "night"}, "2026-12-04T21:00:00Z", "11", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.call.At = instant(t, tt.at)
			tt.call.Counts[usage.Input] = 1_000_000
			q := mustQuote(t, b, tt.call)
			if got := q.Total().String(); got != tt.want {
				t.Errorf("cost %s, want %s (%s)", got, tt.want, b.Explain(tt.call).Because)
			}
			if got := q.Lines[0].Fallback; got != tt.fall || q.Fallback != (tt.fall != "") {
				t.Errorf("fallback %q (%v), want %q", got, q.Fallback, tt.fall)
			}
			e := b.Explain(tt.call)
			if e.PriceID != q.PriceID || e.Fallback != tt.fall {
				t.Errorf("explained %s %q, quoted %s", e.PriceID, e.Fallback, q.PriceID)
			}
		})
	}
	c := Call{Provider: "openai", Model: "gpt-4o", At: day("2026-05-01"), Counts: counts(map[usage.Unit]int64{usage.Input: 1_000_000})}
	if q := mustQuote(t, base, c); q.Total().String() != "2.5" {
		t.Errorf("the book without own prices changed: %s", q.Total())
	}
	if q := mustQuote(t, with(t, b), c); q.Total().String() != "2.5" {
		t.Errorf("With adds to what was there: %s", q.Total())
	}
	p1, m1 := base.Normalise("self-hosted", "llama-3-2026-01-01")
	if p2, m2 := b.Normalise("self-hosted", "llama-3-2026-01-01"); p1 != p2 || m1 != m2 {
		t.Errorf("own prices changed names: %q %q to %q %q", p1, m1, p2, m2)
	}
}

func TestOverlappingOwnPrices(t *testing.T) {
	first := own(t, Version{Provider: "x", Model: "m", From: instant(t, "2026-01-01T00:00:00Z")}, "1")
	second := own(t, Version{Provider: "x", Model: "m", From: instant(t, "2026-02-01T00:00:00Z"), To: instant(t, "2026-03-01T00:00:00Z")}, "2")
	second.PutAt = first.PutAt.Add(time.Second)
	for _, order := range [][]Own{{first, second}, {second, first}} {
		b := with(t, shippedBook(t), order...)
		for at, want := range map[string]string{"2026-01-15": "1", "2026-02-15": "2", "2026-03-15": "1"} {
			q := mustQuote(t, b, Call{Provider: "x", Model: "m", At: instant(t, at+"T00:00:00Z"), Counts: counts(map[usage.Unit]int64{usage.Input: 1_000_000})})
			if got := q.Total().String(); got != want {
				t.Errorf("at %s: %s, want %s (the one put last)", at, got, want)
			}
		}
	}
}

func TestBrokenOwnPrice(t *testing.T) {
	for name, v := range map[string]Version{
		"no model":    {Provider: "x"},
		"ends first":  {Provider: "x", Model: "m", From: time.Unix(2, 0), To: time.Unix(1, 0)},
		"bad zone":    {Provider: "x", Model: "m", Window: &Window{End: time.Hour, Zone: "Mars/Olympus"}},
		"local zone":  {Provider: "x", Model: "m", Window: &Window{End: time.Hour, Zone: "Local"}},
		"bad window":  {Provider: "x", Model: "m", Window: &Window{Start: 25 * time.Hour}},
		"bad weekday": {Provider: "x", Model: "m", Window: &Window{End: time.Hour, Weekdays: []time.Weekday{9}}},
		"bad unit":    {Provider: "x", Model: "m", Rates: []Rate{{Unit: usage.NumUnits}}},
		"negative":    {Provider: "x", Model: "m", Rates: []Rate{{Price: -1}}},
		"too high":    {Provider: "x", Model: "m", Rates: []Rate{{Price: MaxPrice + 1}}},
		"twice":       {Provider: "x", Model: "m", Rates: []Rate{{}, {}}},
		"cliffs":      {Provider: "x", Model: "m", Rates: []Rate{{Above: []Step{{InputTokens: 5}, {InputTokens: 5}}}}},
		"minimum":     {Provider: "x", Model: "m", Rates: []Rate{{Unit: usage.Output, Minimum: 1}}},
	} {
		v.ID = "p_x"
		if _, err := shippedBook(t).With([]Own{{Version: v}}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// priceAt reads one series of own prices as a function of time: the price in
// force, "" for none, and fails when there are two.
func priceAt(t *rapid.T, owns []Own, sel Selector, at time.Time) string {
	found := ""
	for _, o := range owns {
		if sel.Matches(&o.Version) && inForce(&o.Version, at.UnixMicro()) {
			if found != "" {
				t.Fatalf("two prices at %s: %s and %s", at, found, o.Rates[0].Price)
			}
			found = o.Rates[0].Price.String()
		}
	}
	return found
}

func apply(t *rapid.T, existing []Own, remove []string, puts []Own) []Own {
	gone := make(map[string]bool)
	for _, id := range remove {
		gone[id] = true
	}
	var out []Own
	for _, o := range existing {
		if !gone[o.ID] {
			out = append(out, o)
		}
		delete(gone, o.ID)
	}
	if len(gone) > 0 {
		t.Fatalf("removes what is not there: %v", gone)
	}
	for _, o := range puts {
		for _, e := range out {
			if e.ID == o.ID {
				t.Fatalf("puts %s again", o.ID)
			}
		}
		out = append(out, o)
	}
	return out
}

func TestReplaceAndRemoveAreIntervalAlgebra(t *testing.T) {
	epoch := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	hour := func(n int) time.Time { return epoch.Add(time.Duration(n) * time.Hour) }
	rapid.Check(t, func(t *rapid.T) {
		var owns []Own
		projects := []string{"", "p"}
		tiers := []string{"", "batch"}
		for i := range rapid.IntRange(1, 12).Draw(t, "changes") {
			v := Version{
				Provider: "x", Model: "m", Project: rapid.SampledFrom(projects).Draw(t, "project"),
				ServiceTier: rapid.SampledFrom(tiers).Draw(t, "tier"),
			}
			sel := SelectorOf(&v)
			var remove []string
			var puts []Own
			before := owns
			var expect func(sel Selector, at time.Time) string
			if i > 0 && rapid.IntRange(0, 4).Draw(t, "end") == 0 {
				at := hour(rapid.IntRange(-1, 21).Draw(t, "at"))
				gone := Removal{Selector: sel, From: at}
				if rapid.Bool().Draw(t, "for a time") {
					gone.To = at.Add(time.Duration(rapid.IntRange(1, 12).Draw(t, "hours")) * time.Hour)
				}
				remove, puts = Remove(owns, gone)
				expect = func(s Selector, when time.Time) string {
					if s == sel && !when.Before(at) && (gone.To.IsZero() || when.Before(gone.To)) {
						return ""
					}
					return priceAt(t, before, s, when)
				}
			} else {
				from := rapid.IntRange(0, 20).Draw(t, "from")
				v.From = hour(from)
				if rapid.Bool().Draw(t, "ends") {
					v.To = hour(rapid.IntRange(from+1, 21).Draw(t, "to"))
				}
				if rapid.IntRange(0, 9).Draw(t, "always") == 0 {
					v.From = time.Time{}
				}
				p, text := drawPrice(t, "price")
				v.Rates = []Rate{{Unit: usage.Input, Price: p}}
				remove, puts = Replace(owns, Own{Version: v, PutAt: hour(i)})
				expect = func(s Selector, when time.Time) string {
					if s == sel && inForce(&v, when.UnixMicro()) {
						return text
					}
					return priceAt(t, before, s, when)
				}
			}
			owns = apply(t, owns, remove, puts)
			for _, o := range owns {
				if got := o.sealed().ID; o.ID != got {
					t.Fatalf("id %s of %+v, its content's is %s", o.ID, o.Version, got)
				}
			}
			for _, project := range projects {
				for _, tier := range tiers {
					s := Selector{Provider: "x", Model: "m", Project: project, ServiceTier: tier}
					for h := -2; h < 24; h++ {
						when := hour(h).Add(30 * time.Minute)
						if got, want := priceAt(t, owns, s, when), expect(s, when); got != want {
							t.Fatalf("%+v at %s: %q, want %q", s, when, got, want)
						}
					}
				}
			}
		}
		// The book reads the same function of time.
		b, err := (&Book{cache: newCache(), gateways: map[string]bool{}, providerNames: map[string]*provider{}}).With(owns)
		if err != nil {
			t.Fatal(err)
		}
		for h := -2; h < 24; h++ {
			when := hour(h).Add(30 * time.Minute)
			q, err := b.Quote(Call{Provider: "x", Model: "m", At: when, Counts: usage.Counts{usage.Input: 1_000_000}})
			if err != nil {
				t.Fatal(err)
			}
			want := priceAt(t, owns, Selector{Provider: "x", Model: "m"}, when)
			got := ""
			if q.Source == usage.SourceCatalog {
				got = q.Total().String()
			}
			if got != want {
				t.Fatalf("the book's price at %s is %q, want %q", when, got, want)
			}
		}
	})
}

func TestReplaceLeavesOthersAlone(t *testing.T) {
	existing := []Own{
		own(t, Version{Provider: "x", Model: "m"}, "1"),
		own(t, Version{Provider: "x", Model: "other"}, "1"),
		own(t, Version{Provider: "x", Model: "m", Region: "eu"}, "1"),
		own(t, Version{Provider: "x", Model: "m", Window: &Window{End: time.Hour}}, "1"),
	}
	remove, puts := Replace(existing, own(t, Version{Provider: "X", Model: " M ", From: instant(t, "2026-01-01T00:00:00Z")}, "2"))
	if diff := cmp.Diff([]string{existing[0].ID}, remove); diff != "" {
		t.Errorf("removed (-want +got):\n%s", diff)
	}
	if len(puts) != 2 || !puts[0].To.Equal(puts[1].From) || puts[0].PutAt != existing[0].PutAt {
		t.Errorf("put %+v", puts)
	}
	// One that ends where the other starts is left alone, in both directions.
	next := own(t, Version{Provider: "x", Model: "m", From: instant(t, "2026-01-01T00:00:00Z"), To: instant(t, "2026-02-01T00:00:00Z")}, "1")
	for _, put := range []Version{{To: next.From}, {From: next.To}} {
		put.Provider, put.Model = "x", "m"
		if remove, puts := Replace([]Own{next}, own(t, put, "2")); len(remove) != 0 || len(puts) != 1 {
			t.Errorf("a price from %v to %v removes %v and puts %v", put.From, put.To, remove, puts)
		}
	}
	again, same := Replace(existing[:1], existing[0])
	if len(again) != 1 || len(same) != 1 || again[0] != same[0].ID {
		t.Errorf("the same price again: removes %v, puts %v", again, same)
	}
}

// Many own prices of one model are found by halving, not by looking at all.
func TestManyOwnPrices(t *testing.T) {
	start := instant(t, "2020-01-01T00:00:00Z")
	var owns []Own
	for i := range 2_000 {
		from := start.AddDate(0, 0, i)
		owns = append(owns, own(t, Version{Provider: "x", Model: "m", From: from, To: from.AddDate(0, 0, 1)}, fmt.Sprint(i+1)))
	}
	b := with(t, shippedBook(t), owns...)
	for _, i := range []int{0, 1, 999, 1_999} {
		q := mustQuote(t, b, Call{Provider: "x", Model: "m", At: start.AddDate(0, 0, i).Add(time.Hour), Counts: counts(map[usage.Unit]int64{usage.Input: 1_000_000})})
		if got := big.NewInt(int64(q.Total())); got.Cmp(new(big.Int).Mul(big.NewInt(int64(i+1)), big.NewInt(1_000_000_000_000))) != 0 {
			t.Errorf("day %d costs %v", i, got)
		}
	}
	for _, at := range []time.Time{start.Add(-1), start.AddDate(0, 0, 2_000)} {
		if q := mustQuote(t, b, Call{Provider: "x", Model: "m", At: at}); q.Source != usage.SourceUnpriced {
			t.Errorf("a price at %s", at)
		}
	}
}
