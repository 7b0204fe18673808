// Package litellm reads LiteLLM's model_prices_and_context_window.json into a
// price book: one object of models, each with its prices as flat keys, USD per
// token. What a book cannot hold is left out and counted by reason; nothing is
// left out silently, and nothing is derived.
package litellm

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/costprof/costprof/internal/pricing"
	"github.com/costprof/costprof/internal/usage"
)

// Source is what a book made of the list says about itself.
const Source = "litellm"

// Result is a converted list.
type Result struct {
	Data *pricing.Data
	// Entries is how many the list has, Converted how many of them are in Data.
	Entries, Converted int
	// Skipped are the entries that are not, by reason.
	Skipped map[string][]string
	// Ignored counts, by key, the prices of converted entries that a book has no
	// place for.
	Ignored map[string]int
	// Rounded names the prices that were finer than a picodollar and rounded
	// half-even, as "model key".
	Rounded []string
}

// maxEntries is far more than there are models.
const maxEntries = 200_000

// Looks says whether an object seems to be such a list: whether one of its first
// members has the keys of one.
func Looks(list []byte) bool {
	dec := jsontext.NewDecoder(bytes.NewReader(list))
	if tok, err := dec.ReadToken(); err != nil || tok.Kind() != '{' {
		return false
	}
	for range 20 {
		if tok, err := dec.ReadToken(); err != nil || tok.Kind() != '"' {
			return false
		}
		v, err := dec.ReadValue()
		if err != nil {
			return false
		}
		var members map[string]jsontext.Value
		if v.Kind() == '{' && json.Unmarshal(v, &members) == nil {
			for name := range members {
				if name == "litellm_provider" || strings.Contains(name, "_cost_per_") {
					return true
				}
			}
		}
	}
	return false
}

// Convert reads a list. A list that is broken, or has a price that is no price,
// is an error that names its place.
func Convert(list []byte, from pricing.Provenance) (*Result, error) {
	res := &Result{
		Data:    &pricing.Data{Format: pricing.Format, Provenance: from},
		Skipped: make(map[string][]string), Ignored: make(map[string]int),
	}
	found := make(map[name]candidate)
	dec := jsontext.NewDecoder(bytes.NewReader(list))
	if tok, err := dec.ReadToken(); err != nil {
		return nil, fmt.Errorf("read the list: %w", err)
	} else if tok.Kind() != '{' {
		return nil, fmt.Errorf("read the list: it is not an object of models")
	}
	for {
		tok, err := dec.ReadToken()
		if err != nil {
			return nil, fmt.Errorf("read the list: %w", err)
		}
		if tok.Kind() == '}' {
			break
		}
		model := tok.String()
		value, err := dec.ReadValue()
		if err != nil {
			return nil, fmt.Errorf("read the list: %w", err)
		}
		if model == "sample_spec" {
			continue // says what the members mean
		}
		if res.Entries++; res.Entries > maxEntries {
			return nil, fmt.Errorf("read the list: it has more than %d models", maxEntries)
		}
		if err := res.entry(model, value, found); err != nil {
			return nil, fmt.Errorf("model %q: %w", model, err)
		}
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read the list: there is more behind its end")
	}
	if res.Entries == 0 {
		return nil, fmt.Errorf("read the list: it is empty")
	}
	if wrong := len(res.Skipped[tooDear]); wrong*10 > res.Entries {
		return nil, fmt.Errorf("%d of %d models cost more than %s USD per million tokens: the list is not in USD per token", wrong, res.Entries, dearest)
	}
	res.collect(found)
	if res.Converted == 0 {
		return nil, fmt.Errorf("read the list: none of its %d models has a price that can be taken", res.Entries)
	}
	return res, nil
}

// name is a model as the book has it.
type name struct{ provider, model string }

// candidate is an entry that would take a name in a region.
type candidate struct {
	entry string
	// rank orders entries that take the same name: the lowest is taken.
	rank     int
	versions []pricing.Version
	regions  []candidate // entries of the same model in one region each
	region   string
}

// The reasons for which entries are skipped.
const (
	noProvider    = "it names no provider"
	noPrices      = "it has no price that a call has"
	allZero       = "its prices are 0, which may mean free or unknown"
	tooDear       = "a price is too high to be one per token"
	tiered        = "its price depends on the length in steps of another kind (tiered_pricing)"
	offPeak       = "its price depends on the time of day in a way the list does not date (off_peak_pricing)"
	byCharacter   = "it is priced by characters"
	provisioned   = "it is for rented capacity"
	deployment    = "it is for a kind of deployment"
	sameName      = "another entry has the same name at the same provider"
	nameTooLong   = "its name is too long"
	notAnObject   = "it is not an object"
	noCommonPrice = "its input or its output has no price by token"
)

