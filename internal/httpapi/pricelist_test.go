package httpapi

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/pricing"
)

// newer is the shipped book with one price changed, as of a day.
func newer(t *testing.T, listed string, change func(*pricing.Data)) string {
	t.Helper()
	text, err := os.ReadFile("../pricing/book.json")
	if err != nil {
		t.Fatal(err)
	}
	d, err := pricing.Decode(text)
	if err != nil {
		t.Fatal(err)
	}
	d.Version, d.Listed = "9.9", listed
	if change != nil {
		change(d)
	}
	if text, err = pricing.Encode(d); err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func gpt4o(change func(input *money.USD)) func(d *pricing.Data) {
	return func(d *pricing.Data) {
		for i := range d.Providers {
			for j := range d.Providers[i].Models {
				if m := &d.Providers[i].Models[j]; d.Providers[i].ID == "openai" && m.ID == "gpt-4o" {
					change(&m.Versions[0].Rates[0].Price)
				}
			}
		}
	}
}

var dearer = gpt4o(func(input *money.USD) { *input *= 2 })

func TestNewerPriceList(t *testing.T) {
	f := setup(t)
	f.working()
	f.get("/api/v1/prices/list").want(200).says(`"source":"@pydantic/genai-prices","version":"0.1.8","listed":"2026-09-23"`, `"loaded":false`, `"models":1694`)
	f.get("/api/v1/prices?provider=openai&model=gpt-4o").want(200).says(`"list":{"source":"@pydantic/genai-prices","version":"0.1.8","listed":"2026-09-23"}`)
	f.post("/api/v1/events", batch(event(0))).want(202)
	book := newer(t, "2026-11-01", dearer)
	put := func(target, body string) *answer { return f.do("PUT", target, body) }

	var dry struct{ Data struct{ Digest string } }
	put("/api/v1/prices/list?dryRun=true", book).want(200).into(&dry).says(`"applied":false`, `"added":0,"changed":1,"removed":0,"same":1693`,
		`"changes":[{"provider":"openai","model":"gpt-4o","kind":"changed","effectiveFrom":"2026-11-`, `"old":{"input":2.5,`, `"new":{"input":5,`)
	f.get("/api/v1/prices/list").want(200).says(`"loaded":false`)
	put("/api/v1/prices/list?expect=x", book).want(409)
	put("/api/v1/prices/list?expect="+dry.Data.Digest, book).want(200).says(`"applied":true`, `"jobId":"`)
	f.get("/api/v1/prices/list").want(200).says(`"version":"9.9","listed":"2026-11-01"`, `"loaded":true,"since":"`, `"shipped":{"source":"@pydantic/genai-prices","version":"0.1.8"`)
	f.get("/api/v1/prices?provider=openai&model=gpt-4o").want(200).says(`"input":5`, `"source":"@pydantic/genai-prices 9.9"`, `"list":{"source":"@pydantic/genai-prices","version":"9.9"`)
	// History is as it was.
	f.get("/api/v1/prices?provider=openai&model=gpt-4o&at=2026-06-01").want(200).says(`"input":2.5`)
	f.post("/api/v1/prices/quote", `{"provider":"openai","model":"gpt-4o","inputTokens":1000,"outputTokens":0,"timestamp":"2026-06-01T00:00:00Z"}`).want(200).says(`"cost":0.0025`)
	f.post("/api/v1/prices/quote", `{"provider":"openai","model":"gpt-4o","inputTokens":1000,"outputTokens":0}`).want(200).says(`"cost":0.005`)
	// Again, it changes nothing; an older one is refused.
	put("/api/v1/prices/list", book).want(200).says(`"applied":false`, `"changes":[]`)
	put("/api/v1/prices/list", newer(t, "2026-10-01", nil)).want(409).says("is newer")
	f.do("DELETE", "/api/v1/prices/list", "").want(204)
	f.do("DELETE", "/api/v1/prices/list", "").want(409)
	f.get("/api/v1/prices?provider=openai&model=gpt-4o").want(200).says(`"input":2.5`)
	actions := ""
	entries, err := f.catalog.ListAudit(t.Context(), 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Action, "prices.update") || strings.HasPrefix(e.Action, "prices.reset") {
			actions += e.Action + " "
		}
	}
	if diff := cmp.Diff("prices.reset prices.update ", actions); diff != "" {
		t.Errorf("audit (-want +got):\n%s", diff)
	}
}

func TestBrokenPriceLists(t *testing.T) {
	f := setup(t)
	book := newer(t, "2026-11-01", nil)
	few := newer(t, "2026-11-01", func(d *pricing.Data) {
		d.Providers = d.Providers[:3]
		d.Providers[1].Fallback, d.Providers[2].Fallback = nil, nil
	})
	edit := func(old, now string) string {
		if !strings.Contains(book, old) {
			t.Fatalf("the book has no %s", old)
		}
		return strings.Replace(book, old, now, 1)
	}
	for name, test := range map[string][2]string{
		"truncated":  {book[:len(book)/2], "cannot be used"},
		"empty":      {`{}`, `format is`},
		"no models":  {`{"format":"costprof/book/1","source":"x","version":"1","listed":"2026-11-01","license":"","providers":[]}`, "is empty"},
		"cut off":    {few, "cut off"},
		"negative":   {edit(`"input":2.5,`, `"input":-2.5,`), "cannot be used"},
		"finer":      {edit(`"input":2.5,`, `"input":0.1234567890123,`), "picodollar"},
		"other unit": {newer(t, "2026-11-01", gpt4o(func(p *money.USD) { *p = 2_500_000 * money.PerUSD })), "cannot be used"},
		"jump":       {newer(t, "2026-11-01", gpt4o(func(p *money.USD) { *p /= 1_000_000 })), "another unit"},
		"unknown":    {edit(`"format"`, `"formula":1,"format"`), "unknown"},
		"no day":     {edit(`"2026-11-01"`, `"soon"`), "listed"},
		"future":     {edit(`"2026-11-01"`, `"2099-11-01"`), "not yet"},
		"no source":  {edit(`"@pydantic/genai-prices"`, `""`), "source"},
	} {
		t.Run(name, func(t *testing.T) {
			a := f.do("PUT", "/api/v1/prices/list", test[0]).want(400).says(test[1])
			if bytes.Contains(a.body, []byte("goroutine")) {
				t.Errorf("%s", a.body)
			}
		})
	}
	f.do("PUT", "/api/v1/prices/list?dryRun=yes", book).want(400).says("dryRun")
	f.do("PUT", "/api/v1/prices/list?apply=true", book).want(400).says("apply")
	var state struct{ Data struct{ Loaded bool } }
	f.get("/api/v1/prices/list").want(200).into(&state)
	if state.Data.Loaded {
		t.Error("a broken list is in force")
	}
	if list, err := f.catalog.GetList(t.Context()); err != nil || list.Number != 0 {
		t.Errorf("stored: %d, %v", list.Number, err)
	}
	// A part is a list of its own kind.
	f.do("PUT", "/api/v1/prices/list?partial=true&dryRun=true", few).want(200).says(`"removed":0`)
}
