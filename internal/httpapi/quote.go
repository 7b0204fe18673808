package httpapi

import (
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/pricing"
	"github.com/costprof/costprof/internal/usage"
)

// maxQuotes is how many calls one request may ask the price of.
const maxQuotes = 500

// quoteItem describes a call to be priced, for the document.
type quoteItem struct {
	Provider           string      `json:"provider" minLength:"1" maxLength:"256"`
	Model              string      `json:"model" minLength:"1" maxLength:"256"`
	Project            string      `json:"project,omitempty" maxLength:"128" doc:"The project whose own prices count; default the key's, else \"default\"."`
	Timestamp          time.Time   `json:"timestamp,omitzero" doc:"When the call is made; default now."`
	InputTokens        int64       `json:"inputTokens,omitempty" minimum:"0" maximum:"1000000000000"`
	OutputTokens       int64       `json:"outputTokens,omitempty" minimum:"0" maximum:"1000000000000"`
	CachedTokens       int64       `json:"cachedTokens,omitempty" minimum:"0" maximum:"1000000000000"`
	CacheWriteTokens   int64       `json:"cacheWriteTokens,omitempty" minimum:"0" maximum:"1000000000000"`
	CacheWrite1hTokens int64       `json:"cacheWrite1hTokens,omitempty" minimum:"0" maximum:"1000000000000"`
	ReasoningTokens    int64       `json:"reasoningTokens,omitempty" minimum:"0" maximum:"1000000000000"`
	Usage              usageCounts `json:"usage,omitempty"`
	ServiceTier        string      `json:"serviceTier,omitempty" maxLength:"256"`
	Region             string      `json:"region,omitempty" maxLength:"256"`
}

type quoteItems struct {
	Items []quoteItem `json:"items" minItems:"1" maxItems:"500"`
}

// quoteAnswer is a priced call.
type quoteAnswer struct {
	Cost       money.USD      `json:"cost"`
	CostSource usage.Source   `json:"costSource"`
	Provider   string         `json:"provider"`
	Model      string         `json:"model" doc:"The model as it was recognised."`
	PriceID    string         `json:"priceId" doc:"The price used; empty when there is none."`
	Fallback   bool           `json:"fallback,omitempty" doc:"The tier or region had no price of its own."`
	Lines      []pricing.Line `json:"lines" doc:"quantity × price ÷ per, each rounded half-even once; they sum to cost."`
	Uncovered  []string       `json:"uncovered,omitempty" doc:"Counts that have no price at all and so cost nothing."`
}

// defaultProject owns what names none.
const defaultProject = "default"

func (s *server) quote(c *call) (*reply, error) {
	f, err := s.readObject(c)
	if err != nil {
		return nil, err
	}
	if _, many := f.values["items"]; !many {
		what := s.quoted(f)
		answer, err := s.priced(c.q, "", what)
		if err != nil {
			return nil, err
		}
		return &reply{Data: answer}, c.q.err()
	}
	f.only("items")
	var items []jsontext.Value
	if err := json.Unmarshal(f.values["items"], &items); err != nil || items == nil {
		f.bad("items", "must be a list")
	} else if len(items) == 0 || len(items) > maxQuotes {
		f.bad("items", fmt.Sprintf("must have between 1 and %d entries", maxQuotes))
		items = nil
	}
	calls := make([]pricing.Call, len(items))
	for i, item := range items {
		prefix := fmt.Sprintf("items[%d]", i)
		inner, err := c.q.object(prefix, item)
		if err != nil {
			return nil, err
		}
		calls[i] = s.quoted(inner)
	}
	answers := make([]quoteAnswer, len(calls))
	for i := range calls {
		if answers[i], err = s.priced(c.q, fmt.Sprintf("items[%d]", i), calls[i]); err != nil {
			return nil, err
		}
	}
	return &reply{Data: answers}, c.q.err()
}

// quoted reads one call.
func (s *server) quoted(f *fields) pricing.Call {
	f.only(append([]string{"provider", "model", "project", "timestamp", "usage", "serviceTier", "region"}, totalFields...)...)
	c := pricing.Call{
		Provider: f.text("provider", 1, usage.MaxTextLength), Model: f.text("model", 1, usage.MaxTextLength),
		Project: f.text("project", 0, usage.MaxIDLength), At: f.instant("timestamp"), Counts: f.counts(),
		ServiceTier: f.text("serviceTier", 0, usage.MaxTextLength), Region: f.text("region", 0, usage.MaxTextLength),
	}
	if c.Project = f.q.project(c.Project); c.Project == "" {
		c.Project = defaultProject
	}
	if c.At.IsZero() {
		c.At = s.now().UTC().Truncate(time.Microsecond)
	}
	return c
}

// priced asks the book, unless the input is wrong already. What the book refuses
// is a problem of the call.
func (s *server) priced(q *query, prefix string, what pricing.Call) (quoteAnswer, error) {
	if len(q.problems) > 0 {
		return quoteAnswer{}, nil
	}
	quote, err := s.prices.Book().Quote(what)
	if err != nil {
		var f *fault.Error
		if !errors.As(err, &f) || f.Code != fault.Invalid {
			return quoteAnswer{}, err
		}
		at := &fields{q: q, prefix: prefix}
		for field, rules := range f.Details {
			for _, rule := range rules {
				at.bad(field, rule)
			}
		}
		if len(f.Details) == 0 {
			at.bad("", f.Message)
		}
		return quoteAnswer{}, nil
	}
	answer := quoteAnswer{
		Cost: quote.Costing.Total(), CostSource: quote.Source, Provider: quote.ProviderID, Model: quote.ModelID,
		PriceID: quote.PriceID, Fallback: quote.Fallback, Lines: quote.Lines, Uncovered: quote.Uncovered,
	}
	if answer.Lines == nil {
		answer.Lines = []pricing.Line{}
	}
	return answer, nil
}
