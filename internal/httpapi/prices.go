package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/costprof/costprof/internal/auth"
	"github.com/costprof/costprof/internal/pricing"
	"github.com/costprof/costprof/internal/rating"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/usage"
)

// Prices are the price book, what changes it, and the work that a change starts.
type Prices interface {
	Book() *pricing.Book
	Put(ctx context.Context, own pricing.Own, actor string) (rating.PutResult, error)
	Delete(ctx context.Context, r pricing.Removal, actor string) error
	// Lines explains a stored event's cost.
	Lines(ctx context.Context, r usage.Record) ([]pricing.Line, error)
	Unpriced(ctx context.Context, q rating.UnpricedQuery) (rating.UnpricedPage, error)
	Job(ctx context.Context, id string) (store.Run, error)
	Jobs(ctx context.Context, state string, limit int) ([]store.Run, error)
	PriceLists
	Rerates
}

var (
	providerParam = param{name: "provider", doc: "A provider, by id or alias.", schema: text()}
	modelParam    = param{name: "model", doc: "A model, by id, alias or any name that leads to it.", schema: text()}
	projectParam  = param{name: "project", doc: "The project whose own prices count.", schema: text()}
	atParam       = param{name: "at", doc: "The instant at which it is in force: RFC 3339, or a date (its start in UTC). Default: now.", schema: instantOrDate(fromEpoch)}
	tierParam     = param{name: "serviceTier", doc: "Service tier; empty is standard.", schema: text()}
	regionParam   = param{name: "region", doc: "Region; empty is any.", schema: text()}
)

func (s *server) priceRoutes() []*route {
	quoted := schemaOf[quoteAnswer](s)
	need := func(p param) param {
		least := 1
		p.required, p.schema = true, &huma.Schema{Type: huma.TypeString, MinLength: &least}
		return p
	}
	return []*route{
		{
			id: "get-prices", method: http.MethodGet, path: "/api/v1/prices", tag: "Prices", need: auth.Read, summary: "Prices in force at a time",
			params: append([]param{providerParam, modelParam, projectParam, atParam}, pageParams...),
			status: http.StatusOK, answer: s.envelope(arrayOf(schemaOf[Price](s)), schemaOf[pricesMeta](s), paged),
			errors: []int{http.StatusGone}, serve: s.getPrices,
		},
		{
			id: "put-price", method: http.MethodPut, path: "/api/v1/prices", tag: "Prices", need: auth.Edit, summary: "Put an own price over the shipped ones",
			doc: "Ends what it overlaps. It is applied to stored calls in its interval that had no price or only an estimate, by a background job. " +
				"Without effectiveFrom it starts with the model's first seen call when the model had no price, else now. " +
				"What the shipped price charges for, or input and output where there is none, and this one leaves out will be free; warnings say so. A price of {} is free without a warning.",
			body:   jsonBody(s.putSchema()),
			status: http.StatusOK, answer: s.envelope(schemaOf[putAnswer](s), nil), errors: []int{http.StatusServiceUnavailable}, serve: s.putPrice,
		},
		{
			id: "delete-price", method: http.MethodDelete, path: "/api/v1/prices", tag: "Prices", need: auth.Edit, summary: "End an own price, or take it back for a time",
			doc: "Names exactly one: an empty project is the price for all, an empty tier the standard one, an empty region the one for any. Calls from now on take the shipped price. " +
				"With effectiveFrom, or effectiveTo, the price is gone in that interval, past or future, and stays outside of it. Calls priced already keep their cost.",
			params: []param{
				need(providerParam), need(modelParam), projectParam, tierParam, regionParam,
				{name: "effectiveFrom", doc: "From when it is gone: an RFC 3339 instant, or a date (its start in UTC). Default: now.", schema: instantOrDate(fromMillennium)},
				{name: "effectiveTo", doc: "Until when it is gone: an instant, excluded, or a date, included. Default: for good.", schema: instantOrDate(fromMillennium)},
			},
			status: http.StatusNoContent, errors: []int{http.StatusNotFound, http.StatusServiceUnavailable}, serve: s.deletePrice,
		},
		{
			id: "quote", method: http.MethodPost, path: "/api/v1/prices/quote", tag: "Prices", need: auth.Quote, summary: "Price calls without storing them",
			doc:    "By the code that prices stored calls. One call, or up to 500 as items; then data is a list in their order.",
			body:   jsonBody(anyOf(schemaOf[quoteItem](s), schemaOf[quoteItems](s))),
			status: http.StatusOK, answer: s.envelope(anyOf(quoted, arrayOf(quoted)), nil),
			serve: s.quote,
		},
		{
			id: "explain-price", method: http.MethodGet, path: "/api/v1/prices/explain", tag: "Prices", need: auth.Read, summary: "Why a call has its price",
			params: []param{providerParam, need(modelParam), projectParam, atParam, tierParam, regionParam},
			status: http.StatusOK, answer: s.envelope(schemaOf[explanation](s), nil), serve: s.explainPrice,
		},
	}
}

