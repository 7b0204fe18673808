package sqlquery

import (
	"context"
	"fmt"

	"github.com/costprof/costprof/internal/analytics"
)

// InputPaid is what an event's input cost, all cache classes together.
const InputPaid = "c_input + c_cache_read + c_cache_write + c_cache_write_1h"

// Spreads is the select of deviation and ratio by group, for analytics.Bloat: limits
// has cell_id, g and median of the groups, cond selects the events. A median of no
// ratio is NULL.
func (d *Dialect) Spreads(limits, cond string) string {
	return fmt.Sprintf(`SELECT g, %s AS deviation, %s AS ratio
	FROM events JOIN %s ON cell_id = cell WHERE %s AND %s > 0 GROUP BY g`,
		d.Quantile(fmt.Sprintf("abs(%s - median)", InputTokens), "0.5"),
		d.Quantile(fmt.Sprintf("CASE WHEN %[2]s > 0 THEN ((%[1]s) * 1000) %[3]s (%[2]s) END", InputTokens, OutputTokens, d.Divide), "0.5"),
		limits, cond, InputTokens)
}

// Growth answers a question whose AsOf is set, as store.Ledger defines it.
func (a Asker) Growth(ctx context.Context, q analytics.GrowthQuery) (t analytics.GrowthTable, err error) {
	s := Statement{Dialect: a.Dialect}
	q.Aggregates = false // a span that sums its children is not a call
	cond, err := s.Where(q.Filter, q.AsOf)
	if err != nil {
		return t, err
	}
	limit := ""
	if q.Groups > 0 {
		limit = fmt.Sprintf(" LIMIT %d", q.Groups)
	}
	text := fmt.Sprintf(`
WITH numbered AS (
	SELECT id AS cell_id, feature, model, dense_rank() OVER (ORDER BY feature, model) AS g FROM cells
), parts AS (
	SELECT g, part, count(*)::BIGINT AS calls, sum(input)::BIGINT AS input, sum(paid) AS paid, %[1]s AS median
	FROM (SELECT g, ((%[2]s - %[3]d) * %[4]d) %[5]s %[6]d AS part, %[7]s AS input, %[8]s AS paid
		FROM events JOIN numbered ON cell_id = cell WHERE %[9]s AND %[7]s > 0) calls
	GROUP BY g, part
), names AS (
	SELECT DISTINCT g, feature, model FROM numbered
), dearest AS (
	SELECT g, feature, model, paid, (count(*) OVER ())::BIGINT AS total
	FROM (SELECT g, sum(paid) AS paid FROM parts GROUP BY g) sums JOIN names USING (g)
	ORDER BY paid DESC, feature, model%[10]s
)
SELECT feature, model, part, calls, input, median, parts.paid, total
FROM dearest JOIN parts USING (g) ORDER BY dearest.paid DESC, feature, model, part`,
		a.Quantile("input", "0.5"), a.Micros, q.From.UnixMicro(), q.Parts, a.Divide, max(1, q.To.Sub(q.From).Microseconds()),
		InputTokens, InputPaid, cond, limit)
	rows, err := a.Query(ctx, text, s.Args...)
	if err != nil {
		return t, err
	}
	defer rows.Close()
	var total int64
	for rows.Next() {
		var feature, model string
		var part int64
		var p analytics.GrowthPart
		if err := rows.Scan(&feature, &model, &part, &p.Calls, &p.Input, &p.Median, totalScanner{&p.InputCost}, &total); err != nil {
			return t, err
		}
		p.Part = int(part)
		last := len(t.Groups) - 1
		if last < 0 || t.Groups[last].Feature != feature || t.Groups[last].Model != model {
			t.Groups = append(t.Groups, analytics.GrowthGroup{Feature: feature, Model: model})
			last++
		}
		t.Groups[last].Parts = append(t.Groups[last].Parts, p)
	}
	t.Left = total - int64(len(t.Groups))
	t.TruncatedBefore = a.Pruned.TruncatedBefore(q.Filter)
	return t, rows.Err()
}

