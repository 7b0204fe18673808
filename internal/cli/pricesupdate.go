package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/costprof/costprof/client"
	"github.com/costprof/costprof/internal/pricing"
	"github.com/costprof/costprof/internal/pricing/pricelist"
)

type pricesUpdateCmd struct {
	List        string `arg:"" optional:"" name:"file|url" help:"The newer list: a file, - for standard input, or an https address. Without one: show which list is in force."`
	Apply       bool   `help:"Put the list in force; without it only the difference is shown."`
	Partial     bool   `help:"The list is only a part: what it does not have stays as it is."`
	Listed      string `placeholder:"DATE" help:"Day the list was published, when it does not say so itself (default today)."`
	ListVersion string `placeholder:"TEXT" help:"Version of the list, when it does not say so itself (default a hash of its content)."`
	Limit       int    `short:"n" default:"50" help:"Most changes to show, 1 to 5000."`
	Reset       bool   `help:"Put the price book of the program in force again, as if no list had ever been loaded."`
}

func (*pricesUpdateCmd) Help() string {
	return `Loads a newer list in the place of the shipped one: a costprof price book, genai-prices' v2 JSON, or LiteLLM's model_prices_and_context_window.json. Own prices stay over it.

A price of the list with a start date applies from that date, any other from now on; what calls cost before stays. Stored calls keep their cost, except those without a price; "costprof prices rerate" prices others anew. A broken list changes nothing.

Examples:

  costprof prices update
  costprof prices update https://raw.githubusercontent.com/BerriAI/litellm/main/model_prices_and_context_window.json
  costprof prices update genai-prices.json --listed 2026-11-20 --apply
  costprof prices update --reset`
}

func (p *pricesUpdateCmd) Run(s *session) error {
	if err := between("-n", p.Limit, 1, 5000); err != nil {
		return err
	}
	switch {
	case p.Reset && (p.List != "" || p.Apply || p.Partial):
		return usagef("--reset takes no list")
	case p.List == "" && (p.Apply || p.Partial || p.Listed != "" || p.ListVersion != ""):
		return usagef("name the list: a file or an address")
	}
	if _, err := time.Parse(time.DateOnly, p.Listed); p.Listed != "" && err != nil {
		return usagef("--listed %q must be a date (2026-11-01)", p.Listed)
	}
	c, err := s.connect()
	if err != nil {
		return err
	}
	switch {
	case p.Reset:
		return p.reset(s, c)
	case p.List == "":
		return showList(s, c)
	}
	text, err := readList(s.ctx, p.List, s.stdio.In)
	if err != nil {
		return err
	}
	list, err := pricelist.Read(text, pricelist.Said{Version: p.ListVersion, Listed: cmp.Or(p.Listed, time.Now().UTC().Format(time.DateOnly))})
	if err != nil {
		return err
	}
	book, err := pricing.Encode(list.Data)
	if err != nil {
		return err
	}
	difference, err := c.UpdatePriceList(s.ctx, book, client.ListUpdate{DryRun: true, Partial: p.Partial})
	if err != nil {
		return unpart(err)
	}
	if p.Apply {
		if difference, err = c.UpdatePriceList(s.ctx, book, client.ListUpdate{Partial: p.Partial, Expect: difference.Digest}); err != nil {
			return err
		}
	}
	if s.root.JSON {
		return s.writeValue(answered[updated]{updated{difference, readOf(list)}})
	}
	p.show(s, list, &difference)
	return nil
}

// unpart names the flag for a list that is only a part.
func unpart(err error) error {
	var answer *client.Error
	if errors.As(err, &answer) && strings.Contains(answer.Message, "looks cut off") {
		answer.Message += " (--partial)"
	}
	return err
}

// updated is a difference with what became of the list that was read.
type updated struct {
	client.ListDifference
	Read listRead `json:"read"`
}

type listRead struct {
	Form      pricelist.Form      `json:"form"`
	Entries   int                 `json:"entries,omitzero"`
	Converted int                 `json:"converted,omitzero"`
	Skipped   map[string][]string `json:"skipped,omitempty"`
	Ignored   map[string]int      `json:"ignored,omitempty"`
	Rounded   []string            `json:"rounded,omitempty"`
}

