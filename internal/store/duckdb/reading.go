package duckdb

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/store/sqlquery"
	"github.com/costprof/costprof/internal/usage"
)

const (
	// partsPlanned is of how many parts is found out at once where they end.
	partsPlanned = 8
	// partsAhead is how many parts are read at a time while nobody waits.
	partsAhead = 2
)

// Events implements store.Ledger. It reads in parts, since the engine's client
// holds a whole result in memory, each bounded in time by how many events the spans
// hold, so that a page costs the same however deep. A list's page is one part. Who
// wants more has the next ones read while they use the last.
func (e *Engine) Events(ctx context.Context, q store.EventQuery) iter.Seq2[usage.Record, error] {
	return func(yield func(usage.Record, error) bool) {
		r := reading{
			Engine: e, filter: q.Filter, asOf: q.AsOf, after: q.After, left: q.Limit, yield: yield,
			parts: store.LongRead{Queued: e.queued.Load}, cells: knownCells{},
		}
		if r.left <= 0 {
			r.left = math.MaxInt
		}
		if err := r.all(ctx); err != nil {
			yield(usage.Record{}, err)
		}
	}
}

// reading is one read of many events.
type reading struct {
	*Engine
	filter analytics.Filter
	asOf   int64
	// after is the key behind which the next events are, left how many are wanted.
	after *store.EventKey
	left  int
	yield func(usage.Record, error) bool
	parts store.LongRead
	cells knownCells // of what is read one part after the other
	lanes [partsAhead]knownCells
}

// all reads the first part alone, and more as it is planned.
func (r *reading) all(ctx context.Context) error {
	last, err := r.next(ctx, r.filter, &r.asOf)
	for !last && err == nil {
		last, err = r.planned(ctx)
	}
	return err
}

// next reads one part of those of f, and fixes the moment it is read of; last says that nothing more is wanted or there.
func (r *reading) next(ctx context.Context, f analytics.Filter, asOf *int64) (last bool, err error) {
	page, last, err := r.page(ctx, r.cells, f, asOf, r.after, min(r.parts.Next(), r.left))
	if err != nil || !r.give(page) || last {
		return true, err
	}
	end := page[len(page)-1]
	r.after = &store.EventKey{Timestamp: end.Timestamp, ID: end.ID}
	return false, r.parts.Done(ctx, page)
}

// give hands out a part; false says that no more is wanted.
func (r *reading) give(page []*usage.Record) bool {
	for _, record := range page {
		if !r.yield(*record, nil) {
			r.left = 0
			return false
		}
		if r.left--; r.left == 0 {
			return false
		}
	}
	return true
}

// moments is a range of time, bottom ≤ ts < top, that holds one part of those wanted,
// unless many are of the very same moment.
type moments struct{ bottom, top time.Time }

// plan finds the slices in which the next parts of about size events lie, newest
// first; last says that nothing is behind them.
func (r *reading) plan(ctx context.Context, size int) (list []moments, last bool, err error) {
	want := min(r.left, size*partsPlanned)
	err = r.read(ctx, func(db querier, _ position) error {
		top := topOf(r.filter, r.after)
		for need := want; ; need *= 8 {
			bottom, older := r.back(r.filter, top, need)
			bounded := r.filter
			bounded.From, bounded.To = bottom, top
			var found int
			if list, found, err = r.cut(ctx, db, bounded, size, need); err != nil {
				return err
			}
			// Fewer than a part are worth looking further back, by ever longer steps.
			if !older || found >= min(size, want) {
				last = !older
				return nil
			}
		}
	})
	return list, last, err
}

// perStep is how many of the events that may match lie in a step of time, about.
const perStep = 50

