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

// dimensionColumns maps the closed dimensions to columns and says which may be
// NULL (shown as "").
var dimensionColumns = map[analytics.Dimension]struct {
	column   string
	optional bool
}{
	analytics.Feature:     {"feature", false},
	analytics.Model:       {"model", false},
	analytics.Provider:    {"provider", false},
	analytics.Project:     {"project", false},
	analytics.User:        {"user_id", true},
	analytics.Department:  {"department", true},
	analytics.Environment: {"environment", true},
	analytics.Session:     {"session_id", true},
	analytics.Operation:   {"operation", true},
}

// where compiles a filter into a condition; asOf bounds the commits seen.
func (s *statement) where(f analytics.Filter, asOf int64) (string, error) {
	c := []string{"seq <= " + s.bind(asOf)}
	if !f.From.IsZero() {
		c = append(c, "ts >= "+s.bind(f.From.UTC()))
	}
	if !f.To.IsZero() {
		c = append(c, "ts < "+s.bind(f.To.UTC()))
	}
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
		cond, err := s.any(d, f.Any[d])
		if err != nil {
			return "", err
		}
		c = append(c, cond)
	}
	return strings.Join(c, " AND "), nil
}

// any compiles "the dimension has one of these values".
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
		col, ok := dimensionColumns[d]
		if !ok {
			return "", fault.New(fault.Internal, "no column for dimension %q", d)
		}
		if len(given) > 0 {
			or = append(or, col.column+" IN ("+s.bindAll(given)+")")
		}
		if missing {
			if col.optional {
				or = append(or, col.column+" IS NULL")
			} else {
				or = append(or, col.column+" = ''")
			}
		}
	}
	if len(or) == 0 {
		return "false", nil
	}
	return "(" + strings.Join(or, " OR ") + ")", nil
}

// dimension gives the expression that events are grouped by.
func (s *statement) dimension(d analytics.Dimension, bySent bool) (string, error) {
	if name, ok := d.TagName(); ok {
		alias := "tag" + strconv.Itoa(len(s.joins)+1)
		s.joins = append(s.joins, fmt.Sprintf("LEFT JOIN tags %s ON %s.tagset = events.tagset AND %s.name = %s", alias, alias, alias, s.bind(name)))
		return "nullif(" + alias + ".value, '')", nil
	}
	if bySent {
		switch d {
		case analytics.Provider:
			return "sent_provider", nil
		case analytics.Model:
			return "sent_model", nil
		}
	}
	col, ok := dimensionColumns[d]
	if !ok {
		return "", fault.New(fault.Internal, "no column for dimension %q", d)
	}
	return col.column, nil
}

// classColumns are the cost columns in the order of usage.Class.
var classColumns = [usage.NumClasses]string{
	"c_input", "c_cache_read", "c_cache_write", "c_cache_write_1h", "c_output", "c_reasoning", "c_media", "c_units", "c_unsplit",
}

// measure is one column of an answer: how it is computed, and where it goes.
type measure struct {
	sql    string
	target func(*analytics.Row) any
}

// measures lists what to select; the first two are always cost and calls.
func measures(m analytics.Measures) []measure {
	out := []measure{
		{"sum(cost)", func(r *analytics.Row) any { return totalScanner{&r.Cost} }},
		{"count(*)", func(r *analytics.Row) any { return &r.Calls }},
	}
	add := func(sql string, target func(*analytics.Row) any) { out = append(out, measure{sql, target}) }
	if m&analytics.MeasureTokens != 0 {
		add("sum(t_input + t_cache_read + t_cache_write + t_cache_write_1h + t_media_in)::BIGINT", func(r *analytics.Row) any { return intScanner{&r.Input} })
		add("sum(t_output + t_reasoning + t_media_out)::BIGINT", func(r *analytics.Row) any { return intScanner{&r.Output} })
		add("sum(t_cache_read)::BIGINT", func(r *analytics.Row) any { return intScanner{&r.Cached} })
	}
	if m&analytics.MeasureErrors != 0 {
		add("count_if(is_error)::BIGINT", func(r *analytics.Row) any { return intScanner{&r.Errors} })
	}
	if m&analytics.MeasureLatency != 0 {
		add("sum(latency)::BIGINT", func(r *analytics.Row) any { return intScanner{&r.LatencyMicros} })
	}
	if m&analytics.MeasureP95 != 0 {
		add("quantile_disc(latency, 0.95)", func(r *analytics.Row) any { return intScanner{&r.P95Micros} })
	}
	if m&analytics.MeasureSaving != 0 {
		add("sum(saving)", func(r *analytics.Row) any { return totalScanner{&r.Saving} })
	}
	if m&analytics.MeasureSource != 0 {
		add(fmt.Sprintf("count_if(source IN (%d, %d))::BIGINT", usage.SourceUnpriced, usage.SourceClient), func(r *analytics.Row) any { return intScanner{&r.Unpriced} })
		add("count_if(is_fallback)::BIGINT", func(r *analytics.Row) any { return intScanner{&r.Fallback} })
	}
	if m&analytics.MeasureSeen != 0 {
		add("min(ts)", func(r *analytics.Row) any { return timeScanner{&r.First} })
		add("max(ts)", func(r *analytics.Row) any { return timeScanner{&r.Last} })
	}
	if m&analytics.MeasureClasses != 0 {
		for i, col := range classColumns {
			add("sum("+col+")", func(r *analytics.Row) any { return totalScanner{&r.Classes[i]} })
		}
	}
	return out
}

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
func compile(q analytics.Query, asOf int64) (*aggregate, error) {
	a := &aggregate{groups: len(q.GroupBy), bucket: q.Grain > 0, measures: measures(q.Measures)}
	var selects, groups []string
	for i, d := range q.GroupBy {
		e, err := a.dimension(d, q.BySent)
		if err != nil {
			return nil, err
		}
		alias := "g" + strconv.Itoa(i)
		selects = append(selects, e+" AS "+alias)
		groups = append(groups, e)
	}
	if a.bucket {
		switch q.Grain {
		case time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 24 * time.Hour:
		default:
			return nil, fault.New(fault.Internal, "grain %s is not supported", q.Grain)
		}
		// Integer division beats date_trunc, and the grains all divide the epoch.
		e := fmt.Sprintf("epoch_us(ts) // %d", q.Grain.Microseconds())
		selects = append(selects, e+" AS bucket")
		groups = append(groups, e)
	}
	for i, m := range a.measures {
		selects = append(selects, m.sql+" AS m"+strconv.Itoa(i))
	}
	cond, err := a.where(q.Filter, asOf)
	if err != nil {
		return nil, err
	}
	text := "SELECT " + strings.Join(selects, ", ") + " FROM events"
	for _, j := range a.joins {
		text += " " + j
	}
	text += " WHERE " + cond
	if len(groups) > 0 {
		text += " GROUP BY " + strings.Join(groups, ", ")
	}
	switch {
	case a.bucket:
		text += " ORDER BY bucket" + orderNames(a.groups, ", ")
	case a.groups > 0:
		a.ranked = true
		text = "SELECT *, sum(m0) OVER (), sum(m1) OVER ()::BIGINT FROM (" + text + ") ORDER BY m0 DESC" + orderNames(a.groups, ", ")
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

// orderNames sorts by names in byte order, a missing one ("") first.
func orderNames(n int, sep string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%sg%d NULLS FIRST", sep, i)
	}
	return b.String()
}
