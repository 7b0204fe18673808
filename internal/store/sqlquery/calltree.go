package sqlquery

import (
	"context"
	"fmt"
	"strings"

	"github.com/costprof/costprof/internal/analytics"
)

// CallTree answers a question whose AsOf is set, as store.Ledger defines it.
//
// A call that names no parent stands at the top, and is summed without a look at
// its trace. Only spans that others name are numbered and walked, from the top
// down; each different path gets a number, by which the calls below are summed
// before a path is looked at as text. A call that the walk does not come to the
// parent of stands at the top too.
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
	sums := strings.Join([]string{
		"sum(cost) AS cost", "count(*)::BIGINT AS calls", "sum(" + InputTokens + ") AS input", "sum(" + OutputTokens + ") AS output", "sum(t_cache_read) AS cached",
		a.UnpricedCalls() + "::BIGINT AS unpriced", a.CountIf("is_fallback") + "::BIGINT AS fallback",
	}, ", ")
	text := `
WITH RECURSIVE places AS MATERIALIZED (
	SELECT id, dense_rank() OVER (ORDER BY project) AS project, coalesce(nullif(operation, ''), feature) AS label FROM cells
), named AS MATERIALIZED (
	SELECT DISTINCT places.project, trace, parent_span FROM events JOIN places ON places.id = events.cell WHERE parent_span IS NOT NULL AND ` + spans + `
), candidates AS (
	SELECT e.id, e.ts, e.project, e.trace, e.span, e.parent_span, e.label
	FROM (SELECT events.id, ts, places.project, trace, span, parent_span, coalesce(events.name, places.label) AS label
		FROM events JOIN places ON places.id = events.cell WHERE ` + spans + `) e
	JOIN named ON named.trace = e.trace AND named.parent_span = e.span AND named.project = e.project
), parents AS MATERIALIZED (
	SELECT row_number() OVER () AS n, id, project, trace, span, parent_span, replace(label, chr(1), chr(1) || chr(2)) AS label
	FROM (SELECT candidates.*, row_number() OVER (PARTITION BY project, trace, span ORDER BY ts, id) AS place FROM candidates) ranked WHERE place = 1
), links AS MATERIALIZED (
	SELECT p.n, up.n AS up, p.label
	FROM parents p LEFT JOIN parents up ON up.trace = p.trace AND up.span = p.parent_span AND up.project = p.project AND up.n <> p.n
), paths AS (
	SELECT n, label AS path, 1 AS depth FROM links WHERE up IS NULL
	UNION ALL
	SELECT links.n, paths.path || chr(1) || chr(3) || links.label, depth + 1
	FROM links JOIN paths ON paths.n = links.up WHERE depth < ` + fmt.Sprint(analytics.MaxCallDepth) + `
), walked AS MATERIALIZED (
	SELECT n, path FROM paths
), numbers AS MATERIALIZED (
	SELECT path, row_number() OVER () AS place FROM (SELECT DISTINCT path FROM walked) different
), above AS MATERIALIZED (
	SELECT parents.id, project, trace, span, place FROM parents JOIN walked ON walked.n = parents.n JOIN numbers ON numbers.path = walked.path
), sums AS (
	SELECT above.place, e.label, ` + sums + `
	FROM (SELECT events.*, places.project, coalesce(events.name, places.label) AS label
		FROM events JOIN places ON places.id = events.cell WHERE parent_span IS NOT NULL AND ` + counted + `) e
	LEFT JOIN above ON above.trace = e.trace AND above.span = e.parent_span AND above.project = e.project AND above.id <> e.id
	GROUP BY above.place, e.label
	UNION ALL
	SELECT NULL::BIGINT, coalesce(tops.name, places.label), sum(cost), sum(calls)::BIGINT, sum(input), sum(output), sum(cached), sum(unpriced)::BIGINT, sum(fallback)::BIGINT
	FROM (SELECT cell, name, ` + sums + ` FROM events WHERE parent_span IS NULL AND ` + counted + ` GROUP BY cell, name) tops
	JOIN places ON places.id = tops.cell GROUP BY 2
), whole AS (
	SELECT coalesce(numbers.path || chr(1) || chr(3), '') || replace(label, chr(1), chr(1) || chr(2)) AS path, sum(cost) AS cost, sum(calls)::BIGINT AS calls, sum(input)::BIGINT AS input,
		sum(output)::BIGINT AS output, sum(cached)::BIGINT AS cached, sum(unpriced)::BIGINT AS unpriced, sum(fallback)::BIGINT AS fallback
	FROM sums LEFT JOIN numbers ON numbers.place = sums.place GROUP BY 1
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
	t.TruncatedBefore = a.Pruned.TruncatedBefore(q.Filter)
	return t, rows.Err()
}
