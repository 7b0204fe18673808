package report

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/store"
)

// TracesRequest asks which traces cost most.
type TracesRequest struct {
	analytics.Filter
	// Limit is the size of the page; 0 is DefaultLimit.
	Limit int
	// Cursor continues a ranking; its window then replaces the filter's.
	Cursor string
}

// Traces is a page of a ranking.
type Traces struct {
	Rows []TraceRow
	// From and To are the window that was answered.
	From, To time.Time
	// Cost, Calls and those of them without a price of their own are of the whole
	// ranking.
	Cost               money.Total
	Calls              int64
	Unpriced, Fallback int64
	// NextCursor is "" after the last page.
	NextCursor string
	// TruncatedBefore is up to when calls in the window were removed and the answer
	// lacks them; the zero time when it lacks none.
	TruncatedBefore time.Time
}

// TraceRow is one trace: the sums are those of the calls that the filter selects,
// the rest is of all spans of the trace in the window and a day around it.
type TraceRow struct {
	analytics.Row
	Project, TraceID string
	// Share is the part of the cost of the whole ranking in millionths.
	Share int64
	// Name is that of the span at the top.
	Name       string
	Start, End time.Time
	Spans      int64
}

// Traces ranks traces by cost, dearest first, then by project and id in byte
// order. fault.Gone when a cursor's ranking ended.
func (s *Service) Traces(ctx context.Context, r TracesRequest) (Traces, error) {
	limit, err := pageSize(r.Limit)
	if err != nil {
		return Traces{}, err
	}
	by := []analytics.Dimension{analytics.Project, analytics.Trace}
	question := question{kindTraces, r.Filter, by, nil}
	at, err := question.rank(r.Cursor, s.Now())
	if err != nil {
		return Traces{}, err
	}
	q := analytics.Query{
		Filter: r.Filter, GroupBy: by, Limit: limit, Offset: int(at.offset),
		Measures: analytics.MeasureTokens | analytics.MeasureErrors | analytics.MeasureSource | analytics.MeasureSeen,
	}
	q.From, q.To, q.AsOf = at.from, at.to, at.asOf
	var out Traces
	err = s.atOneMoment(ctx, func(m *moment) error {
		t, err := m.query(ctx, q)
		if err != nil {
			return err
		}
		out = Traces{From: at.from, To: at.to, Cost: t.Cost, Calls: t.Calls, Unpriced: t.Unpriced, Fallback: t.Fallback, TruncatedBefore: t.TruncatedBefore}
		if out.Rows, err = m.describe(ctx, q.Filter, t); err != nil {
			return err
		}
		out.NextCursor, err = question.next(at, r.Cursor, rankedPage{len(t.Rows), t.More, t.AsOf, t.Revision})
		return err
	})
	return out, err
}

// describe adds what is known of the traces as a whole.
func (m *moment) describe(ctx context.Context, f analytics.Filter, t analytics.Table) ([]TraceRow, error) {
	rows := make([]TraceRow, len(t.Rows))
	if len(rows) == 0 {
		return rows, nil
	}
	projects, traces, place := map[string]bool{}, map[string]bool{}, map[string]int{}
	for i := range t.Rows {
		row := &t.Rows[i]
		if err := row.Fits(); err != nil {
			return nil, err
		}
		project, trace := row.Names[0], row.Names[1]
		rows[i] = TraceRow{Row: *row, Project: project, TraceID: trace, Share: share(row.Cost, t.Cost)}
		projects[project], traces[trace] = true, true
		place[analytics.Path(row.Names)] = i
	}
	whole := analytics.Filter{Aggregates: true, Any: map[analytics.Dimension][]string{
		analytics.Project: slices.Sorted(maps.Keys(projects)), analytics.Trace: slices.Sorted(maps.Keys(traces)),
	}}
	if !f.From.IsZero() {
		whole.From = f.From.Add(-analytics.TraceReach)
	}
	if !f.To.IsZero() {
		whole.To = f.To.Add(analytics.TraceReach)
	}
	all, err := m.query(ctx, analytics.Query{
		Filter: whole, GroupBy: []analytics.Dimension{analytics.Project, analytics.Trace}, Measures: analytics.MeasureSeen | analytics.MeasureRoot,
	})
	if err != nil {
		return nil, err
	}
	for i := range all.Rows {
		row := &all.Rows[i]
		if at, ok := place[analytics.Path(row.Names)]; ok {
			rows[at].Name, rows[at].Start, rows[at].End, rows[at].Spans = row.Root, row.First, row.End, row.Calls
		}
	}
	return rows, nil
}

