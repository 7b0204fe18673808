package sqlquery

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/costprof/costprof/internal/analytics"
)

// parts compiles the SELECTs whose rows, together, are the question's events
// grouped by numbers: kept sums where there are, events for the rest.
func (a *aggregate) parts(q *analytics.Query, f from, bucket string, kept *Sums) ([]string, error) {
	alike, cell, tagset := "", "cell", "tagset"
	if f.cells && f.tags {
		alike, cell, tagset = f.alike(), "kinds.cell", "sets.tagset"
	}
	var keys []string
	if f.cells {
		keys = append(keys, cell)
	}
	if f.tags {
		keys = append(keys, tagset)
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
	// Compiled when it is needed: a value that is bound and has no place in the
	// text is an error.
	of, cond := "", ""
	fromEvents := func(events string, from, to time.Time, and string) (string, error) {
		if of == "" {
			var err error
			if cond, err = a.timeless(q.Filter, q.AsOf); err != nil {
				return "", err
			}
			of = selects(bucket, func(m measure) string { return m.sql })
		}
		return of + " FROM " + events + alike + " WHERE " + cond + a.between(from, to) + and + by, nil
	}
	if kept == nil {
		part, err := fromEvents("events", q.From, q.To, "")
		return []string{part}, err
	}
	parts := a.sums(q, f, kept, selects, by)
	// One part for each end of the window, so that each is a range of time that
	// the engine can find without reading the rest.
	type rest struct {
		from, to time.Time
		and      string
		hours    []int64 // only these, when there are
	}
	var rests []rest
	first, last := HourStart(kept.From), HourStart(kept.To)
	if q.From.Before(first) {
		rests = append(rests, rest{from: q.From, to: first})
	}
	if q.To.IsZero() || q.To.After(last) {
		rests = append(rests, rest{from: last, to: q.To})
	}
	hour := a.Dialect.Period(time.Hour)
	begins := cut(q, hour)
	if begins != "" {
		rests = append(rests, rest{first, last, " AND " + begins + notIn(hour, kept.Holes), cutHours(q, kept.From, kept.To)})
	}
	if kept.Later {
		later, err := a.beside("seq > "+a.Bind(q.AsOf), q.Filter)
		if err != nil {
			return nil, err
		}
		later += notIn(hour, kept.Holes)
		if begins != "" {
			later += " AND NOT (" + begins + ")"
		}
		parts = append(parts, selects(bucket, func(m measure) string { return "-(" + m.sql + ")" })+" FROM events WHERE "+later+a.between(first, last)+by)
	}
	if n := len(kept.Holes); n > 0 {
		in := fmt.Sprintf(" AND %s IN (%s)", hour, Numbers(kept.Holes))
		rests = append(rests, rest{HourStart(kept.Holes[0]), HourStart(kept.Holes[n-1] + 1), in, kept.Holes})
	}
	for _, r := range rests {
		events := "events"
		if n := len(r.hours); n > 0 && n <= fewHours && a.Dialect.EventsOf != nil {
			events = a.Dialect.EventsOf(r.hours)
		}
		part, err := fromEvents(events, r.from, r.to, r.and)
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
	}
	return parts, nil
}

// fewHours is up to how many hours are looked up one by one.
const fewHours = 1_000

// alike joins to events, for each cell and for each tag set, the one that stands
// for all with the same texts: the pairs of both are so many that their sums do
// not fit the processor's caches, which takes twice the time of finding these.
func (f *from) alike() string {
	texts := make([]string, len(f.names))
	for i, name := range f.names {
		texts[i] = "max(CASE WHEN name = " + name + " THEN value END)"
	}
	return " JOIN (SELECT id AS member, min(id) OVER (PARTITION BY " + strings.Join(f.columns, ", ") + ") AS cell FROM cells) kinds ON kinds.member = events.cell" +
		" LEFT JOIN (SELECT tagset AS member, min(tagset) OVER (PARTITION BY " + strings.Join(texts, ", ") + ") AS tagset FROM tags WHERE name IN (" +
		strings.Join(f.names, ", ") + ") GROUP BY tagset) sets ON sets.member = events.tagset"
}

// sums compiles the SELECTs from kept sums: of days where these will do, of hours
// for the rest.
func (a *aggregate) sums(q *analytics.Query, f from, kept *Sums, selects func(string, func(measure) string) string, by string) (parts []string) {
	asKept := func(m measure) string { return m.kept }
	folded := func(m measure) string { return fmt.Sprintf(m.fold, m.kept) }
	window := fmt.Sprintf("hour >= %d AND hour < %d", kept.From, kept.To) + notIn("hour", kept.Holes)
	if begins := cut(q, "hour"); begins != "" {
		window += " AND NOT (" + begins + ")"
	}
	hourly, daily, of := "hours", "days", ""
	if kind, ok := coarse(q); ok && kept.Coarse {
		hourly, daily, of = "coarse_hours", "coarse_days", fmt.Sprintf(" AND kind = %d", kind)
	}
	if kept.DayFrom < kept.DayTo && q.Shift == 0 && (q.Grain == 0 || q.Grain == 24*time.Hour) {
		days := fmt.Sprintf(" FROM %s WHERE day >= %d AND day < %d", daily, kept.DayFrom, kept.DayTo) + of + notIn("day", kept.DayHoles) + a.cells(q.Filter, daily)
		if q.Grain > 0 && f.cells {
			parts = append(parts, selects("day", asKept)+days)
		} else {
			parts = append(parts, selects("day", folded)+days+by)
		}
		first, last := kept.DayFrom*24, kept.DayTo*24
		if kept.From == first && kept.To == last && len(kept.DayHoles) == 0 {
			return parts
		}
		window += fmt.Sprintf(" AND (hour < %d OR hour >= %d", first, last)
		for _, d := range kept.DayHoles {
			window += fmt.Sprintf(" OR hour >= %d AND hour < %d", d*24, (d+1)*24)
		}
		window += ")"
	}
	hours := " FROM " + hourly + " WHERE " + window + of + a.cells(q.Filter, hourly)
	if q.Grain == time.Hour && f.cells {
		// The sums are of just these groups.
		return append(parts, selects("hour", asKept)+hours)
	}
	grain := fmt.Sprintf("(hour - %d) %s %d", q.Shift/time.Hour, a.Dialect.Divide, max(1, q.Grain/time.Hour))
	return append(parts, selects(grain, folded)+hours+by)
}

func notIn(column string, ns []int64) string {
	if len(ns) == 0 {
		return ""
	}
	return " AND " + column + " NOT IN (" + Numbers(ns) + ")"
}

// Numbers lists numbers as SQL does, with commas.
func Numbers(ns []int64) string {
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
	if len(q.GroupBy) == 0 || q.Grain > 0 || q.Measures&(analytics.MeasureP95|analytics.MeasureRoot) != 0 {
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
