package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/costprof/costprof/client"
)

type topCmd struct {
	By       []string      `default:"feature,model,user" placeholder:"DIM" help:"Dimensions to rank: feature, model, provider, user, department, project, environment, session, operation, tag:NAME."`
	Limit    int           `short:"n" default:"5" help:"Rows of each, 1 to 1000."`
	Watch    bool          `short:"w" help:"Refresh until Ctrl-C."`
	Interval time.Duration `default:"2s" help:"How often --watch refreshes, at least 1s."`
	filterFlags
}

func (*topCmd) Help() string {
	return `Without a window it shows the last 24 hours. With --json it writes one JSON object {"feature":…,"model":…}
that holds the answer for each dimension; with --watch one such line for each refresh.

Examples:

  costprof top --watch
  costprof top --last 7d --by feature,tag:team -n 10`
}

func (t *topCmd) Run(s *session) error {
	if t.Interval < time.Second {
		return usagef("--interval must be at least 1s")
	}
	if err := between("-n", t.Limit, 1, 1000); err != nil {
		return err
	}
	if t.Last == "" && t.From == "" && t.To == "" {
		t.Last = "24h"
	}
	if _, err := t.filter(time.Now()); err != nil {
		return err
	}
	c, err := s.connect()
	if err != nil {
		return err
	}
	paint := &painter{out: s.out}
	if !t.Watch {
		return t.show(s, c, paint)
	}
	paint.over = s.term.tty && !s.root.JSON
	tick := time.NewTicker(t.Interval)
	defer tick.Stop()
	for reached := false; ; {
		err := t.show(s, c, paint)
		switch {
		case s.ctx.Err() != nil:
			return nil // Ctrl-C is how a watch ends
		case err == nil:
			reached = true
		case !reached || client.StatusOf(err)/100 == 4 && client.StatusOf(err) != 429:
			return err
		default:
			// A server that restarts is not the end of watching it.
			s.report(err)
		}
		select {
		case <-tick.C:
		case <-s.ctx.Done():
			return nil
		}
	}
}

func (t *topCmd) show(s *session, c *client.Client, paint *painter) error {
	filter, err := t.filter(time.Now())
	if err != nil {
		return err
	}
	s.term = newTerminal(s.stdio.Out) // the window may have another size by now
	var screen bytes.Buffer
	if s.root.JSON {
		err = t.json(s.ctx, c, filter, &screen)
	} else {
		err = t.tables(s, c, filter, &screen)
	}
	if err != nil {
		return err
	}
	return paint.draw(screen.String())
}

// painter writes screens one after the other, or each over the one before.
type painter struct {
	out   flusher
	over  bool
	begun bool
}

func (p *painter) draw(screen string) error {
	if p.over {
		start := "\x1b[H"
		if !p.begun {
			start = "\x1b[2J\x1b[H"
		}
		p.begun = true
		// What is left of the old screen goes after each line and after the last:
		// clearing it all first would flicker.
		screen = start + strings.ReplaceAll(screen, "\n", "\x1b[K\n") + "\x1b[J"
	}
	if _, err := io.WriteString(p.out, screen); err != nil {
		return err
	}
	return p.out.Flush()
}

func (t *topCmd) json(ctx context.Context, c *client.Client, filter client.Filter, w io.Writer) error {
	all := make(map[string]json.RawMessage, len(t.By))
	for _, by := range t.By {
		request := client.BreakdownRequest{Filter: filter, GroupBy: []string{by}, Limit: t.Limit}
		answer, err := c.Get(ctx, "analytics/cost-breakdown", request.Values())
		if err != nil {
			return err
		}
		all[by] = answer
	}
	b, err := json.Marshal(all)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s\n", b)
	return err
}

func (t *topCmd) tables(s *session, c *client.Client, filter client.Filter, w io.Writer) error {
	for i, by := range t.By {
		page, err := c.Breakdown(s.ctx, client.BreakdownRequest{Filter: filter, GroupBy: []string{by}, Limit: t.Limit})
		if err != nil {
			return err
		}
		if i == 0 {
			heading(w, s.term, page.Meta)
		}
		if len(page.Items) == 0 {
			fmt.Fprintln(w, t.nothing())
			return nil
		}
		fmt.Fprintln(w)
		breakdownTable([]string{by}, page.Items).write(w, s.term)
	}
	return nil
}
