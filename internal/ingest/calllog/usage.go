package calllog

import (
	"strings"

	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/usage"
)

// outside says whether reasoning is counted beside output and not within it,
// by the total where one tells, else by habit.
func outside(total, input, output, reasoning int64, habit bool) bool {
	switch {
	case reasoning == 0:
		return false
	case total != 0 && total == input+output+reasoning:
		return true
	case total != 0 && total == input+output:
		return false
	}
	return habit || reasoning > output
}

// OpenAIUsage reads the usage object of OpenAI's chat completions, responses,
// embeddings, images and transcriptions, and of what speaks like them. Input
// includes what was cached and written, output includes reasoning; where the
// total says that reasoning stands beside the output (xAI), it is added. Sources:
// platform.openai.com/docs/api-reference (chat, responses), openrouter.ai usage
// accounting, api-docs.deepseek.com.
func (c *Call) OpenAIUsage(u Object) {
	in := u.Object(u.First("prompt_tokens_details", "input_tokens_details", "input_token_details"))
	out := u.Object(u.First("completion_tokens_details", "output_tokens_details", "output_token_details"))
	input, output := u.Count("prompt_tokens", "input_tokens"), u.Count("completion_tokens", "output_tokens")
	reasoning := out.Count("reasoning_tokens")
	if !out.Has("reasoning_tokens") {
		reasoning = u.Count("reasoning_tokens")
	}
	if outside(u.Count("total_tokens"), input, output, reasoning, false) {
		output += reasoning
	}
	cached := in.Count("cached_tokens")
	if !in.Has("cached_tokens") {
		cached = u.Count("prompt_cache_hit_tokens", "cached_tokens", "cache_read_input_tokens")
	}
	write := in.Count("cache_write_tokens", "cache_creation_tokens")
	if !in.Has("cache_write_tokens") && !in.Has("cache_creation_tokens") {
		write = u.Count("cache_write_tokens", "cache_creation_input_tokens")
	}
	split := in.Object("cache_creation_token_details")
	hour := split.Count("ephemeral_1h_input_tokens")
	if hour > write {
		split.complain("ephemeral_1h_input_tokens", "must not be more than all tokens written to the cache")
	}
	c.Counts[usage.Input], c.Counts[usage.Output] = input, output
	c.Counts[usage.CacheRead], c.Counts[usage.Reasoning] = cached, reasoning
	c.Counts[usage.CacheWrite], c.Counts[usage.CacheWrite1h] = write-hour, hour
	c.Counts[usage.InputAudio], c.Counts[usage.InputImage] = in.Count("audio_tokens"), in.Count("image_tokens")
	c.Counts[usage.OutputAudio], c.Counts[usage.OutputImage] = out.Count("audio_tokens"), out.Count("image_tokens")
	parts := in.Object("cached_tokens_details")
	c.Counts[usage.CachedAudio], c.Counts[usage.CachedImage] = parts.Count("audio_tokens"), parts.Count("image_tokens")
	if video := in.Count("video_tokens"); video != 0 {
		c.Counts[usage.InputVideo] = video
	}
	if s, ok := u.Seconds("seconds"); ok && u.Text("type") == "duration" {
		c.Counts[usage.AudioMilliseconds] = s.Milliseconds()
	}
	if n := u.Object("server_tool_use").Count("web_search_requests"); n != 0 {
		c.Counts[usage.WebSearches] = n
	}
	c.gatewayCost(u)
}

// gatewayCost takes what a gateway says it charged. With the user's own key at
// the provider (is_byok) OpenRouter's cost is its fee alone, and the provider's
// charge stands beside it.
func (c *Call) gatewayCost(u Object) {
	cost := u.Object("cost")
	billed := cost.Amount("total_cost")
	if cost.Empty() {
		billed = u.Amount("cost")
	}
	if billed == nil {
		return
	}
	if upstream := u.Object("cost_details").Amount("upstream_inference_cost"); u.Bool("is_byok") && upstream != nil {
		sum, err := billed.Add(*upstream)
		if err != nil {
			u.complain("cost", err.Error())
			return
		}
		billed = &sum
	}
	c.Billed = billed
}

// AnthropicUsage is the usage of an Anthropic message, which a stream tells in
// pieces: each member stands for the whole message so far, and a later one
// replaces it. Input excludes what was read from and written to the cache; output
// includes thinking. Source: docs.anthropic.com (messages, streaming, prompt
// caching).
type AnthropicUsage struct {
	input, read, write, hour, five, output, thinking, searches int64
	split                                                      bool
	compacted                                                  [2]int64
	tier, geo, speed                                           string
}

