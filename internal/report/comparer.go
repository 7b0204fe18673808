package report

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/money"
)

// comparer is a request with what follows from it.
type comparer struct {
	CompareRequest
	offset, limit, few int
	more               bool
}

// compareMeasures are what a row of a comparison shows beside cost and calls.
const compareMeasures = analytics.MeasureTokens | analytics.MeasureErrors | analytics.MeasureSource |
	analytics.MeasureClasses | analytics.MeasureClassTokens | analytics.MeasureSeen

// cellDimensions tell the cells of a row apart.
var cellDimensions = []analytics.Dimension{analytics.Provider, analytics.Model, analytics.Tier}

func (c *comparer) compare(ctx context.Context, m *moment) (Comparison, error) {
	out := Comparison{Period: Period{c.From, c.To}, Baseline: c.Baseline, Rows: []Change{}}
	rows, all, err := c.whole(ctx, m)
	if err == nil && rows == nil {
		rows, all, err = c.page(ctx, m)
	}
	if err != nil {
		return out, err
	}
	for _, row := range rows {
		shown, err := change(row.names, row.pairs)
		if err != nil {
			return out, err
		}
		out.Rows = append(out.Rows, shown)
	}
	out.Total, err = change(nil, all.pairs)
	return out, err
}

// fewCells is how many cells all rows of a period together may have to be looked
// at at once.
const fewCells = 4_000

// whole looks at the cells of all rows: the ranking and the total follow from
// them. rows is nil when they are too many, or may be: then a page is ranked
// first.
func (c *comparer) whole(ctx context.Context, m *moment) (rows []*cells, all *cells, err error) {
	if slices.ContainsFunc(c.GroupBy, func(d analytics.Dimension) bool { return d == analytics.User || d == analytics.Session }) {
		return nil, nil, nil
	}
	was, is, err := c.inBoth(ctx, m, cellQuery(c.Filter, c.GroupBy, c.few))
	if err != nil || was.More || is.More {
		return nil, nil, err
	}
	byRow, err := cellsOf(&was, &is, len(c.GroupBy))
	if err != nil {
		return nil, nil, err
	}
	rows, all = make([]*cells, 0, len(byRow)), &cells{}
	moved := make(map[*cells]money.Total, len(byRow))
	for _, row := range byRow {
		for kind, at := range row.place {
			p := &row.pairs[at]
			moved[row] = moved[row].Plus(p.Is.Cost).Sub(p.Was.Cost)
			if err := all.add(kind, p); err != nil {
				return nil, nil, err
			}
		}
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b *cells) int {
		return cmp.Or(magnitude(moved[b]).Cmp(magnitude(moved[a])), slices.Compare(a.names, b.names))
	})
	end := c.offset + c.limit
	c.more = len(rows) > end
	return rows[min(c.offset, len(rows)):min(end, len(rows))], all, nil
}

// page lets the ledger rank the rows, of which there may be hundreds of
// thousands, and then looks at the cells of those that are shown.
func (c *comparer) page(ctx context.Context, m *moment) (rows []*cells, all *cells, err error) {
	ranked, err := m.query(ctx, analytics.Query{
		Filter: c.Filter, GroupBy: c.GroupBy, Baseline: analytics.Window{From: c.Baseline.From, To: c.Baseline.To}, Limit: c.limit, Offset: c.offset,
	})
	if err != nil {
		return nil, nil, err
	}
	c.more = ranked.More
	if len(ranked.Rows) > 0 {
		f := c.Filter
		if ranked.More || c.offset > 0 {
			f = c.only(ranked.Rows)
		}
		was, is, err := c.inBoth(ctx, m, cellQuery(f, c.GroupBy, maxCells))
		switch {
		case err != nil:
			return nil, nil, err
		case was.More || is.More:
			return nil, nil, fault.Field("limit", fmt.Sprintf("asks for rows with more than %d models and tiers together; ask for fewer, or narrow them with a filter", maxCells))
		}
		byRow, err := cellsOf(&was, &is, len(c.GroupBy))
		if err != nil {
			return nil, nil, err
		}
		for i := range ranked.Rows {
			names := ranked.Rows[i].Names
			rows = append(rows, cmp.Or(byRow[nameKey(names)], &cells{names: names}))
		}
	}
	was, is, err := c.inBoth(ctx, m, cellQuery(c.Filter, nil, maxCells))
	switch {
	case err != nil:
		return nil, nil, err
	case was.More || is.More:
		return nil, nil, fault.Field("from", fmt.Sprintf("begins a range with more than %d models and tiers; narrow it with a filter", maxCells))
	}
	byRow, err := cellsOf(&was, &is, 0)
	if err != nil {
		return nil, nil, err
	}
	if all = byRow[""]; all == nil {
		all = &cells{}
	}
	return rows, all, nil
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

// only selects the rows by name, and of two dimensions also others that have a
// name of each.
func (c *comparer) only(rows []analytics.Row) analytics.Filter {
	f := c.Filter
	f.Any = make(map[analytics.Dimension][]string, len(c.Any)+len(c.GroupBy))
	maps.Copy(f.Any, c.Any)
	for g, d := range c.GroupBy {
		values := make([]string, len(rows))
		for i := range rows {
			values[i] = rows[i].Names[g]
		}
		slices.Sort(values)
		f.Any[d] = slices.Compact(values) // all accepted by the filter they were ranked under
	}
	return f
}

func magnitude(t money.Total) money.Total {
	if t.Sign() < 0 {
		return t.Neg()
	}
	return t
}
