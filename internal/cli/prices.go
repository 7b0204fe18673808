package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/costprof/costprof/client"
	"github.com/costprof/costprof/internal/usage"
)

type pricesCmd struct {
	List     pricesListCmd     `cmd:"" help:"List the prices in force."`
	Quote    pricesQuoteCmd    `cmd:"" help:"Price a call without storing it."`
	Explain  pricesExplainCmd  `cmd:"" help:"Say why a model has the price it has."`
	Unpriced pricesUnpricedCmd `cmd:"" help:"List models that were called and have no price."`
	Set      pricesSetCmd      `cmd:"" help:"Put an own or negotiated price over the shipped one."`
	Delete   pricesDeleteCmd   `cmd:"" help:"End an own price."`
	Update   pricesUpdateCmd   `cmd:"" help:"Load a newer price list, or show which one is in force."`
	Rerate   pricesRerateCmd   `cmd:"" help:"Price stored calls anew: the difference first, then applied."`
}

type pricesListCmd struct {
	Provider string `arg:"" optional:"" help:"Only this provider."`
	Model    string `arg:"" optional:"" help:"Only this model."`
	At       string `placeholder:"TIME" help:"In force then: a date or an instant (default now)."`
	Project  string `placeholder:"NAME" help:"As this project sees them."`
	Limit    int    `short:"n" default:"100" help:"Most rows, 1 to 1000."`
	Cursor   string `placeholder:"TEXT" help:"Continue a list, with what --json gave as pagination.nextCursor."`
}

func (*pricesListCmd) Help() string {
	return `Prices are US dollars per million tokens, per thousand of other units, per hour of audio.

Examples:

  costprof prices list openai
  costprof prices list anthropic claude-sonnet-4-5 --at 2026-01-01`
}

func (p *pricesListCmd) Run(s *session) error {
	at, err := parseInstant("--at", p.At)
	if err != nil {
		return err
	}
	if err := between("-n", p.Limit, 1, 1000); err != nil {
		return err
	}
	c, err := s.connect()
	if err != nil {
		return err
	}
	request := client.PricesRequest{Provider: p.Provider, Model: p.Model, Project: p.Project, At: at, Limit: p.Limit, Cursor: p.Cursor}
	if s.root.JSON {
		return s.passOn(c, "prices", request.Values())
	}
	page, err := c.ListPrices(s.ctx, request)
	if err != nil {
		return err
	}
	if len(page.Items) == 0 {
		s.note("No price matches; `costprof prices explain MODEL` says what was tried.")
		return nil
	}
	t := &table{columns: []column{
		{title: "PROVIDER", shrink: true},
		{title: "MODEL", shrink: true},
		{title: "FOR", shrink: true, least: 12, idle: scopeAll},
		{title: "FROM", drop: 3, idle: dayOpen},
		{title: "TO", drop: 4, idle: dayOpen},
		{title: "PRICES", shrink: true, least: 40},
	}}
	for _, price := range page.Items {
		t.add(name(price.Provider), name(price.Model), scope(&price), day(price.EffectiveFrom), lastDay(price.EffectiveTo), priceList(price.Prices))
	}
	t.write(s.out, s.term)
	if page.NextCursor != "" {
		s.note("There are more: name a provider, or -n up to 1000.")
	}
	return nil
}

// What a table says when there is nothing to say.
const (
	scopeAll = "all"
	dayOpen  = "–"
)

// scope says which calls a price is for, beyond its model.
func scope(p *client.Price) string {
	var parts []string
	for _, part := range [][2]string{{"project", p.Project}, {"tier", p.ServiceTier}, {"region", p.Region}} {
		if part[1] != "" {
			parts = append(parts, part[0]+" "+printable(part[1]))
		}
	}
	if w := p.Window; w != nil {
		days := ""
		if len(w.Weekdays) > 0 {
			days = strings.Join(w.Weekdays, "/") + " "
		}
		parts = append(parts, printable(fmt.Sprintf("%s%s–%s %s", days, w.Start, w.End, w.Zone)))
	}
	if len(parts) == 0 {
		return scopeAll
	}
	return strings.Join(parts, ", ")
}

func day(t *time.Time) string {
	if t == nil || t.IsZero() {
		return dayOpen
	}
	return clock(t.UTC())
}

