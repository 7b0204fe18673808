package usage

import "fmt"

// Class is a part of a call's cost that is kept apart in the ledger.
type Class int

// The classes, in ledger order. The API shows both write classes as one
// "cacheWrite"; they are stored apart because their prices differ.
const (
	ClassInput Class = iota
	ClassCacheRead
	ClassCacheWrite
	ClassCacheWrite1h
	ClassOutput
	ClassReasoning
	ClassMedia
	ClassUnits
	ClassUnsplit
	NumClasses
)

// Unit is an index into Units: one thing that a provider counts and may price.
type Unit int

// The units. Every token unit is a bucket of its own: Buckets makes them
// disjoint, so that no token is ever priced twice.
const (
	Input Unit = iota
	CacheRead
	CacheWrite
	CacheWrite1h
	InputAudio
	CachedAudio
	InputImage
	CachedImage
	InputVideo
	Output
	Reasoning
	OutputAudio
	OutputImage
	OutputVideo
	Citation
	WebSearches
	StorageSearches
	SocialSearches
	RerankSearches
	Requests
	Images
	Pages
	AnnotatedPages
	AudioMilliseconds
	Messages
	CodeExecutions
	NumUnits
)

// None marks a unit without a wider one.
const None Unit = -1

const (
	perTokens = 1_000_000
	perCalls  = 1_000
	perHour   = 3_600_000 // milliseconds
)

// UnitInfo describes a unit.
type UnitInfo struct {
	// Count is the name of the quantity on the wire: a field of the event for
	// the six token totals, a key of usage for the rest.
	Count string
	// Price is the name of its price.
	Price string
	// Per is the quantity that one price covers: 10⁶ tokens, 10³ calls, or the
	// 3,600,000 milliseconds of an hour.
	Per int64
	// Class is where its cost is kept.
	Class Class
	// Wider is the unit whose price applies when this one has none; None for
	// quantities that cost nothing without a price of their own.
	Wider Unit
}

// Units describes every unit, by its index. It is read-only.
var Units = [NumUnits]UnitInfo{
	Input:             {"inputTokens", "input", perTokens, ClassInput, None},
	CacheRead:         {"cachedTokens", "cacheRead", perTokens, ClassCacheRead, Input},
	CacheWrite:        {"cacheWriteTokens", "cacheWrite", perTokens, ClassCacheWrite, Input},
	CacheWrite1h:      {"cacheWrite1hTokens", "cacheWrite1h", perTokens, ClassCacheWrite1h, CacheWrite},
	InputAudio:        {"inputAudioTokens", "inputAudio", perTokens, ClassMedia, Input},
	CachedAudio:       {"cachedAudioTokens", "cachedAudio", perTokens, ClassCacheRead, CacheRead},
	InputImage:        {"inputImageTokens", "inputImage", perTokens, ClassMedia, Input},
	CachedImage:       {"cachedImageTokens", "cachedImage", perTokens, ClassCacheRead, CacheRead},
	InputVideo:        {"inputVideoTokens", "inputVideo", perTokens, ClassMedia, Input},
	Output:            {"outputTokens", "output", perTokens, ClassOutput, None},
	Reasoning:         {"reasoningTokens", "reasoning", perTokens, ClassReasoning, Output},
	OutputAudio:       {"outputAudioTokens", "outputAudio", perTokens, ClassMedia, Output},
	OutputImage:       {"outputImageTokens", "outputImage", perTokens, ClassMedia, Output},
	OutputVideo:       {"outputVideoTokens", "outputVideo", perTokens, ClassMedia, Output},
	Citation:          {"citationTokens", "citation", perTokens, ClassOutput, Output},
	WebSearches:       {"webSearches", "webSearches", perCalls, ClassUnits, None},
	StorageSearches:   {"storageSearches", "storageSearches", perCalls, ClassUnits, None},
	SocialSearches:    {"socialSearches", "socialSearches", perCalls, ClassUnits, None},
	RerankSearches:    {"rerankSearches", "rerankSearches", perCalls, ClassUnits, None},
	Requests:          {"requests", "requests", perCalls, ClassUnits, None},
	Images:            {"images", "images", perCalls, ClassUnits, None},
	Pages:             {"pages", "pages", perCalls, ClassUnits, None},
	AnnotatedPages:    {"annotatedPages", "annotatedPages", perCalls, ClassUnits, Pages},
	AudioMilliseconds: {"audioMilliseconds", "audioHours", perHour, ClassUnits, None},
	Messages:          {"messages", "messages", perCalls, ClassUnits, None},
	CodeExecutions:    {"codeExecutions", "codeExecutions", perCalls, ClassUnits, None},
}

// IsTotal says whether the unit's count is one of the event's own fields rather
// than a key of usage.
func (u Unit) IsTotal() bool {
	switch u {
	case Input, CacheRead, CacheWrite, CacheWrite1h, Output, Reasoning:
		return true
	}
	return false
}

// Field is where the wire form has the unit's count: "inputTokens",
// "usage.images".
func (u Unit) Field() string { return fields[u] }

var fields = func() (names [NumUnits]string) {
	for u := range NumUnits {
		names[u] = Units[u].Count
		if !u.IsTotal() {
			names[u] = "usage." + names[u]
		}
	}
	return names
}()

var (
	byCount = indexUnits(func(i UnitInfo) string { return i.Count })
	byPrice = indexUnits(func(i UnitInfo) string { return i.Price })
)

func indexUnits(name func(UnitInfo) string) map[string]Unit {
	m := make(map[string]Unit, NumUnits)
	for u := range NumUnits {
		m[name(Units[u])] = u
	}
	return m
}

// UnitByCount finds the unit of a quantity's wire name.
func UnitByCount(name string) (Unit, bool) { u, ok := byCount[name]; return u, ok }

// UnitByPrice finds the unit of a price's name.
func UnitByPrice(name string) (Unit, bool) { u, ok := byPrice[name]; return u, ok }

// MarshalText gives the price's name, so that stored prices do not depend on
// the order of the constants.
func (u Unit) MarshalText() ([]byte, error) {
	if u < 0 || u >= NumUnits {
		return nil, fmt.Errorf("usage: no unit %d", int(u))
	}
	return []byte(Units[u].Price), nil
}

// UnmarshalText reads what MarshalText wrote.
func (u *Unit) UnmarshalText(b []byte) error {
	v, ok := UnitByPrice(string(b))
	if !ok {
		return fmt.Errorf("usage: no unit with the price %q", Shorten(string(b)))
	}
	*u = v
	return nil
}
