package genaiprices

import (
	"fmt"
	"time"

	"github.com/costprof/costprof/internal/pricing"
	"github.com/costprof/costprof/internal/usage"
)

// What follows is ours and not the list's: names that people use, and facts
// that the list states in words because its form cannot hold them.

// gateways pass calls on to the vendor that the model's name begins with.
var gateways = []string{"litellm", "litellm_proxy", "litellm-proxy"}

// regional providers put a region before a model's name that changes its price.
var regional = map[string]bool{"aws": true}

// aliases are further names of providers: those of the OpenTelemetry
// conventions, of common SDKs and gateways.
var aliases = map[string][]string{
	"anthropic":      {"claude"},
	"aws":            {"aws.bedrock", "aws_bedrock", "aws-bedrock", "bedrock", "amazon-bedrock", "amazon_bedrock", "bedrock_converse"},
	"azure":          {"azure-openai", "azure_openai", "azure_ai", "azure-ai", "azure.ai.openai", "azure.ai.inference", "az.ai.openai", "az.ai.inference"},
	"cloudflare":     {"workers-ai", "cloudflare-workers-ai"},
	"deepseek":       {"deepseek-ai", "deepseek_ai"},
	"fireworks":      {"fireworks-ai", "fireworks_ai"},
	"github-copilot": {"github_copilot"},
	"google":         {"google-gemini", "google_gemini", "gemini", "google-genai", "gcp.gemini", "gcp.gen_ai", "gcp.vertex_ai", "vertex_ai", "vertex-ai", "google-vertex", "vertex"},
	"minimax":        {"minimax-ai"},
	"mistral":        {"mistral_ai", "mistral-ai", "mistralai"},
	"moonshotai":     {"moonshot_ai", "moonshot-ai", "moonshot"},
	"openai":         {"open-ai", "open_ai"},
	"perplexity":     {"perplexity_ai", "perplexity-ai"},
	"together":       {"together_ai", "together-ai", "togetherai"},
	"voyageai":       {"voyage", "voyage_ai", "voyage-ai"},
	"x-ai":           {"x_ai", "xai", "x.ai"},
	"zai":            {"z-ai", "z_ai", "z.ai"},
	"zhipuai":        {"zhipu", "zhipu_ai", "zhipu-ai", "bigmodel"},
}

// providerMatch are rules for providers that have none in the list.
var providerMatch = map[string]pricing.Rule{"azure": {Contains: "azure"}}

// hosts are words that name who serves a model, and so whose price applies,
// whatever vendor's name stands beside them.
var hosts = []struct{ word, provider string }{
	{"azure", "azure"},
	{"bedrock", "aws"},
	{"amazon", "aws"},
	{"vertex", "google"},
	{"huggingface", ""},
	{"copilot", "github-copilot"},
	{"cloudflare", "cloudflare"},
	{"openrouter", "openrouter"},
}

// strangers are words of providers that speak a vendor's interface without
// being that vendor, and so do not charge its prices.
var strangers = []string{"compatible", "self-host", "self_host", "selfhost", "local", "mock", "proxy", "gateway"}

// exclude narrows a provider's rule to names that no other host and no
// stranger is in.
func exclude(id string, match *pricing.Rule) *pricing.Rule {
	if match == nil {
		return nil
	}
	var not []pricing.Rule
	for _, h := range hosts {
		if h.provider != id && !(h.provider == "" && match.And != nil) {
			not = append(not, pricing.Rule{Contains: h.word})
		}
	}
	for _, w := range strangers {
		not = append(not, pricing.Rule{Contains: w})
	}
	return &pricing.Rule{And: []pricing.Rule{*match, {Not: &pricing.Rule{Or: not}}}}
}

// correct adds what the list and its package state outside of the prices. A
// model that no longer looks as expected is an error: the fact needs review.
func (res *Result) correct() error {
	d := res.Data
	for i := range d.Providers {
		for j := range d.Providers[i].Models {
			m := &d.Providers[i].Models[j]
			for _, c := range corrections {
				if c.provider != d.Providers[i].ID || c.model != m.ID || m.Unread {
					continue
				}
				if err := res.leaveOut(c.provider, m, c.apply(m)); err != nil {
					return fmt.Errorf("correction of %s %s: %w", c.provider, c.model, err)
				}
			}
		}
	}
	return nil
}

var corrections = []struct {
	provider, model string
	apply           func(*pricing.ModelData) error
}{
	// Groq bills at least ten seconds of audio a request; the package has this in
	// its code.
	{"groq", "whisper-large-v3", atLeastTenSeconds},
	{"groq", "whisper-large-v3-turbo", atLeastTenSeconds},
	// The list's comments on both models: since 2026-08-23 weekends (Beijing time)
	// are off-peak all day. The windows' hours are on the same weekday there.
	{"deepseek", "deepseek-v4-flash", weekdaysSince("2026-08-23")},
	{"deepseek", "deepseek-v4-pro", weekdaysSince("2026-08-23")},
}

func atLeastTenSeconds(m *pricing.ModelData) error {
	for i := range m.Versions {
		for j := range m.Versions[i].Rates {
			if r := &m.Versions[i].Rates[j]; r.Unit == usage.AudioMilliseconds {
				r.Minimum = 10_000
				return nil
			}
		}
	}
	return odd("what is known of it does not fit its prices any more: it has no price for audio")
}

func weekdaysSince(date string) func(*pricing.ModelData) error {
	return func(m *pricing.ModelData) error {
		since, err := time.Parse(time.DateOnly, date)
		if err != nil {
			return err
		}
		var out []pricing.Version
		split := 0
		for _, v := range m.Versions {
			if v.Window == nil || !v.To.IsZero() {
				out = append(out, v)
				continue
			}
			if v.Window.Weekdays != nil {
				return odd("what is known of it does not fit its prices any more: its windows have weekdays")
			}
			before, after := v, v
			w := *v.Window
			w.Weekdays = []time.Weekday{time.Monday, time.Tuesday, time.Wednesday, time.Thursday, time.Friday}
			after.Window = &w
			if v.From.Before(since) {
				before.To, after.From = since, since
				out = append(out, before)
			}
			out = append(out, after)
			split++
		}
		if split == 0 {
			return odd("what is known of it does not fit its prices any more: it has no windows")
		}
		m.Versions = out
		return nil
	}
}
