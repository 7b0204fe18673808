package reference

import (
	"context"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/usage"
)

// Ledger is a store.Ledger in memory that answers by the functions of this
// package. The zero value is empty and ready.
type Ledger struct {
	mu       sync.Mutex
	records  []usage.Record
	commits  []int64 // of the record with the same index
	commit   int64
	revision int64
	history  map[usage.ID][]store.PastCost
	contents map[usage.ID]uint64 // of each record as it came
	// removed are the records that Prune took away, pruned from before when.
	removed []usage.Record
	pruned  map[string]time.Time
}

var _ store.Ledger = (*Ledger)(nil)

// Append stores what is new as one commit.
func (l *Ledger) Append(ctx context.Context, records []usage.Record) (store.Receipt, error) {
	if err := ctx.Err(); err != nil {
		return store.Receipt{}, &fault.Error{Code: fault.Unavailable, Message: "The ledger did not answer in time", Err: err}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if slices.ContainsFunc(records, func(r usage.Record) bool { return IsPruned(&r, l.pruned) }) {
		return store.Receipt{}, store.ErrTooOld
	}
	receipt := store.Receipt{Outcomes: make([]store.Outcome, len(records))}
	for i := range records {
		r := records[i]
		at := slices.IndexFunc(l.records, func(known usage.Record) bool { return known.ID == r.ID })
		switch {
		case at < 0:
			if receipt.Commit == 0 {
				l.commit++
				receipt.Commit = l.commit
			}
			if l.contents == nil {
				l.contents = map[usage.ID]uint64{}
			}
			l.contents[r.ID] = r.Content()
			l.records = append(l.records, r)
			l.commits = append(l.commits, l.commit)
		case r.EventID != "" && !r.SameContent(l.contents[r.ID]):
			receipt.Outcomes[i] = store.Conflict
		default:
			receipt.Outcomes[i] = store.Duplicate
			key := Key(&l.records[at])
			if r.Aggregate && !l.records[at].Aggregate && !slices.Contains(receipt.Unmarked, key) {
				receipt.Unmarked = append(receipt.Unmarked, key)
			}
		}
	}
	return receipt, nil
}

// visible copies the records of the commits up to asOf.
func (l *Ledger) visible(asOf int64) []usage.Record {
	var out []usage.Record
	for i, r := range l.records {
		if asOf == 0 || l.commits[i] <= asOf {
			out = append(out, r)
		}
	}
	return out
}

// seen is the last commit an answer bounded by asOf saw.
func (l *Ledger) seen(asOf int64) int64 {
	if asOf == 0 {
		return l.commit
	}
	return min(asOf, l.commit)
}

// Query answers one aggregate question.
func (l *Ledger) Query(ctx context.Context, q analytics.Query) (analytics.Table, error) {
	if err := ctx.Err(); err != nil {
		return analytics.Table{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	t := QueryPruned(slices.Concat(l.visible(q.AsOf), l.removed), l.pruned, q)
	t.AsOf, t.Revision = l.seen(q.AsOf), l.revision
	return t, nil
}

// Bloat ranks single calls against the median of their group.
func (l *Ledger) Bloat(ctx context.Context, q analytics.BloatQuery) (analytics.BloatTable, error) {
	if err := ctx.Err(); err != nil {
		return analytics.BloatTable{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	t := Bloat(l.visible(q.AsOf), q)
	t.TruncatedBefore = removedUpTo(l.pruned, analytics.Query{Filter: q.Filter}, analytics.Window{From: q.From, To: q.To})
	t.AsOf, t.Revision = l.seen(q.AsOf), l.revision
	return t, nil
}

// Events yields matching events of the moment it was called.
func (l *Ledger) Events(ctx context.Context, q store.EventQuery) iter.Seq2[usage.Record, error] {
	l.mu.Lock()
	rows := Events(l.visible(q.AsOf), q)
	l.mu.Unlock()
	return func(yield func(usage.Record, error) bool) {
		for _, r := range rows {
			if err := ctx.Err(); err != nil {
				yield(usage.Record{}, err)
				return
			}
			if !yield(r, nil) {
				return
			}
		}
	}
}

// Get finds one event.
func (l *Ledger) Get(_ context.Context, id usage.ID, f analytics.Filter) (usage.Record, error) {
	f.From, f.To, f.Aggregates = time.Time{}, time.Time{}, true
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.visible(f.AsOf) {
		if r.ID == id && Match(&r, f) {
			return r, nil
		}
	}
	return usage.Record{}, fault.New(fault.NotFound, "There is no event with this id")
}

// Correct replaces costs and sets marks.
func (l *Ledger) Correct(_ context.Context, c store.Correction) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var applied int64
	for _, change := range c.Changes {
		for i := range l.records {
			r := &l.records[i]
			if r.ID == change.ID && r.Source == change.WasSource && r.PriceID == change.WasPriceID {
				was := r.Costing
				was.Fallback = false
				l.keep(r.ID, store.PastCost{
					At: c.At, Reason: c.Reason, Was: was,
					NowCost: change.Now.Total(), NowSource: change.Now.Source, NowPriceID: change.Now.PriceID,
				})
				r.Costing = change.Now
				applied++
			}
		}
	}
	for _, event := range c.Marks {
		for i := range l.records {
			r := &l.records[i]
			if Key(r) == event && !r.Aggregate {
				was := r.Costing
				was.Fallback = false
				l.keep(r.ID, store.PastCost{
					At: c.At, Reason: c.Reason, Was: was, NowCost: was.Total(), NowSource: was.Source, NowPriceID: was.PriceID, Marked: true,
				})
				r.Aggregate = true
				applied++
			}
		}
	}
	if applied > 0 {
		l.revision++
	}
	return applied, nil
}

func (l *Ledger) keep(id usage.ID, past store.PastCost) {
	if l.history == nil {
		l.history = make(map[usage.ID][]store.PastCost)
	}
	l.history[id] = append(l.history[id], past)
}

// History gives the costs that an event had before.
func (l *Ledger) History(_ context.Context, event store.EventKey) ([]store.PastCost, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	newest := slices.Clone(l.history[event.ID])
	slices.Reverse(newest)
	return newest[:min(len(newest), store.MaxHistory)], nil
}

// Prune removes the events of each project that are older than its time.
func (l *Ledger) Prune(_ context.Context, before map[string]time.Time) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var records []usage.Record
	var commits []int64
	was := len(l.records)
	for i, r := range l.records {
		if !IsPruned(&r, before) {
			records = append(records, r)
			commits = append(commits, l.commits[i])
			continue
		}
		l.removed = append(l.removed, r)
		delete(l.history, r.ID)
		if l.pruned == nil {
			l.pruned = map[string]time.Time{}
		}
		if t := before[r.Project]; t.After(l.pruned[r.Project]) {
			l.pruned[r.Project] = t
		}
	}
	l.records, l.commits = records, commits
	if len(records) < was {
		l.revision++
	}
	return int64(was - len(records)), nil
}

// Pruned says of each project before when its events were removed.
func (l *Ledger) Pruned(context.Context) (map[string]time.Time, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.pruned), nil
}

// Erase removes what names a person. An explicit identity is known by the content
// that it was first sent with.
func (l *Ledger) Erase(_ context.Context, who store.Erasure) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var erased int64
	l.records, erased = Erase(l.records, who)
	if erased > 0 {
		l.revision++
	}
	return erased, nil
}

// Compact does nothing: there is no file.
func (l *Ledger) Compact(context.Context) error { return nil }

// GetPrompts finds texts as store.Texts does.
func (l *Ledger) GetPrompts(_ context.Context, project string, ids []usage.ID) (map[usage.ID]store.Prompt, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := map[usage.ID]store.Prompt{}
	for i := range l.records {
		if e := &l.records[i].Event; slices.Contains(ids, e.PromptID) && e.Prompt != "" && (project == "" || project == e.Project) {
			out[e.PromptID] = store.Prompt{ID: e.PromptID, Project: e.Project, Text: e.Prompt}
		}
	}
	return out, nil
}

// PrunePrompts drops the texts as store.Prompts does.
func (l *Ledger) PrunePrompts(_ context.Context, before map[string]time.Time) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	used, gone := map[usage.ID]bool{}, map[usage.ID]bool{}
	for i := range l.records {
		if r := &l.records[i]; !r.Timestamp.Before(before[r.Project]) {
			used[r.PromptID] = true
		}
	}
	for i := range l.records {
		if r := &l.records[i]; r.Prompt != "" && !used[r.PromptID] {
			r.Prompt, gone[r.PromptID] = "", true
		}
	}
	return int64(len(gone)), nil
}
