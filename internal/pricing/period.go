package pricing

import (
	"slices"
	"time"

	"github.com/costprof/costprof/internal/usage"
)

// price is a version made ready: every unit knows its rate.
type price struct {
	Version
	// rate is the index in Rates that prices a unit, its own or a wider one's;
	// -1 is none.
	rate   [usage.NumUnits]int8
	window *compiledWindow
}

// prepare checks a version and makes it ready.
func prepare(v Version) (*price, error) {
	if err := v.check(); err != nil {
		return nil, err
	}
	p := &price{Version: v}
	var own [usage.NumUnits]int8
	for u := range own {
		own[u] = -1
	}
	for i := range v.Rates {
		own[v.Rates[i].Unit] = int8(i)
	}
	for u := range usage.NumUnits {
		p.rate[u] = -1
		for _, w := range widening[u] {
			if own[w] >= 0 {
				p.rate[u] = own[w]
				break
			}
		}
	}
	if v.Window != nil {
		w, err := v.Window.compile()
		if err != nil {
			return nil, err
		}
		p.window = w
	}
	return p, nil
}

// widening lists, per unit, the units whose price it takes, nearest first. A
// cached audio or image token without any cache price is still audio or image.
var widening = func() (chains [usage.NumUnits][]usage.Unit) {
	for u := range usage.NumUnits {
		for w := u; w != usage.None; w = usage.Units[w].Wider {
			chains[u] = append(chains[u], w)
		}
	}
	for cached, uncached := range map[usage.Unit]usage.Unit{
		usage.CachedAudio: usage.InputAudio, usage.CachedImage: usage.InputImage,
	} {
		at := slices.Index(chains[cached], usage.Input)
		chains[cached] = slices.Insert(chains[cached], at, uncached)
	}
	return chains
}()

// offer is every version of one model (or of one model's own prices), by tier
// and region, each laid out in time.
type offer struct{ schedules []schedule }

type schedule struct {
	tier, region string
	periods      []period // in time order, disjoint
}

// period is a span of time in which the same versions are in force.
type period struct {
	from, to int64 // µs, half-open
	windows  []*price
	base     *price
}

// newOffer lays out versions. Where two are in force at once a window wins over
// all day, and then the one that comes first.
func newOffer(prices []*price) *offer {
	o := &offer{}
	for _, p := range prices {
		i := slices.IndexFunc(o.schedules, func(s schedule) bool { return s.tier == p.ServiceTier && s.region == p.Region })
		if i < 0 {
			i = len(o.schedules)
			o.schedules = append(o.schedules, schedule{tier: p.ServiceTier, region: p.Region})
		}
		o.schedules[i].periods = append(o.schedules[i].periods, period{from: startMicros(p.From), to: endMicros(p.To), base: p})
	}
	for i := range o.schedules {
		o.schedules[i].periods = layOut(o.schedules[i].periods)
	}
	return o
}

// layOut cuts overlapping spans (one price each, in precedence) into disjoint
// periods.
func layOut(spans []period) []period {
	if len(spans) == 1 && spans[0].base.window == nil {
		return spans
	}
	var cuts []int64
	for _, s := range spans {
		cuts = append(cuts, s.from, s.to)
	}
	slices.Sort(cuts)
	cuts = slices.Compact(cuts)
	var out []period
	for i := range len(cuts) - 1 {
		p := period{from: cuts[i], to: cuts[i+1]}
		for _, s := range spans {
			if s.from > p.from || s.to < p.to {
				continue
			}
			switch {
			case s.base.window != nil:
				p.windows = append(p.windows, s.base)
			case p.base == nil:
				p.base = s.base
			}
		}
		if p.base != nil || p.windows != nil {
			out = append(out, p)
		}
	}
	return out
}

// at finds the version in force, or nil.
func (s *schedule) at(t time.Time, micros int64) *price {
	ps := s.periods
	if len(ps) > 1 {
		lo, hi := 1, len(ps) // the last period that starts at or before t, or the first
		for lo < hi {
			if mid := int(uint(lo+hi) >> 1); ps[mid].from <= micros {
				lo = mid + 1
			} else {
				hi = mid
			}
		}
		ps = ps[lo-1 : lo]
	}
	if len(ps) == 0 || micros < ps[0].from || micros >= ps[0].to {
		return nil
	}
	for _, p := range ps[0].windows {
		if p.window.contains(t) {
			return p
		}
	}
	return ps[0].base
}

// missing says what had no price of its own and took the standard one.
type missing struct{ tier, region bool }

// pick finds the version for a tier and region at an instant: exactly that one,
// else the tier for any region, else the region's standard tier, else standard
// for any region.
func (o *offer) pick(tier, region string, t time.Time) (*price, missing) {
	micros := t.UnixMicro()
	find := func(tier, region string) *price {
		for i := range o.schedules {
			if s := &o.schedules[i]; s.tier == tier && s.region == region {
				return s.at(t, micros)
			}
		}
		return nil
	}
	if p := find(tier, region); p != nil {
		return p, missing{}
	}
	if region != "" {
		if p := find(tier, ""); p != nil {
			return p, missing{region: true}
		}
	}
	if tier == "" {
		return nil, missing{}
	}
	if p := find("", region); p != nil {
		return p, missing{tier: true}
	}
	if region != "" {
		if p := find("", ""); p != nil {
			return p, missing{tier: true, region: true}
		}
	}
	return nil, missing{}
}
