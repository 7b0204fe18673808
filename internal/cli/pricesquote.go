package cli

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/costprof/costprof/client"
)

type pricesQuoteCmd struct {
	Provider string `arg:"" help:"Provider."`
	Model    string `arg:"" help:"Model."`

	Input        int64    `placeholder:"N" help:"Input tokens, cached and cache-written ones included."`
	Output       int64    `placeholder:"N" help:"Output tokens, reasoning included."`
	Cached       int64    `placeholder:"N" help:"Input tokens read from a cache."`
	CacheWrite   int64    `placeholder:"N" help:"Input tokens written to a 5-minute cache."`
	CacheWrite1h int64    `name:"cache-write-1h" placeholder:"N" help:"Input tokens written to a 1-hour cache."`
	Reasoning    int64    `placeholder:"N" help:"Output tokens of reasoning."`
	Usage        []string `sep:"none" placeholder:"NAME=N" help:"A further count, for example webSearches=2; repeat for more."`
	At           string   `placeholder:"TIME" help:"When the call is made: a date or an instant (default now)."`
	Project      string   `placeholder:"NAME" help:"Project whose own prices count."`
	Tier         string   `placeholder:"NAME" help:"Service tier: standard, batch, flex, priority, …"`
	Region       string   `placeholder:"NAME" help:"Where it runs."`
}

func (*pricesQuoteCmd) Help() string {
	return `The price is computed by the code that prices stored calls.

Examples:

  costprof prices quote openai gpt-4o --input 1200 --output 80
  costprof prices quote anthropic claude-sonnet-4-5 --input 20000 --cached 18000 --output 500 --tier batch`
}

func (p *pricesQuoteCmd) Run(s *session) error {
	at, err := parseInstant("--at", p.At)
	if err != nil {
		return err
	}
	usage := map[string]int64{}
	for _, text := range p.Usage {
		unit, n, ok := strings.Cut(text, "=")
		quantity, err := strconv.ParseInt(n, 10, 64)
		if !ok || unit == "" || err != nil {
			return usagef("--usage %q must be NAME=N", text)
		}
		usage[unit] = quantity
	}
	c, err := s.connect()
	if err != nil {
		return err
	}
	quote, err := c.Quote(s.ctx, client.Call{
		Project: p.Project, Provider: p.Provider, Model: p.Model, Timestamp: at,
		InputTokens: p.Input, OutputTokens: p.Output, CachedTokens: p.Cached,
		CacheWriteTokens: p.CacheWrite, CacheWrite1hTokens: p.CacheWrite1h, ReasoningTokens: p.Reasoning,
		Usage: usage, ServiceTier: p.Tier, Region: p.Region,
	})
	if err != nil {
		return err
	}
	if s.root.JSON {
		return s.writeValue(answered[client.Quote]{quote})
	}
	if quote.CostSource == "unpriced" {
		fmt.Fprintf(s.out, "%s has no price. `costprof prices explain %s --provider %s` says what was tried.\n", name(p.Model), printable(shellWord(p.Model)), printable(shellWord(p.Provider)))
		s.giveOne(p.Provider, p.Model)
		return nil
	}
	if len(quote.Lines) == 0 {
		s.note("Nothing was counted: say what the call uses with --input, --output, …")
	}
	s.priceLines(quote.Lines, quote.Cost)
	fmt.Fprintln(s.out, s.term.style(dim, fmt.Sprintf("%s, price %s", name(quote.Model), printable(quote.PriceID))))
	if len(quote.Uncovered) > 0 {
		s.note("No price covers %s: they cost nothing here.", printable(strings.Join(quote.Uncovered, ", ")))
	}
	return nil
}
