package postgres

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/store/sqlquery"
)

// dialect is how PostgreSQL says what engines say differently.
func dialect() *sqlquery.Dialect {
	return &sqlquery.Dialect{
		Divide:  "/",
		Micros:  "ts",
		CountIf: func(condition string) string { return "count(*) FILTER (WHERE " + condition + ")" },
		Quantile: func(column, fraction string) string {
			return "percentile_disc(" + fraction + ") WITHIN GROUP (ORDER BY " + column + ")"
		},
		Hash: func(number, text string) string { return "hashtextextended(" + text + ", " + number + ")" },
		Share: func(amount, part, whole string) string {
			return "CASE WHEN " + part + " = 0 THEN 0 ELSE " + halfEven("("+amount+"::NUMERIC * "+part+")", whole) + " END"
		},
		Earliest: func(value string, keys ...string) string {
			return "(array_agg(" + value + " ORDER BY " + strings.Join(keys, ", ") + "))[1]"
		},
		EventsOf: func(hours []int64) string {
			// OFFSET 0 keeps the planner from pulling the subquery up, which ends in a
			// scan of all events: each hour is to be looked up by its index.
			return fmt.Sprintf("(SELECT e.* FROM unnest('{%s}'::BIGINT[]) AS h (hour) CROSS JOIN LATERAL (SELECT * FROM events WHERE ts >= h.hour * %[2]d AND ts < (h.hour + 1) * %[2]d OFFSET 0) e) events",
				sqlquery.Numbers(hours), time.Hour.Microseconds())
		},
		Texts: "::TEXT[]",
		Time:  func(t time.Time) any { return t.UnixMicro() },
		Holds: holds,
	}
}

// Query implements store.Ledger.
func (e *Engine) Query(ctx context.Context, q analytics.Query) (analytics.Table, error) {
	var t analytics.Table
	err := e.ask(ctx, q.AsOf, func(tx pgx.Tx, at position) (err error) {
		ask := q
		ask.AsOf = at.bound(q.AsOf)
		t, err = e.asker(tx, at).Answer(ctx, ask)
		t.AsOf, t.Revision = ask.AsOf, at.revision
		return err
	})
	return t, err
}

// CallTree implements store.Ledger.
func (e *Engine) CallTree(ctx context.Context, q analytics.CallTreeQuery) (analytics.Table, error) {
	var t analytics.Table
	err := e.ask(ctx, q.AsOf, func(tx pgx.Tx, at position) (err error) {
		ask := q
		ask.AsOf = at.bound(q.AsOf)
		// The planner knows nothing of what the steps of this question hold and takes
		// each for one row: it would look through whole steps once for every span.
		if _, err := tx.Exec(ctx, `SET LOCAL enable_nestloop = off`); err != nil {
			return err
		}
		t, err = e.asker(tx, at).CallTree(ctx, ask)
		t.AsOf, t.Revision = ask.AsOf, at.revision
		return err
	})
	return t, err
}

// Growth implements store.Ledger.
func (e *Engine) Growth(ctx context.Context, q analytics.GrowthQuery) (analytics.GrowthTable, error) {
	var t analytics.GrowthTable
	err := e.ask(ctx, q.AsOf, func(tx pgx.Tx, at position) (err error) {
		ask := q
		ask.AsOf = at.bound(q.AsOf)
		t, err = e.asker(tx, at).Growth(ctx, ask)
		t.AsOf, t.Revision = ask.AsOf, at.revision
		return err
	})
	return t, err
}

// Resent implements store.Ledger.
func (e *Engine) Resent(ctx context.Context, q analytics.HistoryQuery) (analytics.HistoryTable, error) {
	var t analytics.HistoryTable
	err := e.ask(ctx, q.AsOf, func(tx pgx.Tx, at position) (err error) {
		ask := q
		ask.AsOf = at.bound(q.AsOf)
		t, err = e.asker(tx, at).Resent(ctx, ask)
		t.AsOf, t.Revision = ask.AsOf, at.revision
		return err
	})
	return t, err
}

func (e *Engine) asker(tx pgx.Tx, at position) sqlquery.Asker {
	return sqlquery.Asker{Dialect: dialect(), Querier: selecter{tx}, Pruned: at.pruned, Sums: func(ctx context.Context, q analytics.Query) (*sqlquery.Sums, error) {
		if e.opts.NoSums {
			return nil, nil
		}
		return findSums(ctx, tx, q, at.last)
	}}
}

// selecter is a transaction for sqlquery.
type selecter struct{ pgx.Tx }

func (s selecter) Query(ctx context.Context, text string, args ...any) (sqlquery.Rows, error) {
	rows, err := s.Tx.Query(ctx, text, args...)
	return selected{rows}, err
}

