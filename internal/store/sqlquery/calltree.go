package sqlquery

import (
	"context"
	"fmt"
	"strings"

	"github.com/costprof/costprof/internal/analytics"
)

// CallTree answers a question whose AsOf is set, as store.Ledger defines it.
//
// Spans are numbered once and find their parents once; the walk from the top down
// then goes over the numbers of those alone that are somebody's parent, which
// are few beside the calls. A call that the walk does not come to the parent of
// stands at the top.
func (a Asker) CallTree(ctx context.Context, q analytics.CallTreeQuery) (t analytics.Table, err error) {
	s := Statement{Dialect: a.Dialect}
	around := analytics.Filter{To: q.To, Aggregates: true}
	if !q.From.IsZero() {
		around.From = q.From.Add(-analytics.TraceReach)
	}
	if projects, ok := q.Any[analytics.Project]; ok {
		// No trace is in two projects.
		around.Any = map[analytics.Dimension][]string{analytics.Project: projects}
	}
	spans, err := s.Where(around, q.AsOf)
	if err != nil {
		return t, err
	}
	counted, err := s.Where(q.Filter, q.AsOf)
	if err != nil {
		return t, err
	}
	limit := ""
	if q.Limit > 0 {
		limit = fmt.Sprintf(" LIMIT %d", q.Limit+1)
	}
	text := `
WITH RECURSIVE places AS (
	SELECT id, dense_rank() OVER (ORDER BY project) AS project, coalesce(nullif(operation, ''), feature) AS label FROM cells
), spans AS MATERIALIZED (
	SELECT row_number() OVER () AS n, events.id, ts, places.project, trace, span, parent_span, ` + "replace(coalesce(events.name, places.label), chr(1), chr(1) || chr(2))" + ` AS label,
		(` + counted + `) AS counted, cost, ` + InputTokens + ` AS input, ` + OutputTokens + ` AS output, t_cache_read AS cached, source, is_fallback
	FROM events JOIN places ON places.id = events.cell WHERE ` + spans + `
), named AS (
	SELECT DISTINCT project, trace, parent_span FROM spans WHERE parent_span IS NOT NULL
), candidates AS (
	SELECT spans.n, spans.project, spans.trace, spans.span, row_number() OVER (PARTITION BY spans.project, spans.trace, spans.span ORDER BY ts, id) AS place
	FROM spans JOIN named ON named.trace = spans.trace AND named.parent_span = spans.span AND named.project = spans.project
), parents AS MATERIALIZED (
	SELECT n, project, trace, span FROM candidates WHERE place = 1
), links AS MATERIALIZED (
	SELECT spans.n, nullif(parents.n, spans.n) AS up, label, counted, cost, input, output, cached, source, is_fallback
	FROM spans LEFT JOIN parents ON parents.trace = spans.trace AND parents.span = spans.parent_span AND parents.project = spans.project
), inner_links AS MATERIALIZED (
	SELECT links.n, links.up, links.label FROM links JOIN parents ON parents.n = links.n
), paths AS (
	SELECT n, label AS path, 1 AS depth FROM inner_links WHERE up IS NULL
	UNION ALL
	SELECT inner_links.n, paths.path || chr(1) || chr(3) || inner_links.label, depth + 1
	FROM inner_links JOIN paths ON paths.n = inner_links.up WHERE depth < ` + fmt.Sprint(analytics.MaxCallDepth) + `
), sums AS (
	SELECT paths.path AS above, label, ` + strings.Join([]string{
		"sum(cost) AS cost", "count(*)::BIGINT AS calls", "sum(input) AS input", "sum(output) AS output", "sum(cached) AS cached",
		a.UnpricedCalls() + "::BIGINT AS unpriced", a.CountIf("is_fallback") + "::BIGINT AS fallback",
	}, ", ") + ` FROM links LEFT JOIN paths ON paths.n = links.up WHERE counted GROUP BY paths.path, label
), whole AS (
	SELECT coalesce(above || chr(1) || chr(3), '') || label AS path, sum(cost) AS cost, sum(calls)::BIGINT AS calls, sum(input)::BIGINT AS input,
		sum(output)::BIGINT AS output, sum(cached)::BIGINT AS cached, sum(unpriced)::BIGINT AS unpriced, sum(fallback)::BIGINT AS fallback
	FROM sums GROUP BY 1
)
SELECT path, cost, calls, input, output, cached, unpriced, fallback,
	sum(cost) OVER (), (sum(calls) OVER ())::BIGINT, (sum(unpriced) OVER ())::BIGINT, (sum(fallback) OVER ())::BIGINT
FROM whole ORDER BY cost DESC, path` + limit
	rows, err := a.Query(ctx, text, s.Args...)
	if err != nil {
		return t, err
	}
	defer rows.Close()
	for rows.Next() {
		var r analytics.Row
		var path string
		if err := rows.Scan(&path, totalScanner{&r.Cost}, &r.Calls, &r.Input, &r.Output, &r.Cached, &r.Unpriced, &r.Fallback,
			totalScanner{&t.Cost}, &t.Calls, &t.Unpriced, &t.Fallback); err != nil {
			return t, err
		}
		r.Names = analytics.SplitPath(path)
		t.Rows = append(t.Rows, r)
	}
	if q.Limit > 0 && len(t.Rows) > q.Limit {
		t.Rows, t.More = t.Rows[:q.Limit], true
	}
	return t, rows.Err()
}
