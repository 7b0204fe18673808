package pricing

import (
	"testing"
	"time"

	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/usage"
)

// manyDimensions is a list price as vendors publish them: cliffs at every tier,
// a discount for batches that is not the same for each class, a premium for a
// region, a peak on working days in the vendor's own zone, fees per call, and a
// least quantity.
const manyDimensions = `{
"format":"costprof/book/1","source":"test","version":"1","listed":"2026-11-01","license":"MIT",
"providers":[{"id":"acme","models":[
{"id":"m","versions":[
 {"prices":{"input":{"price":2,"above":[{"inputTokens":200000,"price":4},{"inputTokens":500000,"price":8}]},
   "cacheRead":{"price":0.03,"above":[{"inputTokens":200000,"price":0.06}]},"cacheWrite":2.5,"cacheWrite1h":4,
   "output":{"price":10,"above":[{"inputTokens":200000,"price":15}]},"reasoning":{"price":12,"above":[{"inputTokens":200000,"price":18}]},
   "webSearches":10}},
 {"serviceTier":"batch","prices":{"input":{"price":1,"above":[{"inputTokens":200000,"price":2}]},"cacheRead":0.02,"output":5,"webSearches":10}},
 {"serviceTier":"flex","prices":{"input":1,"output":5}},
 {"serviceTier":"priority","prices":{"input":{"price":3.6,"above":[{"inputTokens":200000,"price":7.2}]},"output":18}},
 {"region":"us","prices":{"input":2.2,"output":11}},
 {"region":"us","serviceTier":"priority","prices":{"input":3.96,"output":19.8}},
 {"serviceTier":"flex","window":{"start":"09:00","end":"18:00","weekdays":["mon","tue","wed","thu","fri"],"zone":"Asia/Shanghai"},
  "prices":{"input":{"price":1.5,"above":[{"inputTokens":200000,"price":3}]},"output":7.5}}
]},
{"id":"whisper","versions":[
 {"effectiveTo":"2026-06-01T00:00:00Z","prices":{"audioHours":{"price":0.36,"minimum":10000}}},
 {"effectiveFrom":"2026-06-01T00:00:00Z","prices":{"audioHours":{"price":0.36,"minimum":1000},"requests":2}}
]}
]}]}`

func TestDimensionsTogether(t *testing.T) {
	b, err := Load([]byte(manyDimensions))
	if err != nil {
		t.Fatal(err)
	}
	const weekend = "2026-11-21T02:00:00Z"
	short := map[usage.Unit]int64{usage.Input: 100_000, usage.CacheRead: 50_000, usage.Output: 10_000, usage.Reasoning: 5_000}
	long := map[usage.Unit]int64{usage.Input: 200_001, usage.CacheRead: 200_000, usage.Output: 10_000, usage.Reasoning: 5_000}
	writes := map[usage.Unit]int64{usage.Input: 500_001, usage.CacheWrite: 100_000, usage.CacheWrite1h: 100_000}
	for _, tt := range []struct {
		name, model, tier, region, at string
		counts                        map[usage.Unit]int64
		want                          string
		fall                          bool
	}{
		{"standard", "m", "", "", weekend, short, "0.2115", false},
		{"above a cliff that cached tokens reach, every line is repriced", "m", "", "", weekend, long, "0.177004", false},
		{"above two cliffs the last applies, and a flat price stays", "m", "", "", weekend, writes, "3.050008", false},
		// 50,000 × 1 + 50,000 × 0.02 + 10,000 × 5: a tier takes nothing from another one.
		{"batch, cached at two thirds instead of half", "m", "batch", "", weekend, short, "0.101", false},
		{"batch above its cliff", "m", "batch", "", weekend, long, "0.054002", false},
		{"priority without a cache price: its own input price", "m", "priority", "", weekend, short, "0.54", false},
		{"priority above its cliff", "m", "priority", "", weekend, long, "1.6200072", false},
		{"region", "m", "", "us", weekend, short, "0.33", false},
		{"region and tier", "m", "priority", "us", weekend, short, "0.594", false},
		{"a tier that the region has not: the tier's price anywhere", "m", "batch", "us", weekend, short, "0.101", true},
		{"a region without a price", "m", "", "eu", weekend, short, "0.2115", true},
		{"a tier without a price, in a region with one", "m", "turbo", "us", weekend, short, "0.33", true},
		{"flex at the weekend", "m", "flex", "", "2026-11-21T02:00:00Z", short, "0.15", false},
		{"flex on Friday at noon in Shanghai", "m", "flex", "", "2026-11-20T04:00:00Z", short, "0.225", false},
		{"flex on Saturday in Shanghai, Friday in UTC", "m", "flex", "", "2026-11-20T16:30:00Z", short, "0.15", false},
		{"flex on Monday in Shanghai, an hour of Monday in UTC", "m", "flex", "", "2026-11-23T01:00:00Z", short, "0.225", false},
		{"flex at peak above its cliff", "m", "flex", "", "2026-11-20T04:00:00Z", long, "0.675003", false},
		{"another tier at that time", "m", "batch", "", "2026-11-20T04:00:00Z", short, "0.101", false},
		{"a fee at a tier", "m", "batch", "", weekend, map[usage.Unit]int64{usage.WebSearches: 3}, "0.03", false},
		{"the minimum of its time", "whisper", "", "", "2026-05-31T23:59:59Z", map[usage.Unit]int64{usage.AudioMilliseconds: 1}, "0.001", false},
		{"a later minimum, and a fee per request", "whisper", "", "", "2026-06-01T00:00:00Z", map[usage.Unit]int64{usage.AudioMilliseconds: 1}, "0.0021", false},
		{"several requests", "whisper", "", "", "2026-06-01T00:00:00Z", map[usage.Unit]int64{usage.AudioMilliseconds: 10_000, usage.Requests: 3}, "0.007", false},
	} {
		q := mustQuote(t, b, Call{
			Provider: "acme", Model: tt.model, At: instant(t, tt.at), Counts: counts(tt.counts), ServiceTier: tt.tier, Region: tt.region,
		})
		if got := q.Total().String(); got != tt.want || q.Fallback != tt.fall {
			t.Errorf("%s: %s, fallback %v; want %s, %v; lines %v", tt.name, got, q.Fallback, tt.want, tt.fall, q.Lines)
		}
	}
}

