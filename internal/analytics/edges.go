package analytics

import (
	"fmt"
	"time"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/usage"
)

// maxPoints bounds buckets × series of one answer.
const maxPoints = 10_000

// Edges gives the starts of the buckets that cover [from, to), in loc and
// strictly increasing; the first is not after from, the last is before to.
//
// An hour or minute is a run of instants with one local label and one offset:
// when clocks go back, the repeated hour is a bucket of its own, and a change in
// the middle of an hour starts a bucket. A day, week or month starts at the first
// instant of its local date, whether or not it has a midnight; a date that a zone
// skipped has no bucket.
//
// More than maxPoints buckets, or from not before to, is fault.Invalid.
func Edges(from, to time.Time, g Granularity, loc *time.Location) ([]time.Time, error) {
	if loc == nil {
		loc = time.UTC
	}
	if !from.Before(to) {
		return nil, fault.Field("from", "must be before to")
	}
	edges := edgesUpTo(from, to, g, loc, maxPoints)
	if len(edges) > maxPoints {
		return nil, tooMany(window{from, to, loc}, g, 1)
	}
	return edges, nil
}

// CheckPoints returns fault.Invalid, naming a granularity that fits, when the
// buckets that Edges gave, for each of so many series, are more than maxPoints.
func CheckPoints(edges []time.Time, to time.Time, g Granularity, series int) error {
	if len(edges)*max(series, 1) <= maxPoints || len(edges) == 0 {
		return nil
	}
	return tooMany(window{edges[0], to, edges[0].Location()}, g, series)
}

type window struct {
	from, to time.Time
	loc      *time.Location
}

func tooMany(w window, g Granularity, series int) error {
	buckets := "more than 10000 buckets"
	if series > 1 {
		buckets = fmt.Sprintf("more than 10000 buckets × %d series", series)
	}
	coarser := false
	for _, c := range granularities {
		if coarser && len(edgesUpTo(w.from, w.to, c, w.loc, maxPoints))*max(series, 1) <= maxPoints {
			return fault.Field("granularity", fmt.Sprintf("%s gives %s; use %s or a shorter range", g, buckets, c))
		}
		coarser = coarser || c == g
	}
	return fault.Field("granularity", fmt.Sprintf("%s gives %s; use a shorter range", g, buckets))
}

// edgesUpTo stops after limit+1 edges, so that a range of centuries by the
// minute costs no more than a small one.
func edgesUpTo(from, to time.Time, g Granularity, loc *time.Location, limit int) []time.Time {
	if g == Minute || g == Hour {
		return clockEdges(from, to, g, loc, limit)
	}
	return calendarEdges(from, to, g, loc, limit)
}

func clockEdges(from, to time.Time, g Granularity, loc *time.Location, limit int) []time.Time {
	unit := int64(60)
	if g == Hour {
		unit = 3600
	}
	var edges []time.Time
	stop := to
	for t, first := from, true; t.Before(stop) && len(edges) <= limit; first = false {
		p := periodAt(t, loc)
		local := t.Unix() + p.offset
		local -= mod(local, unit)
		if first {
			edge := time.Unix(local-p.offset, 0)
			if !p.start.IsZero() && edge.Before(p.start) {
				edge = p.start
			}
			edges = append(edges, edge.In(loc))
		} else {
			edges = append(edges, t.In(loc))
		}
		// The rest of the period needs no zone lookups.
		for next := local + unit; ; next += unit {
			t = time.Unix(next-p.offset, 0)
			if !p.end.IsZero() && !t.Before(p.end) {
				t = p.end
				break
			}
			if !t.Before(stop) || len(edges) > limit {
				return edges
			}
			edges = append(edges, t.In(loc))
		}
	}
	return edges
}