func (res *Result) skip(reason, entry string) {
	res.Skipped[reason] = append(res.Skipped[reason], entry)
}

func (res *Result) entry(key string, value jsontext.Value, found map[name]candidate) error {
	if value.Kind() != '{' {
		res.skip(notAnObject, key)
		return nil
	}
	var members map[string]jsontext.Value
	if err := json.Unmarshal(value, &members); err != nil {
		return err
	}
	var provider, mode string
	for member, into := range map[string]*string{"litellm_provider": &provider, "mode": &mode} {
		if v := members[member]; v.Kind() == '"' {
			if err := json.Unmarshal(v, into); err != nil {
				return fmt.Errorf("%s: %w", member, err)
			}
		}
	}
	read, err := readPrices(members, mode)
	if err != nil {
		return err
	}
	at, reason := place(key, provider)
	if reason == "" {
		reason = read.reason
	}
	if reason != "" {
		res.skip(reason, key)
		return nil
	}
	for _, k := range read.ignored {
		res.Ignored[k]++
	}
	for _, k := range read.rounded {
		res.Rounded = append(res.Rounded, key+" "+k)
	}
	c := candidate{entry: key, rank: at.rank, region: at.region, versions: read.versions(at.region)}
	known, taken := found[at.name]
	switch {
	case c.region != "":
		if slices.ContainsFunc(known.regions, func(r candidate) bool { return r.region == c.region }) {
			res.skip(sameName, key)
			return nil
		}
		known.regions = append(known.regions, c)
		found[at.name] = known
	case !taken || known.entry == "":
		c.regions = known.regions
		found[at.name] = c
	case c.rank < known.rank:
		res.skip(sameName, known.entry)
		c.regions = known.regions
		found[at.name] = c
	default:
		res.skip(sameName, key)
	}
	return nil
}

// collect puts what was found in order.
func (res *Result) collect(found map[name]candidate) {
	names := slices.SortedFunc(maps.Keys(found), func(a, b name) int {
		return strings.Compare(a.provider+"\x00"+a.model, b.provider+"\x00"+b.model)
	})
	for _, n := range names {
		c := found[n]
		m := pricing.ModelData{ID: n.model, Versions: c.versions}
		if c.entry != "" {
			res.Converted++
		}
		slices.SortFunc(c.regions, func(a, b candidate) int { return strings.Compare(a.region, b.region) })
		for _, r := range c.regions {
			res.Converted++
			m.Versions = append(m.Versions, r.versions...)
		}
		ps := &res.Data.Providers
		if k := len(*ps); k == 0 || (*ps)[k-1].ID != n.provider {
			*ps = append(*ps, pricing.ProviderData{ID: n.provider})
		}
		p := &(*ps)[len(*ps)-1]
		p.Models = append(p.Models, m)
	}
	for _, list := range res.Skipped {
		slices.Sort(list)
	}
	slices.Sort(res.Rounded)
}

// versions are a model's prices in a region, one for each tier.
func (r *reading) versions(region string) []pricing.Version {
	var out []pricing.Version
	for _, tier := range r.tiers {
		rates := r.of(tier)
		slices.SortFunc(rates, func(a, b pricing.Rate) int { return int(a.Unit) - int(b.Unit) })
		out = append(out, pricing.Version{ServiceTier: tier, Region: region, Rates: rates})
	}
	return out
}

// of are the rates of a tier. A key that a tier does not have means the standard
// one's, which is how the list is read by who writes it.
func (r *reading) of(tier string) []pricing.Rate {
	var out []pricing.Rate
	for u := range usage.NumUnits {
		price, own := r.prices[key{u, tier, 0}]
		if !own {
			var ok bool
			if price, ok = r.prices[key{u, "", 0}]; !ok {
				continue
			}
		}
		rate := pricing.Rate{Unit: u, Price: price}
		for _, t := range r.thresholds {
			step, ok := r.prices[key{u, tier, t}]
			if !ok {
				step, ok = r.prices[key{u, "", t}]
			}
			if ok {
				rate.Above = append(rate.Above, pricing.Step{InputTokens: t, Price: step})
			}
		}
		out = append(out, rate)
	}
	return out
}
