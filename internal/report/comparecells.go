package report

import (
	"slices"
	"strings"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/pricing"
)

// cells are what a row of a comparison is made of: its calls in both periods, by
// provider, model and tier.
type cells struct {
	names []string
	place map[string]int // in pairs
	pairs []analytics.Pair
}

// of gives the pair of a kind of calls, made when missing; it is good until the
// next call.
func (c *cells) of(kind string) *analytics.Pair {
	at, known := c.place[kind]
	if !known {
		if c.place == nil {
			c.place = map[string]int{}
		}
		at = len(c.pairs)
		c.place[kind] = at
		c.pairs = append(c.pairs, analytics.Pair{})
	}
	return &c.pairs[at]
}

func (c *cells) add(kind string, p *analytics.Pair) error {
	mine := c.of(kind)
	if err := mine.Was.Merge(&p.Was); err != nil {
		return err
	}
	return mine.Is.Merge(&p.Is)
}

// cellQuery asks for the cells of each row.
func cellQuery(f analytics.Filter, by []analytics.Dimension, limit int) analytics.Query {
	return analytics.Query{Filter: f, GroupBy: slices.Concat(by, cellDimensions), Measures: compareMeasures, Limit: limit}
}

// cellsOf puts the answers to a cellQuery together, by the key of the row's
// names.
func cellsOf(was, is *analytics.Table, by int) (map[string]*cells, error) {
	rows := map[string]*cells{}
	for _, t := range [...]*analytics.Table{was, is} {
		for i := range t.Rows {
			r := &t.Rows[i]
			key := nameKey(r.Names[:by])
			if rows[key] == nil {
				rows[key] = &cells{names: r.Names[:by]}
			}
			kind := slices.Clone(r.Names[by:])
			// Tiers under which providers report the same prices are one.
			kind[len(kind)-1] = pricing.TierName(kind[len(kind)-1])
			pair := rows[key].of(nameKey(kind))
			side := &pair.Was
			if t == is {
				side = &pair.Is
			}
			if err := side.Merge(r); err != nil {
				return nil, err
			}
		}
	}
	return rows, nil
}

// nameKey joins names unambiguously: no name contains U+0000.
func nameKey(names []string) string { return strings.Join(names, "\x00") }

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
