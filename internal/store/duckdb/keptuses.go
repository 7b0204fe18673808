package duckdb

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"math/big"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	duck "github.com/duckdb/duckdb-go/v2"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/store/sqlquery"
	"github.com/costprof/costprof/internal/usage"
)

// keptUses remembers, of the prompts whose text is kept, what the events up to a
// commit add up to, so that who uses them need not be searched for among all
// events: only those behind that commit are, which lie together. It holds for one
// revision. Nothing of it is stored; a question that could have used more of it
// has it made in the background, and is answered from the events meanwhile.
type keptUses struct {
	mu sync.RWMutex
	// last and revision are the moment; sums is nil when there is none.
	last, revision int64
	// sums has each prompt whose text was kept then, also those without a use.
	sums  map[usage.ID][]useSum
	cells knownCells
	// making: somebody is at it. Not before is when the next may begin.
	making    bool
	notBefore time.Time
	// dropped counts drops: what was begun before one is not kept.
	dropped int
}

// useSum is what the events of one prompt and cell add up to.
type useSum struct {
	cell, calls int64
	cost        money.Total
	// Of the latest.
	ts    time.Time
	event usage.ID
}

const (
	// usesEvery is how much time lies between two makings at least, and usesShare how
	// much more of it than the last one took.
	usesEvery, usesShare = 5 * time.Second, 20
)

// drop forgets all.
func (k *keptUses) drop() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.sums, k.cells = nil, nil
	k.dropped++
}

// of gives the sums of prompts as of the commit that it returns, if it knows them
// all at that position. The sums are not to be changed.
func (k *keptUses) of(ids []usage.ID, at position) (sums map[usage.ID][]useSum, last int64, ok bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if k.sums == nil || k.revision != at.revision || k.last > at.last {
		return nil, 0, false
	}
	sums = make(map[usage.ID][]useSum, len(ids))
	for _, id := range ids {
		if sums[id], ok = k.sums[id]; !ok {
			return nil, 0, false
		}
	}
	return sums, k.last, true
}

// cellsOf gives the cells of sums; a combination never changes.
func (k *keptUses) cellsOf(ctx context.Context, db querier, sums ...map[usage.ID][]useSum) (knownCells, error) {
	found, missing := knownCells{}, knownCells{}
	k.mu.RLock()
	for _, some := range sums {
		for _, list := range some {
			for _, s := range list {
				if c := k.cells[s.cell]; c != nil {
					found[s.cell] = c
				} else {
					missing[s.cell] = nil
				}
			}
		}
	}
	k.mu.RUnlock()
	if len(missing) == 0 {
		return found, nil
	}
	if err := readCells(ctx, db, missing); err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.cells == nil || len(k.cells) > maxKnownCells {
		k.cells = knownCells{}
	}
	for id, c := range missing {
		if c == nil {
			return nil, fault.New(fault.Internal, "there is no cell %d", id)
		}
		k.cells[id], found[id] = c, c
	}
	return found, nil
}

// selectSums adds up the events that a condition selects, by prompt and cell.
func selectSums(ctx context.Context, db querier, condition string, into map[usage.ID][]useSum) error {
	rows, err := db.QueryContext(ctx, `SELECT prompt_id, cell, calls, cost, last.ts, last.id FROM (
			SELECT prompt_id, cell, count(*) AS calls, CAST(sum(cost) AS VARCHAR) AS cost, max({'ts': ts, 'id': id}) AS last
			FROM events WHERE NOT is_aggregate AND `+condition+` GROUP BY prompt_id, cell)`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id usage.ID
		var s useSum
		var cost string
		if err := rows.Scan((*duck.UUID)(&id), &s.cell, &s.calls, &cost, &s.ts, (*duck.UUID)(&s.event)); err != nil {
			return err
		}
		sum, ok := new(big.Int).SetString(cost, 10)
		if !ok {
			return fault.New(fault.Internal, "the sum %q is no number", cost)
		}
		if s.cost, err = money.TotalFromBig(sum); err != nil {
			return err
		}
		s.ts = s.ts.UTC()
		into[id] = append(into[id], s)
	}
	return rows.Err()
}

// servesUses says whether a question can be answered by prompt and cell.
func servesUses(f analytics.Filter) bool {
	for d := range f.Any {
		if d != analytics.Project && d != analytics.Feature {
			return false
		}
	}
	return f.From.IsZero() && f.To.IsZero() && len(f.Called) == 0 && f.Status == analytics.StatusAny && len(f.Sources) == 0 && !f.Aggregates && f.AsOf == 0
}

// keptPromptUses answers from what is kept and the events behind it; ok is false
// when it cannot.
func (e *Engine) keptPromptUses(ctx context.Context, db querier, at position, ids []usage.ID, f analytics.Filter) (out []store.PromptUse, ok bool, err error) {
	sums, last, ok := e.uses.of(ids, at)
	e.makeUses(at, ok)
	if !ok {
		return nil, false, nil
	}
	later := map[usage.ID][]useSum{}
	if last < at.last {
		if err := selectSums(ctx, db, fmt.Sprintf(`seq > %d AND seq <= %d AND prompt_id IN (%s)`, last, at.last, uuidList(ids)), later); err != nil {
			return nil, false, err
		}
	}
	cells, err := e.uses.cellsOf(ctx, db, sums, later)
	if err != nil {
		return nil, false, err
	}
	return foldUses(sums, later, cells, f), true, nil
}