// A price of nothing is a price: it neither gives way to a wider unit's, nor to
// another price, nor to the caller's estimate. An amount of nothing is an amount.
func TestNothingIsAnAmount(t *testing.T) {
	list := smallBook(t, ModelData{ID: "m", Versions: []Version{{Rates: []Rate{
		rate(t, usage.Input, "2"), rate(t, usage.CacheRead, "0"), rate(t, usage.CacheWrite, "3"), rate(t, usage.CacheWrite1h, "0"),
		rate(t, usage.Output, "4"), rate(t, usage.Reasoning, "0"),
	}}}})
	zero, some := usd(t, "0"), usd(t, "0.5")
	e := usage.Event{Provider: "acme", Model: "m", Timestamp: instant(t, "2026-01-01T00:00:00Z"), Counts: counts(map[usage.Unit]int64{
		usage.Input: 300, usage.CacheRead: 100, usage.CacheWrite1h: 200, usage.Output: 50, usage.Reasoning: 50,
	})}
	free := Own{Version: Version{Provider: "acme", Model: "m", Source: SourceOwn}.sealed()}
	for _, tt := range []struct {
		name              string
		book              *Book
		model             string
		billed, estimated *money.USD
		source            usage.Source
		want              string
	}{
		{"classes without a cost", list, "m", nil, nil, usage.SourceCatalog, "0"},
		{"… beside an estimate", list, "m", nil, &some, usage.SourceCatalog, "0"},
		{"billed nothing", list, "m", &zero, &some, usage.SourceBilled, "0"},
		{"estimated nothing", list, "unknown", nil, &zero, usage.SourceClient, "0"},
		{"nothing known", list, "unknown", nil, nil, usage.SourceUnpriced, "0"},
		{"an own free price over the list's", with(t, list, free), "m", nil, &some, usage.SourceCatalog, "0"},
	} {
		call := e
		call.Model, call.Billed, call.Estimated = tt.model, tt.billed, tt.estimated
		got, err := tt.book.Price(&call)
		if err != nil || got.Source != tt.source || got.Total().String() != tt.want {
			t.Errorf("%s: %s from %s, %v; want %s from %s", tt.name, got.Total(), got.Source, err, tt.want, tt.source)
		}
		if (got.PriceID != "") != (tt.source == usage.SourceCatalog) {
			t.Errorf("%s: price id %q", tt.name, got.PriceID)
		}
	}
}

// What became of a call does not change what its tokens cost: a stream that was
// cut off and a call that failed are charged for what was counted.
func TestOutcomeIsNoPrice(t *testing.T) {
	b := shippedBook(t)
	e := usage.Event{
		Provider: "openai", Model: "gpt-4o", Timestamp: instant(t, "2026-01-01T00:00:00Z"),
		Counts: counts(map[usage.Unit]int64{usage.Input: 1_000_000}),
	}
	for _, change := range []func(*usage.Event){
		func(*usage.Event) {}, func(e *usage.Event) { e.Streaming = true }, func(e *usage.Event) { e.Error, e.ErrorCode = true, "499" },
		func(e *usage.Event) { e.RetryCount = 3 }, func(e *usage.Event) { e.Aggregate = true },
	} {
		call := e
		change(&call)
		if got, err := b.Price(&call); err != nil || got.Total().String() != "2.5" || got.Source != usage.SourceCatalog {
			t.Errorf("%+v: %s, %v", call, got.Total(), err)
		}
	}
}

// A model whose only price is for a part of the day has none at other times, and
// is not mistaken for one that has.
func TestAWindowAlone(t *testing.T) {
	night := Window{Start: 22 * time.Hour, End: 6 * time.Hour}
	b := smallBook(t, ModelData{ID: "m", Versions: []Version{{Window: &night, Rates: []Rate{rate(t, usage.Input, "1")}}}})
	for at, want := range map[string]usage.Source{
		"2026-01-01T21:59:59Z": usage.SourceUnpriced, "2026-01-01T22:00:00Z": usage.SourceCatalog,
		"2026-01-01T05:59:59Z": usage.SourceCatalog, "2026-01-01T06:00:00Z": usage.SourceUnpriced,
	} {
		if q := mustQuote(t, b, Call{Provider: "acme", Model: "m", At: instant(t, at)}); q.Source != want {
			t.Errorf("at %s the source is %s, want %s", at, q.Source, want)
		}
	}
}
