package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"github.com/costprof/costprof/client"
	"github.com/costprof/costprof/internal/demo"
)

type demoCmd struct {
	Seed    uint64  `default:"1" help:"The same seed, days, events and end give the same traffic."`
	Days    int     `default:"30" help:"Whole days to fill, 1 to 365."`
	Events  int     `default:"20000" help:"Events to make."`
	Until   string  `placeholder:"DATE" help:"End of the traffic, that day not included (default: today, UTC)."`
	Project string  `default:"demo" help:"Project that owns the traffic."`
	Live    bool    `help:"Then keep sending, as it would happen now, until Ctrl-C."`
	Rate    float64 `default:"5" help:"Events a second with --live, up to 5000."`
}

func (*demoCmd) Help() string {
	return `A second run on the same day adds nothing: the server recognises every event. A run on another day, or
with another seed, adds other traffic. The texts of its prompts are kept: capture is turned on for its
project, unless it was set before or the key is none of an admin.

Examples:

  costprof demo
  costprof demo --live --rate 20
  costprof demo --seed 7 --days 90 --events 500000 --until 2026-11-01`
}

func (d *demoCmd) Run(s *session) error {
	if d.Live && !(d.Rate > 0 && d.Rate <= 5000) {
		return usagef("--rate must be more than 0 and at most 5000")
	}
	until := time.Now()
	if d.Until != "" {
		t, err := time.Parse(time.DateOnly, d.Until)
		if err != nil {
			return usagef("--until %q must be a date such as 2026-11-01", d.Until)
		}
		if t.After(until.Add(24 * time.Hour)) {
			return usagef("--until must not be later than tomorrow: calls of the future are refused")
		}
		until = t
	}
	params := demo.Params{Seed: d.Seed, Days: d.Days, Events: d.Events, Until: until, Project: d.Project}
	traffic, err := demo.New(params)
	if err != nil {
		return usagef("%v", err)
	}
	if err := s.reach(); err != nil {
		return err
	}
	progress := newProgress(s.stdio.Err)
	c, err := s.connect(s.patient(progress.say)...)
	if err != nil {
		return err
	}
	if err := d.keepPrompts(s, c); err != nil {
		return err
	}
	done, err := d.fill(s, c, traffic, progress)
	if err != nil {
		if errors.Is(err, context.Canceled) {
			s.note("Stopped after %d events; run the same command again to go on.", done.rows())
		}
		return err
	}
	if err := d.tell(s, traffic.Planted(), &done); err != nil {
		return err
	}
	if !d.Live {
		return nil
	}
	return d.live(s, c, params, progress)
}

// keepPrompts has the server keep the prompts of the demo's own project, where
// nobody said otherwise and the key may say so.
func (d *demoCmd) keepPrompts(s *session, c *client.Client) error {
	list, err := c.ListCapture(s.ctx)
	if err == nil {
		if slices.ContainsFunc(list, func(set client.Capture) bool { return set.Project == d.Project }) {
			return nil
		}
		_, err = c.PutCapture(s.ctx, client.Capture{Project: d.Project, Capture: true})
	}
	switch client.StatusOf(err) {
	case http.StatusForbidden, http.StatusNotFound: // a key that may not, a server that is older
		return nil
	}
	return err
}

func (d *demoCmd) fill(s *session, c *client.Client, traffic *demo.Traffic, progress *progress) (tally, error) {
	p := newPump(s.ctx, c)
	made := 0
	err := traffic.Each(func(e client.Event) error {
		b, err := json.Marshal(&e)
		if err != nil {
			return err
		}
		made++
		progress.show("sending", int64(made), int64(d.Events), p.seen)
		return p.add(row{event: b, line: made})
	})
	if err == nil {
		err = p.flush()
	}
	done, sendErr := p.close()
	progress.clear()
	if sendErr != nil {
		err = sendErr
	}
	return done, err
}

