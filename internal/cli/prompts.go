package cli

import (
	"strconv"
	"strings"
	"time"

	"github.com/costprof/costprof/client"
)

type promptsCmd struct {
	Growth   bool   `xor:"what" help:"How the typical input of features and models grew over the window, instead."`
	History  bool   `xor:"what" help:"What sessions send again turn after turn, by feature, instead."`
	Sessions bool   `xor:"what" help:"The same by session."`
	Parts    int    `placeholder:"N" help:"With --growth: into how many parts the window is cut, 2 to 24 (default 4)."`
	Limit    int    `short:"n" default:"20" help:"Most rows, 1 to 1000."`
	Cursor   string `placeholder:"TEXT" help:"Continue a list, with what --json gave as pagination.nextCursor."`
	filterFlags
}

func (*promptsCmd) Help() string {
	return `Each call is compared with the median input of its feature and model in the window. WASTED is what was
really paid for the tokens beyond that median. Where the texts of prompts are kept (costprof capture), the
suggestions say which part of the prompt is the long one; --json has all of them.

--growth compares the median input of the first part of the window with that of the last one: ADDED is what the
difference cost in the last part. --history takes the calls of a session and feature in their order: RESENT is the part of
their input that was there in the turn before, HISTORY that beyond the session's first call. Texts are not compared: both are the
most that it can be.

Examples:

  costprof prompts --last 7d
  costprof prompts --growth --last 90d --parts 12
  costprof prompts --history
  costprof prompts --sessions --feature support-chat
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
	if p.Parts != 0 && !p.Growth {
		return usagef("--parts is for --growth")
	}
	c, err := s.connect()
	if err != nil {
		return err
	}
	switch {
	case p.Growth:
		return p.growth(s, c, client.GrowthRequest{Filter: filter, Parts: p.Parts, Limit: p.Limit, Cursor: p.Cursor})
	case p.History, p.Sessions:
		return p.history(s, c, client.HistoryRequest{Filter: filter, BySession: p.Sessions, Limit: p.Limit, Cursor: p.Cursor})
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
			if f.LongPart != nil && f.LongPart.Part > 0 {
				advice = printable(f.Suggestions[1]) // which part of the prompt it is
			}
		}
		t.add(money(f.WastedCost), name(f.Feature), name(f.Model), count(f.InputTokens), count(f.MedianInputTokens),
			strconv.FormatFloat(f.BloatRatio, 'f', 1, 64)+"×", printable(f.EventID), advice)
	}
	t.write(s.out, s.term)
	s.noteMore(page.NextCursor)
	return nil
}

func (s *session) noteMore(cursor string) {
	if cursor != "" {
		s.note("There are more rows: -n shows up to 1000, --json gives the cursor.")
	}
}

func (p *promptsCmd) growth(s *session, c *client.Client, request client.GrowthRequest) error {
	if s.root.JSON {
		return s.passOn(c, "analytics/prompts/growth", request.Values())
	}
	page, err := c.PromptGrowth(s.ctx, request)
	if err != nil {
		return err
	}
	heading(s.out, s.term, page.Meta)
	if len(page.Items) == 0 {
		s.note("No feature and model has five calls in two parts of the window.")
		return nil
	}
	t := &table{columns: []column{
		{title: "ADDED", right: true}, {title: "FEATURE", shrink: true}, {title: "MODEL", shrink: true}, {title: "CALLS", right: true, drop: 3},
		{title: "FIRST", right: true, drop: 1}, {title: "LAST", right: true, drop: 1}, {title: "RATIO", right: true}, {title: "MEDIANS", shrink: true, drop: 2},
	}}
	for _, g := range page.Items {
		var medians []string
		for _, part := range g.Parts {
			text := "–"
			if part.MedianInputTokens != nil {
				text = count(*part.MedianInputTokens)
			}
			medians = append(medians, text)
		}
		first, last := int64(0), int64(0)
		if g.Growth.First.MedianInputTokens != nil && g.Growth.Last.MedianInputTokens != nil {
			first, last = *g.Growth.First.MedianInputTokens, *g.Growth.Last.MedianInputTokens
		}
		t.add(money(g.Growth.AddedCost), name(g.Feature), name(g.Model), count(g.CallCount), count(first), count(last),
			strconv.FormatFloat(g.Growth.Ratio, 'f', 1, 64)+"×", strings.Join(medians, " → "))
	}
	t.write(s.out, s.term)
	s.noteMore(page.NextCursor)
	return nil
}

func (p *promptsCmd) history(s *session, c *client.Client, request client.HistoryRequest) error {
	if s.root.JSON {
		return s.passOn(c, "analytics/prompts/history", request.Values())
	}
	page, err := c.PromptHistory(s.ctx, request)
	if err != nil {
		return err
	}
	heading(s.out, s.term, page.Meta)
	if len(page.Items) == 0 {
		s.note("In no session did a call follow another of the same feature.")
		return nil
	}
	t := &table{columns: []column{
		{title: "HISTORY", right: true}, {title: "OF INPUT", right: true, drop: 3}, {title: "RESENT", right: true}, {title: "OF INPUT", right: true, drop: 3}, {title: "CACHED", right: true, drop: 2},
		{title: "FEATURE", shrink: true},
	}}
	if p.Sessions {
		t.columns = append(t.columns, column{title: "SESSION", shrink: true})
	} else {
		t.columns = append(t.columns, column{title: "SESSIONS", right: true, drop: 1})
	}
	t.columns = append(t.columns, column{title: "TURNS", right: true, drop: 1})
	for _, h := range page.Items {
		cached := 0.0
		if h.ResentTokens > 0 {
			cached = float64(h.ResentCachedTokens) / float64(h.ResentTokens)
		}
		who := name(h.SessionID)
		if !p.Sessions {
			who = count(h.Sessions)
		}
		t.add(money(h.HistoryCost), percent(h.HistoryShare), money(h.ResentCost), percent(h.ResentShare), percent(cached), name(h.Feature), who, count(h.Turns))
	}
	t.write(s.out, s.term)
	s.noteMore(page.NextCursor)
	return nil
}
