package pricing

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/costprof/costprof/internal/usage"
)

func TestUncovered(t *testing.T) {
	b := shippedBook(t)
	for name, tt := range map[string]struct {
		provider, model, from string
		prices                map[string]json.Number
		want                  []usage.Unit
	}{
		"both directions":       {"openai", "gpt-3.5-turbo", "2026-01-01", map[string]json.Number{"input": "1", "output": "2"}, nil},
		"no output":             {"openai", "gpt-3.5-turbo", "2026-01-01", map[string]json.Number{"input": "1"}, []usage.Unit{usage.Output}},
		"no output, by alias":   {"azure-openai", "azure/gpt-4", "2026-01-01", map[string]json.Number{"input": "1"}, []usage.Unit{usage.Output}},
		"no input":              {"openai", "gpt-3.5-turbo", "2026-01-01", map[string]json.Number{"output": "1"}, []usage.Unit{usage.Input}},
		"a part is not a whole": {"openai", "gpt-3.5-turbo", "2026-01-01", map[string]json.Number{"cacheRead": "1", "reasoning": "1"}, []usage.Unit{usage.Input, usage.Output}},
		"free by word":          {"openai", "gpt-3.5-turbo", "2026-01-01", map[string]json.Number{"input": "1", "output": "0"}, nil},
		"free as a whole":       {"openai", "gpt-3.5-turbo", "2026-01-01", map[string]json.Number{}, nil},
		"embeddings":            {"openai", "text-embedding-3-small", "2026-01-01", map[string]json.Number{"input": "1"}, nil},
		"embeddings, no input":  {"openai", "text-embedding-3-small", "2026-01-01", map[string]json.Number{"output": "1"}, []usage.Unit{usage.Input}},
		"not listed":            {"acme", "nova", "2026-01-01", map[string]json.Number{"input": "1"}, []usage.Unit{usage.Output}},
		"not listed, images":    {"acme", "nova", "2026-01-01", map[string]json.Number{"images": "1"}, []usage.Unit{usage.Input, usage.Output}},
		"searches":              {"openai", "gpt-4o", "2026-01-01", map[string]json.Number{"input": "1", "output": "1"}, []usage.Unit{usage.WebSearches, usage.StorageSearches}},
		"per request":           {"perplexity", "sonar", "2026-01-01", map[string]json.Number{"input": "1", "output": "1"}, []usage.Unit{usage.Requests}},
	} {
		own, err := b.ParsePut(PutRequest{Provider: tt.provider, Model: tt.model, EffectiveFrom: tt.from, Prices: tt.prices})
		if err != nil {
			t.Fatal(err)
		}
		if got := b.Uncovered(&own.Version); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}
