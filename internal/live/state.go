package live

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/money"
)

// maxNames is how many features a view keeps apart, so that no sender can make
// it grow; the rest is Other.
const maxNames = 1000

// state is exact sums, with the cost by feature.
type state struct {
	Sums
	features map[string]money.Total
	// full says that features with other names are in Other.
	full bool
}

func newState(t *analytics.Table) state {
	s := state{features: make(map[string]money.Total, len(t.Rows)+1)}
	s.Sums = Sums{Cost: t.Cost, Calls: t.Calls, Unpriced: t.Unpriced, Fallback: t.Fallback}
	rest := t.Cost
	for i := range t.Rows {
		s.put(t.Rows[i].Names[0], t.Rows[i].Cost)
		rest = rest.Sub(t.Rows[i].Cost)
	}
	if t.More {
		s.put(Other, rest)
		s.full = true
	}
	return s
}

func (s *state) put(feature string, cost money.Total) {
	if s.features == nil {
		s.features = map[string]money.Total{}
	}
	have, known := s.features[feature]
	if !known && (s.full || len(s.features) > maxNames) {
		s.full = true
		feature = Other
		have = s.features[Other]
	}
	s.features[feature] = have.Plus(cost)
}

func (s *state) add(feature string, sums Sums) {
	s.Sums.add(sums)
	s.put(feature, sums.Cost)
}

func (s *state) merge(o *state) {
	s.Sums.add(o.Sums)
	for feature, cost := range o.features {
		s.put(feature, cost)
	}
}

func (s *state) mergeEvent(e *Event) {
	s.Sums.add(e.Sums)
	for feature, cost := range e.Features {
		s.put(feature, cost)
	}
}

func (s *state) snapshot(at time.Time) *Event {
	e := s.update(at, s.Sums)
	e.Snapshot = true
	return e
}

// update makes an event of the sums, with the dearest features.
func (s *state) update(at time.Time, running Sums) *Event {
	e := &Event{At: at, Sums: s.Sums, Running: running, Features: maps.Clone(s.features)}
	if e.Features == nil {
		e.Features = map[string]money.Total{}
	}
	dearest := func(a, b string) int {
		return cmp.Or(e.Features[b].Cmp(e.Features[a]), cmp.Compare(a, b))
	}
	rest, folded := e.Features[Other]
	delete(e.Features, Other)
	e.Names = slices.SortedFunc(maps.Keys(e.Features), dearest)
	if len(e.Names) > Shown {
		for _, name := range e.Names[Shown:] {
			rest = rest.Plus(e.Features[name])
			delete(e.Features, name)
		}
		e.Names, folded = e.Names[:Shown:Shown], true
	}
	if folded {
		e.Features[Other] = rest
		e.Names = append(e.Names, Other)
	}
	return e
}
