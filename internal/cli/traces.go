package cli

import (
	"time"

	"github.com/costprof/costprof/client"
)

type tracesCmd struct {
	Limit  int    `short:"n" default:"20" help:"Most rows, 1 to 1000."`
	Cursor string `placeholder:"TEXT" help:"Continue a list, with what --json gave as pagination.nextCursor."`
	filterFlags
}

func (*tracesCmd) Help() string {
	return `Traces come dearest first. NAME is that of the span at the top, TOOK the time from the start of the first
span to the end of the last one.

Examples:

  costprof traces --last 7d
  costprof traces --feature research-agent --status error
  costprof traces -n 1 --json`
}

func (t *tracesCmd) Run(s *session) error {
	filter, err := t.filter(time.Now())
	if err != nil {
		return err
	}
	if err := between("-n", t.Limit, 1, 1000); err != nil {
		return err
	}
	c, err := s.connect()
	if err != nil {
		return err
	}
	request := client.TracesRequest{Filter: filter, Limit: t.Limit, Cursor: t.Cursor}
	if s.root.JSON {
		return s.passOn(c, "traces", request.Values())
	}
	page, err := c.Traces(s.ctx, request)
	if err != nil {
		return err
	}
	heading(s.out, s.term, page.Meta)
	if len(page.Items) == 0 {
		s.note("%s", t.nothing())
		return nil
	}
	table := &table{columns: []column{
		{title: "TRACE"},
		{title: "NAME", shrink: true},
		{title: "PROJECT", shrink: true, drop: 4},
		{title: "COST", right: true},
		{title: "SHARE", right: true, drop: 3},
		{title: "CALLS", right: true, drop: 1},
		{title: "ERRORS", right: true, drop: 6},
		{title: "TOKENS", right: true, drop: 5},
		{title: "TOOK", right: true, drop: 2},
		{title: "STARTED", drop: 7},
	}}
	starts := make([]time.Time, len(page.Items))
	for i := range page.Items {
		starts[i] = page.Items[i].Start
	}
	shown := clocks(starts)
	var unpriced, fallback int64
	for i, r := range page.Items {
		table.add(printable(r.TraceID), name(r.Name), name(r.Project), money(r.TotalCost), percent(r.Share), count(r.CallCount), count(r.ErrorCount),
			count(r.TotalTokens), took(r.Duration), shown[i])
		unpriced += r.UnpricedCalls
		fallback += r.FallbackCalls
	}
	table.write(s.out, s.term)
	if page.NextCursor != "" {
		s.note("There are more rows: -n shows up to 1000, --json gives the cursor.")
	}
	s.hint(unpriced, fallback)
	return nil
}

func took(d client.Duration) string { return millis(float64(d) / float64(time.Millisecond)) }
