package postgres

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/store/sqlquery"
	"github.com/costprof/costprof/internal/usage"
)

// Correct implements store.Ledger.
func (e *Engine) Correct(ctx context.Context, c store.Correction) (int64, error) {
	if len(c.Changes)+len(c.Marks) == 0 {
		return 0, nil
	}
	var applied int64
	correct := func(anew bool) error {
		return e.inLedger(ctx, func(tx pgx.Tx, n int64) (change, error) {
			priced, err := applyChanges(ctx, tx, n, c, anew)
			if err != nil {
				return change{}, err
			}
			marked, err := applyMarks(ctx, tx, n, c)
			applied = priced + marked
			return change{revised: applied > 0}, err
		})
	}
	err := correct(false)
	if tooWide(err) {
		err = correct(true) // the sums of an hour do not fit
	}
	if err != nil {
		return 0, err
	}
	return applied, nil
}

// applyChanges keeps the old costs, sets the new ones, and moves the sums of the
// hours by the differences, or makes these sums anew.
func applyChanges(ctx context.Context, tx pgx.Tx, n int64, c store.Correction, anew bool) (int64, error) {
	if len(c.Changes) == 0 {
		return 0, nil
	}
	s := stage(c.Changes)
	classes := sqlquery.ClassColumns()
	var old, sets, names, deltas, moves []string
	for _, col := range classes {
		old = append(old, "m.old_"+col)
	}
	amounts := slices.Concat(classes[:], []string{"cost", "saving"})
	moved := slices.Concat(amounts, []string{"unpriced", "fallback"})
	for _, col := range amounts {
		sets = append(sets, col+" = m."+col)
		deltas = append(deltas, fmt.Sprintf("sum(m.%[1]s - m.old_%[1]s)::BIGINT AS %[1]s", col))
		names = append(names, "e."+col+" AS old_"+col)
	}
	for _, col := range moved {
		moves = append(moves, fmt.Sprintf("%[1]s = h.%[1]s + d.%[1]s", col))
	}
	unpriced := func(column string) string {
		return fmt.Sprintf("(m.%s IN (%d, %d))::INT", column, usage.SourceUnpriced, usage.SourceClient)
	}
	sums := ""
	for _, l := range levels() {
		// d are the differences by period and cell; moved says to which row of which
		// table they go.
		sums += fmt.Sprintf(`, d_%[1]s AS (
			SELECT m.ts / %[3]d AS %[2]s, m.cell, %[4]s, sum(%[5]s - %[6]s)::BIGINT AS unpriced, sum(m.is_fallback::INT - m.old_fallback::INT)::BIGINT AS fallback
			FROM m WHERE NOT m.is_aggregate GROUP BY 1, 2
		), moved_%[1]s AS (
			UPDATE %[1]s h SET %[7]s FROM d_%[1]s d WHERE h.%[2]s = d.%[2]s AND h.cell = d.cell
		), moved_%[8]s AS (
			UPDATE %[8]s h SET %[7]s FROM (SELECT %[9]s) d WHERE h.kind = d.kind AND h.%[2]s = d.%[2]s AND h.cell = d.cell
		)`, l.table, l.key, l.hours*time.Hour.Microseconds(), strings.Join(deltas, ", "), unpriced("source"), unpriced("old_source"),
			strings.Join(moves, ", "), l.coarse, l.coarseOf("d_"+l.table, moved))
	}
	if anew {
		sums = ""
	}
	text := `WITH s AS (SELECT * FROM unnest(` + s.types + `) AS s (` + s.names + `)),
	m AS (
		SELECT s.*, e.cell, e.is_aggregate, e.source AS old_source, e.price_id AS old_price_id, e.is_fallback AS old_fallback, ` + strings.Join(names, ", ") + `
		FROM s JOIN events e ON e.ts = s.ts AND e.id = s.id
		WHERE e.source = s.was_source AND e.price_id IS NOT DISTINCT FROM s.was_price_id
	), kept AS (
		INSERT INTO corrections SELECT $1::BIGINT, $2::BIGINT, $3::TEXT, m.id, m.ts, m.old_cost, m.cost, m.old_source, m.source, m.old_price_id, m.price_id,
			ARRAY[` + strings.Join(old, ", ") + `], m.old_saving, false FROM m)` + sums + `
	UPDATE events e SET ` + strings.Join(sets, ", ") + `, source = m.source, is_fallback = m.is_fallback, price_id = m.price_id
	FROM m WHERE e.ts = m.ts AND e.id = m.id`
	tag, err := tx.Exec(ctx, text, append([]any{n, c.At.UnixMicro(), c.Reason}, s.args...)...)
	if err != nil {
		return 0, fmt.Errorf("correct: %w", err)
	}
	if anew && tag.RowsAffected() > 0 {
		if err := sumAnew(ctx, tx, s.hours); err != nil {
			return 0, err
		}
	}
	return tag.RowsAffected(), nil
}