// Bounds of one trace.
const (
	DefaultSpans = 2_000
	MaxSpans     = 10_000
	// readSpans is how many of a trace's spans are looked at: about 20 MB.
	readSpans = 50_000
)

// TraceRequest asks for one trace.
type TraceRequest struct {
	ID string
	// Filter limits where it may be found, by project; "" in Project is any.
	Filter  analytics.Filter
	Project string
	// MaxSpans bounds the tree; 0 is DefaultSpans.
	MaxSpans int
}

// Trace is one call tree.
type Trace struct {
	ID, Project string
	// Name is that of the span at the top.
	Name string
	// Row are the sums of all its calls.
	analytics.Row
	Start, End time.Time
	// Spans counts all of them, Read those that the tree is made of: the newest,
	// where there are too many.
	Spans, Read int64
	Top         []*analytics.SpanNode
	Hidden      analytics.Hidden
}

// Trace finds a trace. fault.NotFound when there is none, fault.Conflict when
// several projects have one with this id and none of them is named.
func (s *Service) Trace(ctx context.Context, r TraceRequest) (Trace, error) {
	most := r.MaxSpans
	switch {
	case most == 0:
		most = DefaultSpans
	case most < 1 || most > MaxSpans:
		return Trace{}, fault.Field("maxSpans", fmt.Sprintf("must be between 1 and %d", MaxSpans))
	}
	var out Trace
	err := s.atOneMoment(ctx, func(m *moment) (err error) {
		out, err = s.trace(ctx, m, r, most)
		return err
	})
	return out, err
}

func (s *Service) trace(ctx context.Context, m *moment, r TraceRequest, most int) (Trace, error) {
	f := r.Filter
	f.From, f.To, f.Aggregates = time.Time{}, time.Time{}, true
	f.Any = maps.Clone(f.Any)
	if f.Any == nil {
		f.Any = map[analytics.Dimension][]string{}
	}
	f.Any[analytics.Trace] = []string{r.ID}
	if r.Project != "" {
		f.Any[analytics.Project] = []string{r.Project}
	}
	found, err := m.query(ctx, analytics.Query{
		Filter: f, GroupBy: []analytics.Dimension{analytics.Project}, Measures: analytics.MeasureSeen | analytics.MeasureRoot, Limit: 10,
	})
	if err != nil {
		return Trace{}, err
	}
	switch len(found.Rows) {
	case 0:
		return Trace{}, fault.New(fault.NotFound, "There is no trace with this id")
	case 1:
	default:
		names := make([]string, len(found.Rows))
		for i := range found.Rows {
			names[i] = found.Rows[i].Names[0]
		}
		slices.Sort(names)
		return Trace{}, &fault.Error{
			Code: fault.Conflict, Message: "Several projects have a trace with this id; say which with project",
			Details: map[string][]string{"project": {"must be one of " + strings.Join(names, ", ")}},
		}
	}
	all := found.Rows[0]
	out := Trace{ID: r.ID, Project: all.Names[0], Name: all.Root, Start: all.First, End: all.End, Spans: all.Calls}
	// Bounded in time and in project, the events are found without a search.
	f.Any[analytics.Project] = []string{out.Project}
	f.From, f.To, f.AsOf = all.First, all.Last.Add(time.Microsecond), m.asOf
	var spans []analytics.Span
	for record, err := range s.Ledger.Events(ctx, store.EventQuery{Filter: f, Limit: readSpans}) {
		if err != nil {
			return Trace{}, err
		}
		spans = append(spans, analytics.SpanOf(&record))
	}
	out.Read = int64(len(spans))
	// Asked last: an answer of the same revision shows that nothing was corrected
	// while the events were read.
	f.Aggregates = false
	sums, err := m.query(ctx, analytics.Query{
		Filter: f, Measures: analytics.MeasureTokens | analytics.MeasureErrors | analytics.MeasureSource | analytics.MeasureSeen,
	})
	if err != nil {
		return Trace{}, err
	}
	out.Row = sums.Rows[0]
	if err := out.Row.Fits(); err != nil {
		return Trace{}, err
	}
	out.Top, out.Hidden = analytics.TraceTree(spans, most)
	return out, nil
}
