package usage

import "strconv"

// Counts are the quantities of one call as the wire carries them: indexed by
// unit, inputTokens and outputTokens being totals that contain their parts, and
// cached audio being part of both cached tokens and input audio. An absent
// count is 0.
type Counts [NumUnits]int64

// MaxCount is the largest value of one count. It keeps sums over any ledger
// inside 63 bits and is a thousand times what any provider serves in a call.
const MaxCount = 1_000_000_000_000

// Buckets are the same quantities made disjoint: input is what was neither
// cached, written nor media, output what was neither reasoning, media nor
// citation, a cached audio token is in one place only.
type Buckets [NumUnits]int64

// Buckets splits the totals. It reports counts out of range and impossible sums
// as problems naming the field to mend and never clamps; with problems the
// buckets mean nothing.
func (c *Counts) Buckets() (Buckets, []Problem) {
	b := Buckets(*c)
	var bad []Problem
	for u, n := range c {
		if n < 0 {
			bad = append(bad, Problem{Unit(u).Field(), "must be 0 or more"})
		} else if n > MaxCount {
			bad = append(bad, Problem{Unit(u).Field(), "must be at most " + strconv.FormatInt(MaxCount, 10)})
		}
	}
	if len(bad) > 0 {
		return b, bad // the sums below could wrap
	}
	within := func(part, whole Unit) {
		if c[part] > c[whole] {
			bad = append(bad, Problem{part.Field(), "must not be more than " + Units[whole].Count})
		}
	}
	within(CachedAudio, InputAudio)
	within(CachedImage, InputImage)
	if c[CachedAudio]+c[CachedImage] > c[CacheRead] {
		if c[CachedImage] == 0 {
			bad = append(bad, Problem{CachedAudio.Field(), "must not be more than cachedTokens"})
		} else {
			bad = append(bad, Problem{CachedImage.Field(), "cachedAudioTokens and cachedImageTokens together must not be more than cachedTokens"})
		}
	}
	for _, part := range [...]Unit{CacheRead, CacheWrite, CacheWrite1h, InputAudio, InputImage, InputVideo} {
		within(part, Input)
	}
	for _, part := range [...]Unit{Reasoning, OutputAudio, OutputImage, OutputVideo, Citation} {
		within(part, Output)
	}
	within(AnnotatedPages, Pages)
	if len(bad) > 0 {
		return b, bad
	}

	b[CacheRead] -= c[CachedAudio] + c[CachedImage]
	b[InputAudio] -= c[CachedAudio]
	b[InputImage] -= c[CachedImage]
	b[Input] -= b[CacheRead] + c[CacheWrite] + c[CacheWrite1h] + c[InputAudio] + c[InputImage] + c[InputVideo]
	if b[Input] < 0 {
		bad = append(bad, Problem{"inputTokens", "must be at least the sum of its parts (cached, cache-written, audio, image and video tokens)"})
	}
	b[Output] -= c[Reasoning] + c[OutputAudio] + c[OutputImage] + c[OutputVideo] + c[Citation]
	if b[Output] < 0 {
		bad = append(bad, Problem{"outputTokens", "must be at least the sum of its parts (reasoning, audio, image, video and citation tokens)"})
	}
	b[Pages] -= c[AnnotatedPages]
	return b, bad
}

// Cached is the number of input tokens read from a cache, whatever they held.
func (c *Counts) Cached() int64 { return c[CacheRead] }
