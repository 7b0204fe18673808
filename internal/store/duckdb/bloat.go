package duckdb

import (
	"context"
	"fmt"
	"math"

	duck "github.com/duckdb/duckdb-go/v2"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/store/sqlquery"
	"github.com/costprof/costprof/internal/usage"
)

// Bloat implements store.Ledger. Wasted is computed in 128-bit integers and
// rounded half-even, as analytics.Bloat defines it.
func (e *Engine) Bloat(ctx context.Context, q analytics.BloatQuery) (analytics.BloatTable, error) {
	var t analytics.BloatTable
	err := e.read(ctx, func(db querier, at position) error {
		t = analytics.BloatTable{AsOf: at.bound(q.AsOf), Revision: at.revision, TruncatedBefore: at.pruned.TruncatedBefore(q.Filter)}
		s := sqlquery.Statement{Dialect: dialect()}
		q.Aggregates = false // a span that sums its children is not a call
		if q.Limit == 0 {
			q.Limit = math.MaxInt32
		}
		cond, err := s.Where(q.Filter, t.AsOf)
		if err != nil {
			return err
		}
		// Two scans: the medians need two columns, and only the few calls above them
		// need the rest. Groups are numbered, so that events are grouped by an integer.
		text := fmt.Sprintf(`
WITH groups AS (
	SELECT id AS cell_id, feature, model, dense_rank() OVER (ORDER BY feature, model) AS g FROM cells
), medians AS (
	SELECT g, quantile_disc(%[1]s, 0.5) AS median, count(*) AS n
	FROM events JOIN groups ON cell_id = cell WHERE %[2]s AND %[1]s > 0 GROUP BY g HAVING count(*) >= %[3]s AND median > 0
), limits AS (
	SELECT cell_id, feature, model, median, n, least((median::HUGEINT * %[5]s + 999) // 1000, 9223372036854775807)::BIGINT AS bar
	FROM groups JOIN medians USING (g)
), bloated AS (
	SELECT id, ts, feature, model, %[1]s AS input, t_cache_read AS cached, %[4]s AS output,
		median, n, c_input + c_cache_read + c_cache_write + c_cache_write_1h AS paid, input - median AS beyond
	FROM events JOIN limits ON cell_id = cell
	WHERE %[2]s AND %[1]s > 0 AND %[1]s >= bar
)
SELECT id, ts, feature, model, input, cached, output, median, n, paid,
	CASE WHEN beyond = 0 OR paid <= 4611686018427387903 // beyond THEN %[8]s ELSE %[9]s END AS wasted
FROM bloated ORDER BY wasted DESC, id LIMIT %[6]d OFFSET %[7]d`,
			sqlquery.InputTokens, cond, s.Bind(q.MinCalls), sqlquery.OutputTokens, s.Bind(q.MinRatio), q.Limit+1, q.Offset,
			halfEven("paid * beyond", "input"), halfEven("(paid::HUGEINT * beyond)", "input"))
		rows, err := db.QueryContext(ctx, text, s.Args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var b analytics.Bloat
			var id duck.UUID
			var paid, wasted int64
			if err := rows.Scan(&id, &b.Timestamp, &b.Feature, &b.Model, &b.Input, &b.Cached, &b.Output, &b.Median, &b.GroupCalls, &paid, &wasted); err != nil {
				return err
			}
			b.ID, b.Timestamp = usage.ID(id), b.Timestamp.UTC()
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

// halfEven is num ÷ den, both positive integers, rounded half-even. In 64 bits
// where the product fits: a division in 128 bits is a hundred times slower.
func halfEven(num, den string) string {
	q, r := "("+num+" // "+den+")", "("+num+" % "+den+")"
	return fmt.Sprintf("(%[1]s + CASE WHEN 2 * %[2]s > %[3]s OR (2 * %[2]s = %[3]s AND %[1]s %% 2 = 1) THEN 1 ELSE 0 END)::BIGINT", q, r, den)
}
