package simulation

import (
	"context"
	"fmt"
	"hash/maphash"

	"github.com/costprof/costprof/internal/pricing"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/store/dedupe"
	"github.com/costprof/costprof/internal/usage"
)

// Append implements ingest.Ledger.
func (w *world) Append(ctx context.Context, records []usage.Record) (store.Receipt, error) {
	receipts, err := w.commit(ctx, [][]usage.Record{records})
	if err != nil {
		return store.Receipt{}, err
	}
	return receipts[0], nil
}

// Correct implements ingest.Ledger: the disk marks, refuses, or marks and says that
// it did not.
func (w *world) Correct(_ context.Context, c store.Correction) (applied int64, err error) {
	w.tally.Marks++
	if w.bug == ForgetsMarks || w.fails(8) {
		if w.bug == ForgetsMarks {
			return 0, nil
		}
		return 0, errDisk
	}
	for _, event := range c.Marks {
		for i := range w.disk {
			r := &w.disk[i].rec
			if r.ID == event.ID && r.Timestamp.Equal(event.Timestamp) && !r.Aggregate {
				r.Aggregate = true
				applied++
			}
		}
	}
	if w.fails(8) {
		return 0, errDisk
	}
	return applied, nil
}

// PutVersions implements ingest.VersionKeeper.
func (w *world) PutVersions(context.Context, []pricing.Version) error {
	if w.fails(24) {
		return errDisk
	}
	return nil
}

func (w *world) commit(ctx context.Context, batches [][]usage.Record) ([]store.Receipt, error) {
	w.tally.Commits++
	receipts, err := dedupe.Store(ctx, w.known, w, batches)
	if err != nil {
		w.tally.Failed++
		w.failed()
		return nil, err
	}
	for _, r := range receipts {
		for _, o := range r.Outcomes {
			if o == store.Duplicate {
				w.tally.Duplicates++
			}
		}
	}
	return receipts, nil
}

// fails is true once in so many times.
func (w *world) fails(oneIn int) bool { return !w.calm && w.r.IntN(oneIn) == 0 }

// Insert implements dedupe.Ledger: the disk stores, refuses, or stores and says
// that it did not; and the process may end before or after.
func (w *world) Insert(_ context.Context, recs []*usage.Record) (int64, error) {
	n := w.last + 1
	fate := 9
	if !w.calm {
		fate = w.r.IntN(16)
	}
	if w.bug == AcknowledgesEarly && fate < 2 {
		return n, nil
	}
	stored := fate != 0 && fate != 1
	if stored {
		for _, r := range recs {
			w.disk = append(w.disk, row{*r, n, w.tally.Commits, r.Content()})
		}
	}
	switch fate {
	case 0, 2:
		if stored {
			w.tally.Unknown++
		}
		return 0, errDisk
	case 1, 3:
		w.crash = true
		w.tally.Crashes++
		return 0, errDisk
	}
	w.last = n
	return n, nil
}

// LookUp implements dedupe.Ledger.
func (w *world) LookUp(_ context.Context, ask dedupe.Wanted) (map[usage.ID]dedupe.Stored, error) {
	w.tally.LookUps++
	if w.fails(32) {
		return nil, errDisk
	}
	found := map[usage.ID]dedupe.Stored{}
	for _, id := range ask.Derived {
		if w.bug == TrustsHashes {
			found[id] = dedupe.Stored{}
		}
		for i := range w.disk {
			r := &w.disk[i].rec
			if r.ID == id && !r.Timestamp.Before(ask.From) && !r.Timestamp.After(ask.To) {
				found[id] = dedupe.Stored{Timestamp: r.Timestamp, Aggregate: r.Aggregate}
			}
		}
	}
	for _, id := range ask.Explicit {
		for i := range w.disk {
			if r := &w.disk[i].rec; r.ID == id {
				found[id] = dedupe.Stored{Content: w.disk[i].content, Timestamp: r.Timestamp, Aggregate: r.Aggregate}
			}
		}
	}
	return found, nil
}

// SpanIDs implements dedupe.Ledger.
func (w *world) SpanIDs(_ context.Context, spans []int64, yield func(int64, usage.ID)) error {
	w.tally.Loads++
	for i := range w.disk {
		r := &w.disk[i].rec
		n := dedupe.SpanOf(r.Timestamp)
		for _, s := range spans {
			if s == n {
				yield(n, r.ID)
			}
		}
		if w.fails(64) {
			return errDisk
		}
	}
	return nil
}

// CountExplicit implements dedupe.Ledger.
func (w *world) CountExplicit(context.Context) (n int, err error) {
	for i := range w.disk {
		if w.disk[i].rec.EventID != "" {
			n++
		}
	}
	if w.fails(32) {
		return 0, errDisk
	}
	return n, nil
}

// ExplicitIDs implements dedupe.Ledger.
func (w *world) ExplicitIDs(_ context.Context, yield func(usage.ID)) error {
	for i := range w.disk {
		if r := &w.disk[i].rec; r.EventID != "" {
			yield(r.ID)
		}
	}
	if w.fails(32) {
		return errDisk
	}
	return nil
}

// judge holds the disk against what clients were told.
func (w *world) judge() error {
	times := map[usage.ID]int{}
	for i := range w.disk {
		times[w.disk[i].rec.ID]++
		if i == 0 || w.disk[i].write == w.disk[i-1].write {
			continue
		}
		if w.disk[i].commit <= w.disk[i-1].commit {
			return fmt.Errorf("commit %d comes after commit %d", w.disk[i].commit, w.disk[i-1].commit)
		}
	}
	for e, id := range w.ids {
		if n := times[id]; n != 1 {
			return fmt.Errorf("event %d, acknowledged %v, is stored %d times", e, w.acked[e], n)
		}
	}
	distinct := map[usage.ID]bool{}
	for _, id := range w.ids {
		distinct[id] = true
	}
	if len(w.disk) != len(distinct) {
		return fmt.Errorf("%d events are stored, %d were sent", len(w.disk), len(distinct))
	}
	sums := map[usage.ID]bool{}
	for e, id := range w.ids {
		sums[id] = w.sums[e]
	}
	var total, want usage.Costing
	for i := range w.disk {
		r := &w.disk[i].rec
		if r.Aggregate != sums[r.ID] {
			return fmt.Errorf("event %s is an aggregate: %v, want %v", r.ID, r.Aggregate, sums[r.ID])
		}
		e := r.Event
		cost, err := w.book.Price(&e)
		if err != nil {
			return err
		}
		for c := range cost.Classes {
			total.Classes[c] += r.Classes[c]
			want.Classes[c] += cost.Classes[c]
		}
	}
	if total.Classes != want.Classes {
		return fmt.Errorf("totals are %v, want %v", total.Classes, want.Classes)
	}
	return nil
}

// note marks the state that the world is in.
func (w *world) note() {
	if w.tally.Seen == nil {
		return
	}
	var h maphash.Hash
	h.SetSeed(stateSeed)
	for i := range w.disk {
		h.WriteByte(w.disk[i].rec.ID[0])
		h.WriteByte(byte(w.disk[i].commit))
		if w.disk[i].rec.Aggregate {
			h.WriteByte(0xff)
		}
	}
	for e := range w.acked {
		if w.acked[e] {
			h.WriteByte(byte(e))
		}
	}
	h.WriteByte(byte(w.known.Bytes() / 64))
	h.WriteByte(byte(w.budget / 100))
	bit := h.Sum64() % uint64(len(w.tally.Seen)*64)
	w.tally.Seen[bit/64] |= 1 << (bit % 64)
}

var stateSeed = maphash.MakeSeed()
