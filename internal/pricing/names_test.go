package pricing

import (
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/costprof/costprof/internal/usage"
)

func TestModelNames(t *testing.T) {
	b := shippedBook(t)
	tests := []struct {
		provider, model string
		// The names it is counted under, and the listed model that prices it.
		providerID, modelID, listed string
	}{
		// Ids, aliases, rules.
		{"openai", "gpt-4o", "openai", "gpt-4o", "openai/gpt-4o"},
		{"OpenAI", " GPT-4o ", "openai", "gpt-4o", "openai/gpt-4o"},
		{"openai", "gpt-4o-2024-08-06", "openai", "gpt-4o-2024-08-06", "openai/gpt-4o"},
		{"openai", "gpt-4o-2024-05-13", "openai", "gpt-4o-2024-05-13", "openai/gpt-4o-2024-05-13"},
		{"anthropic", "claude-sonnet-4-5-20250929", "anthropic", "claude-sonnet-4-5-20250929", "anthropic/claude-sonnet-4-5"},
		{"openai", "ft:gpt-4o-2024-08-06:acme::abc", "openai", "ft:gpt-4o-2024-08-06:acme::abc", "openai/ft:gpt-4o"},
		// An id that the list's own rules do not recognise.
		{"fireworks", "deepseek-v4-pro", "fireworks", "deepseek-v4-pro", "fireworks/deepseek-v4-pro"},
		{"fireworks", "accounts/fireworks/models/deepseek-v4-pro", "fireworks", "deepseek-v4-pro", "fireworks/deepseek-v4-pro"},
		// Providers' other names.
		{"azure-openai", "gpt-4o", "azure", "gpt-4o", "openai/gpt-4o"},
		{"azure.ai.openai", "gpt-4o", "azure", "gpt-4o", "openai/gpt-4o"},
		{"AzureOpenAI", "gpt-4o", "azure", "gpt-4o", "openai/gpt-4o"},
		{"azure-openai.chat", "gpt-4o", "azure", "gpt-4o", "openai/gpt-4o"},
		{"google-gemini", "gemini-2.5-pro", "google", "gemini-2.5-pro", "google/gemini-2.5-pro"},
		{"gcp.vertex_ai", "gemini-2.5-pro", "google", "gemini-2.5-pro", "google/gemini-2.5-pro"},
		{"gcp.gen_ai", "models/gemini-2.5-pro", "google", "gemini-2.5-pro", "google/gemini-2.5-pro"},
		{"vertex_ai-anthropic_models", "claude-opus-4-6", "google", "claude-opus-4-6", "google/claude-opus-4-6"},
		{"amazon-bedrock", "anthropic.claude-opus-4-7", "aws", "claude-opus-4-7", "aws/regional.anthropic.claude-opus-4-7-v1:0"},
		{"mistral_ai", "codestral-latest", "mistral", "codestral-latest", "mistral/codestral"},
		{"x_ai", "grok-4.5", "x-ai", "grok-4.5", "x-ai/grok-4.5"},
		{"together_ai", "meta-llama/Llama-3.3-70B-Instruct-Turbo", "together", "meta-llama/Llama-3.3-70B-Instruct-Turbo", "together/meta-llama/Llama-3.3-70B-Instruct-Turbo"},
		{"huggingface/cerebras", "whatever", "huggingface_cerebras", "whatever", ""},
		// What gateways and clouds add.
		{"openai", "openai/gpt-4o", "openai", "gpt-4o", "openai/gpt-4o"},
		{"openai", "azure/gpt-4o", "openai", "gpt-4o", "openai/gpt-4o"},
		{"azure", "azure/gpt-4o-2024-11-20", "azure", "gpt-4o-2024-11-20", "openai/gpt-4o"},
		{"anthropic", "anthropic/claude-opus-4-7", "anthropic", "claude-opus-4-7", "anthropic/claude-opus-4-7"},
		{"aws", "bedrock/us.anthropic.claude-sonnet-4-20250514-v1:0", "aws", "claude-sonnet-4-20250514", "aws/regional.anthropic.claude-sonnet-4-20250514-v1:0"},
		{"aws", "bedrock/us-east-1/anthropic.claude-sonnet-4-20250514-v1:0", "aws", "claude-sonnet-4-20250514", "aws/regional.anthropic.claude-sonnet-4-20250514-v1:0"},
		{
			"aws", "arn:aws:bedrock:us-east-1:123456789012:inference-profile/global.anthropic.claude-sonnet-4-20250514-v1:0",
			"aws", "claude-sonnet-4-20250514", "aws/global.anthropic.claude-sonnet-4-20250514-v1:0",
		},
		{"aws", "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-pro-v1:0", "aws", "nova-pro", "aws/amazon.nova-pro-v1:0"},
		{
			"aws", "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc",
			"aws", "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc", "",
		},
		{"aws", "apac.amazon.nova-lite-v1:0", "aws", "nova-lite", "aws/amazon.nova-lite-v1:0"},
		{"aws", "amazon.nova-lite-v1:0", "aws", "amazon.nova-lite-v1:0", "aws/amazon.nova-lite-v1:0"},
		{"anthropic", "us.anthropic.claude-opus-4-7-v1:0", "anthropic", "claude-opus-4-7", "anthropic/claude-opus-4-7"},
		{"vertex", "claude-opus-4@20250514", "google", "claude-opus-4-20250514", "google/claude-4-opus"},
		{"vertex", "claude-opus-4-7@default", "google", "claude-opus-4-7", "google/claude-opus-4-7"},
		{"vertex", "publishers/google/models/gemini-2.5-flash@001", "google", "gemini-2.5-flash-001", "google/gemini-2.5-flash"},
		{"vertex", "projects/p/locations/us-central1/publishers/google/models/gemini-2.5-flash", "google", "gemini-2.5-flash", "google/gemini-2.5-flash"},
		{"openrouter", "openrouter/anthropic/claude-opus-4.7", "openrouter", "anthropic/claude-opus-4.7", "openrouter/anthropic/claude-opus-4.7"},
		// Dates and -latest are taken off to find a price and kept to count by.
		{"openai", "gpt-4o-20240806", "openai", "gpt-4o-20240806", "openai/gpt-4o"},
		{"openai", "gpt-4o-2031-01-01", "openai", "gpt-4o-2031-01-01", "openai/gpt-4o"},
		{"openai", "gpt-4o-latest", "openai", "gpt-4o-latest", "openai/gpt-4o"},
		{"openai", "gpt-4o-2024-13-45", "openai", "gpt-4o-2024-13-45", ""},
		{"openrouter", "anthropic/claude-opus-4.7-20990101", "openrouter", "anthropic/claude-opus-4.7-20990101", "openrouter/anthropic/claude-opus-4.7"},
		// Gateways that pass on, and nobody else.
		{"litellm", "openai/gpt-4o", "openai", "gpt-4o", "openai/gpt-4o"},
		{"LiteLLM", "bedrock/us.amazon.nova-lite-v1:0", "aws", "nova-lite", "aws/amazon.nova-lite-v1:0"},
		{"litellm", "litellm_proxy/gemini/gemini-2.5-flash", "google", "gemini-2.5-flash", "google/gemini-2.5-flash"},
		{"litellm", "gpt-4o", "litellm", "gpt-4o", ""},
		{"litellm", "ollama/llama3", "litellm", "ollama/llama3", ""},
		{"litellm", "openai/my-own", "openai", "my-own", ""},
		{"self-hosted", "gpt-4o", "self-hosted", "gpt-4o", ""},
		{"My-Gateway", "openai/gpt-4o", "My-Gateway", "openai/gpt-4o", ""},
		{"vllm", "meta-llama/Llama-3.3-70B-Instruct", "vllm", "meta-llama/Llama-3.3-70B-Instruct", ""},
		{"openai-compatible", "gpt-4o", "openai-compatible", "gpt-4o", ""},
		{"anthropic", "gpt-4o", "anthropic", "gpt-4o", ""},
		{"anthropic", " my model ", "anthropic", " my model ", ""},
		{"", "gpt-4o", "", "gpt-4o", ""},
		{"openai", "", "openai", "", ""},
		{"openai", "openai/", "openai", "openai/", ""},
		{"openai", strings.Repeat("gpt-4o/", 200), "openai", strings.Repeat("gpt-4o/", 200), ""},
	}
	for _, tt := range tests {
		t.Run(tt.provider+" "+usage.Shorten(tt.model), func(t *testing.T) {
			r := b.resolve(tt.provider, tt.model)
			listed := ""
			if r.listed != nil {
				listed = r.listed.provider.id + "/" + r.listed.id
			}
			if r.providerID != tt.providerID || r.modelID != tt.modelID || listed != tt.listed {
				t.Errorf("got %q %q by %q, want %q %q by %q", r.providerID, r.modelID, listed, tt.providerID, tt.modelID, tt.listed)
			}
		})
	}
}

