package rating

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/money"
)

// UnpricedQuery asks for the models seen without a price.
type UnpricedQuery struct {
	// Projects limits it to some projects; nil is all.
	Projects []string
	// From and To bound the calls' time, half-open; a zero time is no bound.
	From, To time.Time
	// Limit is the size of a page; 0 is 100.
	Limit int
	// Cursor continues behind a page of the same question, for 10 minutes.
	Cursor string
}

// UnpricedModel is a model whose calls count as 0 or as the caller's estimate.
type UnpricedModel struct {
	// Provider and Model are as sent.
	Provider  string    `json:"provider"`
	Model     string    `json:"model"`
	Calls     int64     `json:"calls"`
	FirstSeen time.Time `json:"firstSeen"`
	LastSeen  time.Time `json:"lastSeen"`
	// EstimatedCost is the sum of the callers' own estimates.
	EstimatedCost money.Total `json:"estimatedCost"`
}

// UnpricedPage is a part of the list; NextCursor is "" on the last one.
type UnpricedPage struct {
	Models     []UnpricedModel
	NextCursor string
}

// maxUnpriced is how many models the list can show: the dearest, then the first
// by name.
const maxUnpriced = 20_000

// Unpriced lists models seen without a price, those with the largest estimates
// first, then those with most calls. fault.Invalid for a broken cursor,
// fault.Gone for one that is too old or whose calls were priced meanwhile.
func (s *Service) Unpriced(ctx context.Context, q UnpricedQuery) (UnpricedPage, error) {
	now := s.Now()
	from, err := q.place(now)
	if err != nil {
		return UnpricedPage{}, err
	}
	filter := analytics.Filter{Sources: withoutPrice, From: q.From, To: q.To, AsOf: from.asOf}
	if q.Projects != nil {
		filter.Any = map[analytics.Dimension][]string{analytics.Project: q.Projects}
	}
	t, err := s.Ledger.Query(ctx, analytics.Query{
		Filter:   filter,
		GroupBy:  []analytics.Dimension{analytics.Provider, analytics.Model},
		Measures: analytics.MeasureSeen,
		BySent:   true,
		Limit:    maxUnpriced,
	})
	if err != nil {
		return UnpricedPage{}, err
	}
	if q.Cursor != "" && t.Revision != from.revision {
		return UnpricedPage{}, fault.New(fault.Gone, "Stored costs were corrected since the first page; start again without the cursor")
	}
	slices.SortStableFunc(t.Rows, func(a, b analytics.Row) int {
		return cmp.Or(b.Cost.Cmp(a.Cost), cmp.Compare(b.Calls, a.Calls),
			cmp.Compare(a.Names[0], b.Names[0]), cmp.Compare(a.Names[1], b.Names[1]))
	})
	limit := q.Limit
	if limit <= 0 {
		limit = 100
	}
	rows := t.Rows[min(from.offset, len(t.Rows)):]
	page := UnpricedPage{Models: make([]UnpricedModel, 0, min(limit, len(rows)))}
	for _, row := range rows[:min(limit, len(rows))] {
		page.Models = append(page.Models, UnpricedModel{
			Provider: row.Names[0], Model: row.Names[1], Calls: row.Calls,
			FirstSeen: row.First, LastSeen: row.Last, EstimatedCost: row.Cost,
		})
	}
	if len(rows) > limit {
		from.asOf, from.revision = t.AsOf, t.Revision
		from.offset += limit
		page.NextCursor = q.cursor(from)
	}
	return page, nil
}
