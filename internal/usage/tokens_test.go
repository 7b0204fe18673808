package usage

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// inputs and outputs are the buckets that the two totals are split into.
var (
	inputs  = []Unit{Input, CacheRead, CacheWrite, CacheWrite1h, InputAudio, CachedAudio, InputImage, CachedImage, InputVideo}
	outputs = []Unit{Output, Reasoning, OutputAudio, OutputImage, OutputVideo, Citation}
)

func sumOf(b *Buckets, us []Unit) (n int64) {
	for _, u := range us {
		n += b[u]
	}
	return n
}

// possible makes counts from disjoint buckets, the way a provider counts.
func possible(t *rapid.T) (Counts, Buckets) {
	var b Buckets
	for u := range b {
		b[u] = rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(0, MaxCount/16)).Draw(t, Units[u].Count)
	}
	c := Counts(b)
	c[Input], c[Output] = sumOf(&b, inputs), sumOf(&b, outputs)
	c[CacheRead] = b[CacheRead] + b[CachedAudio] + b[CachedImage]
	c[InputAudio] = b[InputAudio] + b[CachedAudio]
	c[InputImage] = b[InputImage] + b[CachedImage]
	c[Pages] = b[Pages] + b[AnnotatedPages]
	return c, b
}

func TestBucketsAreTheCounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, want := possible(t)
		got, bad := c.Buckets()
		if len(bad) > 0 || got != want {
			t.Fatalf("counts %v: buckets %v, %v; want %v", c, got, bad, want)
		}
		if c.Cached() != got[CacheRead]+got[CachedAudio]+got[CachedImage] {
			t.Fatalf("cached %d", c.Cached())
		}
	})
}

// Whatever the counts are: either the parts add up to the totals and none is
// negative, or a field that was sent is named.
func TestBucketsOfAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var c Counts
		small := rapid.Int64Range(0, 6)
		wild := rapid.OneOf(small, rapid.SampledFrom([]int64{-1, math.MinInt64, math.MaxInt64, math.MaxInt64 / 2, MaxCount, MaxCount + 1}))
		some := small
		if rapid.Bool().Draw(t, "wild") {
			some = wild
		}
		for u := range c {
			if rapid.Bool().Draw(t, "sent") {
				c[u] = some.Draw(t, Units[u].Count)
			}
		}
		b, bad := c.Buckets()
		if len(bad) == 0 {
			for u, n := range b {
				if n < 0 || c[u] < 0 || c[u] > MaxCount {
					t.Fatalf("counts %v: bucket %s is %d", c, Units[u].Count, n)
				}
			}
			if sumOf(&b, inputs) != c[Input] || sumOf(&b, outputs) != c[Output] || b[Pages]+b[AnnotatedPages] != c[Pages] {
				t.Fatalf("counts %v: the parts %v are not the whole", c, b)
			}
			return
		}
		for _, p := range bad {
			name := strings.TrimPrefix(p.Field, "usage.")
			u, ok := UnitByCount(name)
			if !ok || p.Rule == "" || u.IsTotal() == strings.HasPrefix(p.Field, "usage.") {
				t.Fatalf("counts %v: problem %+v names no field", c, p)
			}
			if c[u] == 0 && name != "inputTokens" && name != "outputTokens" {
				t.Fatalf("counts %v: problem %+v names a field that is not there", c, p)
			}
		}
	})
}

func TestImpossibleSumsNameTheirField(t *testing.T) {
	for _, c := range []struct {
		counts map[Unit]int64
		want   string
	}{
		{map[Unit]int64{Input: 10, CacheRead: 11}, "cachedTokens: must not be more than inputTokens"},
		{map[Unit]int64{Input: 10, CacheWrite: 11}, "cacheWriteTokens: must not be more than inputTokens"},
		{map[Unit]int64{Input: 10, CacheWrite1h: 11}, "cacheWrite1hTokens: must not be more than inputTokens"},
		{map[Unit]int64{Input: 10, CacheRead: 6, CacheWrite: 5}, "inputTokens: must be at least the sum of its parts (cached, cache-written, audio, image and video tokens)"},
		{map[Unit]int64{Output: 10, Reasoning: 11}, "reasoningTokens: must not be more than outputTokens"},
		{map[Unit]int64{Output: 10, Reasoning: 6, OutputAudio: 5}, "outputTokens: must be at least the sum of its parts (reasoning, audio, image, video and citation tokens)"},
		{map[Unit]int64{Input: 10, InputAudio: 11}, "usage.inputAudioTokens: must not be more than inputTokens"},
		{map[Unit]int64{Input: 10, CacheRead: 10, InputAudio: 4, CachedAudio: 5}, "usage.cachedAudioTokens: must not be more than inputAudioTokens"},
		{map[Unit]int64{Input: 10, CacheRead: 10, InputImage: 4, CachedImage: 5}, "usage.cachedImageTokens: must not be more than inputImageTokens"},
		{map[Unit]int64{Input: 10, CacheRead: 4, InputAudio: 5, CachedAudio: 5}, "usage.cachedAudioTokens: must not be more than cachedTokens"},
		{map[Unit]int64{Input: 10, CacheRead: 4, InputImage: 3, CachedImage: 3, InputAudio: 3, CachedAudio: 3}, "usage.cachedImageTokens: cachedAudioTokens and cachedImageTokens together must not be more than cachedTokens"},
		{map[Unit]int64{Pages: 1, AnnotatedPages: 2}, "usage.annotatedPages: must not be more than pages"},
		{map[Unit]int64{Output: 1, Citation: 2}, "usage.citationTokens: must not be more than outputTokens"},
		{map[Unit]int64{Input: -1}, "inputTokens: must be 0 or more"},
		{map[Unit]int64{WebSearches: -1}, "usage.webSearches: must be 0 or more"},
		{map[Unit]int64{Images: MaxCount + 1}, "usage.images: must be at most 1000000000000"},
	} {
		var counts Counts
		for u, n := range c.counts {
			counts[u] = n
		}
		_, bad := counts.Buckets()
		if len(bad) != 1 || fmt.Sprintf("%s: %s", bad[0].Field, bad[0].Rule) != c.want {
			t.Errorf("%v: %+v, want %q", c.counts, bad, c.want)
		}
	}
	most := Counts{Images: MaxCount}
	if b, bad := most.Buckets(); len(bad) > 0 || b[Images] != MaxCount {
		t.Errorf("the most that is allowed: %+v", bad)
	}
}

func TestCostingTotal(t *testing.T) {
	var c Costing
	for i := range c.Classes {
		c.Classes[i] = 1 << i
	}
	if got := c.Total(); got != 1<<NumClasses-1 {
		t.Errorf("total %d, want every class once", got)
	}
}
