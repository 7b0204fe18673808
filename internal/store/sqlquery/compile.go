package sqlquery

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
)

// from says where groups take their texts.
type from struct {
	cells, tags, events bool
	columns             []string // of cells
	names               []string // of tags, bound
}

// dimension gives the expression that a dimension is shown by; base is what
// holds the numbers of cell and tag set.
func (s *Statement) dimension(d analytics.Dimension, q *analytics.Query, base string, f *from) (string, error) {
	if name, ok := d.TagName(); ok {
		f.tags = true
		alias := "tag" + strconv.Itoa(len(s.joins)+1)
		bound := s.bindText(name)
		f.names = append(f.names, bound)
		s.joins = append(s.joins, fmt.Sprintf("LEFT JOIN tags %s ON %s.tagset = %s.tagset AND %s.name = %s", alias, alias, base, alias, bound))
		return "nullif(" + alias + ".value, '')", nil
	}
	if col, ok := eventDimensions[d]; ok {
		f.events = true
		return col, nil
	}
	col, ok := cellDimensions[d]
	if !ok {
		return "", fault.New(fault.Internal, "no column for dimension %q", d)
	}
	f.cells = true
	if q.BySent && (d == analytics.Provider || d == analytics.Model) {
		col = "sent_" + col
	}
	f.columns = append(f.columns, col)
	return "cells." + col, nil
}

// aggregate is a compiled Query: the statement and how to read its rows.
type aggregate struct {
	Statement
	text     string
	groups   int
	bucket   bool
	measures []measure
	ranked   bool
}

// compile turns a Query into one SELECT. Rows come as groups, bucket, measures
// and, when ranked, the sums over all rows.
//
// Where the measures allow it the events are first grouped by the numbers of
// cell and tag set into few parts, and only these by text: a third of the time.
// Hours that are summed up give such parts too, and their events are not read.
func (d *Dialect) compile(q analytics.Query, kept *Sums, pruned analytics.Pruned) (*aggregate, error) {
	a := &aggregate{Statement: Statement{Dialect: d}, groups: len(q.GroupBy), bucket: q.Grain > 0, measures: d.measures(q.Measures)}
	switch q.Grain {
	case 0, time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 24 * time.Hour:
	default:
		return nil, fault.New(fault.Internal, "grain %s is not supported", q.Grain)
	}
	if q.Baseline != (analytics.Window{}) {
		return a, a.compileMoved(&q, pruned)
	}
	inParts := kept != nil || foldable(q)
	base := "events"
	if inParts {
		base = "parts"
	}
	var f from
	var selects, groups []string
	for i, by := range q.GroupBy {
		e, err := a.dimension(by, &q, base, &f)
		if err != nil {
			return nil, err
		}
		selects = append(selects, e+" AS g"+strconv.Itoa(i))
		groups = append(groups, e)
	}
	if f.cells = f.cells || q.Measures&analytics.MeasureRoot != 0; f.cells {
		a.joins = append(a.joins, "JOIN cells ON cells.id = "+base+".cell")
	}
	bucket := d.grain(&q)
	if a.bucket {
		e := bucket
		if inParts {
			e = "parts.bucket"
		}
		selects = append(selects, e+" AS bucket")
		groups = append(groups, e)
	}
	var source string
	if inParts {
		for i, m := range a.measures {
			selects = append(selects, fmt.Sprintf(m.fold, "parts.m"+strconv.Itoa(i))+" AS m"+strconv.Itoa(i))
		}
		parts, err := a.parts(&q, f, bucket, kept)
		if err != nil {
			return nil, err
		}
		source = "(" + strings.Join(parts, " UNION ALL ") + ") parts " + strings.Join(a.joins, " ")
	} else {
		for i, m := range a.measures {
			selects = append(selects, m.sql+" AS m"+strconv.Itoa(i))
		}
		cond, err := a.Where(q.Filter, q.AsOf)
		if err != nil {
			return nil, err
		}
		source = "events " + strings.Join(a.joins, " ") + " WHERE " + cond
	}
	text := "SELECT " + strings.Join(selects, ", ") + " FROM " + source
	if len(groups) > 0 {
		text += " GROUP BY " + strings.Join(groups, ", ")
		if kept != nil && kept.Later {
			text += " HAVING sum(parts.m1) <> 0" // m1 are the calls: the group came later
		}
	}
	if len(pruned) > 0 && servedByDays(q) {
		var err error
		if text, err = a.withPast(text, &q, daysIn(pruned, q.Filter)); err != nil {
			return nil, err
		}
	}
	switch {
	case a.bucket:
		text += " ORDER BY bucket" + orderNames(a.groups)
	case a.groups > 0:
		text = a.ranking(text, "m0", &q)
	}
	a.text = text
	return a, nil
}

