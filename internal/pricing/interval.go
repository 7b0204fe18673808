package pricing

import (
	"math"
	"slices"
	"strings"
	"time"
)

// Selector names the own prices of one thing: exactly this project ("" is the
// one for all), tier ("" is standard) and region ("" is any).
type Selector struct {
	Provider, Model     string
	Project             string
	ServiceTier, Region string
}

// Matches says whether v is one of these prices, whatever its interval.
func (s Selector) Matches(v *Version) bool {
	return sameName(s.Provider, v.Provider) && sameName(s.Model, v.Model) && s.Project == v.Project &&
		TierName(s.ServiceTier) == TierName(v.ServiceTier) && regionName(s.Region) == regionName(v.Region)
}

func sameName(a, b string) bool {
	return lowerName(a) == lowerName(b)
}

// lowerName is a name as own prices are kept under it.
func lowerName(s string) string { return strings.ToLower(strings.TrimSpace(s)) }

// SelectorOf names the prices that v is one of.
func SelectorOf(v *Version) Selector {
	return Selector{v.Provider, v.Model, v.Project, v.ServiceTier, v.Region}
}

// Replace puts an own price among those that exist: what overlaps it (the same
// provider, model, project, tier, region and window) is ended where it starts
// and goes on where it ends. It returns the ids to remove and the prices to
// store; outside of put's interval nothing changes.
func Replace(existing []Own, put Own) (remove []string, puts []Own) {
	put.Version = put.sealed()
	same := SelectorOf(&put.Version)
	for _, old := range existing {
		if !same.Matches(&old.Version) || compareWindows(old.Window, put.Window) != 0 || !overlaps(&old.Version, &put.Version) {
			continue
		}
		remove = append(remove, old.ID)
		puts = append(puts, outside(old, &put.Version)...)
	}
	return remove, append(puts, put)
}

// Removal takes own prices out of force in an interval, half-open; a zero To has
// no end.
type Removal struct {
	Selector
	From, To time.Time
}

// Remove takes the own prices that r names out of force: what lies in its
// interval goes, what lies before and after stays. It returns the ids to remove
// and the prices to store.
func Remove(existing []Own, r Removal) (remove []string, puts []Own) {
	never := Version{From: bound(r.From), To: bound(r.To)}
	for _, old := range existing {
		if !r.Matches(&old.Version) || !overlaps(&old.Version, &never) {
			continue
		}
		remove = append(remove, old.ID)
		puts = append(puts, outside(old, &never)...)
	}
	return remove, puts
}

func overlaps(a, b *Version) bool {
	return startMicros(a.From) < endMicros(b.To) && startMicros(b.From) < endMicros(a.To)
}

// outside is what is left of an own price before and after an interval.
func outside(o Own, cut *Version) []Own {
	var left []Own
	if startMicros(o.From) < startMicros(cut.From) {
		before := o
		before.To = cut.From
		left = append(left, before)
	}
	if endMicros(cut.To) < endMicros(o.To) && endMicros(cut.To) != math.MaxInt64 {
		after := o
		after.From = cut.To
		left = append(left, after)
	}
	for i := range left {
		left[i].Rates = slices.Clone(left[i].Rates)
		left[i].Version = left[i].sealed()
	}
	return left
}
