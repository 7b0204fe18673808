package pricing

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/usage"
)

// Each case is a class of mistake that users of cost tools have reported.
func TestKnownMistakes(t *testing.T) {
	b := shippedBook(t)
	const now = "2026-11-22T12:00:00Z"
	tests := []struct {
		class string
		call  Call
		at    string
		want  string // the cost; "unpriced" when there must be no price
		lines []Line
		fall  bool
	}{
		{
			class: "cached tokens charged twice",
			call: Call{Provider: "anthropic", Model: "claude-haiku-4-5", Counts: counts(map[usage.Unit]int64{
				usage.Input: 10_000, usage.CacheRead: 9_000, usage.Output: 100,
			})},
			want: "0.0024",
			lines: []Line{
				{Unit: "input", Quantity: 1_000, Price: usd(t, "1"), Per: 1_000_000, Amount: usd(t, "0.001")},
				{Unit: "cacheRead", Quantity: 9_000, Price: usd(t, "0.1"), Per: 1_000_000, Amount: usd(t, "0.0009")},
				{Unit: "output", Quantity: 100, Price: usd(t, "5"), Per: 1_000_000, Amount: usd(t, "0.0005")},
			},
		},
		{
			class: "one-hour cache writes at the five-minute price",
			call: Call{Provider: "anthropic", Model: "claude-haiku-4-5", Counts: counts(map[usage.Unit]int64{
				usage.Input: 3_000_000, usage.CacheWrite: 1_000_000, usage.CacheWrite1h: 1_000_000,
			})},
			want: "4.25",
		},
		{
			class: "cached not discounted",
			call: Call{Provider: "google", Model: "gemini-2.5-flash", Counts: counts(map[usage.Unit]int64{
				usage.Input: 1_000_000, usage.CacheRead: 1_000_000,
			})},
			want: "0.03",
		},
		{
			class: "cache read derived from a multiplier",
			call: Call{Provider: "anthropic", Model: "claude-fable-5-1", Counts: counts(map[usage.Unit]int64{
				usage.Input: 1_000_000, usage.CacheRead: 1_000_000,
			})},
			want: "0.25",
		},
		{
			class: "unknown model costs nothing",
			call:  Call{Provider: "openai", Model: "gpt-99-hyper", Counts: counts(map[usage.Unit]int64{usage.Input: 1_000_000})},
			want:  "unpriced",
		},
		{
			class: "dated model costs nothing",
			call:  Call{Provider: "anthropic", Model: "claude-opus-5-20251231", Counts: counts(map[usage.Unit]int64{usage.Output: 1_000_000})},
			want:  "25",
		},
		{
			class: "explicit zero taken for missing",
			call:  Call{Provider: "openai", Model: "gpt-4o", Counts: counts(map[usage.Unit]int64{})},
			want:  "0",
		},
		{
			class: "free model taken for unknown",
			call:  Call{Provider: "openrouter", Model: "openai/gpt-oss-20b:free", Counts: counts(map[usage.Unit]int64{usage.Input: 9_000})},
			want:  "0",
		},
		{
			class: "long context as a slope: at the threshold",
			call:  Call{Provider: "google", Model: "gemini-2.5-pro", Counts: counts(map[usage.Unit]int64{usage.Input: 200_000, usage.Output: 1_000})},
			want:  "0.26",
		},
		{
			class: "long context as a slope: one token above reprices all",
			call:  Call{Provider: "google", Model: "gemini-2.5-pro", Counts: counts(map[usage.Unit]int64{usage.Input: 200_001, usage.Output: 1_000})},
			want:  "0.5150025",
		},
		{
			class: "long context forgets cached tokens",
			call: Call{Provider: "google", Model: "gemini-2.5-pro", Counts: counts(map[usage.Unit]int64{
				usage.Input: 200_001, usage.CacheRead: 200_000,
			})},
			want: "0.0500025",
		},
		{
			class: "tool fee charged although not used",
			call:  Call{Provider: "openai", Model: "gpt-4o", Counts: counts(map[usage.Unit]int64{usage.Input: 1_000_000})},
			want:  "2.5",
		},
		{
			class: "tool fee missing",
			call: Call{Provider: "openai", Model: "gpt-5", Counts: counts(map[usage.Unit]int64{
				usage.Input: 1_000_000, usage.WebSearches: 3, usage.StorageSearches: 2,
			})},
			want: "1.285",
		},
		{
			class: "service tier silently at the standard price",
			call: Call{
				Provider: "openai", Model: "gpt-4o", ServiceTier: "priority",
				Counts: counts(map[usage.Unit]int64{usage.Input: 1_000_000}),
			},
			want: "2.5", fall: true,
			lines: []Line{{Unit: "input", Quantity: 1_000_000, Price: usd(t, "2.5"), Per: 1_000_000, Amount: usd(t, "2.5"), Fallback: "tier"}},
		},
		{
			class: "standard tier flagged as another one",
			call: Call{
				Provider: "openai", Model: "gpt-4o", ServiceTier: "Default",
				Counts: counts(map[usage.Unit]int64{usage.Input: 1_000_000}),
			},
			want: "2.5",
		},
		{
			class: "region silently at the standard price",
			call: Call{
				Provider: "openai", Model: "gpt-4o", Region: "eu",
				Counts: counts(map[usage.Unit]int64{usage.Input: 1_000_000}),
			},
			want: "2.5", fall: true,
			lines: []Line{{Unit: "input", Quantity: 1_000_000, Price: usd(t, "2.5"), Per: 1_000_000, Amount: usd(t, "2.5"), Fallback: "region"}},
		},
		{
			class: "regional and global at one price",
			call:  Call{Provider: "aws", Model: "us.anthropic.claude-opus-4-5-20251101-v1:0", Counts: counts(map[usage.Unit]int64{usage.Input: 1_000_000})},
			want:  "5.5",
		},
		{
			class: "regional and global at one price: global",
			call:  Call{Provider: "aws", Model: "global.anthropic.claude-opus-4-5-20251101-v1:0", Counts: counts(map[usage.Unit]int64{usage.Input: 1_000_000})},
			want:  "5",
		},
		{
			class: "a region's name at another list's price",
			call:  Call{Provider: "anthropic", Model: "us.anthropic.claude-opus-4-7-v1:0", Counts: counts(map[usage.Unit]int64{usage.Input: 1_000_000})},
			want:  "5", fall: true,
		},
		{
			class: "a future price applied now",
			call:  Call{Provider: "google", Model: "gemini-3.8-flash", Counts: counts(map[usage.Unit]int64{usage.Input: 1_000_000})},
			want:  "0.75",
		},
		{
			class: "a future price applied on its day",
			call:  Call{Provider: "google", Model: "gemini-3.8-flash", Counts: counts(map[usage.Unit]int64{usage.Input: 1_000_000})},
			at:    "2027-01-01T00:00:00Z",
			want:  "1.5",
		},
		{
			class: "history rewritten by a price change",
			call:  Call{Provider: "openai", Model: "o3", Counts: counts(map[usage.Unit]int64{usage.Input: 1_000_000})},
			at:    "2025-06-09T23:59:59Z",
			want:  "10",
		},
		{
			class: "time of day: peak on a weekday",
			call:  Call{Provider: "deepseek", Model: "deepseek-v4-pro", Counts: counts(map[usage.Unit]int64{usage.Input: 1_000_000})},
			at:    "2026-11-20T03:59:59Z",
			want:  "1.32",
		},
		{
			class: "time of day: the window's end is outside",
			call:  Call{Provider: "deepseek", Model: "deepseek-v4-pro", Counts: counts(map[usage.Unit]int64{usage.Input: 1_000_000})},
			at:    "2026-11-20T04:00:00Z",
			want:  "0.66",
		},
		{
			class: "time of day: weekend",
			call:  Call{Provider: "deepseek", Model: "deepseek-v4-pro", Counts: counts(map[usage.Unit]int64{usage.Input: 1_000_000})},
			at:    "2026-11-21T02:00:00Z",
			want:  "0.66",
		},
		{
			class: "time of day: weekend before weekends counted",
			call:  Call{Provider: "deepseek", Model: "deepseek-v4-pro", Counts: counts(map[usage.Unit]int64{usage.Input: 1_000_000})},
			at:    "2026-08-22T02:00:00Z",
			want:  "1.32",
		},
		{
			class: "time of day: before there were windows",
			call:  Call{Provider: "deepseek", Model: "deepseek-v4-pro", Counts: counts(map[usage.Unit]int64{usage.Input: 1_000_000})},
			at:    "2026-08-16T02:00:00Z",
			want:  "0.435",
		},
		{
			class: "self-hosted at a vendor's price",
			call:  Call{Provider: "self-hosted", Model: "gpt-4o", Counts: counts(map[usage.Unit]int64{usage.Input: 1_000_000})},
			want:  "unpriced",
		},
		{
			class: "self-hosted behind a vendor's interface",
			call:  Call{Provider: "openai-compatible", Model: "gpt-4o", Counts: counts(map[usage.Unit]int64{usage.Input: 1_000_000})},
			want:  "unpriced",
		},
		{
			class: "gateway at a vendor's price",
			call:  Call{Provider: "my-gateway", Model: "openai/gpt-4o", Counts: counts(map[usage.Unit]int64{usage.Input: 1_000_000})},
			want:  "unpriced",
		},
		{
			class: "pass-through gateway unpriced",
			call:  Call{Provider: "litellm", Model: "openai/gpt-4o", Counts: counts(map[usage.Unit]int64{usage.Input: 1_000_000})},
			want:  "2.5",
		},
		{
			class: "per million taken for per token",
			call:  Call{Provider: "openai", Model: "gpt-4o", Counts: counts(map[usage.Unit]int64{usage.Input: 1})},
			want:  "0.0000025",
		},
		{
			class: "reasoning outside of the output",
			call: Call{Provider: "perplexity", Model: "sonar-deep-research", Counts: counts(map[usage.Unit]int64{
				usage.Output: 1_000_000, usage.Reasoning: 400_000, usage.Citation: 100_000, usage.Requests: 1,
			})},
			want: "5.4",
		},
		{
			class: "minimum charge: below",
			call:  Call{Provider: "groq", Model: "whisper-large-v3", Counts: counts(map[usage.Unit]int64{usage.AudioMilliseconds: 1})},
			want:  "0.000308333333",
			lines: []Line{{Unit: "audioHours", Quantity: 10_000, Counted: 1, Price: usd(t, "0.111"), Per: 3_600_000, Amount: usd(t, "0.000308333333")}},
		},
		{
			class: "minimum charge: just below",
			call:  Call{Provider: "groq", Model: "whisper-large-v3", Counts: counts(map[usage.Unit]int64{usage.AudioMilliseconds: 9_999})},
			want:  "0.000308333333",
		},
		{
			class: "minimum charge: just above",
			call:  Call{Provider: "groq", Model: "whisper-large-v3", Counts: counts(map[usage.Unit]int64{usage.AudioMilliseconds: 10_001})},
			want:  "0.000308364167",
		},
		{
			class: "minimum charge: unused",
			call:  Call{Provider: "groq", Model: "whisper-large-v3", Counts: counts(map[usage.Unit]int64{usage.Output: 5})},
			want:  "0",
		},
		{
			class: "annotated pages counted twice",
			call: Call{Provider: "mistral", Model: "mistral-ocr-latest", Counts: counts(map[usage.Unit]int64{
				usage.Pages: 10, usage.AnnotatedPages: 4,
			})},
			want: "0.044",
		},
		{
			class: "cached audio at the text price",
			call: Call{Provider: "openai", Model: "gpt-realtime", Counts: counts(map[usage.Unit]int64{
				usage.Input: 1_000_000, usage.CacheRead: 500_000, usage.CachedAudio: 500_000, usage.InputAudio: 1_000_000,
			})},
			want: "16.2",
		},
	}
	for _, tt := range tests {
		t.Run(tt.class, func(t *testing.T) {
			if tt.at == "" {
				tt.at = now
			}
			tt.call.At = instant(t, tt.at)
			q := mustQuote(t, b, tt.call)
			got := q.Total().String()
			if q.Source == usage.SourceUnpriced {
				got = "unpriced"
			}
			if got != tt.want {
				t.Errorf("cost %s, want %s; lines %v", got, tt.want, q.Lines)
			}
			if (got == "unpriced") != (q.PriceID == "") {
				t.Errorf("price id %q for a cost of %s", q.PriceID, got)
			}
			if q.Fallback != tt.fall {
				t.Errorf("fallback %v, want %v", q.Fallback, tt.fall)
			}
			if tt.lines != nil {
				if diff := cmp.Diff(tt.lines, q.Lines); diff != "" {
					t.Errorf("lines (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestWiderUnitPrices(t *testing.T) {
	b := smallBook(t, ModelData{ID: "m", Versions: []Version{{Rates: []Rate{
		rate(t, usage.Input, "2"), rate(t, usage.Output, "4"), rate(t, usage.InputAudio, "8"), rate(t, usage.CacheWrite, "3"),
		rate(t, usage.Pages, "1"),
	}}}})
	c := Call{Provider: "acme", Model: "m", Counts: counts(map[usage.Unit]int64{
		usage.Input: 100, usage.CacheRead: 10, usage.CacheWrite: 5, usage.CacheWrite1h: 6, usage.CachedAudio: 3,
		usage.InputAudio: 20, usage.InputImage: 7, usage.InputVideo: 8,
		usage.Output: 90, usage.Reasoning: 11, usage.OutputAudio: 12, usage.OutputImage: 13, usage.OutputVideo: 14, usage.Citation: 15,
		usage.Pages: 9, usage.AnnotatedPages: 4, usage.WebSearches: 2, usage.Messages: 1,
	})}
	q := mustQuote(t, b, c)
	got := make(map[string]string)
	for _, l := range q.Lines {
		got[l.Unit] = l.Price.String() + l.Fallback
	}
	want := map[string]string{
		"input": "2", "cacheRead": "2unit", "cacheWrite": "3", "cacheWrite1h": "3unit", "inputAudio": "8",
		// A cached audio token is audio when there is no price for cached ones.
		"cachedAudio": "8unit", "inputImage": "2unit", "inputVideo": "2unit",
		"output": "4", "reasoning": "4unit", "outputAudio": "4unit", "outputImage": "4unit", "outputVideo": "4unit", "citation": "4unit",
		"pages": "1", "annotatedPages": "1unit",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("prices and fallbacks by line (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"webSearches", "messages"}, q.Uncovered); diff != "" {
		t.Errorf("counts without a price (-want +got):\n%s", diff)
	}
	if q.Fallback {
		t.Error("a wider unit's price is not a fallback of the call")
	}
	if q.Classes[usage.ClassMedia] == 0 || q.Classes[usage.ClassCacheWrite1h] == 0 || q.Classes[usage.ClassReasoning] == 0 {
		t.Errorf("classes %v", q.Classes)
	}
}

func TestCacheSaving(t *testing.T) {
	b := smallBook(t, ModelData{ID: "m", Versions: []Version{{Rates: []Rate{
		rate(t, usage.Input, "4"), rate(t, usage.CacheRead, "1"), rate(t, usage.CacheWrite, "5"), rate(t, usage.CacheWrite1h, "8"),
		rate(t, usage.InputAudio, "20"), rate(t, usage.CachedAudio, "2"), rate(t, usage.Output, "9"),
	}}}}, ModelData{ID: "no-input", Versions: []Version{{Rates: []Rate{rate(t, usage.CacheRead, "1")}}}})
	const m = 1_000_000
	tests := []struct {
		name, model string
		counts      map[usage.Unit]int64
		want        string
	}{
		{"reads", "m", map[usage.Unit]int64{usage.Input: 3 * m, usage.CacheRead: 2 * m}, "6"},
		{"writes only cost", "m", map[usage.Unit]int64{usage.Input: 2 * m, usage.CacheWrite: m, usage.CacheWrite1h: m}, "-5"},
		{"both", "m", map[usage.Unit]int64{usage.Input: 3 * m, usage.CacheRead: 2 * m, usage.CacheWrite: m}, "5"},
		{"audio against audio", "m", map[usage.Unit]int64{usage.Input: m, usage.InputAudio: m, usage.CacheRead: m, usage.CachedAudio: m}, "18"},
		{"none", "m", map[usage.Unit]int64{usage.Input: m, usage.Output: m}, "0"},
		{"nothing to compare with", "no-input", map[usage.Unit]int64{usage.Input: m, usage.CacheRead: m}, "0"},
	}
	for _, tt := range tests {
		q := mustQuote(t, b, Call{Provider: "acme", Model: tt.model, Counts: counts(tt.counts)})
		if got := q.CacheSaving.String(); got != tt.want {
			t.Errorf("%s: saved %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestRequestsCountOne(t *testing.T) {
	b := smallBook(t, ModelData{ID: "m", Versions: []Version{{Rates: []Rate{rate(t, usage.Requests, "5")}}}})
	for requests, want := range map[int64]string{0: "0.005", 1: "0.005", 3: "0.015"} {
		q := mustQuote(t, b, Call{Provider: "acme", Model: "m", Counts: counts(map[usage.Unit]int64{usage.Requests: requests})})
		if got := q.Total().String(); got != want {
			t.Errorf("%d requests cost %s, want %s", requests, got, want)
		}
	}
}

func TestImpossibleAndTooDear(t *testing.T) {
	b := smallBook(t, ModelData{ID: "m", Versions: []Version{{Rates: []Rate{
		rate(t, usage.Input, "100000"), rate(t, usage.Output, "100000"), rate(t, usage.CacheRead, "0"),
	}}}})
	tests := []struct {
		name   string
		counts map[usage.Unit]int64
		fields []string
	}{
		{"more cached than there is", map[usage.Unit]int64{usage.Input: 1, usage.CacheRead: 2}, []string{"cachedTokens"}},
		{"negative", map[usage.Unit]int64{usage.Output: -1}, []string{"outputTokens"}},
		{"huge count", map[usage.Unit]int64{usage.WebSearches: usage.MaxCount + 1}, []string{"usage.webSearches"}},
		{"one line above the most", map[usage.Unit]int64{usage.Input: 90_000_001}, []string{"inputTokens"}},
		{"the sum above the most", map[usage.Unit]int64{usage.Input: 50_000_000, usage.Output: 50_000_000}, []string{"outputTokens"}},
		{"beyond 63 bits", map[usage.Unit]int64{usage.Input: usage.MaxCount}, []string{"inputTokens"}},
		{"a saving beyond 63 bits", map[usage.Unit]int64{usage.Input: usage.MaxCount, usage.CacheRead: usage.MaxCount}, []string{"cachedTokens"}},
	}
	for _, tt := range tests {
		_, err := b.Quote(Call{Provider: "acme", Model: "m", Counts: counts(tt.counts)})
		var e *fault.Error
		if !errors.As(err, &e) || e.Code != fault.Invalid {
			t.Errorf("%s: error %v, want an invalid input", tt.name, err)
			continue
		}
		if diff := cmp.Diff(tt.fields, slices.Sorted(maps.Keys(e.Details))); diff != "" {
			t.Errorf("%s: fields (-want +got):\n%s", tt.name, diff)
		}
	}
	q := mustQuote(t, b, Call{Provider: "acme", Model: "m", Counts: counts(map[usage.Unit]int64{usage.Input: 90_000_000})})
	if q.Total() != money.Max {
		t.Errorf("the most that a call may cost: %s, want %s", q.Total(), money.Max)
	}
	// Without a price nothing is computed, so nothing can be wrong with it here.
	if _, err := b.Quote(Call{Provider: "acme", Model: "other", Counts: counts(map[usage.Unit]int64{usage.Output: -1})}); err != nil {
		t.Errorf("an unpriced call: %v", err)
	}
}

func TestPriceIsQuote(t *testing.T) {
	b := shippedBook(t)
	amount := usd(t, "0.5")
	base := usage.Event{
		Provider: "Azure-OpenAI", Model: "azure/gpt-4o-2024-08-06", Timestamp: instant(t, "2026-01-01T00:00:00Z"), ServiceTier: "batch",
		Counts: counts(map[usage.Unit]int64{usage.Input: 1_000, usage.CacheRead: 500, usage.Output: 10}),
	}
	q := mustQuote(t, b, Call{Provider: base.Provider, Model: base.Model, At: base.Timestamp, Counts: base.Counts, ServiceTier: "batch"})

	e := base
	e.Estimated = &amount
	got, err := b.Price(&e)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(q.Costing, got); diff != "" {
		t.Errorf("an event's price is its quote, whatever the caller reckoned (-quote +price):\n%s", diff)
	}
	if e.ProviderID != "azure" || e.ModelID != "gpt-4o-2024-08-06" || e.Provider != "Azure-OpenAI" || e.Model != "azure/gpt-4o-2024-08-06" {
		t.Errorf("names %q %q, as sent %q %q", e.ProviderID, e.ModelID, e.Provider, e.Model)
	}
	if !got.Fallback || got.Source != usage.SourceCatalog {
		t.Errorf("source %v, fallback %v", got.Source, got.Fallback)
	}

	e = base
	e.Billed, e.Estimated = &amount, &amount
	got, err = b.Price(&e)
	if err != nil {
		t.Fatal(err)
	}
	want := usage.Costing{Source: usage.SourceBilled}
	want.Classes[usage.ClassUnsplit] = amount
	if diff := cmp.Diff(want, got); diff != "" || e.ProviderID != "azure" {
		t.Errorf("billed (-want +got), provider %q:\n%s", e.ProviderID, diff)
	}

	e = base
	e.Model, e.Estimated = "my-deployment", &amount
	got, err = b.Price(&e)
	if err != nil {
		t.Fatal(err)
	}
	want.Source = usage.SourceClient
	if diff := cmp.Diff(want, got); diff != "" || e.ModelID != "my-deployment" {
		t.Errorf("estimated (-want +got), model %q:\n%s", e.ModelID, diff)
	}

	e = usage.Event{Aggregate: true, Timestamp: base.Timestamp}
	got, err = b.Price(&e)
	if diff := cmp.Diff(usage.Costing{Source: usage.SourceUnpriced}, got); diff != "" || err != nil {
		t.Errorf("an aggregate without names (-want +got), %v:\n%s", err, diff)
	}
}

func TestLinesOfAStoredVersion(t *testing.T) {
	b := shippedBook(t)
	c := Call{Provider: "google", Model: "gemini-2.5-pro", At: instant(t, "2026-01-01T00:00:00Z"), Counts: counts(map[usage.Unit]int64{
		usage.Input: 300_000, usage.CacheRead: 1_000, usage.Reasoning: 5, usage.Output: 10,
	})}
	q := mustQuote(t, b, c)
	v, ok := b.Version(q.PriceID)
	if !ok {
		t.Fatalf("no version %s", q.PriceID)
	}
	got, err := v.Lines(&c.Counts)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(q.Lines, got); diff != "" {
		t.Errorf("lines (-quote +version):\n%s", diff)
	}
	if _, ok := b.Version("p_0000000000000000"); ok {
		t.Error("found a version that does not exist")
	}
	v.Rates = append(v.Rates, v.Rates[0])
	if _, err := v.Lines(&c.Counts); fault.CodeOf(err) != fault.Internal || !strings.Contains(err.Error(), "two prices") {
		t.Errorf("a broken stored version: %v", err)
	}
}
