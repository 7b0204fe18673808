package report

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
)

// The number of series with a GroupBy.
const (
	DefaultSeries = 10
	MaxSeries     = 50
)

// seriesMeasures are the columns of a point that add up over time; a percentile
// does not.
const seriesMeasures = analytics.MeasureTokens | analytics.MeasureErrors | analytics.MeasureLatency |
	analytics.MeasureSaving | analytics.MeasureSource

// chunkRows bounds how many rows one question of a series may return: a decade by
// the month in a zone whose clocks move by half an hour is made of half hours.
const chunkRows = 100_000

// fewValues is how many values of a dimension are asked for at once, to sum up
// those that are not shown instead of asking a third time.
const fewValues = 15

// TimeseriesRequest asks for spend over time.
type TimeseriesRequest struct {
	analytics.Filter
	Granularity analytics.Granularity
	// Location is the zone of the buckets; nil is UTC.
	Location *time.Location
	// GroupBy makes a series of each value; "" makes one series.
	GroupBy analytics.Dimension
	// Series is the most series to make, the dearest; 0 is DefaultSeries.
	Series int
}

// Timeseries is spend over time.
type Timeseries struct {
	From, To time.Time
	// Series come dearest first, the rest of them as one at the end; without
	// GroupBy there is one.
	Series []Series
	// TruncatedBefore is up to when calls in the window were removed and the answer
	// lacks them; the zero time when it lacks none.
	TruncatedBefore time.Time
}

// Series is one line of a chart.
type Series struct {
	Name string
	// Rest marks the sum of all series that are not shown; its name is
	// analytics.Other, which a real value may have, too.
	Rest bool
	// Points has one row for each bucket, Bucket being its local start.
	Points []analytics.Row
}

// Timeseries answers with every bucket of the window, also the empty ones. Too
// many of them are fault.Invalid.
func (s *Service) Timeseries(ctx context.Context, r TimeseriesRequest) (Timeseries, error) {
	if _, err := analytics.ParseGranularity("granularity", string(r.Granularity)); err != nil {
		return Timeseries{}, err
	}
	series := 1
	if r.GroupBy != "" {
		if err := distinct("groupBy", []analytics.Dimension{r.GroupBy}, 1); err != nil {
			return Timeseries{}, err
		}
		switch series = r.Series; {
		case series == 0:
			series = DefaultSeries
		case series < 0 || series > MaxSeries:
			return Timeseries{}, fault.Field("series", fmt.Sprintf("must be between 1 and %d", MaxSeries))
		}
	}
	edges, err := analytics.Edges(r.From, r.To, r.Granularity, r.Location)
	if err != nil {
		return Timeseries{}, err
	}
	if err := analytics.CheckPoints(edges, r.To, r.Granularity, series); err != nil {
		return Timeseries{}, err
	}
	grain, shift := analytics.GrainFor(edges)
	if grain == 0 {
		return Timeseries{}, fault.Field("tz", "has an offset that is not a whole number of minutes")
	}
	c := chart{TimeseriesRequest: r, edges: edges, grain: grain, shift: shift, series: series}
	t := Timeseries{From: r.From, To: r.To}
	err = s.atOneMoment(ctx, func(m *moment) error {
		t.Series, err = c.draw(ctx, m)
		t.TruncatedBefore = m.truncated
		return err
	})
	return t, err
}

// chart is a request with what follows from it.
type chart struct {
	TimeseriesRequest
	edges  []time.Time
	grain  time.Duration
	shift  time.Duration
	series int
}