func (d *demoCmd) tell(s *session, planted demo.Planted, done *tally) error {
	if done.Rejected > 0 {
		for _, r := range done.rejects {
			s.note("event %d: %s", r.line, printable(r.reason))
		}
		return fmt.Errorf("the server rejected %d of %d events", done.Rejected, done.rows())
	}
	if s.root.JSON {
		return s.writeValue(map[string]any{"accepted": done.New, "duplicates": done.Duplicates, "planted": planted})
	}
	w := s.out
	fmt.Fprintf(w, "%s events, %s UTC, project %s: %s new, %s already there.\n", count(int64(done.rows())),
		window(planted.From, planted.Until), name(planted.Project), count(int64(done.New)), count(int64(done.Duplicates)))
	if planted.Aggregates > 0 {
		fmt.Fprintf(w, "%s of them are model calls; %s only sum up the calls below them and are not counted.\n",
			count(int64(planted.Events-planted.Aggregates)), count(int64(planted.Aggregates)))
	}
	fmt.Fprintf(w, `
Hidden in them, to be found:
  %s costs more since %s: its prompt grew from %s to %s tokens
  %s ran %d times as often on %s
  %s writes a cache that nobody reads
  %s sends a dozen times the usual input now and then, and its prompts have whole files in them
  %s sends all that was said again with every turn, most of it from the cache
  %s uses a model of its own, %s, that has no price
  %s comes with the amount that its provider charged
`,
		planted.Jump.Feature, planted.Jump.Since.Format(time.DateOnly), count(planted.Jump.Before), count(planted.Jump.After),
		planted.Spike.Feature, planted.Spike.Factor, planted.Spike.Day.Format(time.DateOnly),
		planted.Cache.Feature, planted.Bloat.Feature, planted.History.Feature, planted.Unpriced.Feature, planted.Unpriced.Model, planted.Billed.Feature)
	fmt.Fprintln(w, "\nTry:")
	which := d.which(planted)
	for _, command := range []string{"top", "series --by feature", "flame --levels department,feature,model", "prompts", "prompts --growth", "prompts --history"} {
		fmt.Fprintf(w, "  costprof %s %s\n", command, which)
	}
	// Whatever day it is: the days since the prompt grew, against as many before.
	fmt.Fprintf(w, "  costprof diff --from %s --to %s --project %s\n", planted.Jump.Since.Format(time.DateOnly),
		planted.Until.AddDate(0, 0, -1).Format(time.DateOnly), shellWord(planted.Project))
	fmt.Fprintln(w, "  costprof prices unpriced")
	return s.out.Flush()
}

// which are the flags that choose what was made, and nothing older or newer.
func (d *demoCmd) which(planted demo.Planted) string {
	return fmt.Sprintf("--from %s --to %s --project %s", planted.From.Format(time.DateOnly),
		planted.Until.AddDate(0, 0, -1).Format(time.DateOnly), shellWord(planted.Project))
}

// live sends what happens now until the command is stopped.
func (d *demoCmd) live(s *session, c *client.Client, params demo.Params, progress *progress) error {
	s.note("Sending %g events a second; Ctrl-C stops.", d.Rate)
	traffic := demo.NewLive(params, rand.Uint64())
	const beat = 200 * time.Millisecond
	tick := time.NewTicker(beat)
	defer tick.Stop()
	sent, owed := 0, 0.0
	for {
		select {
		case <-s.ctx.Done():
			progress.clear()
			s.note("Stopped; %s live events were stored.", count(int64(sent)))
			return nil
		case now := <-tick.C:
			owed += d.Rate * beat.Seconds()
			var events []client.Event
			for owed >= 1 {
				made := traffic.Next(now)
				events = append(events, made...)
				owed -= float64(len(made))
			}
			if len(events) == 0 {
				continue
			}
			result, err := c.Send(s.ctx, events)
			sent += result.Accepted
			progress.show("live", 0, 0, func() int { return sent })
			if err != nil && s.ctx.Err() == nil {
				return err
			}
		}
	}
}
