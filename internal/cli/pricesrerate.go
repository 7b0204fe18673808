package cli

import (
	"fmt"
	"time"

	"github.com/costprof/costprof/client"
)

type pricesRerateCmd struct {
	From     string `required:"" placeholder:"TIME" help:"First calls to price anew: a date or an instant."`
	To       string `required:"" placeholder:"TIME" help:"Until then: a date, that day included, or an instant, not included."`
	Provider string `placeholder:"NAME" help:"Only calls of this provider."`
	Model    string `placeholder:"NAME" help:"Only calls of this model."`
	Project  string `placeholder:"NAME" help:"Only calls of this project."`
	Apply    bool   `help:"Put the new costs into the records; without it only the difference is shown."`
	Token    string `placeholder:"TEXT" help:"With --apply: apply exactly what an earlier preview showed, or nothing."`
	Limit    int    `short:"n" default:"50" help:"Most models to show, 1 to 200."`
}

func (*pricesRerateCmd) Help() string {
	return `Prices stored calls with the prices in force at their time now: after a price was put for the past, taken back, or a newer list was loaded. Shows the difference first. What a provider billed never changes; the old costs are kept ("costprof events ID") and the change is in the audit log.

Examples:

  costprof prices rerate --from 2026-10-01 --to 2026-10-31
  costprof prices rerate --from 2026-10-01 --to 2026-10-31 --model gpt-4o --apply`
}

func (p *pricesRerateCmd) Run(s *session) error {
	if err := between("-n", p.Limit, 1, 200); err != nil {
		return err
	}
	if p.Token != "" && !p.Apply {
		return usagef("--token goes with --apply")
	}
	from, err := parseInstant("--from", p.From)
	if err != nil {
		return err
	}
	to, err := parseEnd("--to", p.To)
	if err != nil {
		return err
	}
	if !from.Before(to) {
		return usagef("--to must be after --from")
	}
	c, err := s.connect()
	if err != nil {
		return err
	}
	ask := client.Rerate{From: from, To: to, Provider: p.Provider, Model: p.Model, Project: p.Project, Token: p.Token}
	var preview *client.Rerated
	if p.Token == "" {
		if preview, err = s.rerate(c, ask); err != nil {
			return err
		}
		ask.Token = preview.Token
	}
	result := preview
	if p.Apply && (preview == nil || preview.Calls+preview.Aggregates > 0) {
		ask.Apply = true
		if result, err = s.rerate(c, ask); err != nil {
			if s.ctx.Err() == nil {
				s.note("What is left shows the same command without --apply; what was changed so far is in `costprof jobs` and `costprof audit`.")
			}
			return err
		}
		if preview != nil {
			result.Models = preview.Models
		}
	}
	if s.root.JSON {
		return s.writeValue(answered[*client.Rerated]{result})
	}
	p.show(s, result)
	return nil
}

// rerate asks and waits for the end.
func (s *session) rerate(c *client.Client, ask client.Rerate) (*client.Rerated, error) {
	r, err := c.Rerate(s.ctx, ask)
	if err != nil {
		return nil, err
	}
	if r.State != "running" {
		return &r, nil
	}
	bar := newProgress(s.stdio.Err)
	defer bar.clear()
	for wait := 200 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		job, err := c.GetJob(s.ctx, r.JobID)
		if err != nil {
			return nil, err
		}
		if job.State == "failed" {
			return nil, fmt.Errorf("%s", job.Error)
		}
		if r, err = job.Rerated(); err != nil {
			return nil, fmt.Errorf("reading the result of job %s: %w", job.ID, err)
		}
		if job.State != "running" {
			return &r, nil
		}
		bar.show("calls", r.Scanned, r.Total, func() int { return int(r.Calls) })
		select {
		case <-time.After(wait):
		case <-s.ctx.Done():
			return nil, s.ctx.Err()
		}
	}
}

func (p *pricesRerateCmd) show(s *session, r *client.Rerated) {
	if r.Calls+r.Aggregates == 0 {
		fmt.Fprintf(s.out, "No cost changes: %s calls were looked at.\n", count(r.Scanned))
		return
	}
	does := "would change"
	if r.Applied {
		does = "changed"
	}
	fmt.Fprintf(s.out, "%s of %s calls %s: %s before, %s now (%s)\n", count(r.Calls), count(r.Total), does, money(r.OldCost), money(r.NewCost), signed(r.Difference))
	if r.UnpricedBefore != r.UnpricedAfter {
		fmt.Fprintf(s.out, "%s of them had no price, %s have none then\n", count(r.UnpricedBefore), count(r.UnpricedAfter))
	}
	if r.Refused > 0 {
		fmt.Fprintf(s.out, "%s calls keep their cost, because the new one cannot be\n", count(r.Refused))
	}
	if len(r.Models) > 0 {
		t := &table{columns: []column{
			{title: "PROVIDER", shrink: true}, {title: "MODEL", shrink: true}, {title: "CALLS", right: true},
			{title: "BEFORE", right: true}, {title: "NOW", right: true}, {title: "DIFFERENCE", right: true},
		}}
		for _, m := range r.Models[:min(p.Limit, len(r.Models))] {
			t.add(name(m.Provider), name(m.Model), count(m.Calls), money(m.OldCost), money(m.NewCost), signed(m.Difference))
		}
		t.write(s.out, s.term)
	}
	if !r.Applied {
		s.note("Nothing was changed: add --apply, or --apply --token %s to apply exactly this.", printable(r.Token))
	}
}
