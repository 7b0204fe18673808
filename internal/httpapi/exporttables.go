package httpapi

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/export"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/report"
)

// rankedDoc is true of every export of a ranking.
const rankedDoc = "The first answer fixes range and ranking for 10 minutes; after that, and when stored costs were corrected, a cursor is answered with 410. " + exportFile + exportEnd

const tableCSV = "format=csv: RFC 4180, UTF-8. The columns: "

func (s *server) featuresExport() exportOf {
	table := []export.Column[report.BreakdownRow]{export.Text("name", func(r *report.BreakdownRow) string { return r.Names[0] })}
	all := make([]*column, len(columns))
	for i := range columns {
		all[i] = &columns[i]
		table = append(table, columns[i].Column)
	}
	return exportOf{
		what: "features", summary: "Spend by feature as a file",
		doc:     "All columns of the breakdown by feature, dearest first, then by name in byte order. " + rankedDoc,
		formats: formatNames(false), csv: tableCSV + columnsDoc(table) + ".", row: schemaOf[breakdownRow](s), errors: []int{http.StatusGone},
		ask: func(ctx context.Context, in *exportRequest) (*exported, error) {
			b, err := s.reports.ExportBreakdown(ctx, report.BreakdownRequest{
				Filter: in.filter, GroupBy: []analytics.Dimension{analytics.Feature}, Measures: measuresOf(all), Limit: in.limit, Cursor: in.cursor,
			})
			return exportRanking(in, b, err, table)
		},
	}
}

func (s *server) promptsExport() exportOf {
	type row = report.Prompt
	table := []export.Column[row]{
		export.Text("eventId", func(r *row) string { return r.ID.String() }),
		export.Instant("timestamp", func(r *row) time.Time { return r.Timestamp }),
		export.Text("feature", func(r *row) string { return r.Feature }),
		export.Text("model", func(r *row) string { return r.Model }),
		export.Whole("inputTokens", func(r *row) int64 { return r.Input }),
		export.Whole("cachedTokens", func(r *row) int64 { return r.Cached }),
		export.Whole("outputTokens", func(r *row) int64 { return r.Output }),
		export.Whole("medianInputTokens", func(r *row) int64 { return r.Median }),
		export.Whole("groupCalls", func(r *row) int64 { return r.GroupCalls }),
		export.Decimal("bloatRatio", 3, func(r *row) int64 { return r.BloatRatio }),
		export.Decimal("redundancyScore", 3, func(r *row) int64 { return r.RedundancyScore }),
		export.Money("wastedCost", func(r *row) money.Total { return money.TotalOf(r.Wasted) }),
		export.OptionalDecimal("inputOutputRatio", 3, func(r *row) (int64, bool) { return r.InputRatio, r.InputRatio >= 0 }),
		export.Texts("suggestions", func(r *row) []string { return r.Suggestions }),
	}
	return exportOf{
		what: "prompts", summary: "Calls with far more input than their like, as a file",
		doc:     "Calls whose input is at least twice the median of their feature and model, the most wasteful first: the rows of /api/v1/analytics/prompts. " + rankedDoc,
		formats: formatNames(false), csv: tableCSV + columnsDoc(table) + "; suggestions is a JSON array.", row: schemaOf[prompt](s), errors: []int{http.StatusGone},
		ask: func(ctx context.Context, in *exportRequest) (*exported, error) {
			p, err := s.reports.ExportPrompts(ctx, report.PromptsRequest{Filter: in.filter, Limit: in.limit, Cursor: in.cursor})
			return exportRanking(in, p, err, table)
		},
	}
}

func columnsDoc[T any](table []export.Column[T]) (names string) {
	for i := range table {
		if i > 0 {
			names += ", "
		}
		names += table[i].Name
	}
	return names
}

func exportRanking[T any](in *exportRequest, r *report.Ranking[T], err error, table []export.Column[T]) (*exported, error) {
	if err != nil {
		return nil, err
	}
	return &exported{r.From, r.To, r.Total, r.TruncatedBefore, func(ctx context.Context, w io.Writer) error {
		return writeRows(ctx, export.Table(in.format, table, w, in.options), r.Rows(ctx), r.NextCursor)
	}, r.NextCursor}, nil
}
