package prompts

import (
	"testing"
	"time"

	"github.com/costprof/costprof/internal/pricing"
	"github.com/costprof/costprof/internal/usage"
)

func TestLeastCacheable(t *testing.T) {
	for _, c := range []struct {
		provider, model string
		tokens, step    int64
		known           bool
	}{
		{"anthropic", "claude-sonnet-4-5", 1024, 0, true},
		{"anthropic", "claude-sonnet-4-0", 1024, 0, true},
		{"anthropic", "claude-opus-4-1", 1024, 0, true},
		{"anthropic", "claude-opus-4-5", 4096, 0, true},
		{"anthropic", "claude-opus-4-7", 2048, 0, true},
		{"aws", "global.anthropic.claude-opus-4-7-v1:0", 4096, 0, true},
		{"anthropic", "claude-opus-5", 512, 0, true},
		{"anthropic", "claude-opus-5-5", 1024, 0, false},
		{"anthropic", "claude-3-5-haiku-latest", 2048, 0, true},
		{"aws", "regional.anthropic.claude-haiku-4-5-20251001-v1:0", 4096, 0, true},
		{"github-copilot", "claude-haiku-4.5", 4096, 0, true},
		{"anthropic", "claude-2", 1024, 0, false},
		{"openai", "gpt-4o-mini", 1024, 128, true},
		{"openai", "gpt-4.1", 1024, 128, true},
		{"openai", "gpt-5.5-pro", 1024, 128, true},
		{"openai", "gpt-5.6-sol", 1024, 0, true},
		{"openai", "o3-mini", 1024, 128, true},
		{"somebody", "yo1-large", 1024, 0, false},
		{"groq", "openai/gpt-oss-120b", 1024, 0, false},
		{"openai", "gpt-4", 1024, 0, false},
		{"google", "gemini-2.5-pro", 2048, 0, true},
		{"google", "gemini-2.5-flash", 2048, 0, true},
		{"google", "gemini-2.5-flash-lite", 1024, 0, false},
		{"google", "gemini-3-flash-preview", 1024, 0, true},
		{"google", "gemini-3.1-pro-preview", 4096, 0, true},
		{"google", "gemini-3.5-flash", 4096, 0, true},
		{"mistral", "mistral-large-latest", 1024, 0, false},
	} {
		if got := LeastCacheable(c.provider, c.model); got != (Cacheable{c.tokens, c.step, c.known}) {
			t.Errorf("%s %s: %+v", c.provider, c.model, got)
		}
	}
	for _, c := range []struct{ tokens, want int64 }{{1023, 0}, {1024, 1024}, {1151, 1024}, {1152, 1152}, {0, 0}} {
		if got := (Cacheable{Tokens: 1024, Step: 128}).cut(c.tokens); got != c.want {
			t.Errorf("%d tokens: %d are cached, want %d", c.tokens, got, c.want)
		}
	}
	if got := (Cacheable{}).cut(0); got != 0 {
		t.Error(got)
	}
}

// What a model asks for decides what is simulated, and is said.
func TestMinimumDecides(t *testing.T) {
	book, err := pricing.Shipped()
	if err != nil {
		t.Fatal(err)
	}
	of := func(provider, model string) []Call {
		var calls []Call
		for i := range 3 {
			c := call(i+1, 0, 1, 0)
			c.At = noon.Add(time.Duration(i) * time.Minute)
			c.Provider, c.Model = provider, model
			c.Counts[usage.Input] = 3000
			calls = append(calls, c)
		}
		return calls
	}
	for name, c := range map[string]struct {
		calls                    []Call
		reads, tooShort, minimum int64
		known                    bool
	}{
		"sonnet":  {of("anthropic", "claude-sonnet-4-5"), 2, 0, 1024, true},
		"haiku":   {of("anthropic", "claude-haiku-4-5"), 0, 3, 4096, true},
		"both":    {append(of("anthropic", "claude-haiku-4-5"), of("anthropic", "claude-sonnet-4-5")...), 2, 3, 4096, true},
		"unknown": {append(of("anthropic", "claude-sonnet-4-5"), of("mistral", "mistral-large-latest")...), 4, 0, 1024, false},
		"none":    {nil, 0, 0, 0, false},
	} {
		got, err := SimulatePromptCache(c.calls, PromptCacheParams{Prices: book, TTL: 5 * time.Minute, PrefixPerMille: 900})
		if err != nil {
			t.Fatal(err)
		}
		if got.Reads != c.reads || got.TooShort != c.tooShort || got.Minimum != c.minimum || got.MinimumKnown != c.known {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