// applyMarks makes aggregates of events, keeps that they counted, and makes the
// sums of their hours anew.
func applyMarks(ctx context.Context, tx pgx.Tx, n int64, c store.Correction) (int64, error) {
	if len(c.Marks) == 0 {
		return 0, nil
	}
	ids, times := make([][16]byte, len(c.Marks)), make([]int64, len(c.Marks))
	for i, event := range c.Marks {
		ids[i], times[i] = event.ID, event.Timestamp.UnixMicro()
	}
	classes := sqlquery.ClassColumns()
	rows, err := tx.Query(ctx, `WITH m AS (
		UPDATE events e SET is_aggregate = true FROM unnest($4::BIGINT[], $5::UUID[]) AS s (ts, id)
		WHERE e.ts = s.ts AND e.id = s.id AND NOT e.is_aggregate RETURNING e.*
	), kept AS (
		INSERT INTO corrections SELECT $1::BIGINT, $2::BIGINT, $3::TEXT, id, ts, cost, cost, source, source, price_id, price_id,
			ARRAY[`+strings.Join(classes[:], ", ")+`], saving, true FROM m)
	SELECT ts FROM m`, n, c.At.UnixMicro(), c.Reason, times, ids)
	if err != nil {
		return 0, fmt.Errorf("mark aggregates: %w", err)
	}
	marked, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil || len(marked) == 0 {
		return 0, err
	}
	hours := map[int64]bool{}
	for _, ts := range marked {
		hours[sqlquery.HourOf(time.UnixMicro(ts))] = true
	}
	return int64(len(marked)), sumAnew(ctx, tx, slices.Sorted(maps.Keys(hours)))
}

// staged are changes as arrays, one a column.
type staged struct {
	names, types string
	args         []any
	hours        []int64
}

func stage(changes []store.CostChange) staged {
	var ids [][16]byte
	var times, costs, savings []int64
	var wasSources, sources []int16
	var wasPrices, prices []*string
	var fallbacks []bool
	var classes [usage.NumClasses][]int64
	var s staged
	optional := func(s string) *string {
		if s == "" {
			return nil
		}
		return &s
	}
	hours := map[int64]bool{}
	for i := range changes {
		c := &changes[i]
		ids, times = append(ids, c.ID), append(times, c.Timestamp.UnixMicro())
		wasSources, wasPrices = append(wasSources, int16(c.WasSource)), append(wasPrices, optional(c.WasPriceID))
		sources, prices = append(sources, int16(c.Now.Source)), append(prices, optional(c.Now.PriceID))
		fallbacks = append(fallbacks, c.Now.Fallback)
		costs, savings = append(costs, int64(c.Now.Total())), append(savings, int64(c.Now.CacheSaving))
		for k, v := range c.Now.Classes {
			classes[k] = append(classes[k], int64(v))
		}
		if h := sqlquery.HourOf(c.Timestamp); !hours[h] {
			hours[h] = true
			s.hours = append(s.hours, h)
		}
	}
	var names, types []string
	add := func(name, kind string, values any) {
		s.args = append(s.args, values)
		names, types = append(names, name), append(types, fmt.Sprintf("$%d::%s[]", len(s.args)+3, kind))
	}
	add("id", "UUID", ids)
	add("ts", "BIGINT", times)
	add("was_source", "SMALLINT", wasSources)
	add("was_price_id", "TEXT", wasPrices)
	add("source", "SMALLINT", sources)
	add("price_id", "TEXT", prices)
	add("is_fallback", "BOOLEAN", fallbacks)
	add("cost", "BIGINT", costs)
	add("saving", "BIGINT", savings)
	for k, col := range sqlquery.ClassColumns() {
		add(col, "BIGINT", classes[k])
	}
	s.names, s.types = strings.Join(names, ", "), strings.Join(types, ", ")
	return s
}

// History implements store.Ledger.
func (e *Engine) History(ctx context.Context, event store.EventKey) ([]store.PastCost, error) {
	var out []store.PastCost
	err := e.ask(ctx, 0, func(tx pgx.Tx, _ position) error {
		out = nil
		rows, err := tx.Query(ctx, `SELECT made, reason, old_classes, old_saving, old_source, coalesce(old_price_id, ''), new_cost, new_source, coalesce(new_price_id, ''), marked
			FROM corrections WHERE ts = $1 AND id = $2 ORDER BY n DESC LIMIT $3`, event.Timestamp.UnixMicro(), [16]byte(event.ID), store.MaxHistory)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var p store.PastCost
			var made, saving, cost int64
			var classes []int64
			var was, now int16
			if err := rows.Scan(&made, &p.Reason, &classes, &saving, &was, &p.Was.PriceID, &cost, &now, &p.NowPriceID, &p.Marked); err != nil {
				return err
			}
			if len(classes) != len(p.Was.Classes) {
				return fmt.Errorf("a past cost has %d classes, not %d", len(classes), len(p.Was.Classes))
			}
			for i, v := range classes {
				p.Was.Classes[i] = money.USD(v)
			}
			p.At = time.UnixMicro(made).UTC()
			p.Was.CacheSaving, p.Was.Source = money.USD(saving), usage.Source(was)
			p.NowCost, p.NowSource = money.USD(cost), usage.Source(now)
			out = append(out, p)
		}
		return rows.Err()
	})
	return out, err
}
