package report

import (
	"context"
	"time"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/money"
)

// TotalsShown is how many features and users a total names, the dearest.
const TotalsShown = 100

// TotalsRequest asks for sums over several spans of time at one moment. The time
// bounds of the filter are not used.
type TotalsRequest struct {
	analytics.Filter
	Spans []Span
}

// Span is a range of time, half-open.
type Span struct{ From, To time.Time }

// Total is the sums of one span.
type Total struct {
	Cost               money.Total
	Calls              int64
	Unpriced, Fallback int64
	Features, Users    Dearest
	// TruncatedBefore is up to when calls in the window were removed and the answer
	// lacks them; the zero time when it lacks none.
	TruncatedBefore time.Time
}

// Dearest names the dearest values of a dimension.
type Dearest struct {
	Rows []analytics.Row
	// Other is the cost of the Rest, values that Rows does not name.
	Other money.Total
	Rest  int64
}

// Totals gives the sums of each span, in order, all of one moment.
func (s *Service) Totals(ctx context.Context, r TotalsRequest) ([]Total, error) {
	var out []Total
	err := s.atOneMoment(ctx, func(m *moment) error {
		out = make([]Total, len(r.Spans))
		for i, span := range r.Spans {
			q := analytics.Query{Filter: r.Filter, Measures: analytics.MeasureSource, Limit: TotalsShown}
			q.From, q.To = span.From, span.To
			q.GroupBy = []analytics.Dimension{analytics.Feature}
			t, err := m.query(ctx, q)
			if err != nil {
				return err
			}
			out[i] = Total{Cost: t.Cost, Calls: t.Calls, Unpriced: t.Unpriced, Fallback: t.Fallback, Features: dearest(&t)}
			q.GroupBy, q.Measures = []analytics.Dimension{analytics.User}, 0
			if t, err = m.query(ctx, q); err != nil {
				return err
			}
			out[i].Users = dearest(&t)
			out[i].TruncatedBefore = t.TruncatedBefore // the users' are the first to lack something
		}
		return nil
	})
	return out, err
}

func dearest(t *analytics.Table) Dearest {
	d := Dearest{Rows: t.Rows, Other: t.Cost, Rest: t.Groups - int64(len(t.Rows))}
	for i := range t.Rows {
		d.Other = d.Other.Sub(t.Rows[i].Cost)
	}
	return d
}