// ranking puts the groups in order, those with the most of by first, beside the
// sums over all of them, and cuts the page.
func (a *aggregate) ranking(groups, by string, q *analytics.Query) string {
	a.ranked = true
	whole := ""
	for i, m := range a.measures {
		if m.summed {
			whole += ", " + fmt.Sprintf(strings.Replace(m.fold, ")", ") OVER ()", 1), "m"+strconv.Itoa(i))
		}
	}
	text := "SELECT *" + whole + ", count(*) OVER () FROM (" + groups + ") ranked ORDER BY " + by + " DESC" + orderNames(a.groups)
	if q.Limit > 0 {
		text += fmt.Sprintf(" LIMIT %d", q.Limit+1)
	}
	if q.Offset > 0 {
		text += fmt.Sprintf(" OFFSET %d", q.Offset)
	}
	return text
}

// compileMoved compiles a question with a baseline: one look at the events of
// both windows, those of the baseline counting negative.
func (a *aggregate) compileMoved(q *analytics.Query, pruned analytics.Pruned) error {
	if a.bucket || a.groups == 0 || q.Measures != 0 {
		return fault.New(fault.Internal, "a baseline goes with groups, and without grain and measures")
	}
	is, err := a.Where(q.Filter, q.AsOf)
	if err != nil {
		return err
	}
	before := q.Filter
	before.From, before.To = q.Baseline.From, q.Baseline.To
	was, err := a.Where(before, q.AsOf)
	if err != nil {
		return err
	}
	var f from
	columns := []string{"cell", "tagset"}
	var selects, groups []string
	for i, d := range q.GroupBy {
		e, err := a.dimension(d, q, "events", &f)
		if err != nil {
			return err
		}
		if col, ok := eventDimensions[d]; ok && !slices.Contains(columns, col) {
			columns = append(columns, col)
		}
		selects = append(selects, e+" AS g"+strconv.Itoa(i))
		groups = append(groups, e)
	}
	if f.cells {
		a.joins = append(a.joins, "JOIN cells ON cells.id = events.cell")
	}
	both := strings.Join(columns, ", ")
	past := ""
	if servedByDays(*q) { // then both is cell and tagset
		for _, window := range [...]struct {
			analytics.Filter
			sign string
		}{{q.Filter, ""}, {before, "-"}} {
			if d := daysIn(pruned, window.Filter); d.from < d.to {
				past += " UNION ALL SELECT cell, NULL::BIGINT, " + window.sign + "cost, " + window.sign + "calls" + a.pastRows(window.Filter, d, false)
			}
		}
	}
	a.text = a.ranking("SELECT "+strings.Join(selects, ", ")+", sum(cost) AS m0, sum(calls)::BIGINT AS m1 FROM ("+
		"SELECT "+both+", cost, 1 AS calls FROM events WHERE "+is+
		" UNION ALL SELECT "+both+", -cost, -1 FROM events WHERE "+was+past+
		") events "+strings.Join(a.joins, " ")+" GROUP BY "+strings.Join(groups, ", "), "abs(m0)", q)
	return nil
}
