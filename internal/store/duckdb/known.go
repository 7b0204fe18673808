package duckdb

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	duck "github.com/duckdb/duckdb-go/v2"

	"github.com/costprof/costprof/internal/usage"
)

// span is the length of time whose identities are loaded and dropped together.
const span = 10 * time.Minute

func spanOf(t time.Time) int64 { return t.UnixMicro() / span.Microseconds() }

// known decides which events the ledger has already, exactly, at any age, in
// bounded memory. A derived identity contains the timestamp, so only the events
// of the same ten minutes matter: their fingerprints are loaded from the ledger
// when an event for that time arrives and dropped, least recently used first,
// when the budget is spent. An explicit identity is unique whatever its time;
// those have one set of their own. Where a set would not fit the budget, every
// event is looked up in the ledger instead: slower, still exact.
//
// It is used by the writer alone and needs no lock.
type known struct {
	budget int // bytes of fingerprints

	spans    map[int64]*spanSet
	used     int
	tick     int64
	explicit *fingerprints // nil: not loaded yet
	tooMany  bool          // explicit identities do not fit the budget

	// counts says how many events the ledger has in each span; what is not in
	// it needs no look-up. It also places pages of events. Shared with readers.
	counts *spanCounts
}

type spanSet struct {
	fingerprints
	last int64
}

func newKnown(budget int, counts *spanCounts) *known {
	return &known{budget: budget, spans: map[int64]*spanSet{}, counts: counts}
}

// split sorts out a batch: for each record whether it is new, with the outcome
// of those that are not.
type verdict uint8

const (
	fresh verdict = iota
	duplicate
	conflict
)

// judge gives a verdict for each record, looking at the ledger where the
// fingerprints cannot say. Repeats inside the batch are judged too.
func (k *known) judge(ctx context.Context, q querier, recs []*usage.Record) ([]verdict, error) {
	if err := k.load(ctx, q, recs); err != nil {
		return nil, err
	}
	out := make([]verdict, len(recs))
	first := make(map[usage.ID]int, len(recs))
	var ask []int
	for i, r := range recs {
		if j, seen := first[r.ID]; seen {
			out[i] = compare(r, recs[j].Content)
			continue
		}
		first[r.ID] = i
		if k.maybe(r) {
			ask = append(ask, i)
		}
	}
	if len(ask) == 0 {
		return out, nil
	}
	stored, err := k.lookUp(ctx, q, recs, ask)
	if err != nil {
		return nil, err
	}
	for i, r := range recs {
		if content, ok := stored[r.ID]; ok {
			out[i] = compare(r, func() uint64 { return content })
		}
	}
	return out, nil
}

func compare(r *usage.Record, first func() uint64) verdict {
	if r.EventID != "" && r.Content() != first() {
		return conflict
	}
	return duplicate
}

// maybe says whether the ledger may have the record.
func (k *known) maybe(r *usage.Record) bool {
	if r.EventID != "" {
		return k.tooMany || k.explicit.has(fingerprint(r.ID))
	}
	s := k.spans[spanOf(r.Timestamp)]
	if s == nil {
		return k.counts.get(spanOf(r.Timestamp)) > 0
	}
	return s.has(fingerprint(r.ID))
}

// lookUp asks the ledger for the records at the given places and returns the
// content fingerprints of those it has.
func (k *known) lookUp(ctx context.Context, q querier, recs []*usage.Record, at []int) (map[usage.ID]uint64, error) {
	var derived, explicit []string
	var from, to time.Time
	for _, i := range at {
		r := recs[i]
		if r.EventID != "" {
			explicit = append(explicit, "'"+uuidText(r.ID)+"'::UUID")
			continue
		}
		derived = append(derived, "'"+uuidText(r.ID)+"'::UUID")
		if from.IsZero() || r.Timestamp.Before(from) {
			from = r.Timestamp
		}
		if r.Timestamp.After(to) {
			to = r.Timestamp
		}
	}
	found := map[usage.ID]uint64{}
	scan := func(rows *sql.Rows, err error) error {
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var id duck.UUID
			var content sql.Null[uint64]
			if err := rows.Scan(&id, &content); err != nil {
				return err
			}
			found[usage.ID(id)] = content.V
		}
		return rows.Err()
	}
	if len(derived) > 0 {
		err := scan(q.QueryContext(ctx, `SELECT id, content FROM events WHERE ts >= ? AND ts <= ? AND id IN (`+strings.Join(derived, ",")+`)`, from, to))
		if err != nil {
			return nil, fmt.Errorf("look up identities: %w", err)
		}
	}
	if len(explicit) > 0 {
		err := scan(q.QueryContext(ctx, `SELECT id, content FROM events WHERE content IS NOT NULL AND id IN (`+strings.Join(explicit, ",")+`)`))
		if err != nil {
			return nil, fmt.Errorf("look up explicit identities: %w", err)
		}
	}
	return found, nil
}

