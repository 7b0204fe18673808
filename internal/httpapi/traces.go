package httpapi

import (
	"net/http"
	"time"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/auth"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/report"
	"github.com/costprof/costprof/internal/usage"
)

func (s *server) traceRoutes() []*route {
	return []*route{
		{
			id: "list-traces", method: http.MethodGet, path: "/api/v1/traces", tag: "Traces", need: auth.Read, summary: "Traces by cost",
			doc: "Dearest first, then by project and id in byte order. Cost and counts are of the calls that the filters select; name, start, end and spanCount are of all spans of the trace in the range and a day around it. " +
				"The first page fixes range and ranking for 10 minutes; after that, and when stored costs were corrected, the answer is 410.",
			params: concat(windowParams, filterParams, pageParams), status: http.StatusOK,
			answer: s.envelope(arrayOf(schemaOf[traceRow](s)), schemaOf[tracesMeta](s), paged), errors: []int{http.StatusGone},
			weigh: weighChart, serve: s.traces,
		},
		{
			id: "get-trace", method: http.MethodGet, path: "/api/v1/traces/{traceId}", tag: "Traces", need: auth.Read, summary: "One call tree with the cost of each span",
			doc: "Spans in the order in which they began, each below its parent; one whose parent is not there stands at the top and is marked orphan. Beyond maxSpans the cheapest are left out and counted in hidden.",
			params: []param{
				{name: "project", doc: "The project of the trace; needed when several have one with this id.", schema: text()},
				{name: "maxSpans", doc: "The most spans to show.", schema: wholeNumber(report.DefaultSpans, 1, report.MaxSpans)},
			},
			status: http.StatusOK, answer: s.envelope(schemaOf[trace](s), nil), errors: []int{http.StatusNotFound, http.StatusConflict},
			weigh: weighTrace, serve: s.trace,
		},
	}
}

// weighTrace is what the engine gives at a time when it reads a trace's events.
func weighTrace(a *answers, _ *query) (*budget, int64) { return a.lists, 1000 * eventMemory }

// TraceSums are the sums of a trace, in either of its forms.
type TraceSums struct {
	TraceID      string      `json:"traceId"`
	Project      string      `json:"project"`
	Name         string      `json:"name" doc:"Name of the span at the top: the earliest that names no parent."`
	TotalCost    money.Total `json:"totalCost"`
	TotalTokens  int64       `json:"totalTokens"`
	InputTokens  int64       `json:"inputTokens"`
	OutputTokens int64       `json:"outputTokens"`
	CachedTokens int64       `json:"cachedTokens"`
	CallCount    int64       `json:"callCount" doc:"Calls that count: spans that only sum their children do not."`
	ErrorCount   int64       `json:"errorCount"`
	Unpriced     int64       `json:"unpricedCalls"`
	Fallback     int64       `json:"fallbackCalls"`
	FirstCall    *time.Time  `json:"firstTimestamp,omitempty" doc:"Start of the first call that counts."`
	LastCall     *time.Time  `json:"lastTimestamp,omitempty" doc:"Start of the last call that counts."`
	Start        time.Time   `json:"start" doc:"When the first span began."`
	End          time.Time   `json:"end" doc:"When the last span ended."`
	DurationMs   millis      `json:"durationMs"`
	SpanCount    int64       `json:"spanCount" doc:"All spans, also those that only sum their children."`
}

func traceSumsOf(r *analytics.Row, loc *time.Location) TraceSums {
	out := TraceSums{
		TotalCost: r.Cost, TotalTokens: r.Tokens(), InputTokens: r.Input, OutputTokens: r.Output, CachedTokens: r.Cached,
		CallCount: r.Calls, ErrorCount: r.Errors, Unpriced: r.Unpriced, Fallback: r.Fallback,
	}
	if !r.First.IsZero() {
		first, last := shown(r.First.In(loc)), shown(r.Last.In(loc))
		out.FirstCall, out.LastCall = &first, &last
	}
	return out
}

func (t *TraceSums) lasts(start, end time.Time, loc *time.Location) {
	t.Start, t.End, t.DurationMs = shown(start.In(loc)), shown(end.In(loc)), millisOf(end.Sub(start))
}

type traceRow struct {
	TraceSums
	Share millionths `json:"share" doc:"Part of the cost of the whole answer, 0 to 1, six decimals."`
}

type tracesMeta struct {
	WindowMeta
	TotalCost money.Total `json:"totalCost" doc:"Cost of the whole answer, beyond this page too."`
	CallCount int64       `json:"callCount" doc:"Calls of the whole answer, beyond this page too."`
	Unpriced  int64       `json:"unpricedCalls" doc:"Those whose cost is an estimate of the caller or unknown."`
	Fallback  int64       `json:"fallbackCalls" doc:"Those whose tier or region had no price and took the standard one."`
}

