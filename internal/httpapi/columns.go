package httpapi

import (
	"encoding/json"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/export"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/report"
)

// column is one column of a breakdown: its name and value in every format, what
// it needs the ledger to sum, and how the document describes it.
type column struct {
	export.Column[report.BreakdownRow]
	doc    string
	needs  analytics.Measures
	schema func() *huma.Schema
}

// columns are in the order in which they are written.
var columns = []column{
	priced("totalCost", "Exact cost in USD.", 0, func(r *report.BreakdownRow) money.Total { return r.Cost }),
	counted("totalTokens", "Input and output tokens.", analytics.MeasureTokens, func(r *report.BreakdownRow) int64 { return r.Input + r.Output }),
	counted("inputTokens", "Input tokens, cached ones included.", analytics.MeasureTokens, func(r *report.BreakdownRow) int64 { return r.Input }),
	counted("outputTokens", "Output tokens, reasoning included.", analytics.MeasureTokens, func(r *report.BreakdownRow) int64 { return r.Output }),
	counted("cachedTokens", "Input tokens read from a cache.", analytics.MeasureTokens, func(r *report.BreakdownRow) int64 { return r.Cached }),
	counted("callCount", "Calls.", 0, func(r *report.BreakdownRow) int64 { return r.Calls }),
	counted("errorCount", "Calls that failed.", analytics.MeasureErrors, func(r *report.BreakdownRow) int64 { return r.Errors }),
	scaled("avgLatency", "Mean latency in milliseconds, three decimals.", analytics.MeasureLatency, 3,
		func(r *report.BreakdownRow) int64 { return mean(r.LatencyMicros, r.Calls) }),
	scaled("p95Latency", "95th percentile of latency in milliseconds: the latency of one call. Leave it out with fields when it is not needed.", analytics.MeasureP95, 3,
		func(r *report.BreakdownRow) int64 { return r.P95Micros }),
	priced("cacheSavings", "Reads at the full input price less what reads and writes cost above it; negative when caching cost more.", analytics.MeasureSaving,
		func(r *report.BreakdownRow) money.Total { return r.Saving }),
	scaled("share", "Part of the cost of the whole answer, 0 to 1, six decimals.", 0, 6, func(r *report.BreakdownRow) int64 { return r.Share }),
	counted("unpricedCalls", "Calls whose cost is an estimate of the caller or unknown.", analytics.MeasureSource, func(r *report.BreakdownRow) int64 { return r.Unpriced }),
	counted("fallbackCalls", "Calls whose tier or region had no price and took the standard one.", analytics.MeasureSource, func(r *report.BreakdownRow) int64 { return r.Fallback }),
}

func priced(name, doc string, needs analytics.Measures, value func(*report.BreakdownRow) money.Total) column {
	return column{export.Money(name, value), doc, needs, amountSchema}
}

func counted(name, doc string, needs analytics.Measures, value func(*report.BreakdownRow) int64) column {
	return column{export.Whole(name, value), doc, needs, func() *huma.Schema { return &huma.Schema{Type: huma.TypeInteger} }}
}

func scaled(name, doc string, needs analytics.Measures, decimals int, value func(*report.BreakdownRow) int64) column {
	return column{export.Decimal(name, decimals, value), doc, needs, numberSchema}
}

func amountSchema() *huma.Schema { return amount{}.Schema(nil) }

func numberSchema() *huma.Schema { return &huma.Schema{Type: huma.TypeNumber} }

var fieldsParam = param{
	name: "fields", schema: columnList(),
	doc: "Comma-separated columns to answer; default all. What is left out is not computed. The columns: " + columnNames() + ".",
}

func columnNames() string {
	names := make([]string, len(columns))
	for i := range columns {
		names[i] = columns[i].Name
	}
	return strings.Join(names, ", ")
}

// columns reads fields=. The name of a row is always there.
func (q *query) columns() []*column {
	if !q.has("fields") {
		all := make([]*column, len(columns))
		for i := range columns {
			all[i] = &columns[i]
		}
		return all
	}
	wanted := map[string]bool{}
	for _, name := range strings.Split(q.text("fields"), ",") {
		if wanted[name] {
			q.bad("fields", "must not name a column twice")
		}
		wanted[name] = true
	}
	chosen := []*column{}
	for i := range columns {
		if wanted[columns[i].Name] {
			chosen = append(chosen, &columns[i])
			delete(wanted, columns[i].Name)
		}
	}
	delete(wanted, "name")
	delete(wanted, "names")
	if len(wanted) > 0 {
		q.bad("fields", "must be of name, "+columnNames())
	}
	return chosen
}

func measuresOf(cs []*column) analytics.Measures {
	var m analytics.Measures
	for _, c := range cs {
		m |= c.needs
	}
	return m
}

// breakdownRow writes one row in the chosen columns.
type breakdownRow struct {
	row     *report.BreakdownRow
	columns []*column
}

// MarshalJSON writes name, or names for a matrix, and the columns.
func (r breakdownRow) MarshalJSON() ([]byte, error) {
	b := make([]byte, 0, 512)
	var names any = r.row.Names
	key := `{"names":`
	if len(r.row.Names) == 1 {
		key, names = `{"name":`, r.row.Names[0]
	}
	text, err := json.Marshal(names)
	if err != nil {
		return nil, err
	}
	b = append(append(b, key...), text...)
	for _, c := range r.columns {
		b = append(b, ',', '"')
		b = append(b, c.Name...)
		b = append(b, '"', ':')
		b = c.AppendJSON(b, r.row)
	}
	return append(b, '}'), nil
}

// Schema says what is written: fields= may leave out every column.
func (breakdownRow) Schema(huma.Registry) *huma.Schema {
	props := map[string]*huma.Schema{
		"name":  {Type: huma.TypeString, Description: "The value of the dimension; empty for calls without one."},
		"names": {Type: huma.TypeArray, Items: text(), Description: "Of a matrix: a value for each dimension."},
	}
	for i := range columns {
		s := columns[i].schema()
		s.Description = columns[i].doc
		props[columns[i].Name] = s
	}
	return &huma.Schema{Type: huma.TypeObject, Properties: props, AdditionalProperties: false}
}
