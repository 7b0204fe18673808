package httpapi

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/usage"
)

// defaultWindow is the range of a question that names none: the last 30 days.
const defaultWindow = 30 * 24 * time.Hour

var windowParams = []param{
	{name: "from", doc: "Start of the range, included: an RFC 3339 instant, or a date in tz. Default: 30 days before to.", schema: instantOrDate(fromEpoch)},
	{name: "to", doc: "End of the range: an RFC 3339 instant, excluded, or a date in tz, included. Default: now.", schema: instantOrDate(fromEpoch)},
	{name: "startDate", doc: "Synonym of from.", schema: instantOrDate(fromEpoch)},
	{name: "endDate", doc: "Synonym of to.", schema: instantOrDate(fromEpoch)},
	{name: "tz", doc: "IANA time zone of dates and of buckets.", schema: withDefault(formed(zoneText), "UTC")},
}

// window is the range of time that a question is about, half-open.
type window struct {
	from, to time.Time
	loc      *time.Location
}

type WindowMeta struct {
	From time.Time `json:"from" doc:"Start of the range, included."`
	To   time.Time `json:"to" doc:"End of the range, excluded."`
	TZ   string    `json:"tz" doc:"IANA time zone of the question."`
	// Of what retention removed.
	TruncatedBefore *time.Time `json:"truncatedBefore,omitempty" doc:"Calls before it were removed for their age, and the answer lacks them, or some of them. Absent when it lacks none: the sums of whole UTC days by project, feature, provider, model, operation, department and environment stay."`
}

// truncated says up to when the answer lacks calls that were removed.
func (m WindowMeta) truncated(before time.Time) WindowMeta {
	if !before.IsZero() {
		before = shown(before.In(m.From.Location()))
		m.TruncatedBefore = &before
	}
	return m
}

func (w window) meta() WindowMeta {
	return WindowMeta{From: shown(w.from.In(w.loc)), To: shown(w.to.In(w.loc)), TZ: w.loc.String()}
}

// shown is the instant as RFC 3339 can write it: offsets have no seconds there,
// as a zone or two had until 1972.
func shown(t time.Time) time.Time {
	if _, offset := t.Zone(); offset%60 != 0 {
		return t.UTC()
	}
	return t
}

// window reads from, to, their synonyms and tz. The two sides default alone.
func (q *query) window(now time.Time) window {
	w := window{loc: q.location()}
	from := q.bound("from", "startDate", w.loc, startOfDay)
	to := q.bound("to", "endDate", w.loc, endOfDay)
	w.to = to
	if to.IsZero() {
		w.to = ceilMicro(now.UTC())
	}
	w.from = from
	if from.IsZero() {
		w.from = w.to.Add(-defaultWindow)
	}
	if len(q.problems) == 0 && !w.from.Before(w.to) {
		name := "from"
		if q.has("startDate") {
			name = "startDate"
		}
		q.bad(name, "must be before the end of the range")
	}
	return w
}

// zoneName is the form of IANA's names; "./UTC" and "Europe//Berlin" are paths
// to the same files.
var zoneName = regexp.MustCompile(zoneText)

const zoneText = `^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$`

// Names that the system's zone files may have and IANA does not: what they mean
// depends on the machine.
var localZone = regexp.MustCompile(`^(?i:localtime|posixrules|factory|posix/.*)$`)

func (q *query) location() *time.Location {
	if !q.has("tz") {
		return time.UTC
	}
	if name := q.text("tz"); !zoneName.MatchString(name) || localZone.MatchString(name) {
		q.bad("tz", "must be an IANA time zone such as Europe/Berlin")
		return time.UTC
	}
	loc, err := analytics.ParseLocation("tz", q.text("tz"))
	if q.take(err) {
		return time.UTC
	}
	return loc
}

func (q *query) bound(name, synonym string, loc *time.Location, date func(civilDate, *time.Location) time.Time) time.Time {
	switch {
	case synonym != "" && q.has(name) && q.has(synonym):
		q.bad(synonym, "means the same as "+name+"; give one of them")
		return time.Time{}
	case synonym != "" && q.has(synonym):
		name = synonym
	case !q.has(name):
		return time.Time{}
	}
	return q.instant(name, q.text(name), loc, date)
}

