package reference

import (
	"slices"
	"strings"
	"time"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/usage"
)

// IsPruned says whether the record was removed, where the events of each project
// were that are older than its time.
func IsPruned(r *usage.Record, before map[string]time.Time) bool {
	return r.Timestamp.Before(before[r.Project])
}

// Left are the records that were not removed.
func Left(records []usage.Record, before map[string]time.Time) []usage.Record {
	return slices.DeleteFunc(slices.Clone(records), func(r usage.Record) bool { return IsPruned(&r, before) })
}

// QueryPruned answers q over the records of which some were removed: these still
// count where sums of their UTC days can tell.
func QueryPruned(records []usage.Record, before map[string]time.Time, q analytics.Query) analytics.Table {
	left := Left(records, before)
	windows := []analytics.Window{{From: q.From, To: q.To}}
	if q.Baseline != (analytics.Window{}) {
		windows = append(windows, q.Baseline)
	}
	var truncated time.Time
	for _, w := range windows {
		if t := truncatedBefore(before, q, w); t.After(truncated) {
			truncated = t
		}
	}
	if !byDays(q) {
		t := Query(left, q)
		t.TruncatedBefore = truncated
		return t
	}
	// A removed record counts when its day lies wholly in the window.
	known := slices.DeleteFunc(slices.Clone(records), func(r usage.Record) bool {
		return IsPruned(&r, before) && !slices.ContainsFunc(windows, func(w analytics.Window) bool { return wholeDayIn(&r, w) })
	})
	if len(windows) == 2 {
		return movedPruned(known, before, q, truncated)
	}
	t := Query(known, q)
	if t.TruncatedBefore = truncated; q.Measures&analytics.MeasureP95 == 0 {
		return t
	}
	whole := q
	whole.Limit, whole.Offset = 0, 0
	of := map[string]int64{}
	key := func(r *analytics.Row) string { return strings.Join(r.Names, "\x00") + "\x00" + r.Bucket.String() }
	for _, r := range Query(left, whole).Rows {
		of[key(&r)] = r.P95Micros
	}
	for i := range t.Rows {
		t.Rows[i].P95Micros = of[key(&t.Rows[i])]
	}
	if truncated.IsZero() {
		t.TruncatedBefore = removedUpTo(before, q, windows[0])
		t.TruncatedP95 = !t.TruncatedBefore.IsZero()
	}
	return t
}

// movedPruned takes off, before the question, what is in only one of its windows
// as a whole day from the other one.
func movedPruned(records []usage.Record, before map[string]time.Time, q analytics.Query, truncated time.Time) analytics.Table {
	is := q
	is.Baseline, is.Limit, is.Offset = analytics.Window{}, 0, 0
	was := is
	was.From, was.To = q.Baseline.From, q.Baseline.To
	t := move(QueryPruned(records, before, is), QueryPruned(records, before, was), q)
	t.TruncatedBefore = truncated
	return t
}

func byDays(q analytics.Query) bool {
	inCells := func(d analytics.Dimension) bool {
		return slices.Contains([]analytics.Dimension{
			analytics.Feature, analytics.Model, analytics.Provider, analytics.Department, analytics.Project,
			analytics.Environment, analytics.Operation, analytics.Tier,
		}, d)
	}
	for d := range q.Any {
		if !inCells(d) {
			return false
		}
	}
	for _, d := range q.GroupBy {
		if !inCells(d) {
			return false
		}
	}
	return !q.Stored && q.Status == analytics.StatusAny && len(q.Sources) == 0 && !q.Aggregates && q.Measures&analytics.MeasureRoot == 0 &&
		(q.Grain == 0 || q.Grain == 24*time.Hour && q.Shift == 0)
}

func utcDay(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }

func wholeDayIn(r *usage.Record, w analytics.Window) bool {
	begin := utcDay(r.Timestamp)
	return (w.From.IsZero() || !begin.Before(w.From)) && (w.To.IsZero() || !begin.Add(24*time.Hour).After(w.To))
}

// removedUpTo is the end of the part of the window from which something of the
// asked projects was removed.
func removedUpTo(before map[string]time.Time, q analytics.Query, w analytics.Window) time.Time {
	var end time.Time
	for project, t := range before {
		if projects, some := q.Any[analytics.Project]; t.After(end) && (!some || slices.Contains(projects, project)) {
			end = t
		}
	}
	if !w.To.IsZero() && w.To.Before(end) {
		end = w.To
	}
	if !w.From.IsZero() && !w.From.Before(end) {
		return time.Time{}
	}
	return end
}

func truncatedBefore(before map[string]time.Time, q analytics.Query, w analytics.Window) time.Time {
	end := removedUpTo(before, q, w)
	if end.IsZero() || !byDays(q) {
		return end
	}
	mark := removedUpTo(before, q, analytics.Window{})
	if cut := utcDay(w.To); !w.To.IsZero() && !cut.Equal(w.To) && cut.Before(mark) {
		return end
	}
	if cut := utcDay(w.From); !w.From.IsZero() && !cut.Equal(w.From) {
		if next := cut.Add(24 * time.Hour); next.Before(end) {
			return next
		}
		return end
	}
	return time.Time{}
}
