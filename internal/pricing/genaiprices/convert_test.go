package genaiprices

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/costprof/costprof/internal/pricing"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestConvert(t *testing.T) {
	list, err := os.ReadFile(filepath.Join("testdata", "list.json"))
	if err != nil {
		t.Fatal(err)
	}
	convert := func() (string, []string) {
		res, err := Convert(list, Provenance("9.9.9", "2026-01-01"))
		if err != nil {
			t.Fatal(err)
		}
		text, err := pricing.Encode(res.Data)
		if err != nil {
			t.Fatal(err)
		}
		return string(text), res.Rounded
	}
	got, rounded := convert()
	golden := filepath.Join("testdata", "book.golden.json")
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("book (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"mistral lite input_mtok"}, rounded); diff != "" {
		t.Errorf("rounded (-want +got):\n%s", diff)
	}
	for range 20 {
		if again, _ := convert(); again != got {
			t.Fatal("the same list gives another book")
		}
	}
	if strings.Contains(got, "left out") || strings.Contains(got, "example.test") {
		t.Error("the book holds more than figures and match rules")
	}
	b, err := pricing.Load([]byte(got))
	if err != nil {
		t.Fatal(err)
	}
	if i := b.Info(); i.Providers != 2 || i.Models != 5 || i.Versions != 8 {
		t.Errorf("info %+v", i)
	}
}

// What is not understood stops the conversion; nothing is left out silently.
func TestConvertRefuses(t *testing.T) {
	const provider = `[{"id":"p","name":"","pricing_urls":[],"api_pattern":"","models":[MODEL]}]`
	model := func(match, prices string) string {
		return strings.Replace(provider, "MODEL", `{"id":"m","match":`+match+`,"prices":`+prices+`}`, 1)
	}
	entries := func(list string) string { return model(`{"equals":"m"}`, list) }
	if _, err := Convert([]byte(entries(`{"input_mtok":1}`)), Provenance("1", "2026-01-01")); err != nil {
		t.Fatalf("the valid one: %v", err)
	}
	tests := map[string]string{
		"nothing":              ``,
		"no providers":         `[]`,
		"not a list":           `{}`,
		"unknown member":       strings.Replace(entries(`{}`), `"name"`, `"price_context":1,"name"`, 1),
		"unknown model member": strings.Replace(entries(`{}`), `"id":"m"`, `"id":"m","tier":"x"`, 1),
		"unknown price":        entries(`{"input_gpixels":1}`),
		"negative price":       entries(`{"input_mtok":-1}`),
		"price as text":        entries(`{"input_mtok":"1"}`),
		"price null":           entries(`{"input_mtok":null}`),
		"price too large":      entries(`{"input_mtok":1e30}`),
		"unknown tier member":  entries(`{"input_mtok":{"base":1,"tiers":[],"kind":"slope"}}`),
		"no base":              entries(`{"input_mtok":{"tiers":[]}}`),
		"fractional threshold": entries(`{"input_mtok":{"base":1,"tiers":[{"start":1.5,"price":1}]}}`),
		"no prices":            entries(`[]`),
		"entry without prices": entries(`[{}]`),
		"unknown constraint":   entries(`[{"prices":{}},{"constraint":{"type":"weekday","start_date":"2026-01-01"},"prices":{}}]`),
		"constraint member":    entries(`[{"prices":{}},{"constraint":{"start_date":"2026-01-01","zone":"x"},"prices":{}}]`),
		"mixed constraint":     entries(`[{"prices":{}},{"constraint":{"start_date":"2026-01-01","start_time":"01:00:00Z","end_time":"02:00:00Z"},"prices":{}}]`),
		"first is constrained": entries(`[{"constraint":{"start_date":"2026-01-01"},"prices":{}}]`),
		"later unconstrained":  entries(`[{"prices":{}},{"prices":{}}]`),
		"dates descend":        entries(`[{"prices":{}},{"constraint":{"start_date":"2026-02-01"},"prices":{}},{"constraint":{"start_date":"2026-01-01"},"prices":{}}]`),
		"no such day":          entries(`[{"prices":{}},{"constraint":{"start_date":"2026-02-30"},"prices":{}}]`),
		"time without zone":    entries(`[{"prices":{}},{"constraint":{"start_time":"01:00:00","end_time":"02:00:00"},"prices":{}}]`),
		"no such time":         entries(`[{"prices":{}},{"constraint":{"start_time":"25:00:00Z","end_time":"02:00:00Z"},"prices":{}}]`),
		"window of no length":  entries(`[{"prices":{}},{"constraint":{"start_time":"02:00:00Z","end_time":"02:00:00Z"},"prices":{}}]`),
		"audio hours differ":   entries(`{"audio_hours":1,"input_audio_hours":2}`),
		"audio hours alone":    entries(`{"input_audio_hours":2}`),
		"no match rule":        model(`null`, `{}`),
		"unknown match rule":   model(`{"glob":"*"}`, `{}`),
		"negated match rule":   model(`{"not":{"equals":"m"}}`, `{}`),
		"look-behind":          model(`{"regex":"(?<!x)y"}`, `{}`),
		"look-ahead inside":    model(`{"regex":"^a(?!b)c"}`, `{}`),
		"look-ahead or":        model(`{"regex":"^(?!a)b|c"}`, `{}`),
		"back-reference":       model(`{"regex":"(a)\\1"}`, `{}`),
		"azure's own rule":     `[{"id":"azure","name":"","pricing_urls":[],"api_pattern":"","provider_match":{"equals":"x"},"models":[]}]`,
		"a minimum's audio":    `[{"id":"groq","name":"","pricing_urls":[],"api_pattern":"","models":[{"id":"whisper-large-v3","match":{"equals":"w"},"prices":{"input_mtok":1}}]}]`,
		"weekday's windows":    `[{"id":"deepseek","name":"","pricing_urls":[],"api_pattern":"","models":[{"id":"deepseek-v4-pro","match":{"equals":"d"},"prices":{"input_mtok":1}}]}]`,
	}
	for name, list := range tests {
		if _, err := Convert([]byte(list), Provenance("1", "2026-01-01")); err == nil {
			t.Errorf("%s: converted", name)
		}
	}
}