// lastDay shows the end of a price as --to takes it: the last day that is
// included, or the instant that is not.
func lastDay(t *time.Time) string {
	if t == nil || t.IsZero() {
		return dayOpen
	}
	if end := t.UTC(); end.Truncate(24 * time.Hour).Equal(end) {
		return end.AddDate(0, 0, -1).Format(time.DateOnly)
	}
	return day(t)
}

func priceList(prices map[string]client.UnitPrice) string {
	parts := make([]string, 0, len(prices))
	for _, unit := range slices.SortedFunc(maps.Keys(prices), byUnit) {
		p := prices[unit]
		text := printable(unit) + " " + exactly(p.Price)
		for _, step := range p.Above {
			text += fmt.Sprintf(" (%s over %s input tokens)", exactly(step.Price), count(step.InputTokens))
		}
		if p.Minimum > 0 {
			text += fmt.Sprintf(" (at least %s)", count(p.Minimum))
		}
		parts = append(parts, text)
	}
	if len(parts) == 0 {
		return "free"
	}
	return strings.Join(parts, " · ")
}

// byUnit puts the prices everyone has first.
func byUnit(a, b string) int {
	rank := func(unit string) int {
		i := slices.Index([]string{"input", "output", "cacheRead", "cacheWrite", "cacheWrite1h", "reasoning"}, unit)
		if i < 0 {
			return 100
		}
		return i
	}
	if d := rank(a) - rank(b); d != 0 {
		return d
	}
	return strings.Compare(a, b)
}

type pricesUnpricedCmd struct {
	Limit  int    `short:"n" default:"100" help:"Most rows, 1 to 1000."`
	Cursor string `placeholder:"TEXT" help:"Continue a list, with what --json gave as pagination.nextCursor."`
}

func (*pricesUnpricedCmd) Help() string {
	return `Their calls count as 0, or as the caller's estimate, until "costprof prices set" gives them a price.

Examples:

  costprof prices unpriced
  costprof prices unpriced --json | jq -r '.data[] | [.provider, .model, .calls] | @tsv'`
}

func (p *pricesUnpricedCmd) Run(s *session) error {
	if err := between("-n", p.Limit, 1, 1000); err != nil {
		return err
	}
	c, err := s.connect()
	if err != nil {
		return err
	}
	request := client.UnpricedRequest{Limit: p.Limit, Cursor: p.Cursor}
	if s.root.JSON {
		return s.passOn(c, "prices/unpriced", request.Values())
	}
	page, err := c.ListUnpriced(s.ctx, request)
	if err != nil {
		return err
	}
	if len(page.Items) == 0 {
		s.note("Every model that was called has a price.")
		return nil
	}
	t := &table{columns: []column{
		{title: "PROVIDER", shrink: true},
		{title: "MODEL", shrink: true},
		{title: "CALLS", right: true},
		{title: "ESTIMATED", right: true, drop: 3, idle: money("")},
		{title: "FIRST SEEN (UTC)", drop: 2},
		{title: "LAST SEEN (UTC)", drop: 1},
	}}
	for _, m := range page.Items {
		t.add(name(m.Provider), name(m.Model), count(m.Calls), money(m.EstimatedCost),
			m.FirstSeen.UTC().Format(time.DateTime), m.LastSeen.UTC().Format(time.DateTime))
	}
	t.write(s.out, s.term)
	s.note("Give one a price: `costprof prices set PROVIDER MODEL input=… output=…`.")
	return nil
}

// parseInstant reads an instant, or a date as midnight UTC; "" is zero.
func parseInstant(flag, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.DateOnly, text); err == nil {
		return t, nil
	}
	if t, ok := usage.ParseInstant(text); ok {
		return t, nil
	}
	return time.Time{}, usagef("%s %q must be a date (2026-11-01) or an instant (2026-11-01T09:00:00Z)", flag, text)
}

// parseEnd is parseInstant for the end of a time: a date is included, so the end
// is the start of the next day.
func parseEnd(flag, text string) (time.Time, error) {
	t, err := parseInstant(flag, text)
	if isDate(text) && err == nil {
		t = t.AddDate(0, 0, 1)
	}
	return t, err
}

// isDate tells a date from an instant, in text that parseInstant takes.
func isDate(text string) bool { return len(text) == len(time.DateOnly) }