func (c *chart) draw(ctx context.Context, m *moment) ([]Series, error) {
	if c.GroupBy == "" {
		points, err := c.points(ctx, m, nil)
		if err != nil {
			return nil, err
		}
		return []Series{{Points: points[""]}}, nil
	}
	// Ranking first keeps a dimension with many values from returning a row for
	// each value and grain.
	ranked, err := m.query(ctx, analytics.Query{Filter: c.Filter, GroupBy: []analytics.Dimension{c.GroupBy}, Limit: max(c.series, fewValues)})
	if err != nil {
		return nil, err
	}
	if len(ranked.Rows) == 0 {
		return []Series{}, nil
	}
	names := make([]string, len(ranked.Rows))
	for i := range ranked.Rows {
		names[i] = ranked.Rows[i].Names[0]
	}
	shown := min(c.series, len(names))
	if ranked.More {
		names = names[:shown]
	}
	points, err := c.points(ctx, m, names)
	if err != nil {
		return nil, err
	}
	lines := make([]Series, 0, shown+1)
	for _, name := range names[:shown] {
		lines = append(lines, Series{Name: name, Points: points[name]})
	}
	rest := Series{Name: analytics.Other, Rest: true}
	switch {
	case ranked.More:
		rest.Points, err = c.beside(ctx, m, lines)
	case shown < len(names):
		rest.Points, err = together(points, names[shown:])
	default:
		return lines, nil
	}
	return append(lines, rest), err
}

// beside gives the points of what the lines leave of all events.
func (c *chart) beside(ctx context.Context, m *moment, lines []Series) ([]analytics.Row, error) {
	all, err := c.points(ctx, m, nil)
	if err != nil {
		return nil, err
	}
	rest := all[""]
	for _, line := range lines {
		for i := range line.Points {
			rest[i].Subtract(&line.Points[i])
		}
	}
	return rest, nil
}

// together adds up the points of the names, of which there is at least one.
func together(points map[string][]analytics.Row, names []string) ([]analytics.Row, error) {
	sums := points[names[0]]
	for _, name := range names[1:] {
		for i := range sums {
			if err := sums[i].Merge(&points[name][i]); err != nil {
				return nil, err
			}
		}
	}
	return sums, nil
}

// points gives the points by name; names nil gives the points of all events under
// the name "".
func (c *chart) points(ctx context.Context, m *moment, names []string) (map[string][]analytics.Row, error) {
	q := analytics.Query{Filter: c.Filter, Grain: c.grain, Shift: c.shift, Measures: seriesMeasures}
	if names == nil {
		names = []string{""}
	} else {
		q.GroupBy = []analytics.Dimension{c.GroupBy}
		q.Any = maps.Clone(q.Any)
		if q.Any == nil {
			q.Any = map[analytics.Dimension][]string{}
		}
		q.Any[c.GroupBy] = names // all accepted by the filter they were ranked under
	}
	points := make(map[string][]analytics.Row, len(names))
	for start := 0; start < len(c.edges); {
		end := c.chunk(start, len(names))
		if q.From = c.From; start > 0 {
			q.From = c.edges[start]
		}
		if q.To = c.To; end < len(c.edges) {
			q.To = c.edges[end]
		}
		t, err := m.query(ctx, q)
		if err != nil {
			return nil, err
		}
		byName := make(map[string][]analytics.Row, len(names))
		for _, row := range t.Rows {
			name := ""
			if len(row.Names) > 0 {
				name = row.Names[0]
			}
			byName[name] = append(byName[name], row)
		}
		for _, name := range names {
			folded, err := analytics.Fold(byName[name], c.edges[start:end])
			if err != nil {
				return nil, err
			}
			points[name] = append(points[name], folded...)
		}
		start = end
	}
	return points, nil
}

// chunk is the end of the run of buckets from start on that one question may
// cover, at least one.
func (c *chart) chunk(start, names int) int {
	most := c.edges[start].Add(c.grain * time.Duration(chunkRows/names))
	end := start + 1
	for end < len(c.edges) && !c.end(end).After(most) {
		end++
	}
	return end
}

// end is where the bucket ends.
func (c *chart) end(bucket int) time.Time {
	if bucket+1 < len(c.edges) {
		return c.edges[bucket+1]
	}
	return c.To
}
