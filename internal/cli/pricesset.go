package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/costprof/costprof/client"
)

type pricesSetCmd struct {
	Provider string   `arg:"" help:"Provider."`
	Model    string   `arg:"" help:"Model."`
	Prices   []string `arg:"" sep:"none" name:"unit=usd" help:"US dollars per million tokens, or per thousand of other units: input=2.50 output=10 cacheRead=1.25."`
	From     string   `placeholder:"TIME" help:"In force from: a date or an instant (default: now, or the first call when the model had no price)."`
	To       string   `placeholder:"TIME" help:"In force until then: a date, that day included, or an instant, not included."`
	Project  string   `placeholder:"NAME" help:"Only for this project."`
	Tier     string   `placeholder:"NAME" help:"Only for this service tier."`
	Region   string   `placeholder:"NAME" help:"Only for this region."`
	Wait     bool     `help:"Wait until calls without a price are priced, and show what changed."`
}

func (*pricesSetCmd) Help() string {
	return `Calls in the price's time that had no price take it, in the background. Calls priced already keep their cost.

Examples:

  costprof prices set self-hosted llama-3-70b-ft input=0.20 output=0.60 --wait
  costprof prices set openai gpt-4o input=2.00 output=8.00 --from 2026-12-01 --to 2026-12-31 --project search

A price that was wrong, for calls that were priced with it:

  costprof prices set openai gpt-4o input=2.00 output=8.00 --from 2026-11-01
  costprof prices rerate --from 2026-11-01 --to 2026-11-30 --model gpt-4o           # shows what changes
  costprof prices rerate --from 2026-11-01 --to 2026-11-30 --model gpt-4o --apply`
}

func (p *pricesSetCmd) Run(s *session) error {
	put := client.PutPrice{
		Provider: p.Provider, Model: p.Model, Project: p.Project, ServiceTier: p.Tier, Region: p.Region,
		Prices: map[string]client.USD{},
	}
	for _, text := range p.Prices {
		unit, amount, ok := strings.Cut(text, "=")
		if _, err := client.USD(amount).Rat(); !ok || unit == "" || amount == "" || err != nil {
			return usagef("%q must be UNIT=USD, for example input=2.50", text)
		}
		if _, twice := put.Prices[unit]; twice {
			return usagef("%s is given twice", unit)
		}
		put.Prices[unit] = client.USD(amount)
	}
	var err error
	if put.EffectiveFrom, err = instantOrNone(parseInstant("--from", p.From)); err != nil {
		return err
	}
	if put.EffectiveTo, err = instantOrNone(parseEnd("--to", p.To)); err != nil {
		return err
	}
	c, err := s.connect()
	if err != nil {
		return err
	}
	corrects := !s.root.JSON && p.corrects(s, c, put.EffectiveFrom)
	result, err := c.PutPrice(s.ctx, put)
	if err != nil {
		return err
	}
	var job *client.Job
	if p.Wait && result.JobID != "" {
		if job, err = s.await(c, result.JobID); err != nil {
			return err
		}
	}
	if s.root.JSON {
		type done struct {
			client.PutResult
			Job *client.Job `json:"job,omitzero"`
		}
		return s.writeValue(answered[done]{done{result, job}})
	}
	for _, w := range result.Warnings {
		s.note("Careful: %s.", printable(w))
	}
	fmt.Fprintf(s.out, "%s %s: %s %s\n", name(p.Provider), name(p.Model), priceList(result.Prices), inForce(&result.Price))
	switch {
	case job != nil:
		done, err := job.Backfill()
		if err != nil {
			return fmt.Errorf("reading the result of job %s: %w", job.ID, err)
		}
		if done.Calls == 0 {
			fmt.Fprintln(s.out, "No stored call was without a price then; those that have one keep their cost.")
			break
		}
		fmt.Fprintf(s.out, "%s calls that had no price: %s before, %s now\n", count(done.Calls), money(done.OldCost), money(done.NewCost))
	case result.JobID != "" && (result.EffectiveFrom == nil || result.EffectiveFrom.Before(time.Now())):
		s.note("Calls that had no price are being priced: `costprof jobs %s`.", printable(result.JobID))
	}
	if corrects {
		p.remedy(s, &result)
	}
	return nil
}