// A translated look-ahead says of every name what the original says, which is
// here spelled out by hand.
func TestTranslatedLookahead(t *testing.T) {
	tts := regexp.MustCompile(`-[tT][tT][sS]($|-)`)
	slash := regexp.MustCompile(`^[^/]+/`)
	vendor := regexp.MustCompile(`^(?:labs-)?(?:mistral|mixtral)`)
	for expr, want := range map[string]func(string) bool{
		`^(?!.*-[tT][tT][sS](?:$|-))`:              func(s string) bool { return !tts.MatchString(s) },
		`^(?![^/]+/)(?:labs-)?(?:mistral|mixtral)`: func(s string) bool { return !slash.MatchString(s) && vendor.MatchString(s) },
		`^(?!a[)(]\))b`:                            func(s string) bool { return strings.HasPrefix(s, "b") },
		`^gpt-\d+$`:                                regexp.MustCompile(`^gpt-\d+$`).MatchString,
	} {
		rule, err := translate(&pricing.Rule{Regex: expr})
		if err != nil {
			t.Fatalf("%s: %v", expr, err)
		}
		ask := func(name string) bool { return matches(t, rule, name) }
		for _, name := range []string{
			"gemini-2.5-flash-lite", "gemini-2.5-flash-lite-tts", "x-tts-y", "x-ttsy", "-TTS", "tts", "", "mistral-large", "labs-mixtral",
			"vendor/mistral", "/mistral", "mistral/x", "b", "a)(b", "gpt-4", "gpt-4o",
		} {
			if got := ask(name); got != want(name) {
				t.Errorf("%s on %q: %v", expr, name, got)
			}
		}
		rapid.Check(t, func(rt *rapid.T) {
			name := rapid.StringMatching(`[a-b/labs\-tTsS()mixral0-9]{0,12}`).Draw(rt, "name")
			if got := ask(name); got != want(name) {
				rt.Fatalf("%s on %q: %v", expr, name, got)
			}
		})
	}
}

// matches reads a rule by its meaning.
func matches(t *testing.T, r *pricing.Rule, name string) bool {
	t.Helper()
	switch {
	case r.Not != nil:
		return !matches(t, r.Not, name)
	case r.And != nil:
		for i := range r.And {
			if !matches(t, &r.And[i], name) {
				return false
			}
		}
		return true
	case r.Regex != "":
		return regexp.MustCompile(r.Regex).MatchString(name)
	}
	t.Fatalf("rule %v", r)
	return false
}

func FuzzConvert(f *testing.F) {
	list, err := os.ReadFile(filepath.Join("testdata", "list.json"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(list)
	f.Fuzz(func(t *testing.T, list []byte) {
		res, err := Convert(list, Provenance("1", "2026-01-01"))
		if err != nil {
			return
		}
		if _, err := pricing.Encode(res.Data); err != nil {
			t.Fatal(err)
		}
	})
}
