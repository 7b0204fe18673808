package prompts

import "strings"

// Cacheable is the shortest beginning of a prompt that a provider caches.
type Cacheable struct {
	// Tokens is its length. Step is of what the cached length is a multiple; 0 is any.
	Tokens, Step int64
	// Known says that the provider has published it. Where it has not, Tokens is what
	// most ask for.
	Known bool
}

// usualCacheable is what most providers ask for.
const usualCacheable = 1024

// cacheables are the published minimums, the first that fits a model counts. They are
// facts of a date: what was in the pages below in autumn 2026, which have been changed before
// (Gemini 2.5 Pro went from 2,048 to 4,096 and back). A model that is not there is
// not known, whatever its relatives have.
//
//   - Claude: https://platform.claude.com/docs/en/build-with-claude/prompt-caching,
//     "Cache limitations". Of Sonnet 4.6 it has said 1,024 and 2,048; the later one
//     stands here. On Bedrock Opus 4.7 needs more, as
//     https://docs.litellm.ai/docs/completion/prompt_caching (2026-10-07) lists.
//   - OpenAI: https://developers.openai.com/api/docs/guides/prompt-caching: gpt-4o and newer,
//     1,024 tokens, and before gpt-5.6 in steps of 128
//     (https://github.com/openai/openai-cookbook, Prompt_Caching_201). Of models before gpt-5.6 the page
//     says since September 2026 that settings of the request may ask for more.
//     Azure says the same of its own: https://learn.microsoft.com/azure/ai-foundry/openai/how-to/prompt-caching.
//   - Gemini: https://ai.google.dev/gemini-api/docs/caching, of 2026-10-13, and of
//     2026-05-07 for models that it has no longer.
var cacheables = [...]struct {
	provider, model string
	Cacheable
}{
	{"", "claude-opus-5-5", Cacheable{}}, // not published when this was written
	{"", "claude-fable-5-1", Cacheable{}},
	{"", "claude-opus-5", Cacheable{512, 0, true}},
	{"", "claude-fable-5", Cacheable{512, 0, true}},
	{"", "claude-mythos-5", Cacheable{512, 0, true}},
	{"aws", "claude-opus-4-7", Cacheable{4096, 0, true}},
	{"", "claude-opus-4-7", Cacheable{2048, 0, true}},
	{"", "claude-opus-4-6", Cacheable{4096, 0, true}},
	{"", "claude-opus-4-5", Cacheable{4096, 0, true}},
	{"", "claude-opus-4", Cacheable{1024, 0, true}},
	{"", "claude-4-opus", Cacheable{1024, 0, true}},
	{"", "claude-3-opus", Cacheable{1024, 0, true}},
	{"", "claude-sonnet-5", Cacheable{1024, 0, true}},
	{"", "claude-sonnet-4", Cacheable{1024, 0, true}},
	{"", "claude-4-sonnet", Cacheable{1024, 0, true}},
	{"", "claude-3-7-sonnet", Cacheable{1024, 0, true}},
	{"", "claude-3-5-sonnet", Cacheable{1024, 0, true}},
	{"", "claude-haiku-4-5", Cacheable{4096, 0, true}},
	{"", "claude-3-5-haiku", Cacheable{2048, 0, true}},
	{"", "claude-3-haiku", Cacheable{2048, 0, true}},

	{"", "gpt-oss", Cacheable{}},
	{"", "gpt-6", Cacheable{1024, 0, true}},
	{"", "gpt-5-6", Cacheable{1024, 0, true}},
	{"", "gpt-5", Cacheable{1024, 128, true}},
	{"", "gpt-4o", Cacheable{1024, 128, true}},
	{"", "gpt-4-1", Cacheable{1024, 128, true}},
	{"", "gpt-4-5", Cacheable{1024, 128, true}},
	{"openai", "o1", Cacheable{1024, 128, true}},
	{"openai", "o3", Cacheable{1024, 128, true}},
	{"openai", "o4", Cacheable{1024, 128, true}},
	{"azure", "o1", Cacheable{1024, 128, true}},
	{"azure", "o3", Cacheable{1024, 128, true}},
	{"azure", "o4", Cacheable{1024, 128, true}},

	{"", "gemini-2-5-flash-", Cacheable{}}, // the smaller one, and those of other uses
	{"", "gemini-2-5-flash", Cacheable{2048, 0, true}},
	{"", "gemini-2-5-pro-tts", Cacheable{}},
	{"", "gemini-2-5-pro", Cacheable{2048, 0, true}},
	{"", "gemini-3-flash", Cacheable{1024, 0, true}},
	{"", "gemini-3-pro-image", Cacheable{}},
	{"", "gemini-3-pro", Cacheable{4096, 0, true}},
	{"", "gemini-3-1-pro", Cacheable{4096, 0, true}},
	{"", "gemini-3-5-flash-", Cacheable{}},
	{"", "gemini-3-5-flash", Cacheable{4096, 0, true}},
	{"", "gemini-3-6-flash", Cacheable{4096, 0, true}},
	{"", "gemini-3-7-flash", Cacheable{4096, 0, true}},
	{"", "gemini-3-8-flash", Cacheable{4096, 0, true}},
}

// LeastCacheable is the shortest beginning of a prompt that is cached of a model of
// the price book.
func LeastCacheable(providerID, modelID string) Cacheable {
	id := strings.ReplaceAll(strings.ToLower(modelID), ".", "-")
	for _, c := range cacheables {
		// Clouds and gateways write something in front; what is as short as o1 is in many
		// names.
		fits := strings.HasPrefix(id, c.model) || len(c.model) > 2 && strings.Contains(id, c.model)
		if !fits || c.provider != "" && c.provider != providerID {
			continue
		}
		if !c.Known {
			break
		}
		return c.Cacheable
	}
	return Cacheable{Tokens: usualCacheable}
}

// cut is how much of a beginning of so many tokens is cached; 0 of one that is too
// short.
func (c Cacheable) cut(tokens int64) int64 {
	if tokens < c.Tokens || tokens <= 0 {
		return 0
	}
	if c.Step > 0 {
		tokens -= tokens % c.Step
	}
	return tokens
}
