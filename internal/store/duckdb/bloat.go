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
		spreads := "SELECT NULL::BIGINT AS g, NULL::BIGINT AS deviation, NULL::BIGINT AS ratio"
		if q.Spread {
			spreads = s.Dialect.Spreads("(SELECT cell_id, g, median FROM limits WHERE g IN (SELECT g FROM ranked))", cond)
		}
		// Two scans: the medians need two columns, and only the few calls above them
		// need the rest; the spread takes a third. Groups are numbered, so that events are
		// grouped by an integer.
		text := fmt.Sprintf(`
WITH groups AS (
	SELECT id AS cell_id, project, feature, model, dense_rank() OVER (ORDER BY feature, model) AS g FROM cells
), medians AS (
	SELECT g, quantile_disc(%[1]s, 0.5) AS median, count(*) AS n
	FROM events JOIN groups ON cell_id = cell WHERE %[2]s AND %[1]s > 0 GROUP BY g HAVING count(*) >= %[3]s AND median > 0
), limits AS (
	SELECT cell_id, g, project, feature, model, median, n, least((median::HUGEINT * %[5]s + 999) // 1000, 9223372036854775807)::BIGINT AS bar
	FROM groups JOIN medians USING (g)
), bloated AS (
	SELECT id, ts, g, project, feature, model, prompt_id, %[1]s AS input, t_cache_read AS cached, %[4]s AS output,
		median, n, %[8]s AS paid, input - median AS beyond
	FROM events JOIN limits ON cell_id = cell
	WHERE %[2]s AND %[1]s > 0 AND %[1]s >= bar
), ranked AS MATERIALIZED (
	SELECT *, %[9]s AS wasted FROM bloated ORDER BY wasted DESC, id LIMIT %[6]d OFFSET %[7]d
), spreads AS (
	%[10]s
)
SELECT id, ts, project, feature, model, prompt_id, input, cached, output, median, n, paid, wasted, coalesce(deviation, 0), coalesce(ratio, -1)
FROM ranked LEFT JOIN spreads USING (g) ORDER BY wasted DESC, id`,
			sqlquery.InputTokens, cond, s.Bind(q.MinCalls), sqlquery.OutputTokens, s.Bind(q.MinRatio), q.Limit+1, q.Offset,
			sqlquery.InputPaid, share("paid", "beyond", "input"), spreads)
		rows, err := db.QueryContext(ctx, text, s.Args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var b analytics.Bloat
			var id duck.UUID
			var promptID []byte
			var paid, wasted int64
			if err := rows.Scan(&id, &b.Timestamp, &b.Project, &b.Feature, &b.Model, &promptID, &b.Input, &b.Cached, &b.Output, &b.Median, &b.GroupCalls,
				&paid, &wasted, &b.Deviation, &b.MedianRatio); err != nil {
				return err
			}
			copy(b.PromptID[:], promptID) // none when there is none
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

// share is sqlquery.Dialect.Share.
func share(amount, part, whole string) string {
	return fmt.Sprintf("CASE WHEN %[2]s = 0 THEN 0 WHEN %[1]s <= 4611686018427387903 // %[2]s THEN %[3]s ELSE %[4]s END",
		amount, part, halfEven(amount+" * "+part, whole), halfEven("("+amount+"::HUGEINT * "+part+")", whole))
}

// halfEven is num ÷ den, both positive integers, rounded half-even. In 64 bits
// where the product fits: a division in 128 bits is a hundred times slower.
func halfEven(num, den string) string {
	q, r := "("+num+" // "+den+")", "("+num+" % "+den+")"
	return fmt.Sprintf("(%[1]s + CASE WHEN 2 * %[2]s > %[3]s OR (2 * %[2]s = %[3]s AND %[1]s %% 2 = 1) THEN 1 ELSE 0 END)::BIGINT", q, r, den)
}
