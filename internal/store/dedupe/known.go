package dedupe

import (
	"context"
	"slices"
	"time"

	"github.com/costprof/costprof/internal/usage"
)

// Span is the length of time whose identities are loaded and dropped together.
const Span = 10 * time.Minute

// SpanOf numbers the span that a time lies in.
func SpanOf(t time.Time) int64 { return t.UnixMicro() / Span.Microseconds() }

// Known decides which events the ledger has already, exactly, at any age, in
// bounded memory. A derived identity contains the timestamp, so only the events
// of the same ten minutes matter: their fingerprints are loaded from the ledger
// when an event for that time arrives and dropped, least recently used first,
// when the budget is spent. An explicit identity is unique whatever its time;
// those have one set of their own. Where a set would not fit the budget, every
// event is looked up in the ledger instead: slower, still exact.
//
// It is used by the writer alone and needs no lock.
type Known struct {
	budget int // bytes of fingerprints

	spans    map[int64]*spanSet
	used     int
	tick     int64
	explicit *fingerprints // nil: not loaded yet
	tooMany  bool          // explicit identities do not fit the budget

	// counts says how many events the ledger has in each span; what is not in
	// it needs no look-up. It also places pages of events. Shared with readers.
	counts      *Spans
	fingerprint func(usage.ID) uint64
}

type spanSet struct {
	fingerprints
	last int64
}

// NewKnown makes one that keeps fingerprints in so many bytes.
func NewKnown(budget int, counts *Spans) *Known {
	return &Known{budget: budget, spans: map[int64]*spanSet{}, counts: counts, fingerprint: fingerprint}
}

// HashWith replaces the hash; a test that wants hashes to collide does so, before
// anything is known. It must never give 0.
func (k *Known) HashWith(fingerprint func(usage.ID) uint64) { k.fingerprint = fingerprint }

// Bytes is what the fingerprints take now.
func (k *Known) Bytes() int { return k.used }

// split sorts out a batch: for each record whether it is new, with the outcome
// of those that are not.
type verdict uint8

const (
	fresh verdict = iota
	duplicate
	conflict
	// unmarked is a duplicate that is an aggregate and is not stored as one.
	unmarked
)

// judge gives a verdict for each record, looking at the ledger where the
// fingerprints cannot say, and what is stored then of those that repeat. Repeats
// inside the batch are judged too.
func (k *Known) judge(ctx context.Context, l Ledger, recs []*usage.Record) ([]verdict, map[usage.ID]Stored, error) {
	if err := k.load(ctx, l, recs); err != nil {
		return nil, nil, err
	}
	out := make([]verdict, len(recs))
	first := make(map[usage.ID]int, len(recs))
	repeated := map[usage.ID]Stored{}
	var ask []int
	for i, r := range recs {
		if j, seen := first[r.ID]; seen {
			before, ok := repeated[r.ID]
			if !ok {
				before = storedAs(recs[j])
				repeated[r.ID] = before
			}
			out[i] = compare(r, before)
			continue
		}
		first[r.ID] = i
		if k.maybe(r) {
			ask = append(ask, i)
		}
	}
	if len(ask) == 0 {
		return out, repeated, nil
	}
	var w Wanted
	for _, i := range ask {
		w.add(recs[i])
	}
	stored, err := l.LookUp(ctx, w)
	if err != nil {
		return nil, nil, err
	}
	for i, r := range recs {
		if before, ok := stored[r.ID]; ok {
			out[i] = compare(r, before)
			repeated[r.ID] = before
		}
	}
	return out, repeated, nil
}

func storedAs(r *usage.Record) Stored {
	s := Stored{Timestamp: r.Timestamp, Aggregate: r.Aggregate}
	if r.EventID != "" {
		s.Content = r.Content()
	}
	return s
}

func compare(r *usage.Record, before Stored) verdict {
	switch {
	case r.EventID != "" && !r.SameContent(before.Content):
		return conflict
	case r.Aggregate && !before.Aggregate:
		return unmarked
	}
	return duplicate
}