// Merge takes what u says.
func (a *AnthropicUsage) Merge(u Object) {
	take := func(to *int64, o Object, names ...string) bool {
		name := o.First(names...)
		if name == "" {
			return false
		}
		*to = o.Count(name)
		return true
	}
	take(&a.input, u, "input_tokens")
	take(&a.read, u, "cache_read_input_tokens")
	total := take(&a.write, u, "cache_creation_input_tokens")
	if split := u.Object("cache_creation"); !split.Empty() {
		a.split = true
		take(&a.five, split, "ephemeral_5m_input_tokens")
		take(&a.hour, split, "ephemeral_1h_input_tokens")
		if !total {
			a.write = max(a.write, a.five+a.hour)
		} else if a.five+a.hour > a.write {
			split.complain("ephemeral_5m_input_tokens", "and ephemeral_1h_input_tokens must not be more than cache_creation_input_tokens")
		}
	}
	take(&a.output, u, "output_tokens")
	take(&a.thinking, u.Object("output_tokens_details"), "thinking_tokens", "reasoning_tokens")
	take(&a.searches, u.Object("server_tool_use"), "web_search_requests")
	if u.IsList("iterations") {
		// The tokens of a compaction are charged and stand in no total.
		a.compacted = [2]int64{}
		for _, i := range u.List("iterations") {
			if i.Text("type") == "compaction" {
				a.compacted[0] += i.Count("input_tokens")
				a.compacted[1] += i.Count("output_tokens")
			}
		}
	}
	for to, name := range map[*string]string{&a.tier: "service_tier", &a.geo: "inference_geo", &a.speed: "speed"} {
		if text := u.Text(name); text != "" {
			*to = text
		}
	}
}

// Apply gives the call what was said so far.
func (a *AnthropicUsage) Apply(c *Call) {
	c.Counts[usage.Input] = a.input + a.read + a.write + a.compacted[0]
	c.Counts[usage.CacheRead] = a.read
	c.Counts[usage.CacheWrite], c.Counts[usage.CacheWrite1h] = a.write-a.hour, a.hour
	c.Counts[usage.Output] = a.output + a.compacted[1]
	c.Counts[usage.Reasoning] = a.thinking
	c.Counts[usage.WebSearches] = a.searches
	if a.tier != "" {
		c.ServiceTier = a.tier
	}
	if a.speed == "fast" {
		c.ServiceTier = a.speed
	}
	if a.geo != "" && a.geo != "not_available" && a.geo != "global" {
		c.Region = a.geo
	}
}

// GeminiUsage reads usageMetadata. The prompt includes what was cached and
// excludes what tools brought; thinking stands beside the candidates, unless the
// total says otherwise. Source: ai.google.dev/api/generate-content, Vertex AI's
// GenerateContentResponse. Python's client writes the names with underscores.
func (c *Call) GeminiUsage(u Object) {
	prompt, tools := u.Count("promptTokenCount", "prompt_token_count"), u.Count("toolUsePromptTokenCount", "tool_use_prompt_token_count")
	output := u.Count("candidatesTokenCount", "candidates_token_count", "responseTokenCount", "response_token_count")
	thoughts := u.Count("thoughtsTokenCount", "thoughts_token_count")
	total := u.Count("totalTokenCount", "total_token_count")
	if outside(total, prompt+tools, output, thoughts, true) {
		output += thoughts
	}
	c.Counts[usage.Input], c.Counts[usage.Output] = prompt+tools, output
	c.Counts[usage.CacheRead] = u.Count("cachedContentTokenCount", "cached_content_token_count")
	c.Counts[usage.Reasoning] = thoughts
	in := modalities(u, "promptTokensDetails", "prompt_tokens_details")
	for m, n := range modalities(u, "toolUsePromptTokensDetails", "tool_use_prompt_tokens_details") {
		in[m] += n
	}
	cached := modalities(u, "cacheTokensDetails", "cache_tokens_details")
	out := modalities(u, "candidatesTokensDetails", "candidates_tokens_details", "responseTokensDetails", "response_tokens_details")
	c.Counts[usage.InputAudio], c.Counts[usage.InputImage] = in["AUDIO"], in["IMAGE"]
	c.Counts[usage.CachedAudio], c.Counts[usage.CachedImage] = cached["AUDIO"], cached["IMAGE"]
	// Cached video has no count of its own: it is among the cached tokens alone.
	c.Counts[usage.InputVideo] = in["VIDEO"] - cached["VIDEO"]
	if c.Counts[usage.InputVideo] < 0 {
		u.complain("cacheTokensDetails", "must not hold more video than promptTokensDetails")
	}
	c.Counts[usage.OutputAudio], c.Counts[usage.OutputImage], c.Counts[usage.OutputVideo] = out["AUDIO"], out["IMAGE"], out["VIDEO"]
	switch traffic := u.Text("trafficType", "traffic_type"); {
	case strings.HasSuffix(traffic, "FLEX"):
		c.ServiceTier = "flex"
	case strings.HasSuffix(traffic, "PRIORITY"):
		c.ServiceTier = "priority"
	}
	if tier := u.Text("serviceTier", "service_tier"); tier != "" {
		c.ServiceTier = tier
	}
}

func modalities(u Object, names ...string) map[string]int64 {
	out := map[string]int64{}
	for _, part := range u.List(u.First(names...)) {
		out[strings.ToUpper(part.Text("modality"))] += part.Count("tokenCount", "token_count")
	}
	return out
}

// Sum adds amounts; nil where none is there or they are too large.
func Sum(amounts ...*money.USD) *money.USD {
	var total *money.USD
	for _, a := range amounts {
		if a == nil {
			continue
		}
		if total == nil {
			total = new(money.USD)
		}
		sum, err := total.Add(*a)
		if err != nil {
			return nil
		}
		*total = sum
	}
	return total
}