type selected struct{ pgx.Rows }

func (s selected) Close() error {
	s.Rows.Close()
	return nil
}

// Bloat implements store.Ledger. Wasted is computed in exact decimals and rounded
// half-even, as analytics.Bloat defines it.
func (e *Engine) Bloat(ctx context.Context, q analytics.BloatQuery) (analytics.BloatTable, error) {
	var t analytics.BloatTable
	err := e.ask(ctx, q.AsOf, func(tx pgx.Tx, at position) error {
		t = analytics.BloatTable{AsOf: at.bound(q.AsOf), Revision: at.revision, TruncatedBefore: at.pruned.TruncatedBefore(q.Filter)}
		q := q
		q.Aggregates = false // a span that sums its children is not a call
		if q.Limit == 0 {
			q.Limit = math.MaxInt32
		}
		s := sqlquery.Statement{Dialect: dialect()}
		cond, err := s.Where(q.Filter, t.AsOf)
		if err != nil {
			return err
		}
		d := s.Dialect
		spreads := "SELECT NULL::BIGINT AS g, NULL::BIGINT AS deviation, NULL::BIGINT AS ratio"
		if q.Spread {
			spreads = d.Spreads("(SELECT cell_id, g, median FROM limits WHERE g IN (SELECT g FROM ranked)) shown", cond)
		}
		text := fmt.Sprintf(`
WITH numbered AS (
	SELECT id AS cell_id, project, feature, model, dense_rank() OVER (ORDER BY feature, model) AS g FROM cells
), medians AS (
	SELECT g, %[8]s AS median, count(*) AS n
	FROM events JOIN numbered ON cell_id = cell WHERE %[2]s AND %[1]s > 0 GROUP BY g HAVING count(*) >= %[3]s
), limits AS (
	SELECT cell_id, g, project, feature, model, median, n, least(div(median::NUMERIC * %[5]s::BIGINT + 999, 1000), 9223372036854775807)::BIGINT AS bar
	FROM numbered JOIN medians USING (g) WHERE median > 0
), bloated AS (
	SELECT id, ts, g, project, feature, model, prompt_id, %[1]s AS input, t_cache_read AS cached, %[4]s AS output,
		median, n, %[10]s AS paid, %[1]s - median AS beyond
	FROM events JOIN limits ON cell_id = cell
	WHERE %[2]s AND %[1]s > 0 AND %[1]s >= bar
), ranked AS MATERIALIZED (
	SELECT *, %[9]s AS wasted FROM bloated ORDER BY wasted DESC, id LIMIT %[6]d OFFSET %[7]d
), spreads AS (
	%[11]s
)
SELECT id, ts, project, feature, model, prompt_id, input, cached, output, median, n, paid, wasted, coalesce(deviation, 0), coalesce(ratio, -1)
FROM ranked LEFT JOIN spreads USING (g) ORDER BY wasted DESC, id`,
			sqlquery.InputTokens, cond, s.Bind(q.MinCalls), sqlquery.OutputTokens, s.Bind(q.MinRatio), q.Limit+1, q.Offset,
			d.Quantile(sqlquery.InputTokens, "0.5"), d.Share("paid", "beyond", "input"), sqlquery.InputPaid, spreads)
		rows, err := tx.Query(ctx, text, s.Args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var b analytics.Bloat
			var id [16]byte
			var promptID *[16]byte
			var ts, paid, wasted int64
			if err := rows.Scan(&id, &ts, &b.Project, &b.Feature, &b.Model, &promptID, &b.Input, &b.Cached, &b.Output, &b.Median, &b.GroupCalls,
				&paid, &wasted, &b.Deviation, &b.MedianRatio); err != nil {
				return err
			}
			if promptID != nil {
				b.PromptID = *promptID
			}
			b.ID, b.Timestamp = id, time.UnixMicro(ts).UTC()
			b.InputCost, b.Wasted = money.USD(paid), money.USD(wasted)
			t.Rows = append(t.Rows, b)
		}
		if len(t.Rows) > q.Limit {
			t.Rows, t.More = t.Rows[:q.Limit], true
		}
		return rows.Err()
	})
	return t, err
}

// halfEven is num ÷ den, both positive, rounded half-even.
func halfEven(num, den string) string {
	q, r := "div("+num+", "+den+")", "mod("+num+", "+den+")"
	return fmt.Sprintf("(%[1]s + CASE WHEN 2 * %[2]s > %[3]s OR (2 * %[2]s = %[3]s AND mod(%[1]s, 2) = 1) THEN 1 ELSE 0 END)::BIGINT", q, r, den)
}
