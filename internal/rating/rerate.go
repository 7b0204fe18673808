package rating

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/usage"
)

// RerateName is the name of the runs that price stored calls anew, and of those
// that only say what this would change.
const RerateName = "prices.rerate"

// Rerate asks what stored calls would cost with the prices in force, or for that
// to be put in their records.
type Rerate struct {
	// From and To bound the calls' time, half-open; both are required.
	From, To time.Time
	// Provider, Model and Project limit it; "" is all. Names are accepted as
	// questions accept them.
	Provider, Model, Project string
	// Token is what a preview gave; with it what was previewed is applied.
	Token string
	Actor string
}

// rerateInput is a run's input.
type rerateInput struct {
	Actor    string    `json:"actor,omitempty"`
	From     time.Time `json:"from"`
	To       time.Time `json:"to"`
	Provider string    `json:"provider,omitempty"`
	Model    string    `json:"model,omitempty"`
	Project  string    `json:"project,omitempty"`
	Apply    bool      `json:"apply"`
	// What follows is of the preview that is applied: its run, the prices and the
	// events that it saw, and what it found.
	Preview  string `json:"previewJobId,omitempty"`
	Book     string `json:"book,omitempty"`
	AsOf     int64  `json:"asOf,omitempty"`
	Revision int64  `json:"revision,omitempty"`
	Digest   string `json:"digest,omitempty"`
	Calls    int64  `json:"previewedCalls,omitempty"`
}

// rerateResult is what a run did so far. Calls, OldCost and NewCost are of the
// calls that change; spans that only sum their children are in Aggregates.
type rerateResult struct {
	// Total are the events to look at, Scanned those that were.
	Total   int64 `json:"total"`
	Scanned int64 `json:"scanned"`
	// Refused have a price, but a cost that cannot be; they keep theirs.
	Refused    int64       `json:"refused,omitempty"`
	Calls      int64       `json:"calls"`
	Aggregates int64       `json:"aggregates,omitempty"`
	OldCost    money.Total `json:"oldCost"`
	NewCost    money.Total `json:"newCost"`
	Difference money.Total `json:"difference"`
	// UnpricedBefore and UnpricedAfter count the changing calls that the book does
	// not price.
	UnpricedBefore int64 `json:"unpricedBefore"`
	UnpricedAfter  int64 `json:"unpricedAfter"`
	// Of a preview: the difference by model, and what to apply it with.
	Models []modelDifference `json:"models,omitempty"`
	Token  string            `json:"token,omitempty"`
	Book   string            `json:"book,omitempty"`
	Digest string            `json:"digest,omitempty"`
	AsOf   int64             `json:"asOf,omitempty"`
	// Revision is 0 when costs changed while it looked.
	Revision int64 `json:"revision,omitempty"`
	// Of a run that applies: whether the difference is known to be the previewed
	// one, behind which event it goes on, and the batch that is being applied.
	Verified bool       `json:"verified,omitempty"`
	After    *eventKey  `json:"after,omitempty"`
	Pending  *batchDone `json:"pending,omitempty"`
}

type eventKey struct {
	Timestamp time.Time `json:"timestamp"`
	ID        string    `json:"id"`
}

// batchDone is a batch with what the run is when it is applied.
type batchDone struct {
	batch
	Probe probe     `json:"probeCost"`
	After *eventKey `json:"after"`
	// Scanned and Refused are of the page, Before and Later its unpriced calls.
	Scanned int64 `json:"scanned"`
	Refused int64 `json:"refused,omitempty"`
	Before  int64 `json:"unpricedBefore,omitempty"`
	Later   int64 `json:"unpricedAfter,omitempty"`
}

// probe is the cost that tells whether a batch was applied.
type probe struct {
	Source   string    `json:"source"`
	PriceID  string    `json:"priceId,omitempty"`
	Cost     money.USD `json:"cost"`
	Fallback bool      `json:"fallback,omitempty"`
}

func probeOf(c *usage.Costing) probe {
	return probe{c.Source.String(), c.PriceID, c.Total(), c.Fallback}
}

// rerun is one such run.
type rerun struct {
	ID      string
	Started time.Time
	Input   rerateInput
	Result  rerateResult
}

