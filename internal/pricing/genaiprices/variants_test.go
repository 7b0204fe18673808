package genaiprices

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/costprof/costprof/internal/pricing"
	"github.com/costprof/costprof/internal/usage"
)

// newer is a list as the package has it since 0.1.11: prices for calls of a kind
// (the first that holds wins, key by key), and things that nobody knows.
const newer = `[{"id":"openai","name":"","api_pattern":"","models":[
{"id":"big","match":{"starts_with":"big"},"prices":[
  {"prices":{"input_mtok":2,"cache_read_mtok":0.5,"output_mtok":8}},
  {"constraint":{"start_date":"2026-11-01"},"prices":{"input_mtok":1,"cache_read_mtok":0.25,"output_mtok":4}}],
 "price_variants":[
  {"when":{"service_tier":"default"},"prices":{}},
  {"when":{"processing":"batch"},"prices":{"input_mtok":0.6},"constraint":{"start_date":"2027-01-01"}},
  {"when":{"processing":"batch"},"prices":{"input_mtok":0.5,"output_mtok":2},"constraint":{"start_date":"2026-10-15"}},
  {"when":{"service_tier":"priority"},"prices":{"input_mtok":3.5,"output_mtok":{"base":14,"tiers":[{"start":1000,"price":28}]}}},
  {"when":{"service_tier":"flex"},"prices":{"input_mtok":1}},
  {"when":{"service_tier":"flex"},"prices":{"output_gpixels":1}},
  {"when":{"route":"mistral/eu"},"prices":{"input_mtok":9}},
  {"when":{"search_type":"web"},"prices":{}}]},
{"id":"big-speech","match":{"or":[{"equals":"big-speech"},{"equals":"big-speech-hd"}]},"prices":{"input_mchars":15}},
{"id":"weekly","match":{"equals":"weekly"},"prices":[
  {"prices":{"input_mtok":1}},
  {"constraint":{"start_time":"01:00:00Z","end_time":"04:00:00Z","weekdays":["mon"]},"prices":{"input_mtok":2}}]},
{"id":"tagged","match":{"equals":"tagged"},"prices":{"input_mtok":1},"surcharge":2}
]},
{"id":"azure","name":"","api_pattern":"","fallback_model_providers":["openai"],"models":[{"id":"x","match":{"equals":"x"},"prices":{"input_mtok":1}}]}]`

