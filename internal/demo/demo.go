// Package demo invents the traffic of a company that uses AI in a dozen places,
// with the things worth finding planted in it: a prompt that grew, a day that
// ran away, a cache that is written and never read, calls with bloated input. It
// only makes events; it refuses to know prices and how events are sent.
//
// The same parameters give the same events on every machine: all arithmetic is
// of integers.
package demo

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/costprof/costprof/client"
)

// Params chooses the traffic.
type Params struct {
	Seed uint64
	// Days is how many whole days before Until are filled, 1 to 365.
	Days int
	// Events is how many events are made in all, aggregates included.
	Events int
	// Until is where the traffic ends. It is cut to a whole UTC day, so that two
	// runs on one day make the same events.
	Until time.Time
	// Project owns the events.
	Project string
}

// The limits of Params.
const (
	MaxDays   = 365
	MaxEvents = 50_000_000
)

const day = 24 * time.Hour

// Traffic is a plan of events.
type Traffic struct {
	p       Params
	planted Planted
}

// New plans traffic, or says what is wrong with the parameters.
func New(p Params) (*Traffic, error) {
	p.Until = p.Until.UTC().Truncate(day)
	switch {
	case p.Days < 1 || p.Days > MaxDays:
		return nil, fmt.Errorf("days must be between 1 and %d", MaxDays)
	case p.Events < 1 || p.Events > MaxEvents:
		return nil, fmt.Errorf("events must be between 1 and %d", MaxEvents)
	case p.Until.AddDate(0, 0, -p.Days).Before(time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)):
		return nil, errors.New("the days must not begin before 2020")
	case p.Project == "":
		return nil, errors.New("the project needs a name")
	}
	return &Traffic{p: p, planted: plan(p)}, nil
}

// Planted says what is hidden in the traffic. Counts are complete once Each has
// ended without an error.
func (t *Traffic) Planted() Planted { return t.planted }

// Each makes the events, day by day and in time order within a day, and stops
// with the first error of yield. It begins anew each time.
func (t *Traffic) Each(yield func(client.Event) error) error {
	t.planted = plan(t.p)
	budgets := t.budgets()
	for i, budget := range budgets {
		events := t.day(i, budget)
		for _, e := range events {
			t.planted.count(&e)
			if err := yield(e); err != nil {
				return err
			}
		}
	}
	return nil
}

// weekday is how busy a day is, in percent of a working day.
func weekday(d time.Weekday) int {
	switch d {
	case time.Saturday:
		return 35
	case time.Sunday:
		return 30
	case time.Friday:
		return 90
	}
	return 100
}

// budgets splits the events among the days, exactly: busy on working days, a
// little more every day, and many on the day that runs away.
func (t *Traffic) budgets() []int {
	weights := make([]int, t.p.Days)
	total := 0
	for i := range weights {
		at := t.start(i)
		w := weekday(at.Weekday()) * (1000 + 8*i)
		if at.Equal(t.planted.Spike.Day) {
			w += w * spikeShare * (t.planted.Spike.Factor - 1) / totalWeight()
		}
		weights[i] = w
		total += w
	}
	out := make([]int, t.p.Days)
	given, seen := 0, 0
	for i, w := range weights {
		// The running sum is rounded, not each part: nothing is left over.
		seen += w
		upto := int(int64(t.p.Events) * int64(seen) / int64(total))
		out[i] = upto - given
		given = upto
	}
	return out
}

func (t *Traffic) start(i int) time.Time { return t.p.Until.AddDate(0, 0, i-t.p.Days) }

func (t *Traffic) day(i, budget int) []client.Event {
	start := t.start(i)
	g := &generator{rand: newRandom(t.p.Seed, uint64(start.Unix())), project: t.p.Project, planted: &t.planted}
	var events []client.Event
	for len(events) < budget {
		f := g.pick(func(f *feature) int {
			w := f.weight
			if f.name == t.planted.Spike.Feature && start.Equal(t.planted.Spike.Day) {
				w *= t.planted.Spike.Factor
			}
			return w
		})
		at := start.Add(time.Duration(g.hour(f))*time.Hour + time.Duration(g.between(0, int64(time.Hour/time.Microsecond)-1))*time.Microsecond)
		made := f.make(g, g.begin(f, at))
		keepInDay(made, start.Add(day))
		if len(events)+len(made) > budget {
			// The rest is too small for this trace: fill it with single calls.
			made = []client.Event{filler(g, at)}
		}
		events = append(events, made...)
	}
	slices.SortStableFunc(events, func(a, b client.Event) int { return a.Timestamp.Compare(b.Timestamp) })
	return events
}

// keepInDay moves a trace that would end in the next day to end in its own.
func keepInDay(events []client.Event, end time.Time) {
	var over time.Duration
	for i := range events {
		over = max(over, events[i].Timestamp.Sub(end)+time.Microsecond)
	}
	for i := range events {
		events[i].Timestamp = events[i].Timestamp.Add(-over)
	}
}

// Live makes traffic that happens now.
type Live struct{ g *generator }

// NewLive makes live traffic; run distinguishes one run from every other.
func NewLive(p Params, run uint64) *Live {
	planted := plan(p)
	return &Live{g: &generator{rand: newRandom(p.Seed, run), project: p.Project, planted: &planted}}
}

// Next makes the one to a dozen events of something that a user did at a moment.
func (l *Live) Next(at time.Time) []client.Event {
	f := l.g.pick(func(f *feature) int { return f.weight })
	at = at.UTC().Truncate(time.Microsecond)
	events := f.make(l.g, l.g.begin(f, at))
	for i := range events {
		// A trace goes on after its start; what is sent now has happened already.
		if events[i].Timestamp.After(at) {
			events[i].Timestamp = at
		}
	}
	return events
}
