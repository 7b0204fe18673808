package cli

import (
	"fmt"
	"math/big"
	"time"

	"github.com/costprof/costprof/client"
)

type seriesCmd struct {
	Granularity string `short:"g" default:"day" placeholder:"GRAIN" help:"minute, hour, day, week or month."`
	By          string `placeholder:"DIM" help:"One line for each of the dearest: feature, model, …, tag:NAME."`
	Series      int    `default:"10" help:"How many of the dearest with --by, at most 50; the rest is (other)."`
	filterFlags
}

func (*seriesCmd) Help() string {
	return `Buckets begin at local midnight, Monday or the first of the month in --tz; empty ones are shown with 0.

Examples:

  costprof series --last 14d
  costprof series -g hour --last 24h --feature support-chat
  costprof series --by model -g week --from 2026-09-01`
}

func (r *seriesCmd) Run(s *session) error {
	filter, err := r.filter(time.Now())
	if err != nil {
		return err
	}
	if err := between("--series", r.Series, 1, 50); err != nil {
		return err
	}
	c, err := s.connect()
	if err != nil {
		return err
	}
	request := client.TimeseriesRequest{Filter: filter, Granularity: r.Granularity, GroupBy: r.By}
	if r.By != "" {
		request.Series = r.Series
	}
	if s.root.JSON {
		return s.passOn(c, "analytics/timeseries", request.Values())
	}
	answer, err := c.Timeseries(s.ctx, request)
	if err != nil {
		return err
	}
	calls, cost := total(answer.Series)
	if calls == 0 {
		heading(s.out, s.term, answer.Meta)
		s.note("%s", r.nothing())
		return nil
	}
	answer.Meta.CallCount, answer.Meta.TotalCost = calls, cost
	heading(s.out, s.term, answer.Meta)
	if r.By == "" {
		pointsTable(answer.Series[0].Points).write(s.out, s.term)
		return nil
	}
	s.sparklines(answer.Series)
	return nil
}

// total adds up all buckets.
func total(series []client.Series) (calls int64, cost client.USD) {
	var amounts []client.USD
	for _, one := range series {
		for _, p := range one.Points {
			calls += p.CallCount
			amounts = append(amounts, p.Cost)
		}
	}
	return calls, sum(amounts...)
}

func pointsTable(points []client.Point) *table {
	t := &table{columns: []column{
		{title: "TIME"},
		{title: "COST", right: true},
		{title: "CALLS", right: true, drop: 2},
		{title: "TOKENS", right: true, drop: 3},
		{title: "", drop: 1},
	}}
	times := make([]time.Time, len(points))
	for i, p := range points {
		times[i] = p.Timestamp
	}
	labels := clocks(times)
	most, peak := client.USD("0"), new(big.Rat)
	for _, p := range points {
		if v, err := p.Cost.Rat(); err == nil && v.Cmp(peak) > 0 {
			most, peak = p.Cost, v
		}
	}
	for i, p := range points {
		t.add(labels[i], money(p.Cost), count(p.CallCount), count(p.Tokens), bar(part(p.Cost, most), 30))
	}
	return t
}

func (s *session) sparklines(series []client.Series) {
	t := &table{columns: []column{
		{title: "NAME", shrink: true},
		{title: "COST", right: true},
		{title: "CALLS", right: true, drop: 2},
		{title: "DEAREST", right: true, drop: 4},
		{title: "AT", drop: 3},
		{title: "", drop: 1},
	}}
	for _, one := range series {
		var amounts []client.USD
		var values []float64
		var calls int64
		best, at := client.USD("0"), time.Time{}
		peak := new(big.Rat)
		for _, p := range one.Points {
			amounts = append(amounts, p.Cost)
			calls += p.CallCount
			v, err := p.Cost.Rat()
			if err != nil {
				continue
			}
			if v.Cmp(peak) > 0 {
				best, at, peak = p.Cost, p.Timestamp, v
			}
			f, _ := v.Float64()
			values = append(values, f)
		}
		when := ""
		if !at.IsZero() {
			when = clock(at)
		}
		t.add(name(one.Name), money(sum(amounts...)), count(calls), money(best), when, sparkline(values, 40))
	}
	t.write(s.out, s.term)
	if points := series[0].Points; len(points) > 0 {
		fmt.Fprintln(s.out, s.term.style(dim, fmt.Sprintf("Each line has its own scale, from %s to %s.", clock(points[0].Timestamp), clock(points[len(points)-1].Timestamp))))
	}
}
