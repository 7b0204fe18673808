package report

import (
	"context"
	"time"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/usage"
)

// EventsRequest asks for a list of events.
type EventsRequest struct {
	analytics.Filter
	// Limit is the size of the page; 0 is DefaultLimit.
	Limit int
	// Cursor continues a list; its window then replaces the filter's, so that a
	// default window does not slide from page to page.
	Cursor string
}

// Events is a page of events, newest first, then by descending id.
type Events struct {
	Rows []usage.Record
	// From and To are the window that was answered.
	From, To time.Time
	// NextCursor is "" after the last page.
	NextCursor string
	// TruncatedBefore is up to when calls in the window were removed and the answer
	// lacks them; the zero time when it lacks none.
	TruncatedBefore time.Time
}

// Events lists events, spans that only sum their children included. No event
// stored before the first page comes twice or is left out, whatever arrives in
// between.
func (s *Service) Events(ctx context.Context, r EventsRequest) (Events, error) {
	limit, err := pageSize(r.Limit)
	if err != nil {
		return Events{}, err
	}
	r.Aggregates = true
	question := question{kind: kindEvents, filter: r.Filter}
	q := store.EventQuery{Filter: r.Filter, Limit: limit + 1}
	if r.Cursor != "" {
		at, err := question.decode(r.Cursor)
		if err != nil {
			return Events{}, err
		}
		q.From, q.To, q.After = at.from, at.to, &at.after
	}
	page := Events{From: q.From, To: q.To, Rows: make([]usage.Record, 0, limit)}
	for record, err := range s.Ledger.Events(ctx, q) {
		if err != nil {
			return Events{}, err
		}
		if len(page.Rows) == limit {
			last := page.Rows[limit-1]
			page.NextCursor = question.encode(position{
				from: q.From, to: q.To, after: store.EventKey{Timestamp: last.Timestamp, ID: last.ID},
			})
			break
		}
		page.Rows = append(page.Rows, record)
	}
	// What was removed while the events were read may be said to lack, and is not.
	pruned, err := s.Ledger.Pruned(ctx)
	page.TruncatedBefore = analytics.Pruned(pruned).TruncatedBefore(q.Filter)
	return page, err
}

// Event finds one event among those that the filter allows, its window aside;
// fault.NotFound when there is none.
func (s *Service) Event(ctx context.Context, id usage.ID, f analytics.Filter) (usage.Record, error) {
	f.Aggregates = true
	return s.Ledger.Get(ctx, id, f)
}
