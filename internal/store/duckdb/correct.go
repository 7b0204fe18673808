package duckdb

import (
	"context"
	"database/sql/driver"
	"fmt"
	"strings"
	"time"

	duck "github.com/duckdb/duckdb-go/v2"

	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/store/sqlquery"
	"github.com/costprof/costprof/internal/usage"
)

// Correct implements store.Ledger. It runs between commits, in one transaction.
func (e *Engine) Correct(ctx context.Context, c store.Correction) (int64, error) {
	if len(c.Changes)+len(c.Marks) == 0 {
		return 0, nil
	}
	var applied int64
	err := e.do(ctx, func(ctx context.Context, w *writer) error {
		n := e.last.Load() + 1
		if err := w.exec(ctx, `BEGIN TRANSACTION`); err != nil {
			return err
		}
		priced, err := w.reprice(ctx, n, &c)
		if err != nil {
			return err
		}
		marked, err := w.mark(ctx, n, &c)
		if err != nil {
			return err
		}
		if applied = priced + marked; applied == 0 {
			return w.exec(ctx, `ROLLBACK`)
		}
		hours := map[int64]bool{}
		for _, change := range c.Changes {
			hours[sqlquery.HourOf(change.Timestamp)] = true
		}
		for _, event := range c.Marks {
			hours[sqlquery.HourOf(event.Timestamp)] = true
		}
		if err := w.unsum(ctx, hours); err != nil {
			return err
		}
		return w.seal(ctx, n, changed)
	})
	return applied, err
}

// reprice keeps the old costs and sets the new ones, in the transaction at hand.
func (w *writer) reprice(ctx context.Context, n int64, c *store.Correction) (applied int64, err error) {
	if len(c.Changes) == 0 {
		return 0, nil
	}
	from, to, err := w.stage(ctx, c.Changes)
	if err != nil {
		return 0, err
	}
	const match = `e.ts >= ? AND e.ts <= ? AND e.id = s.id AND e.ts = s.ts AND e.source = s.was_source AND e.price_id IS NOT DISTINCT FROM s.was_price_id`
	classes := sqlquery.ClassColumns()
	res, err := w.conn.ExecContext(ctx, `INSERT INTO corrections
		SELECT ?, ?, ?, e.id, e.ts, e.cost, s.cost, e.source, s.source, e.price_id, s.price_id, [`+oldClasses()+`], e.saving, false
		FROM events e, staged s WHERE `+match, n, c.At.UTC(), c.Reason, from, to)
	if err != nil {
		return 0, fmt.Errorf("keep old costs: %w", err)
	}
	if applied, err = res.RowsAffected(); err != nil || applied == 0 {
		return 0, err
	}
	sets := []string{"cost = s.cost", "saving = s.saving", "source = s.source", "is_fallback = s.is_fallback", "price_id = s.price_id"}
	for _, col := range classes {
		sets = append(sets, col+" = s."+col)
	}
	if err := w.exec(ctx, `UPDATE events e SET `+strings.Join(sets, ", ")+` FROM staged s WHERE `+match, from, to); err != nil {
		return 0, fmt.Errorf("set new costs: %w", err)
	}
	return applied, nil
}

// oldClasses lists the costs by class that an event has now.
func oldClasses() string {
	classes := sqlquery.ClassColumns()
	old := make([]string, len(classes))
	for i, col := range classes {
		old[i] = "e." + col
	}
	return strings.Join(old, ", ")
}

// mark makes aggregates of events and keeps that they counted, in the
// transaction at hand.
func (w *writer) mark(ctx context.Context, n int64, c *store.Correction) (int64, error) {
	if len(c.Marks) == 0 {
		return 0, nil
	}
	events := make([]string, len(c.Marks))
	from, to := c.Marks[0].Timestamp, c.Marks[0].Timestamp
	for i, event := range c.Marks {
		events[i] = fmt.Sprintf("(make_timestamp(%d), '%s'::UUID)", event.Timestamp.UnixMicro(), uuidText(event.ID))
		if event.Timestamp.Before(from) {
			from = event.Timestamp
		}
		if event.Timestamp.After(to) {
			to = event.Timestamp
		}
	}
	match := ` (VALUES ` + strings.Join(events, ", ") + `) s (ts, id) WHERE e.ts >= ? AND e.ts <= ? AND e.id = s.id AND e.ts = s.ts AND NOT e.is_aggregate`
	res, err := w.conn.ExecContext(ctx, `INSERT INTO corrections
		SELECT ?, ?, ?, e.id, e.ts, e.cost, e.cost, e.source, e.source, e.price_id, e.price_id, [`+oldClasses()+`], e.saving, true
		FROM events e,`+match, n, c.At.UTC(), c.Reason, from.UTC(), to.UTC())
	if err != nil {
		return 0, fmt.Errorf("keep what was: %w", err)
	}
	marked, err := res.RowsAffected()
	if err != nil || marked == 0 {
		return 0, err
	}
	if err := w.exec(ctx, `UPDATE events e SET is_aggregate = true FROM`+match, from.UTC(), to.UTC()); err != nil {
		return 0, fmt.Errorf("mark aggregates: %w", err)
	}
	return marked, nil
}

// stage puts the changes into a temporary table of the transaction at hand and
// returns the span of time they lie in.
func (w *writer) stage(ctx context.Context, changes []store.CostChange) (from, to time.Time, err error) {
	cols := make([]string, usage.NumClasses)
	for i, col := range sqlquery.ClassColumns() {
		cols[i] = col + " BIGINT"
	}
	if err := w.exec(ctx, `CREATE OR REPLACE TEMP TABLE staged (id UUID, ts TIMESTAMP, was_source UTINYINT, was_price_id VARCHAR, `+
		strings.Join(cols, ", ")+`, cost BIGINT, saving BIGINT, source UTINYINT, is_fallback BOOLEAN, price_id VARCHAR)`); err != nil {
		return from, to, fmt.Errorf("stage changes: %w", err)
	}
	var a *duck.Appender
	err = w.conn.Raw(func(c any) (err error) {
		a, err = duck.NewAppender(c.(driver.Conn), "temp", "main", "staged")
		return err
	})
	if err != nil {
		return from, to, fmt.Errorf("stage changes: %w", err)
	}
	defer func() { _ = a.Close() }() // what matters was flushed
	for _, c := range changes {
		if from.IsZero() || c.Timestamp.Before(from) {
			from = c.Timestamp
		}
		if c.Timestamp.After(to) {
			to = c.Timestamp
		}
		vals := []driver.Value{duck.UUID(c.ID), c.Timestamp, uint8(c.WasSource), text(c.WasPriceID)}
		for _, v := range c.Now.Classes {
			vals = append(vals, int64(v))
		}
		vals = append(vals, int64(c.Now.Total()), int64(c.Now.CacheSaving), uint8(c.Now.Source), c.Now.Fallback, text(c.Now.PriceID))
		if err := a.AppendRow(vals...); err != nil {
			return from, to, fmt.Errorf("stage changes: %w", err)
		}
	}
	return from.UTC(), to.UTC(), a.Flush()
}
