package report

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/pricing"
)

// comparer is a request with what follows from it.
type comparer struct {
	CompareRequest
	offset, limit, candidates int
	more                      bool
}

// compareMeasures are what a row of a comparison shows beside cost and calls.
const compareMeasures = analytics.MeasureTokens | analytics.MeasureErrors | analytics.MeasureSource |
	analytics.MeasureClasses | analytics.MeasureClassTokens | analytics.MeasureSeen

// cellDimensions tell the cells of a row apart.
var cellDimensions = []analytics.Dimension{analytics.Provider, analytics.Model, analytics.Tier}

func (c *comparer) compare(ctx context.Context, m *moment) (Comparison, error) {
	out := Comparison{Period: Period{c.From, c.To}, Baseline: c.Baseline, Rows: []Change{}}
	shown, err := c.rank(ctx, m)
	if err != nil {
		return out, err
	}
	if len(shown) > 0 {
		if out.Rows, err = c.explain(ctx, m, shown); err != nil {
			return out, err
		}
	}
	cells, err := c.cells(ctx, m, c.Filter, nil)
	if err != nil {
		return out, err
	}
	out.Total, err = change(nil, cells[""])
	return out, err
}

// inBoth asks in the baseline and in the window.
func (c *comparer) inBoth(ctx context.Context, m *moment, q analytics.Query) (was, is analytics.Table, err error) {
	from, to := q.From, q.To
	q.From, q.To = c.Baseline.From, c.Baseline.To
	if was, err = m.query(ctx, q); err != nil {
		return was, is, err
	}
	q.From, q.To = from, to
	is, err = m.query(ctx, q)
	return was, is, err
}

// moved is how far the cost of a row went.
type moved struct {
	names []string
	delta money.Total
}

// rank gives the names on the page.
func (c *comparer) rank(ctx context.Context, m *moment) ([][]string, error) {
	end := c.offset + c.limit
	rows, all, err := c.dearest(ctx, m)
	if err == nil && !all && len(rows) <= end {
		rows, err = c.everything(ctx, m)
	}
	if err != nil {
		return nil, err
	}
	c.more = len(rows) > end
	rows = rows[min(c.offset, len(rows)):min(end, len(rows))]
	names := make([][]string, len(rows))
	for i := range rows {
		names[i] = rows[i].names
	}
	return names, nil
}

// everything ranks all rows.
func (c *comparer) everything(ctx context.Context, m *moment) ([]moved, error) {
	was, is, err := c.inBoth(ctx, m, analytics.Query{Filter: c.Filter, GroupBy: c.GroupBy, Limit: MaxCompared})
	switch {
	case err != nil:
		return nil, err
	case was.More || is.More:
		return nil, fault.Field("groupBy", fmt.Sprintf("has more than %d values in one of the periods; narrow them with a filter", MaxCompared))
	}
	return differences(was.Rows, is.Rows), nil
}

// candidates is how many of the dearest rows of each period are looked at first:
// enough for two pages, and few enough to be named in a question, which takes
// seconds with thousands of names.
const candidates = 250

// dearest ranks the rows that are among the dearest of a period, as far as they
// are also the first ones of all: a row that is dear in neither period cannot
// have moved further than the last that is. Of hundreds of thousands of sessions
// none else is looked at. all says that there are no others.
func (c *comparer) dearest(ctx context.Context, m *moment) (rows []moved, all bool, err error) {
	was, is, err := c.inBoth(ctx, m, analytics.Query{Filter: c.Filter, GroupBy: c.GroupBy, Limit: c.candidates})
	if err != nil {
		return nil, false, err
	}
	if !was.More && !is.More {
		return differences(was.Rows, is.Rows), true, nil
	}
	// What one period's ranking was cut before is asked for by name.
	names := make([][]string, 0, len(was.Rows)+len(is.Rows))
	for _, t := range [...]*analytics.Table{&was, &is} {
		for i := range t.Rows {
			names = append(names, t.Rows[i].Names)
		}
	}
	seen := map[string]bool{}
	for _, n := range names {
		seen[nameKey(n)] = true
	}
	before, now, err := c.inBoth(ctx, m, analytics.Query{Filter: c.only(names), GroupBy: c.GroupBy, Limit: MaxCompared})
	if err != nil || before.More || now.More {
		return nil, false, err
	}
	known := func(rows []analytics.Row) []analytics.Row {
		return slices.DeleteFunc(rows, func(r analytics.Row) bool { return !seen[nameKey(r.Names)] })
	}
	rows = differences(known(before.Rows), known(now.Rows))
	var bound money.Total
	for _, t := range [...]*analytics.Table{&was, &is} {
		if last := len(t.Rows) - 1; t.More && t.Rows[last].Cost.Cmp(bound) > 0 {
			bound = t.Rows[last].Cost
		}
	}
	sure := slices.IndexFunc(rows, func(r moved) bool { return magnitude(r.delta).Cmp(bound) <= 0 })
	if sure < 0 {
		sure = len(rows)
	}
	return rows[:sure], false, nil
}

