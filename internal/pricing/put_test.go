package pricing

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/usage"
)

func TestParsePut(t *testing.T) {
	got, err := ParsePut(PutRequest{
		Provider: " acme ", Model: "m-1", Project: "p", EffectiveFrom: "2026-03-01T01:00:00+01:00", EffectiveTo: "2026-03-31",
		ServiceTier: "Batch", Region: "EU",
		Prices: map[string]json.Number{"input": "2.5", "output": "1e1", "cacheRead": "0", "audioHours": "0.000000000001", "webSearches": "10.0"},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := Version{
		ID: got.ID, Provider: "acme", Model: "m-1", Project: "p", ServiceTier: "batch", Region: "eu",
		From: instant(t, "2026-03-01T00:00:00Z"), To: instant(t, "2026-04-01T00:00:00Z"), Source: SourceOwn,
		Rates: []Rate{
			rate(t, usage.Input, "2.5"), rate(t, usage.CacheRead, "0"), rate(t, usage.Output, "10"),
			rate(t, usage.WebSearches, "10"), rate(t, usage.AudioMilliseconds, "0.000000000001"),
		},
	}
	if diff := cmp.Diff(want, got.Version); diff != "" {
		t.Errorf("own price (-want +got):\n%s", diff)
	}
	if got.ID != got.sealed().ID || !strings.HasPrefix(got.ID, "p_") || len(got.ID) != 18 {
		t.Errorf("id %q", got.ID)
	}

	free, err := ParsePut(PutRequest{Provider: "x", Model: "m", ServiceTier: "auto", Prices: map[string]json.Number{}})
	if err != nil || len(free.Rates) != 0 || free.ServiceTier != "" || !free.From.IsZero() {
		t.Errorf("a free price: %+v, %v", free, err)
	}
	b := with(t, shippedBook(t), free)
	if q := mustQuote(t, b, Call{Provider: "x", Model: "m", Counts: counts(map[usage.Unit]int64{usage.Input: 5})}); q.Source != usage.SourceCatalog || q.Total() != 0 {
		t.Errorf("a free call: %v %s", q.Source, q.Total())
	}

	canonical, err := shippedBook(t).ParsePut(PutRequest{Provider: "azure-openai", Model: "m", Prices: map[string]json.Number{}})
	if err != nil || canonical.Provider != "azure" {
		t.Errorf("provider %q, %v", canonical.Provider, err)
	}
}

func TestParsePutReportsEverything(t *testing.T) {
	_, err := ParsePut(PutRequest{
		Provider: "  ", Model: strings.Repeat("m", 257), Project: "a\x00b", EffectiveFrom: "yesterday", EffectiveTo: "1999-01-01",
		ServiceTier: "\xff",
		Prices: map[string]json.Number{
			"input": "0.0000000000001", "output": "-1", "cacheRead": "NaN", "cacheWrite": "100000.000000000001", "reasoning": "1e999999999",
			"webSearches": "", "citation": "-1e-30", "inputt": "1", "INPUT": "1",
		},
	})
	var e *fault.Error
	if !errors.As(err, &e) || e.Code != fault.Invalid {
		t.Fatalf("error %v", err)
	}
	want := map[string][]string{
		"provider":           {"is required"},
		"model":              {"must be at most 256 characters"},
		"project":            {"must not contain U+0000"},
		"effectiveFrom":      {"must be an RFC 3339 instant or a date YYYY-MM-DD"},
		"effectiveTo":        {"must be between the years 2000 and 9998"},
		"serviceTier":        {"must be valid UTF-8"},
		"prices.input":       {"must not be finer than a picodollar (0.000000000001) per million tokens"},
		"prices.output":      {"must be 0 or more"},
		"prices.cacheRead":   {"must be a decimal number"},
		"prices.cacheWrite":  {"must be at most 100000 USD per million tokens"},
		"prices.reasoning":   {"must be at most 100000 USD per million tokens"},
		"prices.webSearches": {"must be a decimal number"},
		"prices.citation":    {"must be 0 or more"},
		"prices.INPUT":       {"is not a price; allowed are " + priceNames()},
		"prices.inputt":      {"is not a price"},
	}
	if diff := cmp.Diff(want, e.Details); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}

	for name, r := range map[string]PutRequest{
		"no prices":       {Provider: "x", Model: "m"},
		"ends at start":   {Provider: "x", Model: "m", EffectiveFrom: "2026-01-01", EffectiveTo: "2026-01-01T00:00:00Z", Prices: map[string]json.Number{}},
		"within a µs":     {Provider: "x", Model: "m", EffectiveFrom: "2026-01-01T00:00:00.0000001Z", EffectiveTo: "2026-01-01T00:00:00.0000009Z", Prices: map[string]json.Number{}},
		"offset of a day": {Provider: "x", Model: "m", EffectiveFrom: "2026-02-03T00:00:00+24:00", Prices: map[string]json.Number{}},
		"comma":           {Provider: "x", Model: "m", EffectiveTo: "2026-02-03T00:00:00,5Z", Prices: map[string]json.Number{}},
		"day not in cal":  {Provider: "x", Model: "m", EffectiveFrom: "2026-02-30", Prices: map[string]json.Number{}},
	} {
		if _, err := ParsePut(r); fault.CodeOf(err) != fault.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}

	many := PutRequest{Provider: "x", Model: "m", Prices: map[string]json.Number{}}
	for i := range 10_000 {
		many.Prices[fmt.Sprint("key", i)] = "1"
	}
	_, err = ParsePut(many)
	if !errors.As(err, &e) || len(e.Details) > 100 {
		t.Errorf("a hostile request is answered with %d problems", len(e.Details))
	}
}

func TestStarting(t *testing.T) {
	o, err := ParsePut(PutRequest{Provider: "x", Model: "m", EffectiveTo: "2026-01-31", Prices: map[string]json.Number{"input": "1"}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := o.Starting(instant(t, "2026-01-05T06:07:08Z").Add(1234 * time.Nanosecond))
	if err != nil || s.ID == o.ID || s.ID != s.sealed().ID || s.From.Nanosecond() != 1000 {
		t.Errorf("starting: %+v, %v", s, err)
	}
	if _, err := o.Starting(instant(t, "2026-02-01T00:00:00Z")); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("starting at its end: %v", err)
	}
}

func FuzzParsePut(f *testing.F) {
	f.Add([]byte(`{"provider":"openai","model":"gpt-4o","effectiveFrom":"2026-01-01","prices":{"input":2.5,"output":"1e1"}}`))
	f.Add([]byte(`{"provider":"x","model":"y","effectiveFrom":"2026-01-01T00:00:00Z","effectiveTo":"2026-01-02","serviceTier":"batch","region":"EU","prices":{}}`))
	f.Add([]byte(`{"provider":"x","model":"y","prices":{"input":1e-400,"inputt":0}}`))
	b := shippedBook(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		var r PutRequest
		if json.Unmarshal(body, &r) != nil {
			return
		}
		o, err := ParsePut(r)
		if err != nil {
			var e *fault.Error
			if !errors.As(err, &e) || e.Code != fault.Invalid || len(e.Details) == 0 {
				t.Fatalf("error %v", err)
			}
			return
		}
		// What is accepted can be stored, read, used and told apart.
		text, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		var back Own
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if diff := cmp.Diff(o, back); diff != "" {
			t.Fatalf("stored and read (-put +read):\n%s", diff)
		}
		priced, err := b.With([]Own{back})
		if err != nil {
			t.Fatal(err)
		}
		c := Call{Project: o.Project, Provider: o.Provider, Model: o.Model, At: o.From, ServiceTier: o.ServiceTier, Region: o.Region}
		if q := mustQuote(t, priced, c); q.PriceID != o.ID {
			t.Fatalf("%s: quoted by %q", text, q.PriceID)
		}
	})
}