// maybe says whether the ledger may have the record.
func (k *Known) maybe(r *usage.Record) bool {
	if r.EventID != "" {
		return k.tooMany || k.explicit.has(k.fingerprint(r.ID))
	}
	s := k.spans[SpanOf(r.Timestamp)]
	if s == nil {
		return k.counts.Get(SpanOf(r.Timestamp)) > 0
	}
	return s.has(k.fingerprint(r.ID))
}

// load brings in the fingerprints that the records need.
func (k *Known) load(ctx context.Context, l Ledger, recs []*usage.Record) error {
	k.tick++
	var missing []int64
	wantExplicit := false
	for _, r := range recs {
		if r.EventID != "" {
			wantExplicit = true
			continue
		}
		n := SpanOf(r.Timestamp)
		if s := k.spans[n]; s != nil {
			s.last = k.tick
			continue
		}
		if k.counts.Get(n)*12 > k.budget {
			continue // judged by look-up
		}
		k.spans[n] = &spanSet{last: k.tick}
		if k.counts.Get(n) > 0 {
			missing = append(missing, n)
		}
	}
	if len(missing) > 0 {
		if err := k.loadSpans(ctx, l, missing); err != nil {
			for _, n := range missing {
				k.drop(n)
			}
			return err
		}
	}
	if wantExplicit && k.explicit == nil && !k.tooMany {
		if err := k.loadExplicit(ctx, l); err != nil {
			return err
		}
	}
	k.evict()
	return nil
}

func (k *Known) loadSpans(ctx context.Context, l Ledger, missing []int64) error {
	slices.Sort(missing)
	for _, n := range missing {
		s := k.spans[n]
		s.reserve(k.counts.Get(n))
		k.used += s.bytes()
	}
	return l.SpanIDs(ctx, missing, func(n int64, id usage.ID) { k.addTo(k.spans[n], k.fingerprint(id)) })
}

func (k *Known) loadExplicit(ctx context.Context, l Ledger) error {
	n, err := l.CountExplicit(ctx)
	if err != nil {
		return err
	}
	if n*11 > k.budget/2 {
		k.tooMany = true
		return nil
	}
	set := &fingerprints{}
	set.reserve(n)
	if err := l.ExplicitIDs(ctx, func(id usage.ID) { set.add(k.fingerprint(id)) }); err != nil {
		return err
	}
	k.explicit = set
	k.used += set.bytes()
	return nil
}

func (k *Known) addTo(s *spanSet, f uint64) {
	before := s.bytes()
	s.add(f)
	k.used += s.bytes() - before
}

// stored remembers records that are committed.
func (k *Known) stored(recs []*usage.Record) {
	for _, r := range recs {
		k.counts.Add(SpanOf(r.Timestamp), 1)
		if r.EventID != "" {
			if k.explicit != nil {
				before := k.explicit.bytes()
				k.explicit.add(k.fingerprint(r.ID))
				k.used += k.explicit.bytes() - before
				if k.explicit.bytes() > k.budget/2 {
					k.used -= k.explicit.bytes()
					k.explicit, k.tooMany = nil, true
				}
			}
			continue
		}
		if s := k.spans[SpanOf(r.Timestamp)]; s != nil {
			k.addTo(s, k.fingerprint(r.ID))
		}
	}
	k.evict()
}

// evict drops the spans that were not used for longest until a fifth of the
// budget is free again.
func (k *Known) evict() {
	if k.used <= k.budget {
		return
	}
	type aged struct{ n, last int64 }
	all := make([]aged, 0, len(k.spans))
	for n, s := range k.spans {
		all = append(all, aged{n, s.last})
	}
	slices.SortFunc(all, func(a, b aged) int { return int(a.last - b.last) })
	for _, a := range all {
		if k.used <= k.budget*4/5 {
			return
		}
		if a.last == k.tick && k.spans[a.n].bytes() <= k.budget/2 {
			continue // in use by the batch at hand
		}
		k.drop(a.n)
	}
}

func (k *Known) drop(n int64) {
	if s := k.spans[n]; s != nil {
		k.used -= s.bytes()
		delete(k.spans, n)
	}
}

// Forget drops everything; it is loaded again when needed.
func (k *Known) Forget() {
	k.spans, k.used, k.explicit, k.tooMany = map[int64]*spanSet{}, 0, nil, false
}
