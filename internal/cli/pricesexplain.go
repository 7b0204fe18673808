package cli

import (
	"fmt"
	"strings"

	"github.com/costprof/costprof/client"
)

type pricesExplainCmd struct {
	Model    string `arg:"" help:"Model, as a program sends it."`
	Provider string `placeholder:"NAME" help:"Provider, as a program sends it."`
	At       string `placeholder:"TIME" help:"When: a date or an instant (default now)."`
	Project  string `placeholder:"NAME" help:"Project whose own prices count."`
	Tier     string `placeholder:"NAME" help:"Service tier."`
	Region   string `placeholder:"NAME" help:"Where it runs."`
}

func (*pricesExplainCmd) Help() string {
	return `Examples:

  costprof prices explain gpt-4o --provider openai
  costprof prices explain us.anthropic.claude-sonnet-4-5-20250929-v1:0 --provider aws`
}

func (p *pricesExplainCmd) Run(s *session) error {
	at, err := parseInstant("--at", p.At)
	if err != nil {
		return err
	}
	c, err := s.connect()
	if err != nil {
		return err
	}
	request := client.ExplainRequest{Provider: p.Provider, Model: p.Model, Project: p.Project, ServiceTier: p.Tier, Region: p.Region, At: at}
	if s.root.JSON {
		return s.passOn(c, "prices/explain", request.Values())
	}
	e, err := c.ExplainPrice(s.ctx, request)
	if err != nil {
		return err
	}
	s.explain(&e)
	return nil
}

func (s *session) explain(e *client.Explanation) {
	w := s.out
	fmt.Fprintln(w, printable(e.Because))
	if len(e.Listed) > 0 {
		fmt.Fprintf(w, "Providers that list it: %s (give one with --provider).\n", printable(strings.Join(e.Listed, ", ")))
	}
	if len(e.Tried) > 0 {
		fmt.Fprintln(w, "\nNames that were looked for:")
		for _, t := range e.Tried {
			line := fmt.Sprintf("  %s %s", name(t.Provider), name(t.Name))
			if t.Stripped != "" {
				line += fmt.Sprintf(" (without %s)", printable(t.Stripped))
			}
			if t.Model != "" {
				line += fmt.Sprintf(": %s, by %s", printable(t.Model), printable(t.By))
			} else {
				line += ": not there"
			}
			if t.Rule != "" {
				line += " " + printable(t.Rule)
			}
			fmt.Fprintln(w, line)
		}
	}
	if len(e.Candidates) == 0 {
		return
	}
	fmt.Fprintln(w, "\nPrices that could apply, in precedence:")
	t := &table{columns: []column{
		{title: ""}, {title: "PRICE ID", drop: 2}, {title: "FOR", drop: 1}, {title: "FROM"}, {title: "TO"},
		{title: "PRICES", shrink: true}, {title: "WHY", shrink: true},
	}}
	for _, c := range e.Candidates {
		mark := ""
		if c.Chosen {
			mark = "→"
		}
		t.add(mark, printable(c.Price.PriceID), scope(&c.Price), day(c.Price.EffectiveFrom), day(c.Price.EffectiveTo), priceList(c.Price.Prices), printable(c.Why))
	}
	t.write(w, s.term)
}
