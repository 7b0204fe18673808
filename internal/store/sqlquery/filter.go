package sqlquery

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
)

// Statement is SQL under construction, with the values that are bound to it.
type Statement struct {
	Dialect *Dialect
	Args    []any
	joins   []string
}

// Bind adds a value and returns its placeholder.
func (s *Statement) Bind(v any) string {
	s.Args = append(s.Args, v)
	return "$" + strconv.Itoa(len(s.Args))
}

// bindText is Bind for a text that may not be holdable.
func (s *Statement) bindText(v string) string { return s.bindAll([]string{v}) }

// fewTexts is up to how many texts are bound one by one: engines plan those
// best. A question that names a thousand sessions one by one takes longer to plan than
// to answer.
const fewTexts = 16

// bindAll binds texts and returns what stands between the parentheses of IN.
func (s *Statement) bindAll(vs []string) string {
	if s.Dialect.Holds != nil {
		vs = slices.DeleteFunc(slices.Clone(vs), func(v string) bool { return !s.Dialect.Holds(v) })
	}
	switch {
	case len(vs) == 0:
		return "NULL"
	case len(vs) > fewTexts:
		return "SELECT unnest(" + s.Bind(vs) + s.Dialect.Texts + ")"
	}
	ps := make([]string, len(vs))
	for i, v := range vs {
		ps[i] = s.Bind(v)
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
	analytics.Trace:   "trace",
}

// Where compiles a filter into a condition on events; asOf bounds the commits
// seen.
func (s *Statement) Where(f analytics.Filter, asOf int64) (string, error) {
	cond, err := s.timeless(f, asOf)
	return cond + s.between(f.From, f.To), err
}

// between bounds the time, half-open; a zero time is no bound.
func (s *Statement) between(from, to time.Time) string {
	var c string
	if !from.IsZero() {
		c += " AND ts >= " + s.Bind(s.Dialect.Time(from))
	}
	if !to.IsZero() {
		c += " AND ts < " + s.Bind(s.Dialect.Time(to))
	}
	return c
}

// timeless compiles what a filter says beside its time.
func (s *Statement) timeless(f analytics.Filter, asOf int64) (string, error) {
	return s.beside("seq <= "+s.Bind(asOf), f)
}

// beside compiles what a filter says beside its time and the commits seen, which
// the first condition says.
func (s *Statement) beside(first string, f analytics.Filter) (string, error) {
	c := []string{first}
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
		cond, err := s.anyOf(d, f.Any[d])
		if err != nil {
			return "", err
		}
		c = append(c, cond)
	}
	return strings.Join(c, " AND ") + s.cells(f, "events"), nil
}

// cells compiles the filters on dimensions whose texts stand in cells, for a
// table that names a cell.
func (s *Statement) cells(f analytics.Filter, table string) string {
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

// anyOf compiles "the dimension has one of these values", for tags and for
// dimensions of the event.
func (s *Statement) anyOf(d analytics.Dimension, values []string) (string, error) {
	given, missing := values, false
	if slices.Contains(values, "") {
		missing = true
		given = slices.DeleteFunc(slices.Clone(values), func(v string) bool { return v == "" })
	}
	var or []string
	if name, ok := d.TagName(); ok {
		// Tag sets are few; they are found first and the events by set number.
		if len(given) > 0 {
			or = append(or, fmt.Sprintf("events.tagset IN (SELECT tagset FROM tags WHERE name = %s AND value IN (%s))", s.bindText(name), s.bindAll(given)))
		}
		if missing {
			or = append(or, fmt.Sprintf("(events.tagset IS NULL OR events.tagset NOT IN (SELECT tagset FROM tags WHERE name = %s AND value <> ''))", s.bindText(name)))
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
