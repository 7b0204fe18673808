package report

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/usage"
)

// MaxExport is the most rows of one export; a cursor continues it.
const MaxExport = 1_000_000

func exportSize(limit int) (int, error) {
	switch {
	case limit == 0:
		return MaxExport, nil
	case limit < 0 || limit > MaxExport:
		return 0, fault.Field("limit", fmt.Sprintf("must be between 1 and %d", MaxExport))
	}
	return limit, nil
}

// ExportRequest asks for many events at once. Filter.Aggregates says whether
// spans that only sum their children are among them.
type ExportRequest struct {
	analytics.Filter
	// Limit is the most events; 0 is MaxExport.
	Limit int
	// Cursor continues an export: its window and its moment then replace those of
	// the filter.
	Cursor string
}

// Export is a set of events of one moment, read as it is consumed.
type Export struct {
	// From and To are the window.
	From, To time.Time
	// Total is how many events there are of that moment, beyond Limit too; -1 for
	// one that is continued.
	Total int64
	// TruncatedBefore is up to when events in the window were removed.
	TruncatedBefore time.Time

	ledger   store.Ledger
	question question
	query    store.EventQuery
	limit    int
	empty    bool
	next     string
}

// Export finds out what there is to export. No event comes twice or is left
// out, whatever arrives meanwhile and between one request and the next. Costs
// are those at the time of reading: a correction shows in what is read after it.
func (s *Service) Export(ctx context.Context, r ExportRequest) (*Export, error) {
	limit, err := exportSize(r.Limit)
	if err != nil {
		return nil, err
	}
	e := &Export{ledger: s.Ledger, question: question{kind: kindExport, filter: r.Filter}, limit: limit, Total: -1}
	e.query = store.EventQuery{Filter: r.Filter, Limit: limit + 1}
	if r.Cursor != "" {
		at, err := e.question.decode(r.Cursor)
		if err != nil {
			return nil, err
		}
		e.query.From, e.query.To, e.query.AsOf, e.query.After = at.from, at.to, at.asOf, &at.after
	} else {
		t, err := s.Ledger.Query(ctx, analytics.Query{Filter: r.Filter, Stored: true})
		if err != nil {
			return nil, err
		}
		// 0 would be no bound.
		e.Total, e.query.AsOf, e.empty, e.TruncatedBefore = t.Calls, t.AsOf, t.AsOf == 0, t.TruncatedBefore
	}
	e.From, e.To = e.query.From, e.query.To
	return e, nil
}

// Rows yields the events, newest first, then by descending id, once. A record
// belongs to the caller until the next one.
func (e *Export) Rows(ctx context.Context) iter.Seq2[*usage.Record, error] {
	return func(yield func(*usage.Record, error) bool) {
		if e.empty {
			return
		}
		n := 0
		var last store.EventKey
		var held usage.Record // one for all rows, where each would be made anew
		for record, err := range e.ledger.Events(ctx, e.query) {
			if err != nil {
				yield(nil, err)
				return
			}
			if n == e.limit {
				e.next = e.question.encode(position{from: e.From, to: e.To, asOf: e.query.AsOf, after: last})
				return
			}
			n++
			last = store.EventKey{Timestamp: record.Timestamp, ID: record.ID}
			held = record
			if !yield(&held, nil) {
				return
			}
		}
	}
}

// NextCursor continues behind the last row; "" when that was the end. It is
// known when the rows have ended.
func (e *Export) NextCursor() string { return e.next }
