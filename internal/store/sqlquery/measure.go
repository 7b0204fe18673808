package sqlquery

import (
	"slices"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/usage"
)

// ClassColumns are the cost columns in the order of usage.Class.
func ClassColumns() [usage.NumClasses]string {
	return [usage.NumClasses]string{
		"c_input", "c_cache_read", "c_cache_write", "c_cache_write_1h", "c_output", "c_reasoning", "c_media", "c_units", "c_unsplit",
	}
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
func (d *Dialect) measures(m analytics.Measures) []measure {
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
		number("sum("+InputTokens+")", "input", func(r *analytics.Row) *int64 { return &r.Input })
		number("sum("+OutputTokens+")", "output", func(r *analytics.Row) *int64 { return &r.Output })
		number("sum(t_cache_read)", "cached", func(r *analytics.Row) *int64 { return &r.Cached })
	}
	if m&analytics.MeasureErrors != 0 {
		number(d.CountIf("is_error"), "errors", func(r *analytics.Row) *int64 { return &r.Errors })
	}
	if m&analytics.MeasureLatency != 0 {
		number("sum(latency)", "latency", func(r *analytics.Row) *int64 { return &r.LatencyMicros })
	}
	if m&analytics.MeasureP95 != 0 {
		add(d.Quantile("latency", "0.95"), "", "", func(r *analytics.Row) any { return intScanner{&r.P95Micros} })
	}
	if m&analytics.MeasureSaving != 0 {
		dollars("saving", func(r *analytics.Row) *money.Total { return &r.Saving })
	}
	if m&analytics.MeasureSource != 0 {
		number(d.UnpricedCalls(), "unpriced", func(r *analytics.Row) *int64 { return &r.Unpriced })
		number(d.CountIf("is_fallback"), "fallback", func(r *analytics.Row) *int64 { return &r.Fallback })
	}
	if m&analytics.MeasureSeen != 0 {
		add("min(ts)", "min(%s)", "first", func(r *analytics.Row) any { return timeScanner{&r.First} })
		add("max(ts)", "max(%s)", "last", func(r *analytics.Row) any { return timeScanner{&r.Last} })
	}
	if m&analytics.MeasureClasses != 0 {
		for i, col := range ClassColumns() {
			dollars(col, func(r *analytics.Row) *money.Total { return &r.Classes[i] })
		}
	}
	if m&analytics.MeasureClassTokens != 0 {
		for _, t := range classTokens {
			number("sum("+t.sql+")", t.kept, func(r *analytics.Row) *int64 { return &r.ClassTokens[t.class] })
		}
	}
	if m&analytics.MeasureRoot != 0 {
		add(d.Earliest(spanName, "parent_span IS NOT NULL", "ts", "events.id"), "", "", func(r *analytics.Row) any { return textScanner{&r.Root} })
		add("max("+d.Micros+" + latency)", "", "", func(r *analytics.Row) any { return timeScanner{&r.End} })
	}
	return out
}

// spanName is what usage.Event.SpanName is, where events and cells are joined.
const spanName = "coalesce(events.name, nullif(cells.operation, ''), cells.feature)"

// Sum is a column of hours: what it keeps of an hour's events.
type Sum struct{ Column, Of string }

// KeptSums lists whatever a question may ask of hours, under the names by which
// it does.
func (d *Dialect) KeptSums() (sums []Sum) {
	for _, m := range d.measures(analytics.EveryMeasure) {
		s := Sum{m.kept, m.sql}
		if m.kept != "" && !slices.Contains(sums, s) {
			sums = append(sums, s)
		}
	}
	return sums
}

// The totals of the wire from the ledger's disjoint columns.
const (
	InputTokens  = "t_input + t_cache_read + t_cache_write + t_cache_write_1h + t_media_in"
	OutputTokens = "t_output + t_reasoning + t_media_out"
)
