package duckdb

import (
	"context"
	"database/sql"
	"fmt"

	duck "github.com/duckdb/duckdb-go/v2"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/usage"
)

// Bloat implements store.Ledger. Wasted is computed in 128-bit integers and
// rounded half-even, as analytics.Bloat defines it.
func (e *Engine) Bloat(ctx context.Context, q analytics.BloatQuery) (analytics.BloatTable, error) {
	var t analytics.BloatTable
	err := e.read(ctx, func(db *sql.DB, at position) error {
		t = analytics.BloatTable{AsOf: at.bound(q.AsOf), Revision: at.revision}
		var s statement
		q.Aggregates = false // a span that sums its children is not a call
		cond, err := s.where(q.Filter, t.AsOf)
		if err != nil {
			return err
		}
		// Two scans: the medians need four columns, and only the few calls above
		// them need the rest. Reading all columns once and keeping them for both
		// steps took five times as long.
		const input = "t_input + t_cache_read + t_cache_write + t_cache_write_1h + t_media_in"
		text := fmt.Sprintf(`
WITH medians AS (
	SELECT feature, provider, model, quantile_disc(%[1]s, 0.5) AS median, count(*) AS n
	FROM events WHERE %[2]s AND %[1]s > 0 GROUP BY ALL
), bloated AS (
	SELECT id, ts, feature, model, %[1]s AS input, t_cache_read AS cached, t_output + t_reasoning + t_media_out AS output,
		median, n, c_input + c_cache_read + c_cache_write + c_cache_write_1h AS paid, paid::HUGEINT * (%[1]s - median) AS num
	FROM events JOIN medians USING (feature, provider, model)
	WHERE %[2]s AND %[1]s > 0 AND n >= %[3]s AND median > 0 AND (%[1]s) * 1000 >= median * %[4]s
)
SELECT id, ts, feature, model, input, cached, output, median, n, paid,
	(num // input + CASE WHEN 2 * (num %% input) > input OR (2 * (num %% input) = input AND (num // input) %% 2 = 1) THEN 1 ELSE 0 END)::BIGINT AS wasted
FROM bloated ORDER BY wasted DESC, id LIMIT %[5]d OFFSET %[6]d`,
			input, cond, s.bind(q.MinCalls), s.bind(q.MinRatio), q.Limit+1, q.Offset)
		rows, err := db.QueryContext(ctx, text, s.args...)
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
