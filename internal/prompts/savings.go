package prompts

import (
	"cmp"
	"slices"
	"time"

	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/pricing"
	"github.com/costprof/costprof/internal/usage"
)

// Call is a recorded call as the simulations need it.
type Call struct {
	ID       usage.ID
	PromptID usage.ID
	At       time.Time
	Latency  time.Duration
	Project  string
	// Provider and Model are as sent.
	Provider, Model     string
	ServiceTier, Region string
	Counts              usage.Counts
	// Cost is what the call cost, as the ledger has it.
	Cost money.USD
	// Error: the call gave no answer that could be kept.
	Error bool
}

// order puts calls in the order in which they were made.
func order(calls []Call) []Call {
	calls = slices.Clone(calls)
	slices.SortFunc(calls, func(a, b Call) int {
		return cmp.Or(a.At.Compare(b.At), slices.Compare(a.ID[:], b.ID[:]))
	})
	return calls
}

// ResponseCache is what a cache of answers would have done.
type ResponseCache struct {
	Calls, Hits int64
	// Saved is the cost of the hits.
	Saved money.Total
}

// SimulateResponses says what a cache of answers would have saved: a call whose prompt, provider and
// model are those of an earlier one costs nothing if that one's answer was there
// when it began and not older than ttl. A call that comes while the first is still
// being answered is made, and so is one after a call that failed.
func SimulateResponses(calls []Call, ttl time.Duration) ResponseCache {
	type key struct {
		prompt                   usage.ID
		project, provider, model string
	}
	type kept struct{ from, until time.Time }
	cache := map[key]kept{}
	var out ResponseCache
	for _, c := range order(calls) {
		out.Calls++
		k := key{c.PromptID, c.Project, c.Provider, c.Model}
		if e, ok := cache[k]; ok && !c.At.Before(e.from) && c.At.Before(e.until) {
			out.Hits++
			out.Saved = out.Saved.Add(c.Cost)
			continue
		}
		if c.Error || c.PromptID == (usage.ID{}) {
			continue
		}
		answered := c.At.Add(c.Latency)
		// An answer on its way that will be there earlier stays.
		if e, ok := cache[k]; !ok || !c.At.Before(e.until) || answered.Before(e.from) {
			cache[k] = kept{answered, answered.Add(ttl)}
		}
	}
	return out
}

// Quoter is a price book.
type Quoter interface {
	Quote(c pricing.Call) (pricing.Quote, error)
}

// PromptCacheParams describe a provider's cache of prompts.
type PromptCacheParams struct {
	Prices Quoter
	// TTL is how long a prefix stays after it was last used.
	TTL time.Duration
	// PrefixPerMille is which part of a call's input is the shared beginning, in
	// thousandths.
	PrefixPerMille int64
	// Least is the shortest beginning that the provider keeps; nil is LeastCacheable.
	Least func(providerID, modelID string) Cacheable
}

// PromptCache is what a provider's cache of prompts would have done.
type PromptCache struct {
	// Calls are those that could be priced; Writes and Reads those of them that
	// would have written or read the beginning. The rest, TooShort, have too short a one.
	Calls, Writes, Reads, TooShort int64
	// Minimum is the shortest beginning that is cached, in tokens, of the model that
	// asks for the longest; 0 where no call could be priced. MinimumKnown says that it is published of
	// every model of these calls.
	Minimum      int64
	MinimumKnown bool
	// Unpriced are left out: the book has no price for them.
	Unpriced int64
	// Without is what the calls would cost if nothing were cached, Recorded what they
	// cost with the cached tokens that were recorded, and Simulated what they would cost with the cache, all at the
	// prices of the book at the time of each call.
	Without, Recorded, Simulated money.Total
}

// Saved is what the cache would have saved against what was recorded; negative
// when it would have cost more.
func (p PromptCache) Saved() money.Total { return p.Recorded.Sub(p.Simulated) }

// SavedByRecorded is what the recorded use of a cache saved against none; negative
// when writing cost more than reading saved.
func (p PromptCache) SavedByRecorded() money.Total { return p.Without.Sub(p.Recorded) }

// SimulatePromptCache replays the calls against a cache of their shared beginning,
// one for each project, provider and model. The first call writes it, at the price for writing, which may be
// above that of input; each later one that comes before the time to live has passed reads it,
// which keeps it for as long again, at the price for reading; others write it again. A call
// that begins before the one that writes is answered to finds nothing and writes too.
func SimulatePromptCache(calls []Call, p PromptCacheParams) (PromptCache, error) {
	type key struct{ project, provider, model string }
	type kept struct{ from, until time.Time }
	least := p.Least
	if least == nil {
		least = LeastCacheable
	}
	cache := map[key]kept{}
	var out PromptCache
	for _, c := range order(calls) {
		quote := func(counts usage.Counts) (pricing.Quote, error) {
			return p.Prices.Quote(pricing.Call{
				Project: c.Project, Provider: c.Provider, Model: c.Model, At: c.At, Counts: counts, ServiceTier: c.ServiceTier, Region: c.Region,
			})
		}
		recorded, err := quote(c.Counts)
		if err != nil {
			return out, err
		}
		if recorded.Source == usage.SourceUnpriced {
			out.Unpriced++
			continue
		}
		bare := c.Counts
		bare[usage.CacheRead], bare[usage.CacheWrite], bare[usage.CacheWrite1h] = 0, 0, 0
		without, err := quote(bare)
		if err != nil {
			return out, err
		}
		out.Calls++
		simulated := without
		minimum := least(recorded.ProviderID, recorded.ModelID)
		out.MinimumKnown = minimum.Known && (out.MinimumKnown || out.Calls == 1)
		out.Minimum = max(out.Minimum, minimum.Tokens)
		prefix := minimum.cut(prefixTokens(bare, p.PrefixPerMille))
		if prefix == 0 {
			out.TooShort++
		} else {
			k := key{c.Project, recorded.ProviderID, recorded.ModelID}
			with := bare
			e, ok := cache[k]
			if ok && !c.At.Before(e.from) && c.At.Before(e.until) {
				out.Reads++
				with[usage.CacheRead] = prefix
				e.until = c.At.Add(p.TTL)
			} else {
				out.Writes++
				with[usage.CacheWrite] = prefix
				if answered := c.At.Add(c.Latency); !ok || !c.At.Before(e.until) || answered.Before(e.from) {
					e = kept{answered, answered.Add(p.TTL)}
				}
			}
			cache[k] = e
			if simulated, err = quote(with); err != nil {
				return out, err
			}
		}
		out.Without = out.Without.Add(without.Total())
		out.Recorded = out.Recorded.Add(recorded.Total())
		out.Simulated = out.Simulated.Add(simulated.Total())
	}
	return out, nil
}

// prefixTokens is the shared beginning's part of the text that went in. Audio,
// images and video are not part of it.
func prefixTokens(c usage.Counts, perMille int64) int64 {
	text := c[usage.Input] - c[usage.InputAudio] - c[usage.InputImage] - c[usage.InputVideo]
	if text <= 0 || perMille <= 0 {
		return 0
	}
	perMille = min(perMille, 1000)
	return text/1000*perMille + text%1000*perMille/1000
}