// differences ranks rows by how far their cost moved.
func differences(was, is []analytics.Row) []moved {
	rows := make([]moved, 0, max(len(was), len(is)))
	place := make(map[string]int, cap(rows))
	for i := range was {
		place[nameKey(was[i].Names)] = len(rows)
		rows = append(rows, moved{was[i].Names, was[i].Cost.Neg()})
	}
	for i := range is {
		if at, known := place[nameKey(is[i].Names)]; known {
			rows[at].delta = rows[at].delta.Plus(is[i].Cost)
		} else {
			rows = append(rows, moved{is[i].Names, is[i].Cost})
		}
	}
	slices.SortFunc(rows, func(a, b moved) int {
		return cmp.Or(magnitude(b.delta).Cmp(magnitude(a.delta)), slices.Compare(a.names, b.names))
	})
	return rows
}

func magnitude(t money.Total) money.Total {
	if t.Sign() < 0 {
		return t.Neg()
	}
	return t
}

// nameKey joins names unambiguously: no name contains U+0000.
func nameKey(names []string) string { return strings.Join(names, "\x00") }

// explain makes the rows of the names, which keep their order.
func (c *comparer) explain(ctx context.Context, m *moment, names [][]string) ([]Change, error) {
	f := c.Filter
	if c.more || c.offset > 0 {
		f = c.only(names)
	}
	cells, err := c.cells(ctx, m, f, c.GroupBy)
	if err != nil {
		return nil, err
	}
	rows := make([]Change, len(names))
	for i := range names {
		if rows[i], err = change(names[i], cells[nameKey(names[i])]); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// only selects the rows of the names, and of two dimensions also others that have
// a name of each.
func (c *comparer) only(names [][]string) analytics.Filter {
	f := c.Filter
	f.Any = make(map[analytics.Dimension][]string, len(c.Any)+len(c.GroupBy))
	maps.Copy(f.Any, c.Any)
	for g, d := range c.GroupBy {
		values := make([]string, len(names))
		for i := range names {
			values[i] = names[i][g]
		}
		slices.Sort(values)
		f.Any[d] = slices.Compact(values) // all accepted by the filter they were ranked under
	}
	return f
}

// cells gives the cells of each row by the key of its names.
func (c *comparer) cells(ctx context.Context, m *moment, f analytics.Filter, by []analytics.Dimension) (map[string][]analytics.Pair, error) {
	was, is, err := c.inBoth(ctx, m, analytics.Query{
		Filter: f, GroupBy: slices.Concat(by, cellDimensions), Measures: compareMeasures, Limit: maxCells,
	})
	switch {
	case err != nil:
		return nil, err
	case (was.More || is.More) && len(by) > 0:
		return nil, fault.Field("limit", fmt.Sprintf("asks for rows with more than %d models and tiers together; ask for fewer, or narrow them with a filter", maxCells))
	case was.More || is.More:
		return nil, fault.Field("from", fmt.Sprintf("begins a range with more than %d models and tiers; narrow it with a filter", maxCells))
	}
	pairs := map[string][]analytics.Pair{}
	place := map[string]int{}
	merge := func(rows []analytics.Row, side func(*analytics.Pair) *analytics.Row) error {
		for i := range rows {
			names, cell := rows[i].Names[:len(by)], slices.Clone(rows[i].Names)
			// Tiers under which providers report the same prices are one.
			cell[len(cell)-1] = pricing.TierName(cell[len(cell)-1])
			row := nameKey(names)
			at, known := place[nameKey(cell)]
			if !known {
				at = len(pairs[row])
				place[nameKey(cell)] = at
				pairs[row] = append(pairs[row], analytics.Pair{})
			}
			if err := side(&pairs[row][at]).Merge(&rows[i]); err != nil {
				return err
			}
		}
		return nil
	}
	if err := merge(was.Rows, func(p *analytics.Pair) *analytics.Row { return &p.Was }); err != nil {
		return nil, err
	}
	err = merge(is.Rows, func(p *analytics.Pair) *analytics.Row { return &p.Is })
	return pairs, err
}

// change sums up cells and explains them.
func change(names []string, cells []analytics.Pair) (Change, error) {
	c := Change{Names: names}
	for i := range cells {
		if err := c.Was.Merge(&cells[i].Was); err != nil {
			return c, err
		}
		if err := c.Is.Merge(&cells[i].Is); err != nil {
			return c, err
		}
	}
	c.Delta = c.Is.Cost.Sub(c.Was.Cost)
	var err error
	c.Terms, err = analytics.Explain(cells)
	return c, err
}
