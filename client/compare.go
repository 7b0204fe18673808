package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"time"
)

// CompareRequest asks what changed between two periods, and why. The filter's
// From and To are the later one.
type CompareRequest struct {
	Filter
	// BaselineFrom and BaselineTo bound the earlier period, in the forms of From and
	// To; "" is as long as the later one, just before it.
	BaselineFrom, BaselineTo string
	// GroupBy is one dimension or two, as for a breakdown. Empty is feature.
	GroupBy []string
	// Limit is 1 to 1000; 0 is the server's default.
	Limit  int
	Cursor string
}

// Values gives the request as query parameters.
func (r *CompareRequest) Values() url.Values {
	q := r.Filter.Values()
	set(q, "baselineFrom", r.BaselineFrom)
	set(q, "baselineTo", r.BaselineTo)
	setList(q, "groupBy", r.GroupBy)
	setInt(q, "limit", r.Limit)
	set(q, "cursor", r.Cursor)
	return q
}

// Change is what became of the cost of a row.
type Change struct {
	// Name is "" for calls without a value; with two dimensions a row has Names
	// instead.
	Name  string   `json:"name"`
	Names []string `json:"names"`

	Cost     USD `json:"cost"`
	Baseline USD `json:"baseline"`
	// Delta is Cost less Baseline, and exactly the sum of Terms.
	Delta USD   `json:"delta"`
	Terms Terms `json:"terms"`
	// MainTerm is the JSON name of the term that goes furthest in Delta's direction,
	// "" when nothing changed.
	MainTerm string `json:"mainTerm"`

	Counts
	Baselines Counts `json:"baselines"`
}

// Counts are what was counted in one period.
type Counts struct {
	CallCount     int64 `json:"callCount"`
	InputTokens   int64 `json:"inputTokens"`
	OutputTokens  int64 `json:"outputTokens"`
	CachedTokens  int64 `json:"cachedTokens"`
	ErrorCount    int64 `json:"errorCount"`
	UnpricedCalls int64 `json:"unpricedCalls"`
	FallbackCalls int64 `json:"fallbackCalls"`
}

// Terms are what a change of cost is made of; see the API's documentation.
type Terms struct {
	Volume        USD `json:"volume"`
	ModelMix      USD `json:"modelMix"`
	TokensPerCall USD `json:"tokensPerCall"`
	CacheMix      USD `json:"cacheMix"`
	Price         USD `json:"price"`
	Other         USD `json:"other"`
}

// CompareMeta says what a comparison covers.
type CompareMeta struct {
	Meta
	BaselineFrom time.Time `json:"baselineFrom"`
	BaselineTo   time.Time `json:"baselineTo"`
	// Total is all calls as one row, with terms of its own.
	Total Change `json:"total"`
	// FirstBaselineCall and LastCall show what is missing at the ends; zero when
	// there are none.
	FirstBaselineCall time.Time `json:"firstBaselineCall"`
	LastCall          time.Time `json:"lastCall"`
}

// Comparison is one page of what changed, the furthest moved first.
type Comparison struct {
	Items []Change
	Meta  CompareMeta
	// NextCursor is "" after the last page.
	NextCursor string
}

// Compare asks for one page of what changed. A cursor is good for 10 minutes;
// after that the error has status 410 and the list must be started again.
func (c *Client) Compare(ctx context.Context, r CompareRequest) (Comparison, error) {
	const path = "analytics/compare"
	body, err := c.Get(ctx, path, r.Values())
	if err != nil {
		return Comparison{}, err
	}
	var e struct {
		Data       []Change    `json:"data"`
		Meta       CompareMeta `json:"meta"`
		Pagination struct {
			NextCursor string `json:"nextCursor"`
		} `json:"pagination"`
	}
	if err := json.Unmarshal(body, &e); err != nil {
		return Comparison{}, fmt.Errorf("client: reading the answer of %s: %w", path, err)
	}
	return Comparison{Items: e.Data, Meta: e.Meta, NextCursor: e.Pagination.NextCursor}, nil
}