func readOf(l *pricelist.List) listRead {
	return listRead{l.Form, l.Entries, l.Converted, l.Skipped, l.Ignored, l.Rounded}
}

func (p *pricesUpdateCmd) reset(s *session, c *client.Client) error {
	if err := c.ResetPriceList(s.ctx); err != nil {
		return err
	}
	return showList(s, c)
}

func showList(s *session, c *client.Client) error {
	if s.root.JSON {
		return s.passOn(c, "prices/list", nil)
	}
	l, err := c.PriceList(s.ctx)
	if err != nil {
		return err
	}
	how := "shipped with the program"
	if l.Loaded {
		how = "loaded"
		if l.Since != nil {
			how += " " + clock(l.Since.UTC()) + " UTC"
		}
		how += fmt.Sprintf("; the program's own is %s", listTitle(l.Shipped.ListName))
	}
	fmt.Fprintf(s.out, "%s: %s models of %s providers, %s dated prices (%s)\n", listTitle(l.ListName),
		count(int64(l.Models)), count(int64(l.Providers)), count(int64(l.Versions)), how)
	return nil
}

func listTitle(l client.ListName) string {
	return printable(fmt.Sprintf("%s %s of %s", l.Source, l.Version, l.Listed))
}

func (p *pricesUpdateCmd) show(s *session, list *pricelist.List, d *client.ListDifference) {
	fmt.Fprintf(s.out, "%s over %s\n", listTitle(d.List), listTitle(d.Before))
	if list.Entries > 0 {
		fmt.Fprintf(s.out, "%s of %s entries were taken\n", count(int64(list.Converted)), count(int64(list.Entries)))
		for _, reason := range slices.SortedFunc(maps.Keys(list.Skipped), func(a, b string) int {
			return cmp.Or(len(list.Skipped[b])-len(list.Skipped[a]), strings.Compare(a, b))
		}) {
			names := list.Skipped[reason]
			fmt.Fprintf(s.out, "  %s not, because %s: %s\n", count(int64(len(names))), printable(reason), printable(some(names)))
		}
	}
	if len(list.Ignored) > 0 {
		keys := slices.SortedFunc(maps.Keys(list.Ignored), func(a, b string) int {
			return cmp.Or(list.Ignored[b]-list.Ignored[a], strings.Compare(a, b))
		})
		fmt.Fprintf(s.out, "  %s kinds of prices have no place in a book and were left out: %s\n", count(int64(len(keys))), printable(some(keys)))
	}
	if len(list.Skipped) > 0 && list.Form == pricelist.GenaiPrices {
		fmt.Fprintln(s.out, "  these keep the price that they have; without one they are unpriced")
	}
	if len(list.Rounded) > 0 {
		fmt.Fprintf(s.out, "  %s prices are finer than a picodollar and were rounded half-even\n", count(int64(len(list.Rounded))))
	}
	fmt.Fprintf(s.out, "%s models added, %s changed, %s removed, %s as they were\n",
		count(int64(d.Added)), count(int64(d.Changed)), count(int64(d.Removed)), count(int64(d.Same)))
	if len(d.Changes) > 0 {
		p.table(s, d)
	}
	switch {
	case d.Applied:
		fmt.Fprintln(s.out, "The list is in force.")
		if d.JobID != "" && d.TotalChanges > 0 {
			s.note("Calls that had no price are being priced: `costprof jobs %s`. Others keep their cost: see `costprof prices rerate`.", printable(d.JobID))
		}
	case d.TotalChanges == 0 && p.Apply:
		fmt.Fprintln(s.out, "The list was in force already.")
	case d.TotalChanges == 0:
		fmt.Fprintln(s.out, "It changes no price.")
	default:
		s.note("Nothing was changed: add --apply to put the list in force.")
	}
}

// some shows the first few of a list.
func some(names []string) string {
	const few = 4
	text := strings.Join(names[:min(few, len(names))], ", ")
	if len(names) > few {
		text += ", …"
	}
	return text
}