// putSchema describes an own price as it is put: what a price is, less what the
// server gives it.
func (s *server) putSchema() *huma.Schema {
	names := map[string]*huma.Schema{}
	for u := range usage.NumUnits {
		text := formed(decimalText)
		text.Description = "The same number as text."
		least := 0.0
		names[usage.Units[u].Price] = anyOf(&huma.Schema{Type: huma.TypeNumber, Minimum: &least}, text)
	}
	instant := func(doc string) *huma.Schema {
		s := instantOrDate(fromMillennium)
		s.Description = "RFC 3339 instant or date. " + doc
		return s
	}
	return &huma.Schema{
		Type: huma.TypeObject, AdditionalProperties: false, Required: []string{"provider", "model", "prices"},
		Properties: map[string]*huma.Schema{
			"provider": name(usage.MaxTextLength), "model": name(usage.MaxTextLength), "project": atMost(usage.MaxIDLength),
			"serviceTier": atMost(usage.MaxTextLength), "region": atMost(usage.MaxTextLength),
			"effectiveFrom": instant("A date starts at 00:00 UTC."), "effectiveTo": instant("A date includes that day."),
			"prices": {
				Type: huma.TypeObject, Properties: names, AdditionalProperties: false,
				Description: "USD per million tokens, per thousand of other units, per hour of audio, at most a picodollar fine. An empty object is free.",
			},
		},
	}
}

func jsonBody(schema *huma.Schema) *huma.RequestBody {
	return &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/json": {Schema: schema}}}
}

// at reads an instant or a date; the default is now.
func (q *query) at(now time.Time) time.Time {
	if !q.has("at") {
		return now
	}
	t := q.bound("at", "", time.UTC, startOfDay)
	if t.IsZero() {
		return now
	}
	return t
}

type pricesMeta struct {
	At   time.Time `json:"at" doc:"The instant at which the prices are in force."`
	List ListName  `json:"list" doc:"The price list in force."`
}

func (s *server) getPrices(c *call) (*reply, error) {
	at := c.q.at(s.now())
	list := pricing.ListQuery{Provider: c.q.text("provider"), Model: c.q.text("model"), Project: c.q.project(c.q.text("project")), At: at}
	limit := c.q.limit()
	shape := shapeOf("prices", list.Provider, list.Model, list.Project, c.q.text("at"))
	cur := readCursor(c.q, shape)
	if err := c.q.err(); err != nil {
		return nil, err
	}
	if !cur.At.IsZero() {
		list.At = cur.At
	}
	versions := s.prices.Book().List(list)
	rest, err := cur.resume(versions)
	if err != nil {
		return nil, err
	}
	next := ""
	if len(rest) > limit {
		rest = rest[:limit]
		next = cursor{Shape: shape, At: list.At, Last: rest[limit-1].ID}.String()
	}
	data := make([]Price, len(rest))
	for i := range rest {
		data[i] = priceJSON(&rest[i])
	}
	info := s.prices.List()
	return &reply{Data: data, Meta: pricesMeta{list.At.UTC(), listNameOf(&info.Provenance)}, Pagination: pages(next)}, nil
}

