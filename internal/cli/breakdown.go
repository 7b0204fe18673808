package cli

import (
	"strings"
	"time"

	"github.com/costprof/costprof/client"
)

type breakdownCmd struct {
	By     []string `arg:"" optional:"" sep:"none" help:"One dimension or two: feature (default), model, provider, user, department, project, environment, session, operation, tag:NAME."`
	Limit  int      `short:"n" default:"20" help:"Most rows, 1 to 1000."`
	Cursor string   `placeholder:"TEXT" help:"Continue a list, with what --json gave as pagination.nextCursor."`
	filterFlags
}

func (*breakdownCmd) Help() string {
	return `Rows come dearest first. Shares are of the whole cost, also of rows that are not shown.

Examples:

  costprof breakdown model --last 7d
  costprof breakdown feature model --from 2026-11-01 --tz Europe/Berlin
  costprof breakdown user --status error
  costprof breakdown tag:team --department research --json`
}

func (b *breakdownCmd) Run(s *session) error {
	filter, err := b.filter(time.Now())
	if err != nil {
		return err
	}
	by := dimensions(b.By)
	switch {
	case len(by) == 0:
		by = []string{"feature"}
	case len(by) > 2:
		return usagef("a breakdown goes by at most two dimensions; for more levels use `costprof flame --levels`")
	}
	if err := between("-n", b.Limit, 1, 1000); err != nil {
		return err
	}
	c, err := s.connect()
	if err != nil {
		return err
	}
	request := client.BreakdownRequest{Filter: filter, GroupBy: by, Limit: b.Limit, Cursor: b.Cursor}
	if s.root.JSON {
		return s.passOn(c, "analytics/cost-breakdown", request.Values())
	}
	page, err := c.Breakdown(s.ctx, request)
	if err != nil {
		return err
	}
	heading(s.out, s.term, page.Meta)
	if len(page.Items) == 0 {
		s.note("%s", b.nothing())
		return nil
	}
	breakdownTable(by, page.Items).write(s.out, s.term)
	if page.NextCursor != "" {
		s.note("There are more rows: -n shows up to 1000, --json gives the cursor.")
	}
	if rows := page.Items; len(by) == 1 && len(rows) == 1 && rows[0].Name == "" {
		if tag, ok := strings.CutPrefix(by[0], "tag:"); ok {
			s.note("No call has the tag %s.", printable(tag))
		}
	}
	var unpriced, fallback int64
	for i := range page.Items {
		unpriced += page.Items[i].UnpricedCalls
		fallback += page.Items[i].FallbackCalls
	}
	s.hint(unpriced, fallback)
	return nil
}

// dimensions takes feature,model as it takes feature model. The name of a tag
// may hold a comma, so it is the last.
func dimensions(words []string) []string {
	var out []string
	for _, word := range words {
		for !strings.HasPrefix(word, "tag:") {
			first, rest, more := strings.Cut(word, ",")
			if !more {
				break
			}
			out, word = append(out, first), rest
		}
		out = append(out, word)
	}
	return out
}

func breakdownTable(by []string, rows []client.BreakdownRow) *table {
	t := &table{}
	for _, d := range by {
		t.columns = append(t.columns, column{title: strings.ToUpper(printable(d)), shrink: true})
	}
	t.columns = append(t.columns,
		column{title: "COST", right: true},
		column{title: "SHARE", right: true, drop: 1},
		column{title: "", drop: 10},
		column{title: "CALLS", right: true, drop: 2},
		column{title: "ERRORS", right: true, drop: 7},
		column{title: "INPUT", right: true, drop: 3},
		column{title: "OUTPUT", right: true, drop: 4},
		column{title: "CACHED", right: true, drop: 6},
		column{title: "SAVED", right: true, drop: 8},
		column{title: "AVG", right: true, drop: 5},
		column{title: "P95", right: true, drop: 9},
	)
	for _, r := range rows {
		names := r.Names
		if len(names) != len(by) {
			names = []string{r.Name}
		}
		cells := make([]string, 0, len(t.columns))
		for i := range by {
			if i < len(names) {
				cells = append(cells, name(names[i]))
			} else {
				cells = append(cells, "")
			}
		}
		t.add(append(cells, money(r.TotalCost), percent(r.Share), bar(r.Share, 10), count(r.CallCount), count(r.ErrorCount),
			count(r.InputTokens), count(r.OutputTokens), count(r.CachedTokens), money(r.CacheSavings), millis(r.AvgLatency), millis(r.P95Latency))...)
	}
	return t
}