// instant reads a date or an instant of the parameter.
func (q *query) instant(name, s string, loc *time.Location, date func(civilDate, *time.Location) time.Time) time.Time {
	if d, err := time.Parse(time.DateOnly, s); err == nil {
		if inYears(d) {
			return date(civilDate{d.Year(), d.Month(), d.Day()}, loc)
		}
		q.bad(name, yearsRule)
		return time.Time{}
	}
	t, ok := usage.ParseInstant(s)
	if !ok {
		q.bad(name, "must be a date (2026-01-31) or an RFC 3339 instant (2026-01-31T15:04:05Z; a + in it is sent as %2B)")
		return time.Time{}
	}
	if !inYears(t) {
		q.bad(name, yearsRule)
		return time.Time{}
	}
	return ceilMicro(t)
}

// The years that every engine and every text form can hold, zones included.
const (
	minYear   = 1970
	maxYear   = 9998
	yearsRule = "must be in the years 1970 to 9998"
)

func inYears(t time.Time) bool { return t.Year() >= minYear && t.Year() <= maxYear }

// ceilMicro is the first whole microsecond at or after t: events have whole
// ones, so a half-open bound rounded up selects the same events.
func ceilMicro(t time.Time) time.Time {
	if floor := t.Truncate(time.Microsecond); floor.Before(t) {
		return floor.Add(time.Microsecond)
	}
	return t
}

type civilDate struct {
	year  int
	month time.Month
	day   int
}

// startOfDay is the first instant of a local date, which not everywhere is a
// midnight; of a date that a zone skipped, the first instant of the next one.
func startOfDay(d civilDate, loc *time.Location) time.Time {
	want := time.Date(d.year, d.month, d.day, 0, 0, 0, 0, time.UTC)
	for day := d.day; ; day++ {
		noon := time.Date(d.year, d.month, day, 12, 0, 0, 0, loc)
		y, m, dd := noon.Date()
		if time.Date(y, m, dd, 0, 0, 0, 0, time.UTC).Before(want) {
			continue
		}
		edges, err := analytics.Edges(noon, noon.Add(time.Microsecond), analytics.Day, loc)
		if err != nil || len(edges) == 0 {
			return noon
		}
		return edges[0].UTC()
	}
}

func endOfDay(d civilDate, loc *time.Location) time.Time {
	next := time.Date(d.year, d.month, d.day+1, 0, 0, 0, 0, time.UTC)
	return startOfDay(civilDate{next.Year(), next.Month(), next.Day()}, loc)
}

var filterDimensions = []analytics.Dimension{
	analytics.Feature, analytics.Model, analytics.Provider, analytics.User, analytics.Department,
	analytics.Project, analytics.Environment, analytics.Session, analytics.Operation,
}

var filterParams = func() []param {
	var ps []param
	for _, d := range filterDimensions {
		also := ""
		switch d {
		case analytics.Provider:
			also = ", by its id, an alias, or the name that was sent"
		case analytics.Model:
			also = ", as it is counted or as it was sent"
		}
		ps = append(ps, param{
			name: string(d), repeat: true, empty: true, schema: text(),
			doc: "Only calls with this " + string(d) + also + "; given again, any of them; empty, calls without one.",
		})
	}
	return append(ps,
		param{name: "status", repeat: true, schema: text("ok", "error"), doc: "Only calls that went well, or only those that failed."},
		param{name: "costSource", repeat: true, schema: text("billed", "catalog", "client", "unpriced"), doc: "Only calls whose cost came from here; given again, any of them."},
		param{name: tagParam, repeat: true, schema: text(), doc: fmt.Sprintf("tag:NAME=value: only calls with this value of the tag; given again, any of them; empty, calls without the tag. At most %d tags.", maxTags)},
	)
}()