func (p *pricesUpdateCmd) table(s *session, d *client.ListDifference) {
	t := &table{columns: []column{
		{title: "PROVIDER", shrink: true},
		{title: "MODEL", shrink: true},
		{title: "FOR", shrink: true, least: 12, idle: scopeAll},
		{title: "FROM", drop: 1},
		{title: "TO", drop: 3, idle: dayOpen},
		{title: "CHANGE", shrink: true, least: 40},
	}}
	// What changes matters more than what is new.
	changes := slices.Clone(d.Changes)
	rank := map[string]int{"changed": 0, "removed": 1, "added": 2}
	slices.SortStableFunc(changes, func(a, b client.ListChange) int { return rank[a.Kind] - rank[b.Kind] })
	for _, c := range changes[:min(p.Limit, len(changes))] {
		where := scope(&client.Price{ServiceTier: c.ServiceTier, Region: c.Region, Window: c.Window})
		t.add(name(c.Provider), name(c.Model), where, day(c.EffectiveFrom), day(c.EffectiveTo), priceChange(&c))
	}
	t.write(s.out, s.term)
	if more := d.TotalChanges - min(p.Limit, len(changes)); more > 0 {
		s.note("There are %s more: -n up to 5000, or --json.", count(int64(more)))
	}
}

// priceChange shows what becomes of a price, unit by unit.
func priceChange(c *client.ListChange) string {
	switch {
	case c.Old == nil && c.New == nil:
		return ""
	case c.Old == nil:
		return "new: " + priceList(c.New)
	case c.New == nil:
		return "ends: " + priceList(c.Old)
	}
	units := slices.Collect(maps.Keys(c.Old))
	for unit := range c.New {
		if _, both := c.Old[unit]; !both {
			units = append(units, unit)
		}
	}
	slices.SortFunc(units, byUnit)
	one := func(prices map[string]client.UnitPrice, unit string) string {
		price, ok := prices[unit]
		if !ok {
			return "none"
		}
		return strings.TrimPrefix(priceList(map[string]client.UnitPrice{unit: price}), printable(unit)+" ")
	}
	var parts []string
	for _, unit := range units {
		if was, now := one(c.Old, unit), one(c.New, unit); was != now {
			parts = append(parts, fmt.Sprintf("%s %s → %s", printable(unit), was, now))
		}
	}
	if len(parts) == 0 {
		return "free" // both are empty
	}
	return strings.Join(parts, " · ")
}

const fetchTimeout = 2 * time.Minute

// readList reads a whole list, at most as large as lists may be.
func readList(ctx context.Context, from string, in io.Reader) ([]byte, error) {
	lower := strings.ToLower(from)
	if strings.HasPrefix(lower, "https://") || strings.HasPrefix(lower, "http://") {
		return fetchList(ctx, from)
	}
	var text []byte
	src, err := openSource(ctx, from, in)
	if err == nil {
		defer func() { _ = src.Close() }() // it was only read
		text, err = io.ReadAll(io.LimitReader(src, pricelist.MaxSize+1))
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", from, withoutPath(err))
	}
	return text, nil
}

// fetchList fetches a list over https; without it only from this machine.
func fetchList(ctx context.Context, from string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	fail := func(err error) ([]byte, error) { return nil, fmt.Errorf("fetching %s: %w", printable(from), err) }
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, http.NoBody)
	if err != nil {
		return nil, usagef("%q is not an address", from)
	}
	if !trusted(req.URL) {
		return nil, usagef("a price list is fetched over https only")
	}
	req.Header.Set("User-Agent", "costprof-cli/"+buildVersion())
	fetcher := &http.Client{CheckRedirect: func(next *http.Request, via []*http.Request) error {
		switch {
		case len(via) > 5:
			return errors.New("it leads on and on")
		case !trusted(next.URL):
			return errors.New("it leads to an address that is not https")
		}
		return nil
	}}
	resp, err := fetcher.Do(req)
	if err != nil {
		var bad *url.Error
		if errors.As(err, &bad) {
			err = bad.Err
		}
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			err = fmt.Errorf("it took longer than %v", fetchTimeout)
		}
		return fail(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fail(fmt.Errorf("the answer is %s", printable(resp.Status)))
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, pricelist.MaxSize+1))
	if err != nil {
		return fail(err)
	}
	return text, nil
}

func trusted(u *url.URL) bool {
	if u.Scheme == "https" {
		return true
	}
	ip := net.ParseIP(u.Hostname())
	return u.Scheme == "http" && (u.Hostname() == "localhost" || ip != nil && ip.IsLoopback())
}
