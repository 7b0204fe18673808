package sqlquery

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/costprof/costprof/internal/analytics"
)

// PastTable keeps, by UTC day and cell, the sums of events that were removed for
// their age: the columns day and cell and those of KeptSums. A day and cell may
// have several rows.
const PastTable = "past_days"

const (
	day       = 24 * time.Hour
	dayMicros = int64(day / time.Microsecond)
)

// servedByDays says whether sums of UTC days by cell can answer the question,
// percentiles aside.
func servedByDays(q analytics.Query) bool {
	if q.Stored || q.Grain != 0 && (q.Grain != day || q.Shift != 0) {
		return false
	}
	q.Baseline, q.Measures = analytics.Window{}, q.Measures&^analytics.MeasureP95
	return servedBySums(q)
}

// days are the whole days of a window, half-open.
type days struct{ from, to int64 }

func daysIn(p analytics.Pruned, f analytics.Filter) days {
	mark := p.Latest(f)
	if mark.IsZero() {
		return days{}
	}
	d := days{math.MinInt64, ceilDay(mark)}
	if !f.From.IsZero() {
		d.from = ceilDay(f.From)
	}
	if !f.To.IsZero() {
		d.to = min(d.to, floorDay(f.To))
	}
	return d
}

func floorDay(t time.Time) int64 {
	n := t.UnixMicro()
	if n < 0 {
		n -= dayMicros - 1
	}
	return n / dayMicros
}

func ceilDay(t time.Time) int64 { return floorDay(t.Add(day - time.Microsecond)) }

func dayStart(n int64) time.Time { return time.UnixMicro(n * dayMicros).UTC() }

// truncate says on the answer up to when it lacks what was removed.
func truncate(p analytics.Pruned, q analytics.Query, t *analytics.Table) {
	byDays := servedByDays(q)
	filters := []analytics.Filter{q.Filter}
	if q.Baseline != (analytics.Window{}) {
		filters = append(filters, q.Filter)
		filters[1].From, filters[1].To = q.Baseline.From, q.Baseline.To
	}
	for _, f := range filters {
		before := p.TruncatedBefore(f)
		if byDays {
			before = cutDay(p, f)
		}
		if before.After(t.TruncatedBefore) {
			t.TruncatedBefore = before
		}
	}
	if byDays && q.Measures&analytics.MeasureP95 != 0 && t.TruncatedBefore.IsZero() {
		t.TruncatedBefore = p.TruncatedBefore(q.Filter)
		t.TruncatedP95 = !t.TruncatedBefore.IsZero()
	}
}

// cutDay gives the end of what an answer by days lacks: the part of a removed day
// that lies in the window when not all of the day does.
func cutDay(p analytics.Pruned, f analytics.Filter) time.Time {
	end := p.TruncatedBefore(f)
	switch {
	case end.IsZero():
	case !f.To.IsZero() && ceilDay(f.To) != floorDay(f.To) && dayStart(floorDay(f.To)).Before(p.Latest(f)):
		return end
	case !f.From.IsZero() && ceilDay(f.From) != floorDay(f.From):
		if whole := dayStart(ceilDay(f.From)); whole.Before(end) {
			return whole
		}
		return end
	}
	return time.Time{}
}

// withPast adds to the groups of a question those of removed days, and folds the
// two into one. A percentile is that of the events alone.
func (a *aggregate) withPast(text string, q *analytics.Query, d days) (string, error) {
	if d.from >= d.to {
		return text, nil
	}
	var past, keys, whole []string
	var f from
	for i, by := range q.GroupBy {
		e, err := a.dimension(by, q, PastTable, &f)
		if err != nil {
			return "", err
		}
		past, keys = append(past, e), append(keys, "g"+strconv.Itoa(i))
	}
	groups := slices.Clone(past)
	if a.bucket {
		past, groups, keys = append(past, "day"), append(groups, "day"), append(keys, "bucket")
	}
	whole = slices.Clone(keys)
	for i, m := range a.measures {
		name := "m" + strconv.Itoa(i)
		if m.fold == "" {
			past, whole = append(past, "NULL::BIGINT"), append(whole, "max("+name+") AS "+name)
			continue
		}
		past, whole = append(past, fmt.Sprintf(m.fold, m.kept)), append(whole, fmt.Sprintf(m.fold, name)+" AS "+name)
	}
	by := func(keys []string) string {
		if len(keys) == 0 {
			return ""
		}
		return " GROUP BY " + strings.Join(keys, ", ")
	}
	return "SELECT " + strings.Join(whole, ", ") + " FROM (" + text + " UNION ALL SELECT " + strings.Join(past, ", ") + a.pastRows(q.Filter, d, f.cells) + by(groups) + ") united" + by(keys), nil
}

func (a *aggregate) pastRows(f analytics.Filter, d days, cells bool) string {
	text := " FROM " + PastTable
	if cells {
		text += " JOIN cells ON cells.id = " + PastTable + ".cell"
	}
	text += fmt.Sprintf(" WHERE day < %d", d.to)
	if d.from != math.MinInt64 {
		text += fmt.Sprintf(" AND day >= %d", d.from)
	}
	return text + a.cells(f, PastTable)
}
