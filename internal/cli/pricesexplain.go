package cli

import (
	"fmt"
	"slices"
	"strings"
	"time"

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
	return `Without --provider it explains the price of the provider whose model it most likely is, and names the others
that list it.

Examples:

  costprof prices explain gpt-4o
  costprof prices explain gpt-4o --provider azure
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
	if p.Provider == "" {
		listed := e.Listed
		if len(listed) == 0 {
			if listed, err = p.owners(s, c, at); err != nil {
				return err
			}
		}
		if len(listed) == 0 {
			fmt.Fprintf(s.out, "No provider of the price book lists %s, and it has no own price; --provider says which names were tried there.\n", name(p.Model))
			s.giveOne("PROVIDER", p.Model)
			return nil
		}
		// The likeliest comes first.
		request.Provider = listed[0]
		if others := listed[1:]; len(others) > 0 {
			s.note("Other providers list it, too: %s; --provider names one.", printable(strings.Join(others, ", ")))
		}
		if e, err = c.ExplainPrice(s.ctx, request); err != nil {
			return err
		}
	}
	s.explain(&e)
	if e.Source == "unpriced" {
		s.giveOne(request.Provider, p.Model)
	}
	return nil
}

// giveOne ends what is said of a model without a price with the way out.
func (s *session) giveOne(provider, model string) {
	s.note("Give it one: `costprof prices set %s %s input=… output=…`.", printable(shellWord(provider)), printable(shellWord(model)))
}

// owners are the providers for which the model has an own price. Those of the
// book are known without.
func (p *pricesExplainCmd) owners(s *session, c *client.Client, at time.Time) ([]string, error) {
	page, err := c.ListPrices(s.ctx, client.PricesRequest{Model: p.Model, Project: p.Project, At: at})
	if err != nil {
		return nil, err
	}
	var out []string
	for i := range page.Items {
		if provider := page.Items[i].Provider; !slices.Contains(out, provider) {
			out = append(out, provider)
		}
	}
	return out, nil
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
	for _, c := range e.Candidates {
		mark := " "
		if c.Chosen {
			mark = "→"
		}
		first := mark + " " + printable(c.Price.PriceID)
		if which := scope(&c.Price); which != scopeAll {
			first += " for " + which
		}
		if c.Price.EffectiveFrom != nil || c.Price.EffectiveTo != nil {
			first += ", " + inForce(&c.Price)
		}
		fmt.Fprintf(w, "%s\n    %s\n    %s\n", first, priceList(c.Price.Prices), printable(c.Why))
	}
}
