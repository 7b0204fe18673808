// Package dedupe decides which events of a commit are new and answers for each
// what became of it. It keeps no file and speaks no SQL: what the ledger has, and
// how a commit is made, an engine gives it as a Ledger. So the same code runs in
// the server and, a million times a minute, in a simulation.
package dedupe

import (
	"context"
	"slices"
	"time"

	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/usage"
)

// Wanted are identities to look up.
type Wanted struct {
	// Derived contain the timestamp, all of which lie in From to To, both included.
	Derived  []usage.ID
	From, To time.Time
	// Explicit ones may have any.
	Explicit []usage.ID
}

func (w *Wanted) add(r *usage.Record) {
	if r.EventID != "" {
		w.Explicit = append(w.Explicit, r.ID)
		return
	}
	w.Derived = append(w.Derived, r.ID)
	if w.From.IsZero() || r.Timestamp.Before(w.From) {
		w.From = r.Timestamp
	}
	if r.Timestamp.After(w.To) {
		w.To = r.Timestamp
	}
}

// Stored is what the ledger has under an identity.
type Stored struct {
	// Content is its fingerprint; 0 of one that is derived.
	Content   uint64
	Timestamp time.Time
	Aggregate bool
}

// Ledger is what the decision needs of an engine.
type Ledger interface {
	// LookUp gives those that are stored.
	LookUp(ctx context.Context, w Wanted) (map[usage.ID]Stored, error)
	// SpanIDs yields the identities of all events in the spans, which are sorted;
	// explicit ones may be among them.
	SpanIDs(ctx context.Context, spans []int64, yield func(span int64, id usage.ID)) error
	// CountExplicit and ExplicitIDs tell of the explicit identities.
	CountExplicit(ctx context.Context) (int, error)
	ExplicitIDs(ctx context.Context, yield func(usage.ID)) error
	// Insert stores records that are new in one commit, all or nothing, and returns
	// its number. After an error either may be the case: the caller of Store then
	// forgets what is known.
	Insert(ctx context.Context, recs []*usage.Record) (int64, error)
}

// Store stores what is new of several batches in one commit and gives each its
// receipt. After an error Forget must be called, and Spans be counted anew.
func Store(ctx context.Context, k *Known, l Ledger, batches [][]usage.Record) ([]store.Receipt, error) {
	var recs []*usage.Record
	for _, b := range batches {
		for i := range b {
			recs = append(recs, &b[i])
		}
	}
	verdicts, stored, err := k.judge(ctx, l, recs)
	if err != nil {
		return nil, err
	}
	var new []*usage.Record
	for i, v := range verdicts {
		if v == fresh {
			new = append(new, recs[i])
		}
	}
	var commit int64
	if len(new) > 0 {
		if commit, err = l.Insert(ctx, new); err != nil {
			return nil, err
		}
		k.stored(new)
	}
	receipts := make([]store.Receipt, len(batches))
	for b := range batches {
		r := &receipts[b]
		r.Outcomes = make([]store.Outcome, len(batches[b]))
		r.Unmarked = unmarkedOf(batches[b], verdicts, stored)
		for i := range r.Outcomes {
			switch verdicts[i] {
			case fresh:
				r.Commit = commit
			case duplicate, unmarked:
				r.Outcomes[i] = store.Duplicate
			case conflict:
				r.Outcomes[i] = store.Conflict
			}
		}
		verdicts = verdicts[len(r.Outcomes):]
	}
	return receipts, nil
}

// unmarkedOf names the events that a batch marks and the ledger does not.
func unmarkedOf(batch []usage.Record, verdicts []verdict, stored map[usage.ID]Stored) []store.EventKey {
	var keys []store.EventKey
	for i := range batch {
		if verdicts[i] != unmarked {
			continue
		}
		key := store.EventKey{Timestamp: stored[batch[i].ID].Timestamp, ID: batch[i].ID}
		if !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	return keys
}
