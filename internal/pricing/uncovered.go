package pricing

import "github.com/costprof/costprof/internal/usage"

// Uncovered lists what an own price would make free, perhaps by oversight: units
// without a price in it, wider ones neither, that the shipped price in force at
// its start charges for; input and output where there is no shipped price. Parts
// of a listed unit (audio of input) are not listed beside it. An own price
// without any rates is meant to be free.
func (b *Book) Uncovered(own *Version) []usage.Unit {
	mine, err := prepare(*own)
	if err != nil || len(own.Rates) == 0 {
		return nil
	}
	expected := map[usage.Unit]bool{usage.Input: true, usage.Output: true}
	if listed := b.resolve(own.Provider, own.Model).listed; listed != nil {
		p, _ := listed.offer.pick(TierName(own.ServiceTier), regionName(own.Region), own.From)
		if p != nil {
			clear(expected)
			for u, i := range p.rate {
				if i >= 0 && p.Rates[i].Price > 0 {
					expected[widest(usage.Unit(u))] = true
				}
			}
		}
	}
	var out []usage.Unit
	for u := range usage.NumUnits {
		if expected[u] && mine.rate[u] < 0 {
			out = append(out, u)
		}
	}
	return out
}

// widest is the unit that this one is in the end a part of.
func widest(u usage.Unit) usage.Unit {
	for usage.Units[u].Wider != usage.None {
		u = usage.Units[u].Wider
	}
	return u
}
