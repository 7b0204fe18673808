package litellm

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/costprof/costprof/internal/pricing"
)

var update = flag.Bool("update", false, "write the golden files anew")

var said = pricing.Provenance{Source: Source, Version: "1", Listed: "2026-01-01"}

func sample(t testing.TB) []byte {
	t.Helper()
	list, err := os.ReadFile(filepath.Join("testdata", "list.json"))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestConvert(t *testing.T) {
	res, err := Convert(sample(t), said)
	if err != nil {
		t.Fatal(err)
	}
	text, err := pricing.Encode(res.Data)
	if err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "book.golden.json")
	if *update {
		if err := os.WriteFile(golden, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(text)); diff != "" {
		t.Errorf("book (-want +got):\n%s", diff)
	}
	if _, err := pricing.Load(text); err != nil {
		t.Error(err)
	}
	for range 10 {
		again, err := Convert(sample(t), said)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(res, again); diff != "" {
			t.Fatalf("the same list gives another book:\n%s", diff)
		}
	}
	skipped := map[string][]string{
		noProvider: {"nobody"}, noPrices: {"nothing"}, allZero: {"zero"}, tooDear: {"million"}, tiered: {"steps"}, offPeak: {"night"},
		byCharacter: {"letters"}, provisioned: {"bedrock/us-east-1/1-month-commitment/x"}, deployment: {"azure/global/x"},
		sameName: {"both"}, notAnObject: {"odd"}, noCommonPrice: {"part"},
	}
	if diff := cmp.Diff(skipped, res.Skipped); diff != "" {
		t.Errorf("skipped (-want +got):\n%s", diff)
	}
	left := 0
	for _, names := range res.Skipped {
		left += len(names)
	}
	// Nothing is lost: each entry is in the book or has a reason.
	if res.Entries != 28 || res.Converted+left != res.Entries {
		t.Errorf("%d entries, %d converted, %d skipped", res.Entries, res.Converted, left)
	}
	ignored := map[string]int{
		"google_maps_grounding_cost_per_query": 1, "search_context_cost_per_query (one for each size)": 1, "output_cost_per_image (its tokens have a price)": 1,
	}
	if diff := cmp.Diff(ignored, res.Ignored); diff != "" {
		t.Errorf("ignored (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"fine input_cost_per_token"}, res.Rounded); diff != "" {
		t.Errorf("rounded (-want +got):\n%s", diff)
	}
}

func TestConvertRefuses(t *testing.T) {
	entry := func(members string) string {
		return `{"m":{"litellm_provider":"openai","mode":"chat","input_cost_per_token":1e-6,"output_cost_per_token":1e-6` + members + `}}`
	}
	if _, err := Convert([]byte(entry("")), said); err != nil {
		t.Fatalf("the valid one: %v", err)
	}
	text := string(sample(t))
	var dear strings.Builder
	for i := range 3 {
		dear.WriteString(`"d` + string(rune('0'+i)) + `":{"litellm_provider":"openai","input_cost_per_token":3,"output_cost_per_token":15},`)
	}
	for name, list := range map[string]string{
		"nothing":           ``,
		"a list":            `[]`,
		"empty":             `{}`,
		"only the sample":   `{"sample_spec":{}}`,
		"truncated":         text[:len(text)/2],
		"more behind":       entry("") + `{}`,
		"twice":             `{"m":{"litellm_provider":"x","input_cost_per_token":1e-6},"m":{}}`,
		"a price twice":     entry(`,"input_cost_per_token":2e-6`),
		"negative":          entry(`,"cache_read_input_token_cost":-1e-7`),
		"negative, unknown": entry(`,"some_cost_per_thing":-1`),
		"text":              entry(`,"cache_read_input_token_cost":"1e-7"`),
		"search as text":    entry(`,"search_context_cost_per_query":"x"`),
		"negative search":   entry(`,"search_context_cost_per_query":{"a":-1}`),
		"nothing converted": `{"m":{"litellm_provider":"openai"}}`,
		"per million":       `{` + dear.String() + `"m":{"litellm_provider":"openai","input_cost_per_token":1e-6}}`,
	} {
		if _, err := Convert([]byte(list), said); err == nil {
			t.Errorf("%s: converted", name)
		}
	}
	if _, err := Convert([]byte(entry(`,"cache_read_input_token_cost":-1e-7`)), said); !strings.Contains(err.Error(), `"m"`) || !strings.Contains(err.Error(), "cache_read_input_token_cost") {
		t.Errorf("it does not say where: %v", err)
	}
}

func TestLooks(t *testing.T) {
	if !Looks(sample(t)) {
		t.Error("the sample is not recognised")
	}
	for _, list := range []string{``, `[]`, `{}`, `{"a":1}`, `{"format":"costprof/book/1"}`, `{"a":{"b":1}}`, `{"a":`} {
		if Looks([]byte(list)) {
			t.Errorf("%s is taken for a list", list)
		}
	}
}

func FuzzConvert(f *testing.F) {
	f.Add(sample(f))
	f.Add([]byte(`{"m":{"litellm_provider":"openai","input_cost_per_token":1e-6,"input_cost_per_token_above_999999k_tokens_flex":1e999}}`))
	f.Fuzz(func(t *testing.T, list []byte) {
		res, err := Convert(list, said)
		if err != nil {
			return
		}
		left := 0
		for _, names := range res.Skipped {
			left += len(names)
		}
		if res.Converted+left != res.Entries {
			t.Fatalf("%d entries, %d converted, %d skipped", res.Entries, res.Converted, left)
		}
		text, err := pricing.Encode(res.Data)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := pricing.Load(text); err != nil && !slices.ContainsFunc([]string{"taken", "not an id", "name", "thresholds"}, func(s string) bool { return strings.Contains(err.Error(), s) }) {
			t.Fatal(err)
		}
	})
}
