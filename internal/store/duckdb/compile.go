package duckdb

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/usage"
)

// statement is SQL under construction. Values are always bound; every name in
// the text comes from the closed lists in this file.
type statement struct {
	args  []any
	joins []string
}

// bind adds a value and returns its placeholder.
func (s *statement) bind(v any) string {
	s.args = append(s.args, v)
	return "$" + strconv.Itoa(len(s.args))
}

func (s *statement) bindAll(vs []string) string {
	ps := make([]string, len(vs))
	for i, v := range vs {
		ps[i] = s.bind(v)
	}
	return strings.Join(ps, ", ")
}

// cellDimensions are the dimensions whose texts stand in cells.
var cellDimensions = map[analytics.Dimension]string{
	analytics.Feature:     "feature",
	analytics.Model:       "model",
	analytics.Provider:    "provider",
	analytics.Project:     "project",
	analytics.Department:  "department",
	analytics.Environment: "environment",
	analytics.Operation:   "operation",
	analytics.Tier:        "service_tier",
}

// eventDimensions are those whose texts, often as many as events, stand in the
// event itself; NULL is a missing one.
var eventDimensions = map[analytics.Dimension]string{
	analytics.User:    "user_id",
	analytics.Session: "session_id",
}

// where compiles a filter into a condition on events; asOf bounds the commits
// seen.
func (s *statement) where(f analytics.Filter, asOf int64) (string, error) {
	cond, err := s.timeless(f, asOf)
	return cond + s.between(f.From, f.To), err
}

// between bounds the time, half-open; a zero time is no bound.
func (s *statement) between(from, to time.Time) string {
	var c string
	if !from.IsZero() {
		c += " AND ts >= " + s.bind(from.UTC())
	}
	if !to.IsZero() {
		c += " AND ts < " + s.bind(to.UTC())
	}
	return c
}

// timeless compiles what a filter says beside its time.
func (s *statement) timeless(f analytics.Filter, asOf int64) (string, error) {
	c := []string{"seq <= " + s.bind(asOf)}
	if !f.Aggregates {
		c = append(c, "NOT is_aggregate")
	}
	switch f.Status {
	case analytics.StatusOK:
		c = append(c, "NOT is_error")
	case analytics.StatusError:
		c = append(c, "is_error")
	}
	if len(f.Sources) > 0 {
		ns := make([]string, len(f.Sources))
		for i, src := range f.Sources {
			ns[i] = strconv.Itoa(int(src))
		}
		c = append(c, "source IN ("+strings.Join(ns, ", ")+")")
	}
	for _, d := range slices.Sorted(maps.Keys(f.Any)) {
		if _, ok := cellDimensions[d]; ok {
			continue
		}
		cond, err := s.any(d, f.Any[d])
		if err != nil {
			return "", err
		}
		c = append(c, cond)
	}
	return strings.Join(c, " AND ") + s.cells(f, "events"), nil
}

// cells compiles the filters on dimensions whose texts stand in cells, for a
// table that names a cell.
func (s *statement) cells(f analytics.Filter, table string) string {
	var c []string
	for _, d := range slices.Sorted(maps.Keys(f.Any)) {
		col, ok := cellDimensions[d]
		switch {
		case !ok:
		case len(f.Any[d]) == 0:
			return " AND false"
		default:
			c = append(c, col+" IN ("+s.bindAll(f.Any[d])+")")
		}
	}
	for _, d := range slices.Sorted(maps.Keys(f.Called)) {
		if len(f.Called[d]) == 0 {
			return " AND false"
		}
		names := s.bindAll(f.Called[d])
		c = append(c, fmt.Sprintf("(%[1]s IN (%[2]s) OR sent_%[1]s IN (%[2]s))", cellDimensions[d], names))
	}
	if len(c) == 0 {
		return ""
	}
	return " AND " + table + ".cell IN (SELECT id FROM cells WHERE " + strings.Join(c, " AND ") + ")"
}