func TestTakeNewerList(t *testing.T) {
	if _, err := Convert([]byte(newer), Provenance("1", "2026-11-20")); err == nil {
		t.Fatal("the strict reader took what it does not understand")
	}
	res, err := Take([]byte(newer), Provenance("1", "2026-11-20"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string][]string{
		"it has a kind of price that is not known: input_mchars":     {"openai big-speech"},
		"its price depends on something that is not known: weekdays": {"openai weekly"},
		"it has a member that is not known: surcharge":               {"openai tagged"},
	}, res.Skipped); diff != "" {
		t.Errorf("skipped (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]int{"route=mistral/eu": 1, "service_tier=flex": 1}, res.Ignored); diff != "" {
		t.Errorf("left out (-want +got):\n%s", diff)
	}
	if res.Entries != 5 || res.Converted != 2 {
		t.Errorf("%d of %d models", res.Converted, res.Entries)
	}
	text, err := pricing.Encode(res.Data)
	if err != nil {
		t.Fatal(err)
	}
	b, err := pricing.Load(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		provider, model, tier, day, cost string
		fallback                         bool
	}{
		// 1,000,000 input of which 400,000 cached, 100,000 output.
		{"openai", "big", "", "2026-10-31", "2.2", false},        // 0.6·2 + 0.4·0.5 + 0.1·8
		{"openai", "big", "default", "2026-11-01", "1.1", false}, // 0.6·1 + 0.4·0.25 + 0.1·4
		{"openai", "big", "batch", "2026-10-14", "2.2", true},    // not yet
		{"openai", "big", "batch", "2026-10-15", "0.7", false},   // 0.6·0.5 + 0.4·0.5 + 0.1·2
		{"openai", "big", "batch", "2026-11-01", "0.6", false},   // the cache follows the standard price
		{"openai", "big", "batch", "2027-01-01", "0.66", false},  // input by the first that holds, output by the second
		{"openai", "big", "priority", "2026-11-02", "5", false},  // 0.6·3.5 + 0.4·0.25 + 0.1·28
		{"openai", "big", "flex", "2026-11-02", "1.1", true},     // part of it is not understood
		{"azure", "big", "batch", "2026-11-02", "1.1", true},     // another's tiers are not Azure's
		{"azure", "big", "", "2026-11-02", "1.1", false},
		// What is not understood is nobody else's: "big" would match both.
		{"openai", "big-speech", "", "2026-11-02", "", false},
		{"openai", "big-speech-hd", "", "2026-11-02", "", false},
		{"openai", "weekly", "", "2026-11-02", "", false},
	} {
		at, err := time.Parse(time.DateOnly, tt.day)
		if err != nil {
			t.Fatal(err)
		}
		c := pricing.Call{Provider: tt.provider, Model: tt.model, ServiceTier: tt.tier, At: at}
		c.Counts[usage.Input], c.Counts[usage.CacheRead], c.Counts[usage.Output] = 1_000_000, 400_000, 100_000
		q, err := b.Quote(c)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if q.Source == usage.SourceCatalog {
			got = q.Total().String()
		}
		if got != tt.cost || q.Fallback != tt.fallback {
			t.Errorf("%s %s %q on %s: %q, fallback %v; want %q, %v", tt.provider, tt.model, tt.tier, tt.day, got, q.Fallback, tt.cost, tt.fallback)
		}
	}
}

// A model that is not understood keeps the price that it has, and gets the list's
// as soon as that is.
func TestUnreadModelKeepsItsPrice(t *testing.T) {
	book := func(list, version, listed string) *pricing.Data {
		res, err := Take([]byte(list), Provenance(version, listed))
		if err != nil {
			t.Fatal(err)
		}
		return res.Data
	}
	load := func(d *pricing.Data) *pricing.Book {
		text, err := pricing.Encode(d)
		if err != nil {
			t.Fatal(err)
		}
		b, err := pricing.Load(text)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	known := strings.Replace(strings.Replace(newer, `,"weekdays":["mon"]`, ``, 1), `,"surcharge":2`, ``, 1)
	base := load(book(known, "1", "2026-11-01"))
	day := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	updated, err := base.Update(book(newer, "2", "2026-11-20"), pricing.Updating{At: day})
	if err != nil {
		t.Fatal(err)
	}
	if d := updated.Difference; d.Added+d.Changed+d.Removed != 0 {
		t.Errorf("it changes something: %+v", d)
	}
	next := load(updated.Data)
	price := func(b *pricing.Book, model string) string {
		c := pricing.Call{Provider: "openai", Model: model, At: day.AddDate(0, 1, 0)}
		c.Counts[usage.Input] = 1_000_000
		q, err := b.Quote(c)
		if err != nil {
			t.Fatal(err)
		}
		if q.Source != usage.SourceCatalog {
			return ""
		}
		return q.Total().String()
	}
	if a, b, c := price(next, "weekly"), price(next, "tagged"), price(next, "big-speech-hd"); a != "1" || b != "1" || c != "" {
		t.Errorf("weekly %q, tagged %q, big-speech-hd %q", a, b, c)
	}
	later := strings.Replace(known, `"input_mchars":15`, `"input_mtok":15`, 1)
	updated, err = next.Update(book(later, "3", "2026-11-21"), pricing.Updating{At: day.AddDate(0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	if got := price(load(updated.Data), "big-speech-hd"); got != "15" {
		t.Errorf("once it is understood it costs %q", got)
	}
}
