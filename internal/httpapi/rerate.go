package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/costprof/costprof/internal/auth"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/rating"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/usage"
)

// Rerates prices stored calls anew.
type Rerates interface {
	Rerate(ctx context.Context, r rating.Rerate) (store.Run, error)
	// History gives the costs that an event had before.
	History(ctx context.Context, r usage.Record) ([]store.PastCost, error)
}

func (s *server) rerateRoutes() []*route {
	bound := func(doc string) *huma.Schema {
		b := instantOrDate(fromEpoch)
		b.Description = doc
		return b
	}
	body := &huma.Schema{
		Type: huma.TypeObject, AdditionalProperties: false, Required: []string{"from", "to"},
		Properties: map[string]*huma.Schema{
			"from": bound("The first instant of the calls: RFC 3339, or a date (its start in UTC)."), "to": bound("The instant behind the last; a date includes that day."),
			"provider": atMost(usage.MaxTextLength), "model": atMost(usage.MaxTextLength), "project": atMost(usage.MaxIDLength),
			"apply": {Type: huma.TypeBoolean, Description: "Apply what the token's preview said; default false, which only says what would change."},
			"token": {Type: huma.TypeString, Description: "What the preview of the same request gave."},
		},
	}
	return []*route{{
		id: "rerate", method: http.MethodPost, path: "/api/v1/prices/rerate", tag: "Prices", need: auth.Edit, summary: "Price stored calls anew: the difference first, then applied",
		doc: "Without apply it says what stored calls would cost with the prices in force, and gives a token; with apply and that token it puts those costs into their records, exactly as previewed or not at all. " +
			"What a provider billed never changes. The old costs are kept (GET /api/v1/events/{id}). The work is a background job: what takes longer than a few seconds is answered with 202 and goes on, see GET /api/v1/jobs/{id}.",
		body: jsonBody(body), status: http.StatusOK, also: http.StatusAccepted, answer: s.envelope(schemaOf[rerateAnswer](s), nil),
		errors: []int{http.StatusConflict, http.StatusServiceUnavailable}, serve: s.rerate,
	}}
}

// rerateAnswer is a run of it, with its result spread out.
type rerateAnswer struct {
	JobID   string `json:"jobId"`
	State   string `json:"state" enum:"running,done,failed"`
	Applied bool   `json:"applied" doc:"The costs are in the records."`
	Error   string `json:"error,omitempty" doc:"Why it failed."`
	RerateTotals
	Models []rerateModel `json:"models,omitempty" doc:"Of a preview: the 200 models that change most, then (other)."`
	Token  string        `json:"token,omitempty" doc:"Of a preview that is done: what to apply it with."`
}

// RerateTotals are what a rerate changes.
type RerateTotals struct {
	Total          int64       `json:"total" doc:"Calls in the window without a provider's bill."`
	Scanned        int64       `json:"scanned" doc:"Those that were looked at."`
	Refused        int64       `json:"refused,omitempty" doc:"Calls whose cost cannot be (above 9,000,000 USD); they keep theirs."`
	Calls          int64       `json:"calls" doc:"Calls whose cost changes."`
	Aggregates     int64       `json:"aggregates,omitempty" doc:"Changing spans that only sum others and are in no total."`
	OldCost        money.Total `json:"oldCost" doc:"What the changing calls cost before."`
	NewCost        money.Total `json:"newCost"`
	Difference     money.Total `json:"difference"`
	UnpricedBefore int64       `json:"unpricedBefore"`
	UnpricedAfter  int64       `json:"unpricedAfter"`
}

type rerateModel struct {
	Provider   string      `json:"provider"`
	Model      string      `json:"model"`
	Calls      int64       `json:"calls"`
	OldCost    money.Total `json:"oldCost"`
	NewCost    money.Total `json:"newCost"`
	Difference money.Total `json:"difference"`
}

// flag reads true or false.
func (f *fields) flag(name string) bool {
	if !f.has(name) {
		return false
	}
	switch string(f.values[name]) {
	case "true":
		return true
	case "false":
	default:
		f.bad(name, "must be true or false")
	}
	return false
}

