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
	// Counted is what the call counted when a minimum charge made Quantity more.
	Counted int64 `json:"counted,omitzero"`
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
	// Fallback says that the tier or region had no price of its own.
	Fallback bool   `json:"fallback,omitzero"`
	Lines    []Line `json:"lines"`
	// Uncovered are counts that have no price at all and so cost nothing.
	Uncovered []string `json:"uncovered,omitempty"`
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
	// Window is the times of day at which it applies; nil is all day.
	Window *Window `json:"window,omitzero"`
	// Prices are USD per million tokens, per thousand of other units, per hour of
	// audio, by name.
	Prices map[string]UnitPrice `json:"prices"`
	// Source says where the figures come from.
	Source string `json:"source,omitzero"`
}

// Window is a daily span of local time; when End is not after Start it crosses
// midnight.
type Window struct {
	Start    string   `json:"start"`
	End      string   `json:"end"`
	Weekdays []string `json:"weekdays,omitempty"`
	Zone     string   `json:"zone"`
}

// UnitPrice is the price of one unit.
type UnitPrice struct {
	Price USD `json:"price"`
	// Above reprices all tokens of a call with more input tokens than that; the
	// last threshold exceeded applies.
	Above []PriceStep `json:"above,omitempty"`
	// Minimum is the least quantity charged when any was used.
	Minimum int64 `json:"minimum,omitzero"`
}

// PriceStep is a context-length threshold.
type PriceStep struct {
	InputTokens int64 `json:"inputTokens"`
	Price       USD   `json:"price"`
}

// UnmarshalJSON reads a number, or an object when there is more to say.
func (p *UnitPrice) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] != '{' {
		*p = UnitPrice{}
		return p.Price.UnmarshalJSON(b)
	}
	type plain UnitPrice
	return json.Unmarshal(b, (*plain)(p))
}

// MarshalJSON writes what UnmarshalJSON reads.
func (p UnitPrice) MarshalJSON() ([]byte, error) {
	if len(p.Above) == 0 && p.Minimum == 0 {
		return p.Price.MarshalJSON()
	}
	type plain UnitPrice
	return json.Marshal(plain(p))
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
	// Warnings name what the price leaves out and so makes free.
	Warnings []string `json:"warnings,omitzero"`
}

// PutPrice stores an own price.
func (c *Client) PutPrice(ctx context.Context, p PutPrice) (PutResult, error) {
	return change[PutResult](ctx, c, call{method: http.MethodPut, path: "prices"}, p)
}

// DeletePrice names an own price to end or to take back.
type DeletePrice struct {
	Provider, Model, Project, ServiceTier, Region string
	// EffectiveFrom and EffectiveTo bound, half-open, when it is gone: nil is from
	// now, and for good.
	EffectiveFrom, EffectiveTo *time.Time
}

// DeletePrice takes an own price out of force; calls of that time take the
// shipped one. Calls priced already keep their cost.
func (c *Client) DeletePrice(ctx context.Context, p DeletePrice) error {
	q := url.Values{}
	set(q, "provider", p.Provider)
	set(q, "model", p.Model)
	set(q, "project", p.Project)
	set(q, "serviceTier", p.ServiceTier)
	set(q, "region", p.Region)
	for name, at := range map[string]*time.Time{"effectiveFrom": p.EffectiveFrom, "effectiveTo": p.EffectiveTo} {
		if at != nil {
			q.Set(name, at.UTC().Format(time.RFC3339Nano))
		}
	}
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
	// EstimatedCost is the sum of the callers' own estimates.
	EstimatedCost USD `json:"estimatedCost,omitzero"`
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

// Explanation says how a price is found.
type Explanation struct {
	Provider   string `json:"provider"`
	Model      string `json:"model"`
	ProviderID string `json:"providerId"`
	ModelID    string `json:"modelId"`
	// ProviderBy says how the provider was recognised.
	ProviderBy string `json:"providerBy"`
	// Source is "catalog" or "unpriced".
	Source   string `json:"source"`
	PriceID  string `json:"priceId,omitzero"`
	Fallback string `json:"fallback,omitzero"`
	// Because is the answer in one sentence.
	Because string `json:"because"`
	// Tried are the names that were looked for, in order.
	Tried []Tried `json:"tried,omitempty"`
	// Candidates are the prices that could apply, in precedence.
	Candidates []Candidate `json:"candidates"`
	// Listed are the providers that know the model, when none was recognised.
	Listed []string `json:"listed,omitempty"`
}

// Tried is one look-up of a name in one provider's list.
type Tried struct {
	Provider string `json:"provider"`
	Name     string `json:"name"`
	// Stripped says what was taken off the name as it was sent.
	Stripped string `json:"stripped,omitzero"`
	// Model is what was found, By how, Rule by which rule.
	Model string `json:"model,omitzero"`
	By    string `json:"by,omitzero"`
	Rule  string `json:"rule,omitzero"`
}

// Candidate is a price that could apply.
type Candidate struct {
	Price  Price  `json:"price"`
	Chosen bool   `json:"chosen"`
	Why    string `json:"why"`
}

// ExplainPrice asks why a model has the price it has.
func (c *Client) ExplainPrice(ctx context.Context, r ExplainRequest) (Explanation, error) {
	e, err := ask[Explanation](ctx, c, "prices/explain", r.Values())
	return e.Data, err
}