// Rerate starts a run that says what prices in force would change, or, with a
// token, one that applies what the token's preview said; it is durable when Rerate
// returns. fault.Conflict when that can no longer be applied, fault.Invalid when
// the token is of another request.
func (s *Service) Rerate(ctx context.Context, r Rerate) (store.Run, error) {
	if !r.From.Before(r.To) {
		return store.Run{}, fault.Field("to", "must be after from")
	}
	in := rerateInput{
		Actor: r.Actor, From: r.From.UTC(), To: r.To.UTC(), Provider: r.Provider, Model: r.Model, Project: r.Project,
	}
	if r.Token != "" {
		if err := s.takeToken(ctx, r.Token, &in); err != nil {
			return store.Run{}, err
		}
	}
	id, err := uuid.NewV7()
	if err != nil {
		return store.Run{}, fmt.Errorf("make a run's id: %w", err)
	}
	t := &rerun{ID: id.String(), Started: s.Now().UTC().Truncate(time.Microsecond), Input: in}
	run, err := t.run("running", s.Now(), "")
	if err != nil {
		return store.Run{}, err
	}
	if err := s.Catalog.PutRun(ctx, run); err != nil {
		return store.Run{}, err
	}
	s.signal()
	return run, nil
}

var errToken = fault.Field("token", "is not the token of a preview of this request")

// takeToken fills in what the token's preview saw.
func (s *Service) takeToken(ctx context.Context, token string, in *rerateInput) error {
	id, _, _ := strings.Cut(token, ".")
	run, err := s.Catalog.GetRun(ctx, id)
	switch {
	case fault.CodeOf(err) == fault.NotFound && err != nil:
		return errToken
	case err != nil:
		return err
	case run.Name != RerateName || run.State != "done":
		return errToken
	}
	preview, err := restoreRerun(run)
	if err != nil || preview.Input.Apply || preview.Result.Token != token {
		return errToken
	}
	p := &preview.Input
	if !p.From.Equal(in.From) || !p.To.Equal(in.To) || p.Provider != in.Provider || p.Model != in.Model || p.Project != in.Project {
		return errToken
	}
	res := &preview.Result
	if s.Book().Fingerprint() != res.Book {
		return fault.New(fault.Conflict, "The prices were changed since the preview; ask for another one")
	}
	in.Apply, in.Preview, in.Book, in.AsOf, in.Revision, in.Digest, in.Calls = true, id, res.Book, res.AsOf, res.Revision, res.Digest, res.Calls
	return nil
}

func (t *rerun) run(state string, now time.Time, failure string) (store.Run, error) {
	in, err := json.Marshal(t.Input)
	if err != nil {
		return store.Run{}, fmt.Errorf("write a run's input: %w", err)
	}
	t.Result.Difference = t.Result.NewCost.Sub(t.Result.OldCost)
	out, err := json.Marshal(t.Result)
	if err != nil {
		return store.Run{}, fmt.Errorf("write a run's result: %w", err)
	}
	run := store.Run{ID: t.ID, Name: RerateName, State: state, Started: t.Started, Input: in, Result: out, Error: failure}
	if state != "running" {
		run.Finished = now.UTC().Truncate(time.Microsecond)
	}
	return run, nil
}

func restoreRerun(run store.Run) (*rerun, error) {
	t := &rerun{ID: run.ID, Started: run.Started}
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

func (s *Service) saveRerun(ctx context.Context, t *rerun, state, failure string) error {
	run, err := t.run(state, s.Now(), failure)
	if err != nil {
		return err
	}
	return s.Catalog.PutRun(ctx, run)
}

// changeable are the sources of cost that a rerate may replace: never what a
// provider billed.
var changeable = []usage.Source{usage.SourceCatalog, usage.SourceClient, usage.SourceUnpriced}

func (s *Service) rerateFilter(in *rerateInput, asOf int64) analytics.Filter {
	f := analytics.Filter{From: in.From, To: in.To, Sources: changeable, Aggregates: true, AsOf: asOf}
	if in.Project != "" {
		f.Any = map[analytics.Dimension][]string{analytics.Project: {in.Project}}
	}
	f.Called = map[analytics.Dimension][]string{}
	if in.Provider != "" {
		f.Called[analytics.Provider] = []string{in.Provider}
		if id := s.Book().ProviderID(in.Provider); id != in.Provider {
			f.Called[analytics.Provider] = append(f.Called[analytics.Provider], id)
		}
	}
	if in.Model != "" {
		f.Called[analytics.Model] = []string{in.Model}
	}
	return f
}

// difference hashes the changes of a window in order, so that two looks at it can
// be compared.
type difference struct{ sum [sha256.Size]byte }

func (d *difference) add(c *repriced) {
	h := sha256.New()
	h.Write(d.sum[:])
	fmt.Fprintf(h, "%x %d %q %v %d %q %v %v %v\n", c.ID, c.WasSource, c.WasPriceID, c.old,
		c.Now.Source, c.Now.PriceID, c.Now.Classes, c.Now.CacheSaving, c.Now.Fallback)
	h.Sum(d.sum[:0])
}

func (d *difference) String() string { return hex.EncodeToString(d.sum[:16]) }
