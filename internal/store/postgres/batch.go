package postgres

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/usage"
)

// batch is what one commit gathered.
type batch struct {
	jobs []*appendJob
	rows []row
	// first is the place of each identity's first record; a later one is judged
	// against it.
	first    map[usage.ID]int
	outcomes []store.Outcome
	// unmarked are the stored events that a record with the same place marks.
	unmarked map[int]store.EventKey
	// number is the commit that stored it; 0 when nothing was new. found: the
	// ledger had some.
	number int64
	found  bool
	// erased is the erasure that its rows' numbers are of.
	erased int64
}

func newBatch(jobs []*appendJob) *batch {
	var rows []row
	for _, j := range jobs {
		rows = append(rows, j.rows...)
	}
	return batchOf(jobs, rows)
}

// batchOf makes a batch of jobs and of their rows.
func batchOf(jobs []*appendJob, rows []row) *batch {
	b := &batch{jobs: jobs, rows: rows}
	b.first = make(map[usage.ID]int, len(b.rows))
	for i := range b.rows {
		if _, seen := b.first[b.rows[i].rec.ID]; !seen {
			b.first[b.rows[i].rec.ID] = i
		}
	}
	b.outcomes = make([]store.Outcome, len(b.rows))
	return b
}

func (b *batch) records() []*usage.Record {
	out := make([]*usage.Record, len(b.rows))
	for i := range b.rows {
		out[i] = b.rows[i].rec
	}
	return out
}

// reset takes every identity for new.
func (b *batch) reset() {
	b.number, b.found, b.unmarked = 0, false, nil
	for i := range b.rows {
		r := b.rows[i].rec
		if j := b.first[r.ID]; j != i {
			first := b.rows[j].rec
			before := known{timestamp: first.Timestamp, aggregate: first.Aggregate}
			if r.EventID != "" {
				before.content = first.Content()
			}
			b.compare(i, before)
		} else {
			b.outcomes[i] = store.Stored
		}
	}
}

// known is what the ledger has under an identity; content is the fingerprint of
// an explicit one.
type known struct {
	content   uint64
	timestamp time.Time
	aggregate bool
}

// compare judges a record whose identity was there before.
func (b *batch) compare(i int, before known) {
	r := b.rows[i].rec
	delete(b.unmarked, i)
	switch {
	case r.EventID != "" && !r.SameContent(before.content):
		b.outcomes[i] = store.Conflict
		return
	case r.Aggregate && !before.aggregate:
		if b.unmarked == nil {
			b.unmarked = map[int]store.EventKey{}
		}
		b.unmarked[i] = store.EventKey{Timestamp: before.timestamp, ID: r.ID}
	}
	b.outcomes[i] = store.Duplicate
}

// judge finds what the ledger has already. The transaction holds the ledger, so
// nobody stores any of it meanwhile.
func (b *batch) judge(ctx context.Context, tx pgx.Tx) error {
	var times []int64
	var derived, explicit [][16]byte
	for i := range b.rows {
		r := b.rows[i].rec
		switch {
		case b.first[r.ID] != i:
		case r.EventID != "":
			explicit = append(explicit, r.ID)
		default:
			times, derived = append(times, r.Timestamp.UnixMicro()), append(derived, r.ID)
		}
	}
	stored := map[usage.ID]known{}
	read := func(rows pgx.Rows, err error) error {
		if err != nil {
			return err
		}
		var id [16]byte
		var content, ts int64
		var aggregate bool
		_, err = pgx.ForEachRow(rows, []any{&id, &content, &ts, &aggregate}, func() error {
			stored[id] = known{content: uint64(content), timestamp: time.UnixMicro(ts).UTC(), aggregate: aggregate}
			return nil
		})
		return err
	}
	if len(derived) > 0 {
		// One index probe for each: the planner does not know how few there are.
		if err := read(tx.Query(ctx, `SELECT e.id, 0::BIGINT, w.ts, e.is_aggregate FROM unnest($1::BIGINT[], $2::UUID[]) AS w (ts, id)
			CROSS JOIN LATERAL (SELECT id, is_aggregate FROM events WHERE events.ts = w.ts AND events.id = w.id LIMIT 1) e`, times, derived)); err != nil {
			return err
		}
	}
	if len(explicit) > 0 {
		if err := read(tx.Query(ctx, `SELECT x.id, x.content, x.ts, e.is_aggregate FROM explicit_ids x
			CROSS JOIN LATERAL (SELECT is_aggregate FROM events WHERE events.ts = x.ts AND events.id = x.id LIMIT 1) e WHERE x.id = ANY($1)`, explicit)); err != nil {
			return err
		}
	}
	b.found = len(stored) > 0
	for i := range b.rows {
		if before, ok := stored[b.rows[i].rec.ID]; ok {
			b.compare(i, before)
		}
	}
	return nil
}

// fresh lists the rows to store.
func (b *batch) fresh() []*row {
	out := make([]*row, 0, len(b.rows))
	for i := range b.rows {
		if b.outcomes[i] == store.Stored {
			out = append(out, &b.rows[i])
		}
	}
	return out
}

// answer tells each caller what became of its records.
func (b *batch) answer() {
	at := 0
	for _, j := range b.jobs {
		j.receipt.Unmarked = nil
		for i := range j.records {
			if key, ok := b.unmarked[at+i]; ok && !slices.Contains(j.receipt.Unmarked, key) {
				j.receipt.Unmarked = append(j.receipt.Unmarked, key)
			}
		}
		j.receipt.Outcomes = b.outcomes[at : at+len(j.records) : at+len(j.records)]
		at += len(j.records)
		for _, o := range j.receipt.Outcomes {
			if o == store.Stored {
				j.receipt.Commit = b.number
			}
		}
	}
}
