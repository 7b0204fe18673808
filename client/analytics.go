package client

import (
	"context"
	"net/url"
	"time"
)

// BreakdownRequest asks where the money went.
type BreakdownRequest struct {
	Filter
	// GroupBy is one dimension or two: feature, model, provider, user,
	// department, project, environment, session, operation or tag:NAME. Empty is
	// feature.
	GroupBy []string
	// Fields chooses columns; empty is all.
	Fields []string
	// Limit is 1 to 1000; 0 is the server's default.
	Limit  int
	Cursor string
}

// Values gives the request as query parameters.
func (r *BreakdownRequest) Values() url.Values {
	q := r.Filter.Values()
	setList(q, "groupBy", r.GroupBy)
	setList(q, "fields", r.Fields)
	setInt(q, "limit", r.Limit)
	set(q, "cursor", r.Cursor)
	return q
}

// BreakdownRow is one row, dearest first.
type BreakdownRow struct {
	// Name is "" for calls without a value; a matrix row has Names instead.
	Name  string   `json:"name"`
	Names []string `json:"names"`

	TotalCost    USD   `json:"totalCost"`
	TotalTokens  int64 `json:"totalTokens"`
	InputTokens  int64 `json:"inputTokens"`
	OutputTokens int64 `json:"outputTokens"`
	CachedTokens int64 `json:"cachedTokens"`
	CallCount    int64 `json:"callCount"`
	ErrorCount   int64 `json:"errorCount"`
	// AvgLatency and P95Latency are milliseconds.
	AvgLatency float64 `json:"avgLatency"`
	P95Latency float64 `json:"p95Latency"`
	// CacheSavings may be negative.
	CacheSavings USD `json:"cacheSavings"`
	// Share is the row's part of the whole cost, 0 to 1.
	Share float64 `json:"share"`
	// UnpricedCalls have a cost that is only an estimate or unknown;
	// FallbackCalls took the standard tier's or region's price.
	UnpricedCalls int64 `json:"unpricedCalls"`
	FallbackCalls int64 `json:"fallbackCalls"`
}

// Breakdown asks for one page of a breakdown. A cursor is good for 10 minutes;
// after that the error has status 410 and the list must be started again.
func (c *Client) Breakdown(ctx context.Context, r BreakdownRequest) (Page[BreakdownRow], error) {
	if len(r.GroupBy) == 0 {
		r.GroupBy = []string{"feature"}
	}
	return askPage[BreakdownRow](ctx, c, "analytics/cost-breakdown", r.Values())
}

// TimeseriesRequest asks how cost went over time.
type TimeseriesRequest struct {
	Filter
	// Granularity is minute, hour, day, week or month.
	Granularity string
	// GroupBy splits into series; "" is one.
	GroupBy string
	// Series is how many of the dearest are kept apart, at most 50; 0 is the
	// server's default.
	Series int
}

// Values gives the request as query parameters.
func (r *TimeseriesRequest) Values() url.Values {
	q := r.Filter.Values()
	set(q, "granularity", r.Granularity)
	set(q, "groupBy", r.GroupBy)
	setInt(q, "series", r.Series)
	return q
}

// Point is one bucket of a series.
type Point struct {
	// Timestamp is the bucket's local start, with its offset.
	Timestamp     time.Time `json:"timestamp"`
	Cost          USD       `json:"cost"`
	Tokens        int64     `json:"tokens"`
	CallCount     int64     `json:"callCount"`
	ErrorCount    int64     `json:"errorCount"`
	UnpricedCalls int64     `json:"unpricedCalls"`
}

// Series is the points of one name.
type Series struct {
	Name   string  `json:"name"`
	Points []Point `json:"points"`
}

// Timeseries is the answer: one series without a name, or one for each.
type Timeseries struct {
	Series []Series
	Meta   Meta
}

// Timeseries asks for cost over time; empty buckets are there with zeros.
func (c *Client) Timeseries(ctx context.Context, r TimeseriesRequest) (Timeseries, error) {
	const path = "analytics/timeseries"
	if r.GroupBy != "" {
		e, err := ask[[]Series](ctx, c, path, r.Values())
		return Timeseries{Series: e.Data, Meta: e.Meta}, err
	}
	e, err := ask[[]Point](ctx, c, path, r.Values())
	if err != nil {
		return Timeseries{}, err
	}
	return Timeseries{Series: []Series{{Points: e.Data}}, Meta: e.Meta}, nil
}

// PromptsRequest asks for calls with far more input than usual.
type PromptsRequest struct {
	Filter
	// Spread asks for what takes twice as long: how far calls of the feature and model
	// usually are from their median.
	Spread bool
	Limit  int
	Cursor string
}

// Values gives the request as query parameters.
func (r *PromptsRequest) Values() url.Values {
	q := r.Filter.Values()
	if r.Spread {
		q.Set("spread", "true")
	}
	setInt(q, "limit", r.Limit)
	set(q, "cursor", r.Cursor)
	return q
}

// PromptFinding is one call whose input lies far above the median of its feature
// and model.
type PromptFinding struct {
	EventID           string  `json:"eventId"`
	Feature           string  `json:"feature"`
	Model             string  `json:"model"`
	InputTokens       int64   `json:"inputTokens"`
	MedianInputTokens int64   `json:"medianInputTokens"`
	BloatRatio        float64 `json:"bloatRatio"`
	RedundancyScore   float64 `json:"redundancyScore"`
	WastedCost        USD     `json:"wastedCost"`
	// InputOutputRatio is nil without output.
	InputOutputRatio *float64 `json:"inputOutputRatio"`
	// With Spread: the median absolute deviation of the feature's and model's input, how
	// many of them the input is above the median (nil when it is 0), and the median of
	// input ÷ output (nil where no call gave output).
	MedianAbsDeviationTokens *int64   `json:"medianAbsDeviationTokens"`
	Deviations               *float64 `json:"deviations"`
	MedianInputOutputRatio   *float64 `json:"medianInputOutputRatio"`
	// LongPart is nil where the texts of prompts are not kept.
	LongPart *LongPart `json:"longPart"`
	// Suggestions are sentences; the first says what was found, further ones what to
	// do about it.
	Suggestions []string `json:"suggestions"`
}

// LongPart says where a prompt is longer than others of its project, feature and
// model.
type LongPart struct {
	// Characters is the prompt's length, UsualCharacters the median of so many Prompts.
	Characters      int `json:"characters"`
	UsualCharacters int `json:"usualCharacters"`
	Prompts         int `json:"prompts"`
	// Part is which of the Parts that vary is the long one, from 1; 0 when the prompt is
	// not made like the others.
	Part                int `json:"part"`
	Parts               int `json:"parts"`
	PartCharacters      int `json:"partCharacters"`
	UsualPartCharacters int `json:"usualPartCharacters"`
	// Behind is the end of what all have in front of it.
	Behind string `json:"behind"`
}

// Prompts asks for the most wasteful calls.
func (c *Client) Prompts(ctx context.Context, r PromptsRequest) (Page[PromptFinding], error) {
	return askPage[PromptFinding](ctx, c, "analytics/prompts", r.Values())
}