func calendarEdges(from, to time.Time, g Granularity, loc *time.Location, limit int) []time.Time {
	year, month, day := from.In(loc).Date()
	switch g {
	case Week:
		weekday := time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Weekday()
		day -= int(weekday+6) % 7 // days since Monday
	case Month:
		day = 1
	}
	var edges []time.Time
	for len(edges) <= limit {
		edge := startOfDate(year, month, day, loc)
		if !edge.Before(to) {
			break
		}
		switch {
		case len(edges) > 0 && !edge.After(edges[len(edges)-1]):
			// The zone skipped this date: it starts when the next one does.
		case len(edges) == 1 && !edge.After(from):
			// Clocks went back over midnight and from lies in the repeated piece,
			// which belongs to the later date.
			edges[0] = edge
		default:
			edges = append(edges, edge)
		}
		switch g {
		case Week:
			day += 7
		case Month:
			month++
		default:
			day++
		}
	}
	return edges
}

// startOfDate is the first instant whose local date is the given one, or a later
// one where the zone skipped it. time.Date does not say which instant it means
// by a midnight that is missing or comes twice.
func startOfDate(year int, month time.Month, day int, loc *time.Location) time.Time {
	midnight := time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Unix()
	// No zone was ever more than 16 hours off UTC: 30 hours before, the date is
	// surely earlier.
	p := periodAt(time.Unix(midnight, 0).Add(-30*time.Hour), loc)
	for {
		start := time.Unix(midnight-p.offset, 0)
		if !p.start.IsZero() && start.Before(p.start) {
			return p.start.In(loc)
		}
		if p.end.IsZero() || start.Before(p.end) {
			return start.In(loc)
		}
		p = periodAt(p.end, loc)
	}
}

// period is a longest stretch of time with one offset from UTC; a zero bound is
// none.
type period struct {
	start, end time.Time
	offset     int64 // seconds east of UTC
}

// maxSteps is more than any zone needs: autumn, the last day of a leap year, and
// the new year.
const maxSteps = 8

func periodAt(t time.Time, loc *time.Location) period {
	t = t.In(loc)
	_, offset := t.Zone()
	p := period{offset: int64(offset)}
	p.start, p.end = t.ZoneBounds()
	// A change of abbreviation alone is not a change of offset, and neither is the
	// turn of the year, where Go's bounds beyond a zone file's table also end. The
	// count of steps keeps odd zone files from looping for long.
	for range maxSteps {
		if p.start.IsZero() {
			break
		}
		before := p.start.Add(-time.Nanosecond)
		if _, o := before.Zone(); o != offset {
			break
		}
		p.start, _ = before.ZoneBounds()
	}
	for range maxSteps {
		if p.end.IsZero() {
			break
		}
		if !p.end.After(t) {
			// In a leap year Go (1.26) ends its last period a day early: from
			// December 31 on the bound lies in the past.
			p.end = time.Date(t.UTC().Year()+1, 1, 1, 0, 0, 0, 0, time.UTC).In(loc)
		}
		if _, o := p.end.Zone(); o != offset {
			break
		}
		t = p.end
		_, p.end = t.ZoneBounds()
	}
	return p
}

func mod(a, n int64) int64 {
	if a %= n; a < 0 {
		a += n
	}
	return a
}

// grains are the widths an engine groups by, widest first.
var grains = [...]time.Duration{24 * time.Hour, time.Hour, 30 * time.Minute, 15 * time.Minute, time.Minute}

// GrainFor gives the widest grain that begins at every edge, for Query.Grain and
// Shift: days that begin at 18:15 UTC, say, for a zone that is 5:45 ahead. Edges
// before usage.Epoch, where no event is, do not count: zones had offsets with odd
// seconds then. It is 0 when not even minutes fit.
func GrainFor(edges []time.Time) (grain, shift time.Duration) {
	for _, grain := range grains {
		if shift, ok := onGrain(edges, int64(grain/time.Second)); ok {
			return grain, shift
		}
	}
	return 0, 0
}

func onGrain(edges []time.Time, seconds int64) (shift time.Duration, ok bool) {
	first := true
	for _, e := range edges {
		if e.Before(usage.Epoch) {
			continue
		}
		at := time.Duration(mod(e.Unix(), seconds))*time.Second + time.Duration(e.Nanosecond())
		if at%time.Minute != 0 || !first && at != shift {
			return 0, false
		}
		shift, first = at, false
	}
	return shift, true
}
