package client

import (
	"context"
	"net/url"
	"time"
)

// GrowthRequest asks how the typical input of features and models moved.
type GrowthRequest struct {
	Filter
	// Parts is into how many parts the range is cut, 2 to 24; 0 is the server's
	// default.
	Parts  int
	Limit  int
	Cursor string
}

// Values gives the request as query parameters.
func (r *GrowthRequest) Values() url.Values {
	q := r.Filter.Values()
	setInt(q, "parts", r.Parts)
	setInt(q, "limit", r.Limit)
	set(q, "cursor", r.Cursor)
	return q
}

// PromptGrowth is how the median input of a feature and model moved.
type PromptGrowth struct {
	Feature   string `json:"feature"`
	Model     string `json:"model"`
	CallCount int64  `json:"callCount"`
	InputCost USD    `json:"inputCost"`
	Growth    struct {
		First GrowthPart `json:"first"`
		Last  GrowthPart `json:"last"`
		// Tokens is last less first median, Ratio last ÷ first.
		Tokens int64   `json:"tokens"`
		Ratio  float64 `json:"ratio"`
		// AddedCost is what the difference cost in the last part; negative where the
		// input shrank.
		AddedCost USD `json:"addedCost"`
	} `json:"growth"`
	Parts       []GrowthPart `json:"parts"`
	Suggestions []string     `json:"suggestions"`
}

// GrowthPart is a part of the range.
type GrowthPart struct {
	From      time.Time `json:"from"`
	To        time.Time `json:"to"`
	CallCount int64     `json:"callCount"`
	// MedianInputTokens is nil without calls.
	MedianInputTokens *int64 `json:"medianInputTokens"`
	InputTokens       int64  `json:"inputTokens"`
	InputCost         USD    `json:"inputCost"`
}

// PromptGrowth asks how the typical input of features and models moved; what costs
// most comes first.
func (c *Client) PromptGrowth(ctx context.Context, r GrowthRequest) (Page[PromptGrowth], error) {
	return askPage[PromptGrowth](ctx, c, "analytics/prompts/growth", r.Values())
}

// HistoryRequest asks what sessions send again turn after turn.
type HistoryRequest struct {
	Filter
	// BySession gives a row for each session, not each feature.
	BySession bool
	Limit     int
	Cursor    string
}

// Values gives the request as query parameters.
func (r *HistoryRequest) Values() url.Values {
	q := r.Filter.Values()
	if r.BySession {
		q.Set("groupBy", "session")
	}
	setInt(q, "limit", r.Limit)
	set(q, "cursor", r.Cursor)
	return q
}

// PromptHistory is what a feature, or a session of it, sent again, at most.
type PromptHistory struct {
	Feature string `json:"feature"`
	// Project and SessionID are "" of a whole feature.
	Project   string `json:"project"`
	SessionID string `json:"sessionId"`
	Sessions  int64  `json:"sessions"`
	CallCount int64  `json:"callCount"`
	// Turns are calls that another one of their session came before; MaxTurns is of the
	// longest session.
	Turns          int64 `json:"turns"`
	MaxTurns       int64 `json:"maxTurns"`
	InputTokens    int64 `json:"inputTokens"`
	MaxInputTokens int64 `json:"maxInputTokens"`
	// Resent is input that was there in the turn before, of which some came from the
	// cache; Share is its part of all input, 0 to 1.
	ResentTokens       int64   `json:"resentTokens"`
	ResentCachedTokens int64   `json:"resentCachedTokens"`
	ResentShare        float64 `json:"resentShare"`
	ResentCost         USD     `json:"resentCost"`
	// History is what of that is beyond the first call of its session.
	HistoryTokens       int64     `json:"historyTokens"`
	HistoryCachedTokens int64     `json:"historyCachedTokens"`
	HistoryShare        float64   `json:"historyShare"`
	HistoryCost         USD       `json:"historyCost"`
	FirstTimestamp      time.Time `json:"firstTimestamp"`
	LastTimestamp       time.Time `json:"lastTimestamp"`
	Suggestions         []string  `json:"suggestions"`
}

// PromptHistory asks what sessions send again; the dearest history comes first.
func (c *Client) PromptHistory(ctx context.Context, r HistoryRequest) (Page[PromptHistory], error) {
	return askPage[PromptHistory](ctx, c, "analytics/prompts/history", r.Values())
}