func (s *server) explainPrice(c *call) (*reply, error) {
	at := c.q.at(s.now())
	if err := c.q.err(); err != nil {
		return nil, err
	}
	return &reply{Data: explanationJSON(s.prices.Book().Explain(pricing.Call{
		Provider: c.q.text("provider"), Model: c.q.text("model"), Project: c.q.project(c.q.text("project")), At: at,
		ServiceTier: c.q.text("serviceTier"), Region: c.q.text("region"),
	}))}, nil
}

type putAnswer struct {
	Price
	JobID    string   `json:"jobId,omitempty" doc:"The job that applies it to stored calls; absent when there is nothing to apply."`
	Warnings []string `json:"warnings,omitempty" doc:"What the price leaves out and so makes free."`
}

func (s *server) putPrice(c *call) (*reply, error) {
	f, err := s.readObject(c)
	if err != nil {
		return nil, err
	}
	f.only("provider", "model", "project", "effectiveFrom", "effectiveTo", "serviceTier", "region", "prices")
	req := pricing.PutRequest{
		Provider: f.text("provider", 1, usage.MaxTextLength), Model: f.text("model", 1, usage.MaxTextLength),
		Project: f.text("project", 0, usage.MaxIDLength), ServiceTier: f.text("serviceTier", 0, usage.MaxTextLength),
		Region: f.text("region", 0, usage.MaxTextLength), EffectiveFrom: f.text("effectiveFrom", 0, 64),
		EffectiveTo: f.text("effectiveTo", 0, 64), Prices: f.amounts("prices"),
	}
	for _, name := range []string{"effectiveFrom", "effectiveTo"} {
		if v := f.values[name]; string(v) == `""` {
			f.bad(name, "must be an RFC 3339 instant or a date; leave it out where there is none")
		}
	}
	if req.Project = c.q.project(req.Project); req.Project == noProject {
		return nil, errForeignProject
	}
	own, err := s.prices.Book().ParsePut(req)
	// What is wrong in form stands beside what is wrong in meaning, once each.
	c.q.take(err)
	if err := c.q.err(); err != nil {
		return nil, err
	}
	put, err := s.prices.Put(c, own, c.who().Actor)
	if err != nil {
		return nil, err
	}
	answer := putAnswer{Price: priceJSON(&put.Price.Version), JobID: put.JobID}
	for _, u := range put.Uncovered {
		info := usage.Units[u]
		answer.Warnings = append(answer.Warnings, fmt.Sprintf("%s is not in this price: %s will cost nothing", info.Price, info.Count))
	}
	return &reply{Data: answer}, nil
}

func (s *server) deletePrice(c *call) (*reply, error) {
	for _, name := range []string{"effectiveFrom", "effectiveTo"} {
		if c.q.has(name) && c.q.text(name) == "" {
			c.q.bad(name, "must be an RFC 3339 instant or a date; leave it out where there is none")
		}
	}
	from, to, err := pricing.ParseInterval(c.q.text("effectiveFrom"), c.q.text("effectiveTo"))
	c.q.take(err)
	if err := c.q.err(); err != nil {
		return nil, err
	}
	project := c.q.project(c.q.text("project"))
	if project == noProject {
		return nil, errForeignProject
	}
	err = s.prices.Delete(c, pricing.Removal{From: from, To: to, Selector: pricing.Selector{
		Provider: c.q.text("provider"), Model: c.q.text("model"), Project: project,
		ServiceTier: c.q.text("serviceTier"), Region: c.q.text("region"),
	}}, c.who().Actor)
	return &reply{status: http.StatusNoContent}, err
}
