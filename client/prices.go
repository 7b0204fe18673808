package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"time"
)

// Call describes a model call to be priced.
type Call struct {
	Project   string    `json:"project,omitzero"`
	Provider  string    `json:"provider"`
	Model     string    `json:"model"`
	Timestamp time.Time `json:"timestamp,omitzero"`

	InputTokens        int64            `json:"inputTokens"`
	OutputTokens       int64            `json:"outputTokens"`
	CachedTokens       int64            `json:"cachedTokens,omitzero"`
	CacheWriteTokens   int64            `json:"cacheWriteTokens,omitzero"`
	CacheWrite1hTokens int64            `json:"cacheWrite1hTokens,omitzero"`
	ReasoningTokens    int64            `json:"reasoningTokens,omitzero"`
	Usage              map[string]int64 `json:"usage,omitempty"`
	ServiceTier        string           `json:"serviceTier,omitzero"`
	Region             string           `json:"region,omitzero"`
}

// Line is one line of a price: quantity × price ÷ per.
type Line struct {
	Unit     string `json:"unit"`
	Quantity int64  `json:"quantity"`
	// Price is USD for Per units.
	Price  USD   `json:"price"`
	Per    int64 `json:"per"`
	Amount USD   `json:"amount"`
	// Fallback says what had no price of its own: "unit", "tier" or "region".
	Fallback string `json:"fallback,omitzero"`
}

// Quote is a priced call.
type Quote struct {
	Cost USD `json:"cost"`
	// CostSource is "catalog", or "unpriced" when the model has no price.
	CostSource string `json:"costSource"`
	Provider   string `json:"provider,omitzero"`
	Model      string `json:"model"`
	PriceID    string `json:"priceId,omitzero"`
	Lines      []Line `json:"lines"`
}

// Quote prices a call without storing it.
func (c *Client) Quote(ctx context.Context, what Call) (Quote, error) {
	return change[Quote](ctx, c, call{method: http.MethodPost, path: "prices/quote", idempotent: true}, what)
}

// Quotes prices up to 500 calls, in order.
func (c *Client) Quotes(ctx context.Context, calls []Call) ([]Quote, error) {
	payload := struct {
		Items []Call `json:"items"`
	}{calls}
	return change[[]Quote](ctx, c, call{method: http.MethodPost, path: "prices/quote", idempotent: true}, payload)
}

// Price is one dated version of a model's price.
type Price struct {
	PriceID       string     `json:"priceId"`
	Provider      string     `json:"provider"`
	Model         string     `json:"model"`
	Project       string     `json:"project,omitzero"`
	ServiceTier   string     `json:"serviceTier,omitzero"`
	Region        string     `json:"region,omitzero"`
	EffectiveFrom *time.Time `json:"effectiveFrom,omitzero"`
	EffectiveTo   *time.Time `json:"effectiveTo,omitzero"`
	// Prices are USD by name of the price; the server may say more of one than
	// its figure, so each is JSON as it came.
	Prices map[string]json.RawMessage `json:"prices"`
	Source string                     `json:"source,omitzero"`
}

// PricesRequest selects prices.
type PricesRequest struct {
	Provider, Model, Project string
	// At is when they must be in force; zero is now.
	At     time.Time
	Limit  int
	Cursor string
}

// Values gives the request as query parameters.
func (r *PricesRequest) Values() url.Values {
	q := url.Values{}
	set(q, "provider", r.Provider)
	set(q, "model", r.Model)
	set(q, "project", r.Project)
	if !r.At.IsZero() {
		q.Set("at", r.At.UTC().Format(time.RFC3339Nano))
	}
	setInt(q, "limit", r.Limit)
	set(q, "cursor", r.Cursor)
	return q
}

// ListPrices asks for one page of the prices in force.
func (c *Client) ListPrices(ctx context.Context, r PricesRequest) (Page[Price], error) {
	return askPage[Price](ctx, c, "prices", r.Values())
}

// PutPrice is an own price over the shipped ones.
type PutPrice struct {
	Provider      string     `json:"provider"`
	Model         string     `json:"model"`
	Project       string     `json:"project,omitzero"`
	EffectiveFrom *time.Time `json:"effectiveFrom,omitzero"`
	EffectiveTo   *time.Time `json:"effectiveTo,omitzero"`
	ServiceTier   string     `json:"serviceTier,omitzero"`
	Region        string     `json:"region,omitzero"`
	// Prices are USD per million tokens, per thousand of other units, by name:
	// input, output, cacheRead, cacheWrite, cacheWrite1h, reasoning, ….
	Prices map[string]USD `json:"prices"`
}

// PutResult is a stored price, and the job that applies it to calls that had
// none; "" when there is none to run.
type PutResult struct {
	Price
	JobID string `json:"jobId,omitzero"`
}

// PutPrice stores an own price.
func (c *Client) PutPrice(ctx context.Context, p PutPrice) (PutResult, error) {
	return change[PutResult](ctx, c, call{method: http.MethodPut, path: "prices"}, p)
}

// DeletePrice names an own price to end.
type DeletePrice struct {
	Provider, Model, Project, ServiceTier, Region string
}

// DeletePrice ends an own price now; calls after that take the shipped one.
func (c *Client) DeletePrice(ctx context.Context, p DeletePrice) error {
	q := url.Values{}
	set(q, "provider", p.Provider)
	set(q, "model", p.Model)
	set(q, "project", p.Project)
	set(q, "serviceTier", p.ServiceTier)
	set(q, "region", p.Region)
	_, err := change[json.RawMessage](ctx, c, call{method: http.MethodDelete, path: "prices", query: q}, nil)
	return err
}

// UnpricedModel is a model that was called and has no price.
type UnpricedModel struct {
	Provider  string    `json:"provider"`
	Model     string    `json:"model"`
	Project   string    `json:"project,omitzero"`
	Calls     int64     `json:"calls"`
	FirstSeen time.Time `json:"firstSeen"`
	LastSeen  time.Time `json:"lastSeen"`
}

// UnpricedRequest selects models without a price.
type UnpricedRequest struct {
	Filter
	Limit  int
	Cursor string
}

// Values gives the request as query parameters.
func (r *UnpricedRequest) Values() url.Values {
	q := r.Filter.Values()
	setInt(q, "limit", r.Limit)
	set(q, "cursor", r.Cursor)
	return q
}

// ListUnpriced asks for one page of models seen without a price.
func (c *Client) ListUnpriced(ctx context.Context, r UnpricedRequest) (Page[UnpricedModel], error) {
	return askPage[UnpricedModel](ctx, c, "prices/unpriced", r.Values())
}

// ExplainRequest asks why a model has the price it has.
type ExplainRequest struct {
	Provider, Model, Project, ServiceTier, Region string
	At                                            time.Time
}

// Values gives the request as query parameters.
func (r *ExplainRequest) Values() url.Values {
	q := url.Values{}
	set(q, "provider", r.Provider)
	set(q, "model", r.Model)
	set(q, "project", r.Project)
	set(q, "serviceTier", r.ServiceTier)
	set(q, "region", r.Region)
	if !r.At.IsZero() {
		q.Set("at", r.At.UTC().Format(time.RFC3339Nano))
	}
	return q
}