// corrects says whether calls had a price already when this one begins. It only
// decides what is said afterwards, so that not knowing it is no failure.
func (p *pricesSetCmd) corrects(s *session, c *client.Client, from *time.Time) bool {
	ask := client.ExplainRequest{Provider: p.Provider, Model: p.Model, Project: p.Project, ServiceTier: p.Tier, Region: p.Region}
	if from != nil {
		ask.At = *from
	}
	e, err := c.ExplainPrice(s.ctx, ask)
	return err == nil && e.Source == "catalog"
}

// remedy says how what was priced already gets the new price.
func (p *pricesSetCmd) remedy(s *session, put *client.PutResult) {
	now := time.Now().UTC()
	if put.EffectiveFrom != nil && put.EffectiveFrom.After(now) {
		return
	}
	which := fmt.Sprintf("--provider %s --model %s", shellWord(p.Provider), shellWord(p.Model))
	if p.Project != "" {
		which += " --project " + shellWord(p.Project)
	}
	if p.From == "" {
		s.note("Calls until now keep their cost. To change it put the price again with --from, then `costprof prices rerate --from … --to … %s`.", printable(which))
		return
	}
	to := now.Format(time.DateOnly)
	if put.EffectiveTo != nil && put.EffectiveTo.Before(now) {
		to = p.To
	}
	s.note("Calls priced already keep their cost: `costprof prices rerate --from %s --to %s %s` shows what they would cost, --apply changes them.", p.From, to, printable(which))
}

// inForce says from when to when a price holds.
func inForce(p *client.Price) string {
	text := "from " + day(p.EffectiveFrom)
	if p.EffectiveTo != nil && !p.EffectiveTo.IsZero() {
		text += " to " + lastDay(p.EffectiveTo)
	}
	return text
}

// instantOrNone is nil for the zero time, which is what nothing was given means.
func instantOrNone(t time.Time, err error) (*time.Time, error) {
	if err != nil || t.IsZero() {
		return nil, err
	}
	return &t, nil
}

// await polls a job until it ends.
func (s *session) await(c *client.Client, id string) (*client.Job, error) {
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		job, err := c.GetJob(s.ctx, id)
		if err != nil {
			return nil, err
		}
		if job.State == "failed" {
			what := "pricing stored calls"
			if job.Name == "erasure" {
				what = "the erasure"
			}
			return nil, fmt.Errorf("%s failed: %s", what, job.Error)
		}
		if job.State != "running" {
			return &job, nil
		}
		select {
		case <-time.After(wait):
		case <-s.ctx.Done():
			return nil, s.ctx.Err()
		}
	}
}

type pricesDeleteCmd struct {
	Provider string `arg:"" help:"Provider."`
	Model    string `arg:"" help:"Model."`
	Project  string `placeholder:"NAME" help:"The price of this project."`
	Tier     string `placeholder:"NAME" help:"The price of this service tier."`
	Region   string `placeholder:"NAME" help:"The price of this region."`
	From     string `placeholder:"TIME" help:"Take it back from then on: a date or an instant (default: now)."`
	To       string `placeholder:"TIME" help:"Take it back until then: a date, that day included, or an instant, not included (default: for good)."`
}

func (*pricesDeleteCmd) Help() string {
	return `From now on calls take the shipped price, if there is one. With --from and --to the price is taken back for a time that is
over, as if it had never been put for it. Calls priced already keep their cost.

Examples:

  costprof prices delete openai gpt-4o
  costprof prices delete openai gpt-4o --project search
  costprof prices delete openai gpt-4o --from 2026-10-01 --to 2026-10-31`
}

func (p *pricesDeleteCmd) Run(s *session) error {
	gone := client.DeletePrice{Provider: p.Provider, Model: p.Model, Project: p.Project, ServiceTier: p.Tier, Region: p.Region}
	var err error
	if gone.EffectiveFrom, err = instantOrNone(parseInstant("--from", p.From)); err != nil {
		return err
	}
	if gone.EffectiveTo, err = instantOrNone(parseEnd("--to", p.To)); err != nil {
		return err
	}
	c, err := s.connect()
	if err != nil {
		return err
	}
	if err = c.DeletePrice(s.ctx, gone); err != nil {
		return err
	}
	if s.root.JSON {
		return s.writeValue(answered[map[string]bool]{map[string]bool{"deleted": true}})
	}
	what := "ended"
	if gone.EffectiveFrom != nil || gone.EffectiveTo != nil {
		what = "was taken back for that time; calls priced already keep their cost"
	}
	fmt.Fprintf(s.out, "The own price of %s %s %s.\n", name(p.Provider), name(p.Model), what)
	return nil
}