func (s *server) traces(c *call) (*reply, error) {
	w := c.q.window(s.now())
	req := report.TracesRequest{Filter: c.q.filter(w), Limit: c.q.limit(), Cursor: c.q.cursor()}
	if err := c.q.err(); err != nil {
		return nil, err
	}
	page, err := s.reports.Traces(c, req)
	if err != nil {
		return nil, err
	}
	data := make([]traceRow, len(page.Rows))
	for i := range page.Rows {
		r := &page.Rows[i]
		t := traceSumsOf(&r.Row, w.loc)
		t.TraceID, t.Project, t.Name, t.SpanCount = r.TraceID, r.Project, r.Name, r.Spans
		t.lasts(r.Start, r.End, w.loc)
		data[i] = traceRow{t, millionths(r.Share)}
	}
	if err := c.q.continues(&w, page.From, page.To); err != nil {
		return nil, err
	}
	return &reply{
		Data: data, Meta: tracesMeta{w.meta().truncated(page.TruncatedBefore), page.Cost, page.Calls, page.Unpriced, page.Fallback}, Pagination: pages(page.NextCursor),
	}, nil
}

type trace struct {
	TraceSums
	ReadSpans int64        `json:"readSpans" doc:"Spans that the tree is made of; fewer than spanCount when there are more than 50,000: then the newest."`
	Hidden    *hiddenSpans `json:"hidden,omitempty" doc:"Spans at the top that are not shown."`
	Spans     []*spanNode  `json:"spans"`
}

type hiddenSpans struct {
	SpanCount int         `json:"spanCount"`
	Cost      money.Total `json:"cost"`
}

type spanNode struct {
	ID           usage.ID     `json:"id" doc:"Of the event; GET /api/v1/events/{id} has its price lines."`
	SpanID       string       `json:"spanId"`
	ParentSpanID string       `json:"parentSpanId,omitempty"`
	Name         string       `json:"name"`
	Feature      string       `json:"feature"`
	Operation    string       `json:"operation,omitempty"`
	Provider     string       `json:"provider,omitempty"`
	Model        string       `json:"model,omitempty"`
	Timestamp    time.Time    `json:"timestamp"`
	OffsetMs     millis       `json:"offsetMs" doc:"From the start of the trace to that of the span."`
	LatencyMs    millis       `json:"latencyMs"`
	Cost         money.USD    `json:"cost" doc:"Of the span itself; left out of totals when aggregate."`
	TotalCost    money.Total  `json:"totalCost" doc:"Of the span and all below it."`
	CostSource   usage.Source `json:"costSource"`
	InputTokens  int64        `json:"inputTokens"`
	OutputTokens int64        `json:"outputTokens"`
	CachedTokens int64        `json:"cachedTokens"`
	IsError      bool         `json:"isError"`
	Aggregate    bool         `json:"aggregate,omitempty" doc:"Only sums its children; left out of totals."`
	Orphan       bool         `json:"orphan,omitempty" doc:"Names a parent that is not there, or that stands below it."`
	Hidden       *hiddenSpans `json:"hidden,omitempty" doc:"Spans below that are not shown."`
	Children     []*spanNode  `json:"children,omitempty"`
}

func (s *server) trace(c *call) (*reply, error) {
	req := report.TraceRequest{ID: c.PathValue("traceId"), MaxSpans: c.q.whole("maxSpans", report.DefaultSpans, 1, report.MaxSpans)}
	if req.Project = c.q.project(c.q.text("project")); c.q.has("project") && req.Project == "" {
		c.q.bad("project", "must not be empty")
	}
	if err := c.q.err(); err != nil {
		return nil, err
	}
	if req.Project == noProject || !validText(req.ID) || len(req.ID) > 4*usage.MaxIDLength {
		return nil, errNoThing
	}
	t, err := s.reports.Trace(c, req)
	if err != nil {
		return nil, notFound(err)
	}
	out := trace{TraceSums: traceSumsOf(&t.Row, time.UTC), ReadSpans: t.Read, Hidden: hiddenJSON(t.Hidden), Spans: spansJSON(t.Top, t.Start)}
	out.TraceID, out.Project, out.Name, out.SpanCount = t.ID, t.Project, t.Name, t.Spans
	out.lasts(t.Start, t.End, time.UTC)
	return &reply{Data: out}, nil
}

func hiddenJSON(h analytics.Hidden) *hiddenSpans {
	if h.Spans == 0 {
		return nil
	}
	return &hiddenSpans{h.Spans, h.Cost}
}

func spansJSON(nodes []*analytics.SpanNode, start time.Time) []*spanNode {
	out := make([]*spanNode, len(nodes))
	for i, n := range nodes {
		out[i] = &spanNode{
			ID: n.ID, SpanID: n.SpanID, ParentSpanID: n.ParentSpanID, Name: n.Name, Feature: n.Feature, Operation: n.Operation,
			Provider: n.Provider, Model: n.Model, Timestamp: n.Start.UTC(), OffsetMs: millisOf(n.Start.Sub(start)), LatencyMs: millisOf(n.Latency),
			Cost: n.Cost, TotalCost: n.Total, CostSource: n.Source, InputTokens: n.Input, OutputTokens: n.Output, CachedTokens: n.Cached,
			IsError: n.Error, Aggregate: n.Aggregate, Orphan: n.Orphan, Hidden: hiddenJSON(n.Hidden), Children: spansJSON(n.Children, start),
		}
	}
	return out
}