// any compiles "the dimension has one of these values", for tags and for
// dimensions of the event.
func (s *statement) any(d analytics.Dimension, values []string) (string, error) {
	given, missing := values, false
	if slices.Contains(values, "") {
		missing = true
		given = slices.DeleteFunc(slices.Clone(values), func(v string) bool { return v == "" })
	}
	var or []string
	if name, ok := d.TagName(); ok {
		// Tag sets are few; they are found first and the events by set number.
		if len(given) > 0 {
			or = append(or, fmt.Sprintf("events.tagset IN (SELECT tagset FROM tags WHERE name = %s AND value IN (%s))", s.bind(name), s.bindAll(given)))
		}
		if missing {
			or = append(or, fmt.Sprintf("(events.tagset IS NULL OR events.tagset NOT IN (SELECT tagset FROM tags WHERE name = %s AND value <> ''))", s.bind(name)))
		}
	} else {
		col, ok := eventDimensions[d]
		if !ok {
			return "", fault.New(fault.Internal, "no column for dimension %q", d)
		}
		if len(given) > 0 {
			or = append(or, col+" IN ("+s.bindAll(given)+")")
		}
		if missing {
			or = append(or, col+" IS NULL")
		}
	}
	if len(or) == 0 {
		return "false", nil
	}
	return "(" + strings.Join(or, " OR ") + ")", nil
}

// from says where groups take their texts.
type from struct {
	cells, tags, events bool
}

