package cli

import (
	"strconv"
	"time"

	"github.com/costprof/costprof/client"
)

type promptsCmd struct {
	Limit  int    `short:"n" default:"20" help:"Most rows, 1 to 1000."`
	Cursor string `placeholder:"TEXT" help:"Continue a list, with what --json gave as pagination.nextCursor."`
	filterFlags
}

func (*promptsCmd) Help() string {
	return `Each call is compared with the median input of its feature and model in the window. WASTED is what was
really paid for the tokens beyond that median.

Examples:

  costprof prompts --last 7d
  costprof prompts --feature code-review --json`
}

func (p *promptsCmd) Run(s *session) error {
	filter, err := p.filter(time.Now())
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
	request := client.PromptsRequest{Filter: filter, Limit: p.Limit, Cursor: p.Cursor}
	if s.root.JSON {
		return s.passOn(c, "analytics/prompts", request.Values())
	}
	page, err := c.Prompts(s.ctx, request)
	if err != nil {
		return err
	}
	heading(s.out, s.term, page.Meta)
	if len(page.Items) == 0 {
		s.note("No call has far more input than usual.")
		return nil
	}
	t := &table{columns: []column{
		{title: "WASTED", right: true},
		{title: "FEATURE", shrink: true},
		{title: "MODEL", shrink: true},
		{title: "INPUT", right: true, drop: 1},
		{title: "MEDIAN", right: true, drop: 2},
		{title: "RATIO", right: true},
		{title: "EVENT", drop: 3},
		{title: "WHAT TO DO", shrink: true, least: 40, drop: 4},
	}}
	for _, f := range page.Items {
		advice := ""
		// The first one says in words what the columns say.
		if n := len(f.Suggestions); n > 1 {
			advice = printable(f.Suggestions[n-1])
		}
		t.add(money(f.WastedCost), name(f.Feature), name(f.Model), count(f.InputTokens), count(f.MedianInputTokens),
			strconv.FormatFloat(f.BloatRatio, 'f', 1, 64)+"×", printable(f.EventID), advice)
	}
	t.write(s.out, s.term)
	if page.NextCursor != "" {
		s.note("There are more rows: -n shows up to 1000, --json gives the cursor.")
	}
	return nil
}