func (s *server) rerate(c *call) (*reply, error) {
	f, err := s.readObject(c)
	if err != nil {
		return nil, err
	}
	f.only("from", "to", "provider", "model", "project", "apply", "token")
	ask := rating.Rerate{
		Provider: f.text("provider", 0, usage.MaxTextLength), Model: f.text("model", 0, usage.MaxTextLength),
		Project: f.text("project", 0, usage.MaxIDLength), Token: f.text("token", 0, maxPathID), Actor: c.who().Actor,
	}
	for _, bound := range []struct {
		name string
		into *time.Time
		date func(civilDate, *time.Location) time.Time
	}{{"from", &ask.From, startOfDay}, {"to", &ask.To, endOfDay}} {
		if text := f.text(bound.name, 1, 64); text != "" {
			*bound.into = c.q.instant(bound.name, text, time.UTC, bound.date)
		}
	}
	if ask.Project = c.q.project(ask.Project); ask.Project == noProject {
		return nil, errForeignProject
	}
	apply := f.flag("apply")
	switch {
	case apply && ask.Token == "":
		f.bad("token", "is required to apply: the difference comes first, without apply, and gives it")
	case !apply && ask.Token != "":
		f.bad("apply", "must be true for a token to be used")
	}
	if !ask.From.IsZero() && !ask.To.IsZero() && !ask.From.Before(ask.To) {
		f.bad("to", "must be after from")
	}
	if err := c.q.err(); err != nil {
		return nil, err
	}
	run, err := s.prices.Rerate(c, ask)
	if err != nil {
		return nil, err
	}
	if run, err = s.await(c, run); err != nil {
		return nil, err
	}
	out := rerateAnswer{JobID: run.ID, State: run.State, Error: run.Error, Applied: apply && run.State == "done"}
	if err := json.Unmarshal(run.Result, &out); err != nil {
		return nil, fmt.Errorf("read the result of run %s: %w", run.ID, err)
	}
	switch run.State {
	case "running":
		return &reply{Data: out, status: http.StatusAccepted}, nil
	case "failed":
		return nil, fault.New(fault.Conflict, "%s (job %s)", run.Error, run.ID)
	}
	return &reply{Data: out}, nil
}

// maxAwait is how long a request waits for the work that it started.
const maxAwait = 10 * time.Second

// await waits a while for a run to end and gives it as it is then.
func (s *server) await(ctx context.Context, run store.Run) (store.Run, error) {
	most := time.NewTimer(min(maxAwait, s.timeout/2))
	defer most.Stop()
	for wait := 5 * time.Millisecond; run.State == "running"; wait = min(2*wait, 200*time.Millisecond) {
		next := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			next.Stop()
			return run, ctx.Err()
		case <-most.C:
			next.Stop()
			return run, nil
		case <-next.C:
		}
		var err error
		if run, err = s.prices.Job(ctx, run.ID); err != nil {
			return run, err
		}
	}
	return run, nil
}

// pastCost is a cost that an event had before.
type pastCost struct {
	At          time.Time    `json:"at" doc:"When it was replaced."`
	Reason      string       `json:"reason" doc:"What replaced it, for example a job."`
	Cost        money.USD    `json:"cost" doc:"What the event cost until then."`
	CostSource  usage.Source `json:"costSource"`
	PriceID     string       `json:"priceId,omitempty"`
	CostByClass costByClass  `json:"costByClass"`
	CacheSaving money.USD    `json:"cacheSavings"`
	NewCost     money.USD    `json:"newCost" doc:"What it cost from then on."`
	Marked      bool         `json:"marked,omitempty" doc:"It became an aggregate: it kept its cost and left all totals."`
}

func historyJSON(past []store.PastCost) []pastCost {
	var out []pastCost
	for i := range past {
		p := &past[i]
		out = append(out, pastCost{
			At: p.At.UTC(), Reason: p.Reason, Cost: p.Was.Total(), CostSource: p.Was.Source, PriceID: p.Was.PriceID,
			CostByClass: classesJSON(&p.Was), CacheSaving: p.Was.CacheSaving, NewCost: p.NowCost, Marked: p.Marked,
		})
	}
	return out
}