// dimension gives the expression that a dimension is shown by; base is what
// holds the numbers of cell and tag set.
func (s *statement) dimension(d analytics.Dimension, q *analytics.Query, base string, f *from) (string, error) {
	if name, ok := d.TagName(); ok {
		f.tags = true
		alias := "tag" + strconv.Itoa(len(s.joins)+1)
		s.joins = append(s.joins, fmt.Sprintf("LEFT JOIN tags %s ON %s.tagset = %s.tagset AND %s.name = %s", alias, alias, base, alias, s.bind(name)))
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
	return "cells." + col, nil
}

// classColumns are the cost columns in the order of usage.Class.
var classColumns = [usage.NumClasses]string{
	"c_input", "c_cache_read", "c_cache_write", "c_cache_write_1h", "c_output", "c_reasoning", "c_media", "c_units", "c_unsplit",
}

// classTokens are the tokens of each class that has some: from the columns of
// events, and the column of hours that keeps their sum.
var classTokens = []struct {
	class     usage.Class
	sql, kept string
}{
	{usage.ClassInput, "t_input", "t_input"},
	{usage.ClassCacheRead, "t_cache_read", "cached"},
	{usage.ClassCacheWrite, "t_cache_write", "t_cache_write"},
	{usage.ClassCacheWrite1h, "t_cache_write_1h", "t_cache_write_1h"},
	{usage.ClassOutput, "t_output", "t_output"},
	{usage.ClassReasoning, "t_reasoning", "t_reasoning"},
	{usage.ClassMedia, "t_media_in + t_media_out", "t_media"},
}

// measure is one column of an answer: how it is computed, and where it goes.
type measure struct {
	sql string
	// fold combines the values of parts into that of the whole; "" when that
	// cannot be done. kept is the column of hours that holds such a part.
	fold, kept string
	target     func(*analytics.Row) any
	// summed measures are also given as sums over the whole ranking.
	summed bool
}

// measures lists what to select; the first two are always cost and calls.
func measures(m analytics.Measures) []measure {
	var out []measure
	add := func(sql, fold, kept string, target func(*analytics.Row) any) {
		summed := kept == "cost" || kept == "calls" || kept == "unpriced" || kept == "fallback"
		out = append(out, measure{sql, fold, kept, target, summed})
	}
	dollars := func(col string, at func(*analytics.Row) *money.Total) {
		add("sum("+col+")", "sum(%s)", col, func(r *analytics.Row) any { return totalScanner{at(r)} })
	}
	number := func(sql, kept string, at func(*analytics.Row) *int64) {
		add(sql+"::BIGINT", "sum(%s)::BIGINT", kept, func(r *analytics.Row) any { return intScanner{at(r)} })
	}
	dollars("cost", func(r *analytics.Row) *money.Total { return &r.Cost })
	number("count(*)", "calls", func(r *analytics.Row) *int64 { return &r.Calls })
	if m&analytics.MeasureTokens != 0 {
		number("sum("+inputTokens+")", "input", func(r *analytics.Row) *int64 { return &r.Input })
		number("sum("+outputTokens+")", "output", func(r *analytics.Row) *int64 { return &r.Output })
		number("sum(t_cache_read)", "cached", func(r *analytics.Row) *int64 { return &r.Cached })
	}
	if m&analytics.MeasureErrors != 0 {
		number("count_if(is_error)", "errors", func(r *analytics.Row) *int64 { return &r.Errors })
	}
	if m&analytics.MeasureLatency != 0 {
		number("sum(latency)", "latency", func(r *analytics.Row) *int64 { return &r.LatencyMicros })
	}
	if m&analytics.MeasureP95 != 0 {
		add("quantile_disc(latency, 0.95)", "", "", func(r *analytics.Row) any { return intScanner{&r.P95Micros} })
	}
	if m&analytics.MeasureSaving != 0 {
		dollars("saving", func(r *analytics.Row) *money.Total { return &r.Saving })
	}
	if m&analytics.MeasureSource != 0 {
		number(unpricedCalls, "unpriced", func(r *analytics.Row) *int64 { return &r.Unpriced })
		number("count_if(is_fallback)", "fallback", func(r *analytics.Row) *int64 { return &r.Fallback })
	}
	if m&analytics.MeasureSeen != 0 {
		add("min(ts)", "min(%s)", "first", func(r *analytics.Row) any { return timeScanner{&r.First} })
		add("max(ts)", "max(%s)", "last", func(r *analytics.Row) any { return timeScanner{&r.Last} })
	}
	if m&analytics.MeasureClasses != 0 {
		for i, col := range classColumns {
			dollars(col, func(r *analytics.Row) *money.Total { return &r.Classes[i] })
		}
	}
	if m&analytics.MeasureClassTokens != 0 {
		for _, t := range classTokens {
			number("sum("+t.sql+")", t.kept, func(r *analytics.Row) *int64 { return &r.ClassTokens[t.class] })
		}
	}
	return out
}

// The totals of the wire from the ledger's disjoint columns.
const (
	inputTokens  = "t_input + t_cache_read + t_cache_write + t_cache_write_1h + t_media_in"
	outputTokens = "t_output + t_reasoning + t_media_out"
)

// unpricedCalls counts what analytics.Row.Unpriced does.
var unpricedCalls = fmt.Sprintf("count_if(source IN (%d, %d))", usage.SourceUnpriced, usage.SourceClient)

// aggregate is a compiled Query: the statement and how to read its rows.
type aggregate struct {
	statement
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
func compile(q analytics.Query, kept *summed) (*aggregate, error) {
	a := &aggregate{groups: len(q.GroupBy), bucket: q.Grain > 0, measures: measures(q.Measures)}
	switch q.Grain {
	case 0, time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 24 * time.Hour:
	default:
		return nil, fault.New(fault.Internal, "grain %s is not supported", q.Grain)
	}
	inParts := kept != nil || foldable(q)
	base := "events"
	if inParts {
		base = "parts"
	}
	var f from
	var selects, groups []string
	for i, d := range q.GroupBy {
		e, err := a.dimension(d, &q, base, &f)
		if err != nil {
			return nil, err
		}
		selects = append(selects, e+" AS g"+strconv.Itoa(i))
		groups = append(groups, e)
	}
	if f.cells {
		a.joins = append(a.joins, "JOIN cells ON cells.id = "+base+".cell")
	}
	// Integer division beats date_trunc, and the grains all divide the epoch.
	bucket := fmt.Sprintf("epoch_us(ts) // %d", max(1, q.Grain.Microseconds()))
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
		cond, err := a.where(q.Filter, q.AsOf)
		if err != nil {
			return nil, err
		}
		source = "events " + strings.Join(a.joins, " ") + " WHERE " + cond
	}
	text := "SELECT " + strings.Join(selects, ", ") + " FROM " + source
	if len(groups) > 0 {
		text += " GROUP BY " + strings.Join(groups, ", ")
	}
	switch {
	case a.bucket:
		text += " ORDER BY bucket" + orderNames(a.groups)
	case a.groups > 0:
		a.ranked = true
		whole := ""
		for i, m := range a.measures {
			if m.summed {
				whole += ", " + fmt.Sprintf(strings.Replace(m.fold, ")", ") OVER ()", 1), "m"+strconv.Itoa(i))
			}
		}
		text = "SELECT *" + whole + " FROM (" + text + ") ORDER BY m0 DESC" + orderNames(a.groups)
		if q.Limit > 0 {
			text += fmt.Sprintf(" LIMIT %d", q.Limit+1)
		}
		if q.Offset > 0 {
			text += fmt.Sprintf(" OFFSET %d", q.Offset)
		}
	}
	a.text = text
	return a, nil
}

// parts compiles the SELECTs whose rows, together, are the question's events
// grouped by numbers: kept sums where there are, events for the rest.
func (a *aggregate) parts(q *analytics.Query, f from, bucket string, kept *summed) ([]string, error) {
	var keys []string
	if f.cells {
		keys = append(keys, "cell")
	}
	if f.tags {
		keys = append(keys, "tagset")
	}
	if a.bucket {
		keys = append(keys, "bucket")
	}
	selects := func(bucket string, value func(measure) string) string {
		var c []string
		for _, k := range keys {
			if k == "bucket" {
				k = bucket + " AS bucket"
			}
			c = append(c, k)
		}
		for i, m := range a.measures {
			c = append(c, value(m)+" AS m"+strconv.Itoa(i))
		}
		return "SELECT " + strings.Join(c, ", ")
	}
	by := ""
	if len(keys) > 0 {
		by = " GROUP BY " + strings.Join(keys, ", ")
	}
	cond, err := a.timeless(q.Filter, q.AsOf)
	if err != nil {
		return nil, err
	}
	events := selects(bucket, func(m measure) string { return m.sql }) + " FROM events WHERE " + cond
	if kept == nil {
		return []string{events + a.between(q.From, q.To) + by}, nil
	}
	hours := fmt.Sprintf(" FROM hours WHERE hour >= %d AND hour < %d", kept.from, kept.to) + notIn("hour", kept.holes) + a.cells(q.Filter, "hours")
	var parts []string
	if q.Grain == time.Hour && f.cells {
		// The sums are of just these groups.
		parts = append(parts, selects("hour", func(m measure) string { return m.kept })+hours)
	} else {
		parts = append(parts, selects(fmt.Sprintf("hour // %d", max(1, int64(q.Grain/time.Hour))),
			func(m measure) string { return fmt.Sprintf(m.fold, m.kept) })+hours+by)
	}
	// One part for each end of the window, so that each is a range of time that
	// the engine can find without reading the rest.
	first, last := hourStart(kept.from), hourStart(kept.to)
	if q.From.Before(first) {
		parts = append(parts, events+a.between(q.From, first)+by)
	}
	if q.To.IsZero() || q.To.After(last) {
		parts = append(parts, events+a.between(last, q.To)+by)
	}
	if n := len(kept.holes); n > 0 {
		parts = append(parts, events+a.between(hourStart(kept.holes[0]), hourStart(kept.holes[n-1]+1))+
			fmt.Sprintf(" AND epoch_us(ts) // %d IN (%s)", microsPerHour, numbers(kept.holes))+by)
	}
	return parts, nil
}

func notIn(column string, ns []int64) string {
	if len(ns) == 0 {
		return ""
	}
	return " AND " + column + " NOT IN (" + numbers(ns) + ")"
}

func numbers(ns []int64) string {
	var b []byte
	for i, n := range ns {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = strconv.AppendInt(b, n, 10)
	}
	return string(b)
}

// foldable says whether the question's measures over parts make up those over
// the whole, which percentiles do not, and whether its groups stand in cells and
// tag sets.
func foldable(q analytics.Query) bool {
	if len(q.GroupBy) == 0 || q.Grain > 0 || q.Measures&analytics.MeasureP95 != 0 {
		return false
	}
	for _, d := range q.GroupBy {
		if _, ok := eventDimensions[d]; ok {
			return false
		}
	}
	return true
}

// orderNames sorts by names in byte order, a missing one ("") first.
func orderNames(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, ", g%d NULLS FIRST", i)
	}
	return b.String()
}
