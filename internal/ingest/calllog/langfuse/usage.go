package langfuse

import (
	"strings"

	"github.com/costprof/costprof/internal/ingest/calllog"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/usage"
)

// buckets are an observation's disjoint counts.
type buckets struct {
	counts usage.Counts
	// whole counts come from a provider's own object and are totals already.
	whole bool
	// other are buckets whose names say nothing to us.
	other map[string]any
}

func (b *buckets) empty() bool { return b.counts == usage.Counts{} && b.other == nil }

// tokens is all that came in and went out.
func (b *buckets) tokens() int64 {
	if b.whole {
		return b.counts[usage.Input] + b.counts[usage.Output]
	}
	return b.input() + b.output()
}

func (b *buckets) input() (n int64) {
	for _, u := range inputs {
		n += b.counts[u]
	}
	return n
}

func (b *buckets) output() (n int64) {
	for _, u := range outputs {
		n += b.counts[u]
	}
	return n
}

var (
	inputs = []usage.Unit{
		usage.Input, usage.CacheRead, usage.CacheWrite, usage.CacheWrite1h, usage.InputAudio, usage.InputImage, usage.InputVideo, usage.CachedAudio, usage.CachedImage,
	}
	outputs = []usage.Unit{usage.Output, usage.Reasoning, usage.OutputAudio, usage.OutputImage, usage.OutputVideo, usage.Citation}
)

// apply gives the call totals that contain their parts.
func (b *buckets) apply(c *calllog.Call) {
	c.Counts = b.counts
	if b.other != nil {
		c.Metadata = map[string]any{"otherUsage": b.other}
	}
	if b.whole {
		return
	}
	c.Count(usage.Input, b.input())
	c.Count(usage.Output, b.output())
	c.Count(usage.CacheRead, b.counts[usage.CacheRead]+b.counts[usage.CachedAudio]+b.counts[usage.CachedImage])
	c.Count(usage.InputAudio, b.counts[usage.InputAudio]+b.counts[usage.CachedAudio])
	c.Count(usage.InputImage, b.counts[usage.InputImage]+b.counts[usage.CachedImage])
}

// counts reads usageDetails, or what stood in its place in older exports.
func counts(o calllog.Object) buckets {
	details := o.Object(o.First("usageDetails", "usage_details"))
	var c calllog.Call
	switch {
	case details.Has("prompt_tokens"), details.Has("input_tokens") && !details.Has("input") && !details.Has("cache_read_input_tokens"):
		c.OpenAIUsage(details)
		return buckets{counts: c.Counts, whole: true}
	case details.Has("input_tokens") && !details.Has("input"):
		var a calllog.AnthropicUsage
		a.Merge(details)
		a.Apply(&c)
		return buckets{counts: c.Counts, whole: true}
	case details.Has("promptTokenCount"), details.Has("prompt_token_count"):
		c.GeminiUsage(details)
		return buckets{counts: c.Counts, whole: true}
	case !details.Empty():
		return named(details)
	}
	var b buckets
	old := o.Object("usage")
	switch {
	case !old.Empty() && (old.Has("input") || old.Has("output") || old.Has("total")):
		b.counts[usage.Input], b.counts[usage.Output] = old.Count("input"), old.Count("output")
		b.rest(old.Count("total"))
	case !old.Empty():
		b.counts[usage.Input], b.counts[usage.Output] = old.Count("promptTokens", "prompt_tokens"), old.Count("completionTokens", "completion_tokens")
		b.rest(old.Count("totalTokens", "total_tokens"))
	default:
		b.counts[usage.Input] = o.Count("promptTokens", "prompt_tokens", "inputUsage", "inputTokens", "input_usage")
		b.counts[usage.Output] = o.Count("completionTokens", "completion_tokens", "outputUsage", "outputTokens", "output_usage")
		b.rest(o.Count("totalTokens", "total_tokens", "totalUsage", "total_usage"))
	}
	return b
}

// rest takes a total that came alone for input, as embeddings tell it.
func (b *buckets) rest(total int64) {
	if b.empty() {
		b.counts[usage.Input] = total
	}
}

// maxOther bounds what is kept of them.
const maxOther = 20

// named sorts freely named buckets by what their names say.
func named(details calllog.Object) buckets {
	var b buckets
	var total, written int64
	for _, name := range details.Names() {
		low := strings.ToLower(name)
		if low == "total" || strings.HasPrefix(low, "total_") || low == "totaltokens" {
			total = details.Count(name)
			continue
		}
		if low == "input_cache_creation" || low == "cache_creation_input_tokens" {
			written = details.Count(name)
			continue
		}
		u, ok := bucket(low)
		if !ok {
			if n := details.Count(name); n != 0 && len(b.other) < maxOther {
				if b.other == nil {
					b.other = map[string]any{}
				}
				b.other[usage.Shorten(name)] = n
			}
			continue
		}
		b.counts[u] += details.Count(name)
	}
	// All writes, or those whose lifetime is not told by buckets of their own.
	if split := b.counts[usage.CacheWrite] + b.counts[usage.CacheWrite1h]; written > 0 && written != split {
		b.counts[usage.CacheWrite] += written
	}
	b.rest(total)
	b.inclusive(total)
	return b
}

// inclusive mends counts of senders that told parts beside a sum that holds
// them: then input and output alone make the total.
func (b *buckets) inclusive(total int64) {
	in, out := b.counts[usage.Input], b.counts[usage.Output]
	if total == 0 || b.input()+b.output() == total || in+out != total {
		return
	}
	if parts := b.input() - in; parts <= in {
		b.counts[usage.Input] -= parts
	}
	if parts := b.output() - out; parts <= out {
		b.counts[usage.Output] -= parts
	}
}

// bucket finds the unit that a name in lower case means.
func bucket(name string) (usage.Unit, bool) {
	has := func(parts ...string) bool {
		for _, p := range parts {
			if strings.Contains(name, p) {
				return true
			}
		}
		return false
	}
	output := strings.HasPrefix(name, "output") || has("completion", "candidates")
	write := has("creation", "cache_write", "cachewrite")
	cached := has("cache") && !write
	switch {
	case has("web_search", "grounding_quer"):
		return usage.WebSearches, true
	case write && has("1h"):
		return usage.CacheWrite1h, true
	case write:
		return usage.CacheWrite, true
	case has("reasoning", "thought", "thinking"):
		return usage.Reasoning, true
	case has("citation"):
		return usage.Citation, true
	case cached && has("audio"):
		return usage.CachedAudio, true
	case cached && has("image"):
		return usage.CachedImage, true
	case cached:
		return usage.CacheRead, true
	case output && has("audio"):
		return usage.OutputAudio, true
	case output && has("image"):
		return usage.OutputImage, true
	case output && has("video"):
		return usage.OutputVideo, true
	case output:
		return usage.Output, true
	case has("audio"):
		return usage.InputAudio, true
	case has("image"):
		return usage.InputImage, true
	case has("video"):
		return usage.InputVideo, true
	case strings.HasPrefix(name, "input"), strings.HasPrefix(name, "prompt"), has("tool_use"):
		return usage.Input, true
	}
	return 0, false
}

// cost is what Langfuse reckoned, or was told; nil when it knew none.
func cost(o calllog.Object) *money.USD {
	details := o.Object(o.First("costDetails", "cost_details"))
	if a := details.Amount("total"); a != nil {
		return a
	}
	var parts []*money.USD
	for _, name := range details.Names() {
		parts = append(parts, details.Amount(name))
	}
	if a := calllog.Sum(parts...); a != nil {
		return a
	}
	return o.Amount("calculatedTotalCost", "totalCost", "total_cost")
}