// now answers without a look at the ledger, if nothing was committed since the
// sums were made. last is the number of the last commit.
func (k *keptUses) now(last *atomic.Int64, ids []usage.ID, f analytics.Filter) ([]store.PromptUse, bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if k.sums == nil || k.last != last.Load() {
		return nil, false
	}
	sums := make(map[usage.ID][]useSum, len(ids))
	for _, id := range ids {
		list, ok := k.sums[id]
		if !ok {
			return nil, false
		}
		for _, s := range list {
			if k.cells[s.cell] == nil {
				return nil, false
			}
		}
		sums[id] = list
	}
	return foldUses(sums, nil, k.cells, f), true
}

// foldUses adds up, of the cells that the filter takes, what there was and what
// came later.
func foldUses(sums, later map[usage.ID][]useSum, cells knownCells, f analytics.Filter) (out []store.PromptUse) {
	for id := range sums {
		u := store.PromptUse{ID: id}
		for _, s := range slices.Concat(sums[id], later[id]) {
			cell := cells[s.cell]
			if !selects(f, cell) {
				continue
			}
			u.Calls += s.calls
			u.Cost = u.Cost.Plus(s.cost)
			if u.Event == (usage.ID{}) || cmp.Or(s.ts.Compare(u.Last), bytes.Compare(s.event[:], u.Event[:])) > 0 {
				u.Event, u.Last = s.event, s.ts
				u.Feature, u.Model = cell[1], cell[3]
			}
		}
		if u.Calls > 0 {
			out = append(out, u)
		}
	}
	slices.SortFunc(out, func(a, b store.PromptUse) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	return out
}

// selects says whether the filter, of which servesUses holds, takes a cell.
func selects(f analytics.Filter, c *sqlquery.Cell) bool {
	for d, accepted := range f.Any {
		have := c[0]
		if d == analytics.Feature {
			have = c[1]
		}
		if !slices.Contains(accepted, have) {
			return false
		}
	}
	return true
}

// makeUses has the sums made, or made newer, in the background, if there is
// reason to: served says that they served a question of this position.
func (e *Engine) makeUses(at position, served bool) {
	k := &e.uses
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.making || served && k.last == at.last || time.Now().Before(k.notBefore) {
		return
	}
	k.making = true
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		select {
		case <-e.stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	go func() {
		defer cancel()
		began := time.Now()
		if err := e.renewUses(ctx); err != nil && ctx.Err() == nil {
			e.log.Warn("the uses of prompts could not be summed up; questions read the events", "err", err)
		}
		k.mu.Lock()
		defer k.mu.Unlock()
		k.making, k.notBefore = false, time.Now().Add(max(usesEvery, usesShare*time.Since(began)))
	}()
}

// renewUses brings the sums up to date: what is kept and what came since, or all
// anew where the revision changed.
func (e *Engine) renewUses(ctx context.Context) error {
	k := &e.uses
	return e.read(ctx, func(db querier, at position) error {
		k.mu.RLock()
		dropped, last := k.dropped, int64(0)
		anew := k.sums == nil || k.revision != at.revision || k.last > at.last
		if !anew {
			last = k.last
		}
		k.mu.RUnlock()
		more := map[usage.ID][]useSum{}
		// Prompts that are new since may have older events, from before texts were kept.
		fresh := fmt.Sprintf(`prompt_id IN (SELECT id FROM prompts WHERE seq > %d)`, last)
		if err := selectSums(ctx, db, fmt.Sprintf(`seq <= %d AND `, at.last)+fresh, more); err != nil {
			return err
		}
		added, err := newPrompts(ctx, db, last)
		if err != nil {
			return err
		}
		if !anew {
			if err := selectSums(ctx, db, fmt.Sprintf(`seq > %d AND seq <= %d AND prompt_id IN (SELECT id FROM prompts WHERE seq <= %d)`, last, at.last, last), more); err != nil {
				return err
			}
		}
		k.mu.Lock()
		defer k.mu.Unlock()
		if k.dropped != dropped {
			return nil // it may hold what is gone
		}
		if anew {
			k.sums = make(map[usage.ID][]useSum, len(added))
		}
		for _, id := range added {
			k.sums[id] = nil
		}
		for id, list := range more {
			k.sums[id] = mergeSums(k.sums[id], list)
		}
		k.last, k.revision = at.last, at.revision
		return nil
	})
}

func newPrompts(ctx context.Context, db querier, after int64) (out []usage.ID, err error) {
	rows, err := db.QueryContext(ctx, fmt.Sprintf(`SELECT id FROM prompts WHERE seq > %d`, after))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id duck.UUID
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		out = append(out, usage.ID(id))
	}
	return out, rows.Err()
}

// mergeSums gives the sums of both; it changes neither.
func mergeSums(a, b []useSum) []useSum {
	out := slices.Clone(a)
	for _, s := range b {
		i := slices.IndexFunc(out, func(o useSum) bool { return o.cell == s.cell })
		if i < 0 {
			out = append(out, s)
			continue
		}
		o := &out[i]
		o.calls += s.calls
		o.cost = o.cost.Plus(s.cost)
		if cmp.Or(s.ts.Compare(o.ts), bytes.Compare(s.event[:], o.event[:])) > 0 {
			o.ts, o.event = s.ts, s.event
		}
	}
	return out
}