// Resent answers a question whose AsOf is set, as analytics.HistoryQuery defines
// it.
func (a Asker) Resent(ctx context.Context, q analytics.HistoryQuery) (t analytics.HistoryTable, err error) {
	s := Statement{Dialect: a.Dialect}
	q.Aggregates = false
	cond, err := s.Where(q.Filter, q.AsOf)
	if err != nil {
		return t, err
	}
	limit := ""
	if q.Limit > 0 {
		limit = fmt.Sprintf(" LIMIT %d", q.Limit+1)
	}
	// The names come last: sessions are sorted with numbers beside them.
	group, session := "feature", "''"
	project := "''"
	if q.BySession {
		group, session, project = "feature, project, session_id", "session_id", "project"
	}
	text := fmt.Sprintf(`
WITH places AS (
	SELECT id AS cell_id, project, feature, dense_rank() OVER (ORDER BY project, feature) AS g FROM cells
), calls AS (
	SELECT g, session_id, id, %[1]s AS made, %[2]s AS input, %[3]s AS output, t_cache_read AS cached,
		c_cache_read AS paid_cached, c_input + c_cache_write + c_cache_write_1h AS paid_other
	FROM events JOIN places ON cell_id = cell WHERE %[4]s AND session_id IS NOT NULL AND %[2]s > 0
), turns AS (
	SELECT *, lag(input + output) OVER turn AS sent, first_value(input) OVER turn AS opening
	FROM (SELECT *, %[14]s AS hashed FROM calls) hashed_calls WINDOW turn AS (PARTITION BY hashed, g, session_id ORDER BY made, id)
), again AS (
	SELECT *, CASE WHEN sent IS NULL THEN 0 WHEN sent < input THEN sent ELSE input END AS resent FROM turns
), cut AS (
	SELECT *, least(cached, resent) AS resent_cached, greatest(resent - opening, 0) AS history, greatest(least(cached, resent) - opening, 0) AS history_cached,
		input - cached AS other FROM again
), split AS (
	SELECT *, resent - resent_cached AS resent_other, history - history_cached AS history_other FROM cut
), sessions AS (
	SELECT g, session_id, count(*) AS calls, count(sent) AS turns, sum(input) AS input, max(input) AS max_input,
		sum(resent) AS resent, sum(resent_cached) AS resent_cached, sum(history) AS history, sum(history_cached) AS history_cached,
		sum(%[5]s) + sum(%[6]s) AS resent_cost, sum(%[7]s) + sum(%[8]s) AS history_cost, min(made) AS first_at, max(made) AS last_at
	FROM split GROUP BY g, session_id
), names AS (
	SELECT DISTINCT g, project, feature FROM places
)
SELECT feature, %[9]s, %[10]s, count(*)::BIGINT, sum(calls)::BIGINT, sum(turns)::BIGINT, max(turns)::BIGINT, sum(input)::BIGINT, max(max_input)::BIGINT,
	sum(resent)::BIGINT, sum(resent_cached)::BIGINT, sum(history)::BIGINT, sum(history_cached)::BIGINT,
	sum(resent_cost) AS resent_cost, sum(history_cost) AS history_cost, min(first_at)::BIGINT, max(last_at)::BIGINT
FROM sessions JOIN names USING (g) GROUP BY %[11]s HAVING sum(turns) > 0
ORDER BY history_cost DESC, resent_cost DESC, %[11]s%[12]s OFFSET %[13]d`,
		a.Micros, InputTokens, OutputTokens, cond,
		a.Share("paid_cached", "resent_cached", "cached"), a.Share("paid_other", "resent_other", "other"),
		a.Share("paid_cached", "history_cached", "cached"), a.Share("paid_other", "history_other", "other"),
		project, session, group, limit, q.Offset, a.Hash("g", "session_id"))
	rows, err := a.Query(ctx, text, s.Args...)
	if err != nil {
		return t, err
	}
	defer rows.Close()
	for rows.Next() {
		var h analytics.History
		if err := rows.Scan(&h.Feature, &h.Project, &h.Session, &h.Sessions, &h.Calls, &h.Turns, &h.MaxTurns, &h.Input, &h.MaxInput,
			&h.Resent, &h.ResentCached, &h.History, &h.HistoryCached, totalScanner{&h.ResentCost}, totalScanner{&h.HistoryCost},
			timeScanner{&h.First}, timeScanner{&h.Last}); err != nil {
			return t, err
		}
		t.Rows = append(t.Rows, h)
	}
	if q.Limit > 0 && len(t.Rows) > q.Limit {
		t.Rows, t.More = t.Rows[:q.Limit], true
	}
	t.TruncatedBefore = a.Pruned.TruncatedBefore(q.Filter)
	return t, rows.Err()
}