// cut parts f's range, which may have so many events, into slices of about size that
// match, unless more are of one moment. found is how many match.
func (r *reading) cut(ctx context.Context, db querier, f analytics.Filter, size, events int) (list []moments, found int, err error) {
	type count struct {
		bottom time.Time
		n      int
	}
	step := max(1, f.To.Sub(f.From).Microseconds()/int64(events/perStep+1))
	s := sqlquery.Statement{Dialect: dialect()}
	cond, err := eventsWhere(&s, f, r.asOf, r.after)
	if err != nil {
		return nil, 0, err
	}
	// Counting takes a fraction of what it takes to put them in order.
	rows, err := db.QueryContext(ctx, fmt.Sprintf(`SELECT epoch_us(ts) // %d AS step, count(*) FROM events WHERE %s GROUP BY step ORDER BY step DESC`, step, cond), s.Args...)
	if err != nil {
		return nil, 0, err
	}
	defer rows.Close()
	var counts []count
	for rows.Next() {
		var at int64
		var c count
		if err := rows.Scan(&at, &c.n); err != nil {
			return nil, 0, err
		}
		c.bottom = time.UnixMicro(at * step).UTC()
		counts = append(counts, c)
		found += c.n
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, 0, err
	}
	top, bottom, held := f.To, f.To, 0
	end := func() {
		if held > 0 {
			list = append(list, moments{bottom, top})
			top, held = bottom, 0
		}
	}
	for i, c := range counts {
		if held+c.n > size {
			end()
		}
		bottom, held = c.bottom, held+c.n
		if i == len(counts)-1 || bottom.Before(f.From) {
			bottom = f.From
		}
		if c.n <= size || step == 1 {
			continue
		}
		// The step alone, which is shorter than the range: it has more than perStep.
		finer := f
		if c.bottom.After(finer.From) {
			finer.From = c.bottom
		}
		if ends := c.bottom.Add(time.Duration(step) * time.Microsecond); ends.Before(finer.To) {
			finer.To = ends
		}
		within, _, err := r.cut(ctx, db, finer, size, c.n)
		if err != nil {
			return nil, 0, err
		}
		list = append(list, within...)
		top, held = bottom, 0
	}
	end()
	return list, found, nil
}

// readAhead is what a slice held; overflow says that it is too much for one part, and
// was not read.
type readAhead struct {
	page     []*usage.Record
	overflow bool
	err      error
}

// planned reads the next parts, ahead of whoever uses them, and as many of them at
// once as there are lanes, unless events wait to be stored.
func (r *reading) planned(ctx context.Context) (last bool, err error) {
	size := r.parts.Next()
	list, last, err := r.plan(ctx, size)
	if err != nil {
		return true, err
	}
	reading, stop := context.WithCancel(ctx)
	var readers sync.WaitGroup
	defer readers.Wait()
	defer stop()
	parts := make([]chan readAhead, len(list))
	first := r.after
	begin := func(i int) {
		if i >= len(list) || parts[i] != nil {
			return
		}
		var after *store.EventKey
		if i == 0 {
			after = first
		}
		got := make(chan readAhead, 1)
		parts[i] = got
		cells := r.lanes[i%partsAhead]
		if cells == nil {
			cells = knownCells{}
			r.lanes[i%partsAhead] = cells
		}
		readers.Go(func() { got <- r.part(reading, cells, list[i], after, size) })
	}
	for i, s := range list {
		r.parts.Next()
		begin(i)
		idle := r.queued.Load() == 0
		if idle {
			for ahead := 1; ahead < partsAhead; ahead++ {
				begin(i + ahead)
			}
		}
		p := <-parts[i]
		if p.err != nil {
			return true, p.err
		}
		if idle {
			begin(i + partsAhead) // its lane is free
		}
		if p.overflow {
			err = r.slice(ctx, s)
		} else {
			r.give(p.page)
		}
		if err != nil || r.left == 0 {
			return true, err
		}
		r.after = &store.EventKey{Timestamp: s.bottom} // no id is below this one
		if err := r.parts.Done(ctx, p.page); err != nil {
			return true, err
		}
		if r.parts.Next() < size/2 {
			return false, nil // events became much larger
		}
	}
	return last, nil
}

// part reads all that is wanted of a slice.
func (r *reading) part(ctx context.Context, cells knownCells, s moments, after *store.EventKey, size int) (p readAhead) {
	p.err = r.read(ctx, func(db querier, _ position) error {
		bounded := r.filter
		bounded.From, bounded.To = s.bottom, s.top
		st := sqlquery.Statement{Dialect: dialect()}
		cond, err := eventsWhere(&st, bounded, r.asOf, after)
		if err != nil {
			return err
		}
		// They are put in order here: it takes a fraction of what the engine needs to
		// sort all columns.
		most := size + size/2
		p.page, err = readRecords(ctx, db, cells, size, fmt.Sprintf(`SELECT %s FROM events WHERE %s LIMIT %d`, columnList, cond, most+1), st.Args...)
		if len(p.page) > most {
			p.page, p.overflow = nil, true
		}
		return err
	})
	slices.SortFunc(p.page, newestFirst)
	return p
}

// slice reads a slice with very many events of one moment, part by part.
func (r *reading) slice(ctx context.Context, s moments) error {
	bounded := r.filter
	bounded.From, bounded.To = s.bottom, s.top
	asOf := r.asOf // others read it meanwhile
	for {
		if last, err := r.next(ctx, bounded, &asOf); last || err != nil {
			return err
		}
	}
}
