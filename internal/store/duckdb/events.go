package duckdb

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/store/dedupe"
	"github.com/costprof/costprof/internal/store/sqlquery"
	"github.com/costprof/costprof/internal/usage"
)

// page reads the next `want` events; last says that there are no more. asOf is
// fixed by the first page.
func (e *Engine) page(ctx context.Context, cells knownCells, f analytics.Filter, asOf *int64, after *store.EventKey, want int) (page []*usage.Record, last bool, err error) {
	err = e.read(ctx, func(db querier, at position) error {
		*asOf = at.bound(*asOf)
		top := topOf(f, after)
		for need := 2 * want; ; need *= 8 {
			bottom, older := e.back(f, top, need)
			bounded := f
			bounded.From, bounded.To = bottom, top
			if page, err = selectEvents(ctx, db, cells, bounded, *asOf, after, want); err != nil {
				return err
			}
			if len(page) == want {
				return nil
			}
			if !older {
				last = true
				return nil
			}
		}
	})
	return page, last, err
}

// topOf is the end of the range in which the next events lie.
func topOf(f analytics.Filter, after *store.EventKey) time.Time {
	top := f.To
	if top.IsZero() {
		top = endOfTime
	}
	if after != nil && after.Timestamp.Before(top) {
		top = after.Timestamp.Add(time.Microsecond)
	}
	return top
}

// back goes from top back to where enough events lie if all of them match: the
// span of the newest moment wanted, and as many before it. older says that there
// are events before it in f's range.
func (e *Engine) back(f analytics.Filter, top time.Time, need int) (bottom time.Time, older bool) {
	lowest, older := e.counts.Back(dedupe.SpanOf(top.Add(-time.Microsecond)), need)
	bottom = time.UnixMicro(lowest * dedupe.Span.Microseconds()).UTC()
	if bottom.Before(f.From) {
		return f.From, false
	}
	return bottom, older
}

// endOfTime is later than any timestamp that an event may have.
var endOfTime = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// eventsWhere is the condition of f, behind a key.
func eventsWhere(s *sqlquery.Statement, f analytics.Filter, asOf int64, after *store.EventKey) (string, error) {
	cond, err := s.Where(f, asOf)
	if err == nil && after != nil {
		ts := s.Bind(after.Timestamp.UTC())
		cond += fmt.Sprintf(" AND (ts < %s OR (ts = %s AND id < %s))", ts, ts, "'"+uuidText(after.ID)+"'::UUID")
	}
	return cond, err
}

func selectEvents(ctx context.Context, db querier, cells knownCells, f analytics.Filter, asOf int64, after *store.EventKey, want int) ([]*usage.Record, error) {
	s := sqlquery.Statement{Dialect: dialect()}
	cond, err := eventsWhere(&s, f, asOf, after)
	if err != nil {
		return nil, err
	}
	return readRecords(ctx, db, cells, want, fmt.Sprintf(`SELECT %s FROM events WHERE %s ORDER BY ts DESC, id DESC LIMIT %d`, columnList, cond, want), s.Args...)
}

func newestFirst(a, b *usage.Record) int {
	if c := b.Timestamp.Compare(a.Timestamp); c != 0 {
		return c
	}
	return bytes.Compare(b.ID[:], a.ID[:])
}

// readRecords runs a SELECT of columnList and completes the records from their
// cells and tag sets; there are about so many.
func readRecords(ctx context.Context, db querier, cells knownCells, about int, text string, args ...any) ([]*usage.Record, error) {
	rows, err := db.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	records := make([]usage.Record, 0, about)
	var cellOf, setOf []int64
	tags := map[int64]map[string]string{}
	s, targets := newScanned()
	for rows.Next() {
		if err := rows.Scan(targets...); err != nil {
			return nil, err
		}
		records = append(records, usage.Record{})
		cell, set, err := s.record(&records[len(records)-1])
		if err != nil {
			return nil, err
		}
		cellOf, setOf = append(cellOf, cell), append(setOf, set)
		if set != 0 {
			tags[set] = nil
		}
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	rows.Close()
	if err := cells.read(ctx, db, cellOf); err != nil {
		return nil, err
	}
	if err := readTags(ctx, db, tags); err != nil {
		return nil, err
	}
	out := make([]*usage.Record, len(records))
	for i := range records {
		out[i] = &records[i]
		cells[cellOf[i]].Fill(&out[i].Event)
		if n := setOf[i]; n != 0 {
			out[i].Tags = tags[n]
		}
	}
	return out, nil
}

// Get implements store.Ledger.
func (e *Engine) Get(ctx context.Context, id usage.ID, f analytics.Filter) (usage.Record, error) {
	var r usage.Record
	err := e.read(ctx, func(db querier, at position) error {
		// Two steps: the id column alone is scanned, then one row is read whole.
		s := sqlquery.Statement{Dialect: dialect()}
		f.From, f.To, f.Aggregates = time.Time{}, time.Time{}, true
		cond, err := s.Where(f, at.bound(f.AsOf))
		if err != nil {
			return err
		}
		var ts time.Time
		uuid := "'" + uuidText(id) + "'::UUID"
		err = db.QueryRowContext(ctx, `SELECT ts FROM events WHERE id = `+uuid+` AND `+cond+` LIMIT 1`, s.Args...).Scan(&ts)
		if errors.Is(err, sql.ErrNoRows) {
			return fault.New(fault.NotFound, "there is no event %s", id)
		}
		if err != nil {
			return err
		}
		recs, err := readRecords(ctx, db, knownCells{}, 1, `SELECT `+columnList+` FROM events WHERE ts = $1 AND id = `+uuid, ts.UTC())
		if err != nil {
			return err
		}
		if len(recs) == 0 {
			return fault.New(fault.NotFound, "there is no event %s", id)
		}
		r = *recs[0]
		return nil
	})
	return r, err
}
