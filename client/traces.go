package client

import (
	"context"
	"net/url"
	"time"
)

// TracesRequest asks which traces cost most.
type TracesRequest struct {
	Filter
	// Limit is 1 to 1000; 0 is the server's default.
	Limit  int
	Cursor string
}

// Values gives the request as query parameters.
func (r *TracesRequest) Values() url.Values {
	q := r.Filter.Values()
	setInt(q, "limit", r.Limit)
	set(q, "cursor", r.Cursor)
	return q
}

// TraceSummary is one trace.
type TraceSummary struct {
	TraceID string `json:"traceId"`
	Project string `json:"project"`
	// Name is that of the span at the top.
	Name         string `json:"name"`
	TotalCost    USD    `json:"totalCost"`
	TotalTokens  int64  `json:"totalTokens"`
	InputTokens  int64  `json:"inputTokens"`
	OutputTokens int64  `json:"outputTokens"`
	CachedTokens int64  `json:"cachedTokens"`
	CallCount    int64  `json:"callCount"`
	ErrorCount   int64  `json:"errorCount"`
	// UnpricedCalls have a cost that is only an estimate or unknown.
	UnpricedCalls int64 `json:"unpricedCalls"`
	FallbackCalls int64 `json:"fallbackCalls"`
	// FirstTimestamp and LastTimestamp are the starts of calls that count, Start
	// and End those of all spans.
	FirstTimestamp time.Time `json:"firstTimestamp"`
	LastTimestamp  time.Time `json:"lastTimestamp"`
	Start          time.Time `json:"start"`
	End            time.Time `json:"end"`
	Duration       Duration  `json:"durationMs"`
	// SpanCount is of all spans, also of those that only sum their children.
	SpanCount int64 `json:"spanCount"`
	// Share is the part of the whole cost, 0 to 1; on a list only.
	Share float64 `json:"share"`
}

// Traces asks for one page of traces, dearest first. A cursor is good for 10
// minutes; after that the error has status 410.
func (c *Client) Traces(ctx context.Context, r TracesRequest) (Page[TraceSummary], error) {
	return askPage[TraceSummary](ctx, c, "traces", r.Values())
}

// TraceRequest asks for one trace.
type TraceRequest struct {
	// Project is needed when several have a trace with this id: without it the
	// error then has status 409.
	Project string
	// MaxSpans bounds the tree; 0 is the server's default.
	MaxSpans int
}

// Values gives the request as query parameters.
func (r *TraceRequest) Values() url.Values {
	q := url.Values{}
	set(q, "project", r.Project)
	setInt(q, "maxSpans", r.MaxSpans)
	return q
}

// Trace is one call tree.
type Trace struct {
	TraceSummary
	// ReadSpans is how many spans the tree is made of.
	ReadSpans int64 `json:"readSpans"`
	// Hidden are spans at the top that are not shown.
	Hidden *HiddenSpans `json:"hidden"`
	Spans  []Span       `json:"spans"`
}

// HiddenSpans sums up spans that are not shown.
type HiddenSpans struct {
	SpanCount int `json:"spanCount"`
	Cost      USD `json:"cost"`
}

// Span is one span of a trace with those below it.
type Span struct {
	ID           string    `json:"id"`
	SpanID       string    `json:"spanId"`
	ParentSpanID string    `json:"parentSpanId"`
	Name         string    `json:"name"`
	Feature      string    `json:"feature"`
	Operation    string    `json:"operation"`
	Provider     string    `json:"provider"`
	Model        string    `json:"model"`
	Timestamp    time.Time `json:"timestamp"`
	Offset       Duration  `json:"offsetMs"`
	Latency      Duration  `json:"latencyMs"`
	// Cost is the span's own; TotalCost is with all below it.
	Cost         USD          `json:"cost"`
	TotalCost    USD          `json:"totalCost"`
	CostSource   string       `json:"costSource"`
	InputTokens  int64        `json:"inputTokens"`
	OutputTokens int64        `json:"outputTokens"`
	CachedTokens int64        `json:"cachedTokens"`
	IsError      bool         `json:"isError"`
	Aggregate    bool         `json:"aggregate"`
	Orphan       bool         `json:"orphan"`
	Hidden       *HiddenSpans `json:"hidden"`
	Children     []Span       `json:"children"`
}

// GetTrace finds one trace; an unknown id is an *Error with status 404.
func (c *Client) GetTrace(ctx context.Context, id string, r TraceRequest) (Trace, error) {
	e, err := ask[Trace](ctx, c, "traces/"+url.PathEscape(id), r.Values())
	return e.Data, err
}