// maxTags is how many tags one question may filter by. Planning grows faster
// than their number: at 200 of them it took the engine 40 seconds, at 300 minutes
// and gigabytes.
const maxTags = 16

// filter reads the window and every filter.
func (q *query) filter(w window) analytics.Filter {
	f := analytics.Filter{From: w.from, To: w.to}
	values, called := map[analytics.Dimension][]string{}, map[analytics.Dimension][]string{}
	for _, d := range filterDimensions {
		wanted := q.values[string(d)]
		switch {
		case len(wanted) == 0:
		case d == analytics.Provider:
			called[d] = q.providers(wanted)
		case d == analytics.Model:
			called[d] = wanted
		default:
			values[d] = wanted
		}
	}
	if len(called) > 0 {
		f.Called = called
	}
	tags := 0
	for name, wanted := range q.values {
		if !strings.HasPrefix(name, "tag:") {
			continue
		}
		if tags++; tags > maxTags {
			q.bad(tagParam, fmt.Sprintf("must be of at most %d tags", maxTags))
			break
		}
		if d, err := analytics.ParseDimension(name, name); !q.take(err) {
			values[d] = wanted
		}
	}
	if q.within != "" {
		values[analytics.Project] = q.projects()
	}
	if len(values) > 0 {
		f.Any = values
	}
	seen := map[string]bool{}
	for _, v := range q.values["status"] {
		if v != "ok" && v != "error" {
			q.bad("status", "must be one of ok, error")
		}
		seen[v] = true
	}
	switch {
	case seen["ok"] && !seen["error"]:
		f.Status = analytics.StatusOK
	case seen["error"] && !seen["ok"]:
		f.Status = analytics.StatusError
	}
	for _, v := range q.values["costSource"] {
		switch v {
		case usage.SourceBilled.String():
			f.Sources = append(f.Sources, usage.SourceBilled)
		case usage.SourceCatalog.String():
			f.Sources = append(f.Sources, usage.SourceCatalog)
		case usage.SourceClient.String():
			f.Sources = append(f.Sources, usage.SourceClient)
		case usage.SourceUnpriced.String():
			f.Sources = append(f.Sources, usage.SourceUnpriced)
		default:
			q.bad("costSource", "must be one of billed, catalog, client, unpriced")
		}
	}
	return f
}

// providers are the names with the canonical ids that they mean. The names stay:
// what was stored before the book knew an alias is counted under it.
func (q *query) providers(names []string) []string {
	var out []string
	for _, name := range names {
		for _, n := range []string{name, q.providerID(name)} {
			if !slices.Contains(out, n) {
				out = append(out, n)
			}
		}
	}
	return out
}

// projects are those that were asked for, as far as who asks may know of them:
// one that is not theirs is like one that does not exist.
func (q *query) projects() []string {
	asked := q.values["project"]
	switch {
	case q.within == "":
		return asked
	case len(asked) == 0 || slices.Contains(asked, q.within):
		return []string{q.within}
	}
	return []string{}
}

// own limits what is asked for by id to what who asks may know of.
func (q *query) own() analytics.Filter {
	if q.within == "" {
		return analytics.Filter{}
	}
	return analytics.Filter{Any: map[analytics.Dimension][]string{analytics.Project: {q.within}}}
}

// dimensions reads a comma-separated list of at most max distinct dimensions.
func (q *query) dimensions(name string, fallback []analytics.Dimension, max int) []analytics.Dimension {
	if !q.has(name) {
		return fallback
	}
	var ds []analytics.Dimension
	seen := map[string]bool{}
	for _, s := range strings.Split(q.text(name), ",") {
		d, err := analytics.ParseDimension(name, s)
		if q.take(err) {
			continue
		}
		if seen[s] {
			q.bad(name, "must not name a dimension twice")
		}
		seen[s] = true
		ds = append(ds, d)
	}
	if len(ds) > max {
		rule := fmt.Sprintf("must name at most %d dimensions", max)
		if max == 1 {
			rule = "must name one dimension"
		}
		q.bad(name, rule)
	}
	return ds
}