// drawName builds names from what real ones are made of.
func drawName(t *rapid.T, b *Book) (provider, model string) {
	providers := append(b.Providers(), "litellm", "azure-openai", "bedrock", "vertex_ai", "self-hosted", "OpenAI", " x_ai ", "huggingface/groq", "")
	provider = rapid.SampledFrom(providers).Draw(t, "provider")
	p := rapid.SampledFrom(b.providers).Draw(t, "list")
	model = rapid.SampledFrom(p.models).Draw(t, "model").id
	before := rapid.SliceOfN(rapid.SampledFrom([]string{
		"openai/", "azure/", "bedrock/", "us-east-1/", "models/", "litellm/", "openrouter/", "us.", "eu.", "global.", "anthropic.", "amazon.", " ",
		"accounts/fireworks/models/", "arn:aws:bedrock:us-east-1:1:inference-profile/", "x",
	}), 0, 4).Draw(t, "before")
	after := rapid.SliceOfN(rapid.SampledFrom([]string{
		"-20250219", "-2025-02-19", "@20250219", "-v1:0", "-latest", "@default", ":free", "-v2:1:200k", " ", "-preview-05-06", "@", "/",
	}), 0, 3).Draw(t, "after")
	model = strings.Join(before, "") + model + strings.Join(after, "")
	if rapid.Bool().Draw(t, "upper") {
		model = strings.ToUpper(model)
	}
	return provider, model
}

