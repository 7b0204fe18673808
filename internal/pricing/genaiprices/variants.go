package genaiprices

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/costprof/costprof/internal/pricing"
)

// variant are prices for calls of a kind: they take the place of the model's own,
// key by key, the first that holds.
type variant struct {
	When       map[string]string         `json:"when"`
	Prices     map[string]jsontext.Value `json:"prices"`
	Constraint jsontext.Value            `json:"constraint"`
}

// override is a variant that was read.
type override struct {
	rates []pricing.Rate
	from  time.Time
}

// tierOf is the service tier that events have for a kind of call; false when they
// have none.
func (v *variant) tierOf() (tier string, ok bool) {
	if len(v.When) != 1 {
		return "", false
	}
	for key, value := range v.When {
		switch key {
		case "service_tier":
			return pricing.TierName(value), true
		case "processing", "speed":
			return pricing.TierName(value), value == "batch" || value == "fast"
		}
	}
	return "", false
}

// kind names what a variant is for.
func (v *variant) kind() string {
	var parts []string
	for _, key := range slices.Sorted(maps.Keys(v.When)) {
		parts = append(parts, key+"="+v.When[key])
	}
	return strings.Join(parts, ",")
}

// variants adds a model's prices at other service tiers. A tier of which something
// is not understood is left out as a whole: its calls take the standard price,
// which marks them.
func (res *Result) variants(m *pricing.ModelData, raw jsontext.Value, note func(key string)) error {
	if len(raw) == 0 || raw.Kind() == 'n' {
		return nil
	}
	var parts []jsontext.Value
	if err := json.Unmarshal(raw, &parts); err != nil {
		return err
	}
	tiers := make(map[string][]override)
	ignored := make(map[string]string)
	for i, part := range parts {
		var v variant
		if err := json.Unmarshal(part, &v); err != nil {
			return fmt.Errorf("price variant %d: %w", i, err)
		}
		if len(v.When) == 0 {
			return odd("it has prices for calls of a kind that is not named")
		}
		tier, ok := v.tierOf()
		o, err := v.read(part, note)
		var strange *oddity
		switch {
		case err != nil && !errors.As(err, &strange):
			return fmt.Errorf("price variant %d (%s): %w", i, v.kind(), err)
		case err == nil && len(o.rates) == 0:
			// It says that nothing is different.
		case !ok, err != nil, tier == "" && len(o.rates) > 0:
			if res.strict {
				return odd("it has prices for %s", v.kind())
			}
			ignored[v.kind()] = tier
			res.Ignored[v.kind()]++
		case tier != "":
			tiers[tier] = append(tiers[tier], o)
		}
	}
	standard := m.Versions
	for _, tier := range slices.Sorted(maps.Keys(tiers)) {
		left := false
		for _, t := range ignored {
			left = left || t == tier
		}
		if !left {
			m.Versions = append(m.Versions, atTier(standard, tier, tiers[tier])...)
		}
	}
	return nil
}

func (v *variant) read(raw jsontext.Value, note func(key string)) (o override, err error) {
	if err := known(raw, "its price depends on something that is not known", "when", "prices", "constraint"); err != nil {
		return o, err
	}
	if o.rates, err = rates(v.Prices, note); err != nil {
		return o, err
	}
	if len(v.Constraint) == 0 || v.Constraint.Kind() == 'n' {
		return o, nil
	}
	from, window, err := readConstraint(v.Constraint)
	if err == nil && window != nil {
		err = odd("its price depends on something that is not known: %s", v.Constraint)
	}
	o.from = from
	return o, err
}

// atTier puts what a tier costs over each standard price, from each day on which
// one of its own prices starts.
func atTier(standard []pricing.Version, tier string, own []override) []pricing.Version {
	var cuts []time.Time
	for _, o := range own {
		cuts = append(cuts, o.from)
	}
	for _, v := range standard {
		cuts = append(cuts, v.From)
	}
	slices.SortFunc(cuts, time.Time.Compare)
	cuts = slices.CompactFunc(cuts, time.Time.Equal)
	var out []pricing.Version
	for _, v := range standard {
		for i, from := range cuts {
			if from.Before(v.From) || !v.To.IsZero() && !from.Before(v.To) {
				continue
			}
			holds := slices.DeleteFunc(slices.Clone(own), func(o override) bool { return o.from.After(from) })
			if len(holds) == 0 {
				continue
			}
			to := v.To
			if i+1 < len(cuts) && (to.IsZero() || cuts[i+1].Before(to)) {
				to = cuts[i+1]
			}
			at := pricing.Version{ServiceTier: tier, From: from, To: to, Window: v.Window, Rates: over(v.Rates, holds)}
			// A day on which nothing of this tier changes is no bound.
			if n := len(out); n > 0 && out[n-1].To.Equal(from) && out[n-1].Window == v.Window && sameRates(out[n-1].Rates, at.Rates) && !from.Equal(v.From) {
				out[n-1].To = to
				continue
			}
			out = append(out, at)
		}
	}
	return out
}

func over(rates []pricing.Rate, own []override) []pricing.Rate {
	out := slices.Clone(rates)
	for _, o := range slices.Backward(own) { // the first wins
		for _, r := range o.rates {
			i := slices.IndexFunc(out, func(have pricing.Rate) bool { return have.Unit == r.Unit })
			if i < 0 {
				out = append(out, r)
				continue
			}
			out[i] = r
		}
	}
	slices.SortFunc(out, func(a, b pricing.Rate) int { return int(a.Unit) - int(b.Unit) })
	return out
}

func sameRates(a, b []pricing.Rate) bool {
	return slices.EqualFunc(a, b, func(x, y pricing.Rate) bool {
		return x.Unit == y.Unit && x.Price == y.Price && x.Minimum == y.Minimum && slices.Equal(x.Above, y.Above)
	})
}