// load brings in the fingerprints that the records need.
func (k *known) load(ctx context.Context, q querier, recs []*usage.Record) error {
	k.tick++
	var missing []int64
	wantExplicit := false
	for _, r := range recs {
		if r.EventID != "" {
			wantExplicit = true
			continue
		}
		n := spanOf(r.Timestamp)
		if s := k.spans[n]; s != nil {
			s.last = k.tick
			continue
		}
		if k.counts.get(n)*12 > k.budget {
			continue // judged by look-up
		}
		k.spans[n] = &spanSet{last: k.tick}
		if k.counts.get(n) > 0 {
			missing = append(missing, n)
		}
	}
	if len(missing) > 0 {
		if err := k.loadSpans(ctx, q, missing); err != nil {
			for _, n := range missing {
				k.drop(n)
			}
			return err
		}
	}
	if wantExplicit && k.explicit == nil && !k.tooMany {
		if err := k.loadExplicit(ctx, q); err != nil {
			return err
		}
	}
	k.evict()
	return nil
}

func (k *known) loadSpans(ctx context.Context, q querier, missing []int64) error {
	slices.Sort(missing)
	list := make([]string, len(missing))
	for i, n := range missing {
		list[i] = fmt.Sprint(n)
		s := k.spans[n]
		s.reserve(k.counts.get(n))
		k.used += s.bytes()
	}
	at := func(n int64) time.Time { return time.UnixMicro(n * span.Microseconds()).UTC() }
	rows, err := q.QueryContext(ctx, fmt.Sprintf(
		`SELECT epoch_us(ts) // %d AS n, id FROM events WHERE ts >= ? AND ts < ? AND n IN (%s)`,
		span.Microseconds(), strings.Join(list, ",")), at(missing[0]), at(missing[len(missing)-1]+1))
	if err != nil {
		return fmt.Errorf("load identities: %w", err)
	}
	defer rows.Close()
	var n int64
	var id duck.UUID
	for rows.Next() {
		if err := rows.Scan(&n, &id); err != nil {
			return err
		}
		k.addTo(k.spans[n], fingerprint(usage.ID(id)))
	}
	return rows.Err()
}

func (k *known) loadExplicit(ctx context.Context, q querier) error {
	var n int
	if err := q.QueryRowContext(ctx, `SELECT count(content) FROM events`).Scan(&n); err != nil {
		return fmt.Errorf("count explicit identities: %w", err)
	}
	if n*11 > k.budget/2 {
		k.tooMany = true
		return nil
	}
	set := &fingerprints{}
	set.reserve(n)
	rows, err := q.QueryContext(ctx, `SELECT id FROM events WHERE content IS NOT NULL`)
	if err != nil {
		return fmt.Errorf("load explicit identities: %w", err)
	}
	defer rows.Close()
	var id duck.UUID
	for rows.Next() {
		if err := rows.Scan(&id); err != nil {
			return err
		}
		set.add(fingerprint(usage.ID(id)))
	}
	if err := rows.Err(); err != nil {
		return err
	}
	k.explicit = set
	k.used += set.bytes()
	return nil
}

func (k *known) addTo(s *spanSet, f uint64) {
	before := s.bytes()
	s.add(f)
	k.used += s.bytes() - before
}

// stored remembers records that are committed.
func (k *known) stored(recs []*usage.Record) {
	for _, r := range recs {
		k.counts.add(spanOf(r.Timestamp), 1)
		if r.EventID != "" {
			if k.explicit != nil {
				before := k.explicit.bytes()
				k.explicit.add(fingerprint(r.ID))
				k.used += k.explicit.bytes() - before
				if k.explicit.bytes() > k.budget/2 {
					k.used -= k.explicit.bytes()
					k.explicit, k.tooMany = nil, true
				}
			}
			continue
		}
		if s := k.spans[spanOf(r.Timestamp)]; s != nil {
			k.addTo(s, fingerprint(r.ID))
		}
	}
	k.evict()
}

// evict drops the spans that were not used for longest until a fifth of the
// budget is free again.
func (k *known) evict() {
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

func (k *known) drop(n int64) {
	if s := k.spans[n]; s != nil {
		k.used -= s.bytes()
		delete(k.spans, n)
	}
}

// forget drops everything; it is loaded again when needed.
func (k *known) forget() {
	k.spans, k.used, k.explicit, k.tooMany = map[int64]*spanSet{}, 0, nil, false
}

// uuidText is the form of an id that the engine reads as a UUID literal.
func uuidText(id usage.ID) string {
	s := id.String()
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}
