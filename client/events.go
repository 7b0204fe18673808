package client

import (
	"context"
	"iter"
	"net/url"
)

// EventsRequest selects stored events.
type EventsRequest struct {
	Filter
	// PageSize is how many events one request brings, 1 to 1000; 0 is the
	// server's default.
	PageSize int
	// Cursor continues an earlier list.
	Cursor string
}

// Values gives the request as query parameters.
func (r *EventsRequest) Values() url.Values {
	q := r.Filter.Values()
	setInt(q, "limit", r.PageSize)
	set(q, "cursor", r.Cursor)
	return q
}

// EventPage asks for one page of events, newest first.
func (c *Client) EventPage(ctx context.Context, r EventsRequest) (Page[StoredEvent], error) {
	return askPage[StoredEvent](ctx, c, "events", r.Values())
}

// Events yields events, newest first, page after page. The sequence ends after
// the first error.
func (c *Client) Events(ctx context.Context, r EventsRequest) iter.Seq2[StoredEvent, error] {
	return func(yield func(StoredEvent, error) bool) {
		for {
			page, err := c.EventPage(ctx, r)
			if err != nil {
				yield(StoredEvent{}, err)
				return
			}
			for i := range page.Items {
				if !yield(page.Items[i], nil) {
					return
				}
			}
			if page.NextCursor == "" {
				return
			}
			r.Cursor = page.NextCursor
		}
	}
}

// GetEvent finds one event with its price lines; an unknown id is an *Error with
// status 404.
func (c *Client) GetEvent(ctx context.Context, id string) (StoredEvent, error) {
	e, err := ask[StoredEvent](ctx, c, "events/"+url.PathEscape(id), nil)
	return e.Data, err
}
