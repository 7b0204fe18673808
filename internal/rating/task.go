package rating

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/pricing"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/usage"
)

// BackfillName is the name of the runs that apply prices to stored calls.
const BackfillName = "prices.backfill"

// task is one run.
type task struct {
	ID      string
	Name    string
	Started time.Time
	Input   input
	Result  result
	Error   string
}

// input says what a run looks at.
type input struct {
	// Reason is "put" for a price that was put, "list" for a price list that was
	// loaded, "recheck" for models that may have got a price in another way.
	Reason  string `json:"reason"`
	Actor   string `json:"actor,omitempty"`
	PriceID string `json:"priceId,omitempty"`
	selected
	From time.Time `json:"from,omitzero"`
	To   time.Time `json:"to,omitzero"`
}

// covers says whether the run applies a price: of what was put only that, and
// what a later put left of it, so that its sums are those of its price.
func (in *input) covers(v *pricing.Version) bool {
	return in.Reason != reasonPut || in.selector().Matches(v)
}

// The reasons of runs.
const (
	reasonPut     = "put"
	reasonRecheck = "recheck"
	reasonList    = "list"
)

// result is what a run did so far. Calls and costs leave out the spans that only
// sum their children, as totals do.
type result struct {
	// Scanned are the events that were looked at since the run was last resumed,
	// Refused those of them that have a price now, but a cost that cannot be.
	Scanned int64 `json:"scanned"`
	Refused int64 `json:"refused,omitempty"`
	// Calls and Aggregates got a price.
	Calls      int64 `json:"calls"`
	Aggregates int64 `json:"aggregates,omitempty"`
	// OldCost and NewCost are what the Calls cost before and after, in USD.
	OldCost money.Total `json:"oldCost"`
	NewCost money.Total `json:"newCost"`
	// Pending is a batch that is being applied. It is written down first, so that
	// the sums stay exact when the program ends in between.
	Pending *batch `json:"pending,omitempty"`
}

// batch sums up changes that are applied at once. Probe is one of them: when it
// has the price, all have.
type batch struct {
	Probe      string      `json:"probe"`
	PriceID    string      `json:"priceId"`
	Calls      int64       `json:"calls"`
	Aggregates int64       `json:"aggregates,omitempty"`
	OldCost    money.Total `json:"oldCost"`
	NewCost    money.Total `json:"newCost"`
}

func (r *result) add(b *batch) {
	r.Calls += b.Calls
	r.Aggregates += b.Aggregates
	r.OldCost = r.OldCost.Plus(b.OldCost)
	r.NewCost = r.NewCost.Plus(b.NewCost)
}

// repriced is one event's new cost with what is needed to sum up.
type repriced struct {
	store.CostChange
	old       money.USD
	aggregate bool
}

// sum sums changes up.
func sum(changes []repriced) *batch {
	b := &batch{}
	for i := range changes {
		c := &changes[i]
		if i == 0 {
			b.Probe, b.PriceID = c.ID.String(), c.Now.PriceID
		}
		if c.aggregate {
			b.Aggregates++
			continue
		}
		b.Calls++
		b.OldCost = b.OldCost.Add(c.old)
		b.NewCost = b.NewCost.Add(c.Now.Total())
	}
	return b
}

// save writes the run down.
func (s *Service) save(ctx context.Context, t *task, state string) error {
	in, err := json.Marshal(t.Input)
	if err != nil {
		return fmt.Errorf("write a run's input: %w", err)
	}
	out, err := json.Marshal(t.Result)
	if err != nil {
		return fmt.Errorf("write a run's result: %w", err)
	}
	run := store.Run{ID: t.ID, Name: t.Name, State: state, Started: t.Started, Input: in, Result: out, Error: t.Error}
	if state != "running" {
		run.Finished = s.Now().UTC().Truncate(time.Microsecond)
	}
	return s.Catalog.PutRun(ctx, run)
}

// restore reads a run that was interrupted.
func restore(run store.Run) (*task, error) {
	t := &task{ID: run.ID, Name: run.Name, Started: run.Started}
	if err := json.Unmarshal(run.Input, &t.Input); err != nil {
		return nil, fmt.Errorf("read the run's input: %w", err)
	}
	if len(run.Result) > 0 {
		if err := json.Unmarshal(run.Result, &t.Result); err != nil {
			return nil, fmt.Errorf("read the run's result: %w", err)
		}
	}
	return t, nil
}

// Job finds a run by its id, or fault.NotFound.
func (s *Service) Job(ctx context.Context, id string) (store.Run, error) {
	return s.Catalog.GetRun(ctx, id)
}

// Jobs lists the newest runs, at most limit; state "" is any.
func (s *Service) Jobs(ctx context.Context, state string, limit int) ([]store.Run, error) {
	return s.Catalog.ListRuns(ctx, state, limit)
}

// applied says whether an event has the price by now.
func (s *Service) applied(ctx context.Context, id usage.ID, priceID string) (bool, error) {
	r, err := s.Ledger.Get(ctx, id, everything)
	if fault.CodeOf(err) == fault.NotFound {
		return false, nil
	}
	return err == nil && r.PriceID == priceID, err
}
