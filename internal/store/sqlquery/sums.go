package sqlquery

import (
	"fmt"
	"slices"
	"time"

	"github.com/costprof/costprof/internal/analytics"
)

// HourOf numbers the hour that a time lies in, since 1970 UTC.
func HourOf(t time.Time) int64 { return t.UnixMicro() / time.Hour.Microseconds() }

// HourStart is when an hour begins.
func HourStart(h int64) time.Time { return time.UnixMicro(h * time.Hour.Microseconds()).UTC() }

// CeilMicro rounds up to the precision of events: what is older than t is older
// than the result.
func CeilMicro(t time.Time) time.Time {
	return t.UTC().Add(time.Microsecond - 1).Truncate(time.Microsecond)
}

// Sums is the part of a question's window that kept sums of hours can answer.
type Sums struct {
	From, To int64 // hours, half-open
	// Holes are hours in between that must be read from the events.
	Holes []int64
	// DayFrom and DayTo are the whole days among them, half-open, whose sums an
	// engine keeps too, but for DayHoles; none when both are 0.
	DayFrom, DayTo int64
	DayHoles       []int64
	// Coarse says that the engine keeps these sums by coarse cells, too, of each of
	// CoarseKinds.
	Coarse bool
	// Later says that the sums also hold commits after the answer's moment: the
	// events of these are taken away again.
	Later bool
}

// WholeHours gives the hours that lie wholly in the filter's window, half-open;
// a bound that is missing is the given one.
func WholeHours(f analytics.Filter, lowest, highest int64) (from, to int64) {
	from, to = lowest, highest
	if !f.From.IsZero() {
		from = HourOf(f.From.Add(time.Hour - time.Microsecond))
	}
	if !f.To.IsZero() {
		to = HourOf(f.To)
	}
	return from, to
}

// cut selects, of the given numbers of hours, those in which a grain of the
// question begins: what happened there is not to be told from the sums of the hour.
// "" when grains begin with hours.
func cut(q *analytics.Query, hour string) string {
	if q.Shift%time.Hour == 0 {
		return ""
	}
	return fmt.Sprintf("(%s) %% %d = %d", hour, q.Grain/time.Hour, q.Shift/time.Hour)
}

// cutHours lists them, in a range of hours.
func cutHours(q *analytics.Query, from, to int64) (out []int64) {
	grain := int64(q.Grain / time.Hour)
	for h := from; h < to; h++ {
		if h%grain == int64(q.Shift/time.Hour) {
			out = append(out, h)
		}
	}
	return out
}

// servedBySums says whether sums of hours by cell can answer the question at
// all.
func servedBySums(q analytics.Query) bool {
	if q.Baseline != (analytics.Window{}) || q.Status != analytics.StatusAny || len(q.Sources) > 0 || q.Aggregates || q.Measures&(analytics.MeasureP95|analytics.MeasureRoot) != 0 {
		return false
	}
	if q.Grain > 0 && q.Grain < time.Hour || q.Grain == time.Hour && q.Shift != 0 {
		return false
	}
	cell := func(d analytics.Dimension) bool { _, ok := cellDimensions[d]; return ok }
	for _, d := range q.GroupBy {
		if !cell(d) {
			return false
		}
	}
	for d := range q.Any {
		if !cell(d) {
			return false
		}
	}
	return true
}

// CoarseKinds are the lists of texts by which an engine may keep sums beside those
// by cell: what most questions group and filter by. The place of a list is its
// number, which is stored: lists are only added.
func CoarseKinds() [][]string {
	return [][]string{
		{"project"},
		{"project", "feature"},
		{"project", "provider", "model"},
		{"project", "environment"},
		{"project", "department"},
	}
}

// coarse gives the first kind of coarse cells that has what the question groups
// and filters by; false when none has.
func coarse(q *analytics.Query) (kind int, ok bool) {
	if len(q.Called) > 0 {
		return 0, false // asks for names as sent
	}
	var columns []string
	for _, d := range q.GroupBy {
		if q.BySent && (d == analytics.Provider || d == analytics.Model) {
			return 0, false
		}
		columns = append(columns, cellDimensions[d])
	}
	for d := range q.Any {
		columns = append(columns, cellDimensions[d])
	}
	for kind, has := range CoarseKinds() {
		if !slices.ContainsFunc(columns, func(c string) bool { return !slices.Contains(has, c) }) {
			return kind, true
		}
	}
	return 0, false
}
