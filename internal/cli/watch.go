package cli

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/big"
	"slices"
	"time"

	"github.com/costprof/costprof/client"
)

type watchCmd struct {
	Limit int `short:"n" default:"20" help:"Features to show, 1 to 100."`
	MatchFlags
}

func (*watchCmd) Help() string {
	return `Shows everything that is stored by feature, and what comes while you look, until Ctrl-C. A connection that breaks is
opened again and nothing is missed. Into a pipe it writes a line for each update; with --json each message of the server as a line.

Examples:

  costprof watch
  costprof watch --project shop --status ok
  costprof watch --json | jq -c 'select(.type == "update") | [.timestamp, .totalCost]'`
}

func (c *watchCmd) Run(s *session) error {
	if err := between("-n", c.Limit, 1, 100); err != nil {
		return err
	}
	filter, err := c.match()
	if err != nil {
		return err
	}
	server, err := s.connect(client.WithRetryNotice(func(w client.Waiting) {
		s.note("costprof: %s; trying again", printable(w.Err.Error()))
	}))
	if err != nil {
		return err
	}
	board := &board{limit: c.Limit, since: map[string]*big.Rat{}, paint: &painter{out: s.out, over: s.term.tty}}
	err = server.Follow(s.ctx, client.FollowRequest{Filter: filter}, func(e client.CostEvent) error {
		switch {
		case s.root.JSON:
			if _, err := fmt.Fprintf(s.out, "%s\n", e.JSON); err != nil {
				return err
			}
			return s.out.Flush()
		case s.term.tty:
			board.take(&e)
			s.term = newTerminal(s.stdio.Out) // the window may have another size by now
			return board.draw(s.term)
		}
		return watchLine(s.out, &e)
	})
	if s.ctx.Err() != nil && errors.Is(err, s.ctx.Err()) {
		return nil // Ctrl-C is how a watch ends
	}
	return err
}

// watchLine says one event in a line, for who reads a pipe.
func watchLine(w flusher, e *client.CostEvent) error {
	at := e.Timestamp.Local().Format(time.TimeOnly)
	if e.Snapshot() {
		fmt.Fprintf(w, "%s  %s in %s\n", at, money(e.TotalCost), several(e.CallCount, "call"))
	} else {
		fmt.Fprintf(w, "%s  %s in %s, +%s in %s\n", at, money(e.RunningTotal), several(e.RunningCount, "call"), money(e.TotalCost), count(e.Count))
	}
	return w.Flush()
}

// board is what a person sees: the sums, and what came since the watch began.
type board struct {
	limit int
	paint *painter

	at    time.Time
	total client.USD
	calls int64
	// features are the exact costs of those that the server names apart; since is
	// the part of each that came while watching.
	features, since map[string]*big.Rat
	came            client.USD
	cameCalls       int64
	unpriced        int64
}

// otherFeatures is the server's name for those it does not name apart.
const otherFeatures = "(other)"

func (b *board) take(e *client.CostEvent) {
	b.at = e.Timestamp
	if e.Snapshot() {
		b.total, b.calls, b.unpriced = e.TotalCost, e.CallCount, e.UnpricedCalls
		b.features = map[string]*big.Rat{}
		add(b.features, e.Features, nil)
		return
	}
	b.total, b.calls = e.RunningTotal, e.RunningCount
	b.unpriced += e.UnpricedCalls
	b.cameCalls += e.Count
	b.came = plus(b.came, e.TotalCost)
	add(b.features, e.Features, b.features)
	add(b.since, e.Features, b.features)
}

// add adds costs to sums. A name that known does not have, when it has
// (other), is one of those.
func add(sums map[string]*big.Rat, costs map[string]client.USD, known map[string]*big.Rat) {
	for name, cost := range costs {
		amount, err := cost.Rat()
		if err != nil {
			continue // what is no number cannot be shown
		}
		if known[otherFeatures] != nil && known[name] == nil {
			name = otherFeatures
		}
		if sums[name] == nil {
			sums[name] = new(big.Rat)
		}
		sums[name].Add(sums[name], amount)
	}
}

func plus(a, b client.USD) client.USD {
	x, err := a.Rat()
	if err != nil {
		return a
	}
	y, err := b.Rat()
	if err != nil {
		return a
	}
	return usdOf(x.Add(x, y))
}

// usdOf writes an exact sum of amounts; none has more than 12 decimals.
func usdOf(r *big.Rat) client.USD {
	if r == nil {
		return "0"
	}
	return client.USD(r.FloatString(12))
}

func (b *board) draw(term terminal) error {
	var screen bytes.Buffer
	b.write(&screen, term)
	return b.paint.draw(screen.String())
}

func (b *board) write(w io.Writer, term terminal) {
	fmt.Fprintln(w, term.style(bold, fmt.Sprintf("%s in %s", money(b.total), several(b.calls, "call"))))
	fmt.Fprintln(w, term.style(dim, fmt.Sprintf("+%s in %s since you look; %s; Ctrl-C ends", money(cmp.Or(b.came, "0")), several(b.cameCalls, "call"), b.at.Local().Format(time.TimeOnly))))
	fmt.Fprintln(w)
	t := &table{columns: []column{
		{title: "FEATURE", shrink: true}, {title: "COST", right: true}, {title: "SHARE", right: true, drop: 1},
		{title: "", drop: 3}, {title: "SINCE", right: true, drop: 2},
	}}
	names := slices.SortedFunc(maps.Keys(b.features), func(x, y string) int {
		return cmp.Or(b.features[y].Cmp(b.features[x]), cmp.Compare(x, y))
	})
	for _, n := range names[:min(b.limit, len(names))] {
		cost, came := usdOf(b.features[n]), ""
		if b.since[n] != nil {
			came = "+" + money(usdOf(b.since[n]))
		}
		share := part(cost, b.total)
		t.add(name(n), money(cost), percent(share), bar(share, 10), came)
	}
	t.write(w, term)
	if b.unpriced > 0 {
		fmt.Fprintf(w, "\n%s calls have no price: estimates of the caller, or counted as 0.\n", count(b.unpriced))
	}
}
