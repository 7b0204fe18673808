package report

import (
	"context"
	"iter"
	"time"
)

// exportPage is how many rows of a ranking are asked for at a time: so many are
// in memory at once.
const exportPage = 10_000

// Ranking is a ranking of any length, read as it is consumed.
type Ranking[T any] struct {
	// From and To are the window.
	From, To time.Time
	// Total is how many rows there are, beyond the limit too; -1 for one that is
	// continued, and where nobody counted them.
	Total int64
	// TruncatedBefore is up to when calls in the window were removed and the rows
	// lack them, or some of their columns do.
	TruncatedBefore time.Time

	first rankedRows[T]
	page  rankedPages[T]
	limit int
	next  string
}

// rankedPages gives the next page of at most limit rows.
type rankedPages[T any] func(ctx context.Context, cursor string, limit int) (rankedRows[T], error)

// rankedRows is one page of a ranking.
type rankedRows[T any] struct {
	rows     []T
	next     string
	from, to time.Time
	total    int64
	// truncated is up to when it lacks removed calls.
	truncated time.Time
}

// ExportBreakdown is Breakdown without an end to its pages: r.Limit is the most
// rows, 0 being MaxExport. The cursors are those of Breakdown.
func (s *Service) ExportBreakdown(ctx context.Context, r BreakdownRequest) (*Ranking[BreakdownRow], error) {
	s = s.standing()
	return ranking(ctx, s, r.Limit, r.Cursor, func(ctx context.Context, cursor string, limit int) (rankedRows[BreakdownRow], error) {
		r.Cursor, r.Limit = cursor, limit
		b, err := s.breakdown(ctx, r)
		return rankedRows[BreakdownRow]{b.Rows, b.NextCursor, b.From, b.To, b.Groups, b.TruncatedBefore}, err
	})
}

// ExportPrompts is Prompts without an end to its pages: r.Limit is the most
// rows, 0 being MaxExport. The cursors are those of Prompts.
func (s *Service) ExportPrompts(ctx context.Context, r PromptsRequest) (*Ranking[Prompt], error) {
	s = s.standing()
	return ranking(ctx, s, r.Limit, r.Cursor, func(ctx context.Context, cursor string, limit int) (rankedRows[Prompt], error) {
		r.Cursor, r.Limit = cursor, limit
		p, err := s.prompts(ctx, r)
		return rankedRows[Prompt]{p.Rows, p.NextCursor, p.From, p.To, -1, p.TruncatedBefore}, err
	})
}

// standing is the service while the clock stands: a ranking ends for whoever
// comes back late, not for who reads it all the while.
func (s *Service) standing() *Service {
	still, now := *s, s.Now()
	still.Now = func() time.Time { return now }
	return &still
}

// ranking reads the first page, so that whatever is wrong is known before a row
// is out.
func ranking[T any](ctx context.Context, s *Service, limit int, cursor string, pages rankedPages[T]) (*Ranking[T], error) {
	limit, err := exportSize(limit)
	if err != nil {
		return nil, err
	}
	size := s.exportRows
	if size == 0 {
		size = exportPage
	}
	page := func(ctx context.Context, cursor string, left int) (rankedRows[T], error) {
		return pages(ctx, cursor, min(left, size))
	}
	first, err := page(ctx, cursor, limit)
	if err != nil {
		return nil, err
	}
	if cursor != "" {
		first.total = -1
	}
	return &Ranking[T]{From: first.from, To: first.to, Total: first.total, TruncatedBefore: first.truncated, first: first, page: page, limit: limit}, nil
}

// Rows yields the rows in their order, once. The sequence ends after the first
// error, which is fault.Gone when stored costs were corrected meanwhile. A row
// belongs to the caller until the next one.
func (r *Ranking[T]) Rows(ctx context.Context) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		left, page := r.limit, r.first
		r.first = rankedRows[T]{}
		for {
			for i := range page.rows {
				if !yield(&page.rows[i], nil) {
					return
				}
			}
			left -= len(page.rows)
			if r.next = page.next; r.next == "" || left <= 0 {
				return
			}
			var err error
			if page, err = r.page(ctx, r.next, left); err != nil {
				yield(nil, err)
				return
			}
		}
	}
}

// NextCursor continues behind the last row; "" when that was the end. It is
// known when the rows have ended.
func (r *Ranking[T]) NextCursor() string { return r.next }
