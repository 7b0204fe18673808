package report

import (
	"context"
	"time"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/money"
)

// MaxGroupBy is the most dimensions of a breakdown: two make a matrix.
const MaxGroupBy = 2

// BreakdownRequest asks for spend by one or two dimensions.
type BreakdownRequest struct {
	analytics.Filter
	GroupBy  []analytics.Dimension
	Measures analytics.Measures
	// Limit is the size of the page; 0 is DefaultLimit.
	Limit int
	// Cursor continues a ranking; its window then replaces the filter's.
	Cursor string
}

// Breakdown is a page of a ranking.
type Breakdown struct {
	Rows []BreakdownRow
	// From and To are the window that was answered.
	From, To time.Time
	// Cost, Calls and those of them without a price of their own are of the whole
	// ranking, beyond this page too.
	Cost               money.Total
	Calls              int64
	Unpriced, Fallback int64
	// Groups is how many rows the whole ranking has.
	Groups int64
	// NextCursor is "" after the last page.
	NextCursor string
	// TruncatedBefore is up to when calls in the window were removed and the answer
	// lacks them; the zero time when it lacks none.
	TruncatedBefore time.Time
	// TruncatedP95 says that only percentiles lack them.
	TruncatedP95 bool
}

// BreakdownRow is one row of a breakdown.
type BreakdownRow struct {
	analytics.Row
	// Share is the row's part of the cost of the whole ranking in millionths,
	// rounded half-even.
	Share int64
}

// Breakdown ranks the values of the dimensions, dearest first, then by name in
// byte order. fault.Gone when a cursor's ranking ended.
func (s *Service) Breakdown(ctx context.Context, r BreakdownRequest) (Breakdown, error) {
	limit, err := pageSize(r.Limit)
	if err != nil {
		return Breakdown{}, err
	}
	r.Limit = limit
	return s.breakdown(ctx, r)
}

func (s *Service) breakdown(ctx context.Context, r BreakdownRequest) (Breakdown, error) {
	if err := distinct("groupBy", r.GroupBy, MaxGroupBy); err != nil {
		return Breakdown{}, err
	}
	question := question{kindBreakdown, r.Filter, r.GroupBy, []int64{int64(r.Measures)}}
	at, err := question.rank(r.Cursor, s.Now())
	if err != nil {
		return Breakdown{}, err
	}
	// Every total says how many of its calls have no price of ours.
	measures := r.Measures | analytics.MeasureSource
	q := analytics.Query{Filter: r.Filter, GroupBy: r.GroupBy, Measures: measures, Limit: r.Limit, Offset: int(at.offset)}
	q.From, q.To, q.AsOf = at.from, at.to, at.asOf
	t, err := s.Ledger.Query(ctx, q)
	if err != nil {
		return Breakdown{}, err
	}
	b := Breakdown{From: at.from, To: at.to, Cost: t.Cost, Calls: t.Calls, Unpriced: t.Unpriced, Fallback: t.Fallback, Groups: t.Groups, TruncatedBefore: t.TruncatedBefore, TruncatedP95: t.TruncatedP95, Rows: make([]BreakdownRow, len(t.Rows))}
	for i, row := range t.Rows {
		if err := row.Fits(); err != nil {
			return Breakdown{}, err
		}
		b.Rows[i] = BreakdownRow{row, share(row.Cost, t.Cost)}
	}
	b.NextCursor, err = question.next(at, r.Cursor, rankedPage{len(t.Rows), t.More, t.AsOf, t.Revision})
	return b, err
}