func TestNormaliseIsIdempotent(t *testing.T) {
	b := shippedBook(t)
	rapid.Check(t, func(t *rapid.T) {
		provider, model := drawName(t, b)
		p1, m1 := b.Normalise(provider, model)
		p2, m2 := b.Normalise(p1, m1)
		if p1 != p2 || m1 != m2 {
			t.Fatalf("%q %q is %q %q, and that is %q %q", provider, model, p1, m1, p2, m2)
		}
		r, again := b.find(provider, model, nil), b.find(provider, model, nil)
		if r.listed != again.listed || r.modelID != again.modelID {
			t.Fatalf("%q %q: two answers", provider, model)
		}
	})
}

// Every listed id is found as itself, whatever its place in the list.
func TestEveryListedIDIsItself(t *testing.T) {
	b := shippedBook(t)
	for _, p := range b.providers {
		for _, m := range p.models {
			r := b.resolve(p.id, m.id)
			if r.listed != m || r.providerID != p.id || r.modelID != m.id {
				t.Errorf("%s %s: found %v, counted as %s %s", p.id, m.id, r.listed, r.providerID, r.modelID)
			}
		}
	}
}

func TestHostileNamesNeverGrowTheCache(t *testing.T) {
	b := shippedBook(t)
	name := make([]byte, 8)
	for i := range 3 * cacheHalf {
		for j := range name {
			name[j] = byte('a' + i>>(4*j)&15)
		}
		b.resolve("openai", string(name))
	}
	b.resolve("openai", strings.Repeat("x", maxName+1))
	if n := len(b.cache.newer) + len(b.cache.old); n > 2*cacheHalf {
		t.Errorf("%d names remembered, at most %d", n, 2*cacheHalf)
	}
	for k := range b.cache.newer {
		if len(k.model) > maxName {
			t.Error("a name of any length is remembered")
		}
	}
	// A name in use is kept although many others pass.
	b.resolve("openai", "gpt-4o")
	kept := b.cache.get("openai", "gpt-4o")
	for i := range 4 * cacheHalf {
		b.resolve("openai", "passing-"+strconv.Itoa(i))
		if i%1000 == 0 && b.cache.get("openai", "gpt-4o") != kept {
			t.Fatalf("a name in use was forgotten after %d others", i)
		}
	}
}

func FuzzModelName(f *testing.F) {
	b := shippedBook(f)
	f.Add("aws", "bedrock/us.anthropic.claude-sonnet-4-20250514-v1:0")
	f.Add("litellm", "openai/gpt-4o-latest")
	f.Add("vertex", "projects//models/")
	f.Add("x", "İ\xff/@20250101-v1:0")
	f.Fuzz(func(t *testing.T, provider, model string) {
		p1, m1 := b.Normalise(provider, model)
		if p2, m2 := b.Normalise(p1, m1); p1 != p2 || m1 != m2 {
			t.Errorf("%q %q is %q %q, and that is %q %q", provider, model, p1, m1, p2, m2)
		}
		c := Call{Provider: provider, Model: model}
		q, err := b.Quote(c)
		if err != nil {
			t.Errorf("%q %q: %v", provider, model, err)
		}
		e := b.Explain(c)
		if e.PriceID != q.PriceID || e.ModelID != q.ModelID || e.Because == "" {
			t.Errorf("%q %q: explained %q %q, quoted %q %q", provider, model, e.PriceID, e.ModelID, q.PriceID, q.ModelID)
		}
	})
}
