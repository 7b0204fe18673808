package report

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
)

// Bounds of a flame tree.
const (
	MaxLevels = 6
	MaxNodes  = 20_000
)

// FlamegraphRequest asks for spend as a tree.
type FlamegraphRequest struct {
	analytics.Filter
	// Levels are the dimensions from the root on, or Trace alone: the calls of
	// traces by the names of the spans above them.
	Levels []analytics.Dimension
	// MaxNodes bounds the tree; 0 is analytics.DefaultMaxNodes.
	MaxNodes int
	// Baseline is the period to compare with; nil is none. Each node then has its
	// Change.
	Baseline *Period
}

// Flamegraph answers with a tree whose nodes are exactly the sums of their
// children.
func (s *Service) Flamegraph(ctx context.Context, r FlamegraphRequest) (*analytics.Node, error) {
	if !r.callTree() {
		if err := distinct("levels", r.Levels, MaxLevels); err != nil {
			return nil, err
		}
	}
	nodes := r.MaxNodes
	switch {
	case nodes == 0:
		nodes = analytics.DefaultMaxNodes
	case nodes < 2 || nodes > MaxNodes:
		return nil, fault.Field("maxNodes", fmt.Sprintf("must be between 2 and %d", MaxNodes))
	}
	if r.Baseline != nil && !r.Baseline.From.Before(r.Baseline.To) {
		return nil, fault.Field("baseline", "must begin before it ends")
	}
	var root *analytics.Node
	err := s.atOneMoment(ctx, func(m *moment) error {
		var err error
		if r.callTree() {
			root, err = r.calls(ctx, m, nodes)
		} else if r.Baseline != nil {
			root, err = r.difference(ctx, m, nodes)
		} else {
			root, err = r.tree(ctx, m, nodes)
		}
		if err == nil {
			root.TruncatedBefore = m.truncated
		}
		return err
	})
	return root, err
}

func (r *FlamegraphRequest) callTree() bool {
	return len(r.Levels) == 1 && r.Levels[0] == analytics.Trace
}

// maxPaths bounds what a call tree is made of. Where there are more paths of
// names, what the rest cost is one node.
const maxPaths = 50_000

func (r *FlamegraphRequest) calls(ctx context.Context, m *moment, nodes int) (*analytics.Node, error) {
	ask := func(f analytics.Filter) (c analytics.Calls, err error) {
		if c.Paths, err = m.callTree(ctx, analytics.CallTreeQuery{Filter: f, Limit: maxPaths}); err != nil {
			return c, err
		}
		t, err := m.query(ctx, analytics.Query{Filter: f, Measures: analytics.MeasureTokens | analytics.MeasureSource})
		if err == nil && len(t.Rows) > 0 {
			c.Total = t.Rows[0]
		}
		return c, err
	}
	now, err := ask(r.Filter)
	if err != nil || r.Baseline == nil {
		if err != nil {
			return nil, err
		}
		return analytics.CallTree(now, nil, nodes)
	}
	f := r.Filter
	f.From, f.To = r.Baseline.From, r.Baseline.To
	before, err := ask(f)
	if err != nil {
		return nil, err
	}
	return analytics.CallTree(now, &before, nodes)
}

// depth is the question whose rows are the nodes at a depth, the dearest first.
func (r *FlamegraphRequest) depth(depth, nodes int) analytics.Query {
	return analytics.Query{
		Filter: r.Filter, GroupBy: r.Levels[:depth], Measures: analytics.MeasureTokens | analytics.MeasureSource, Limit: nodes,
	}
}

func (r *FlamegraphRequest) tree(ctx context.Context, m *moment, nodes int) (*analytics.Node, error) {
	byDepth := make([][]analytics.Row, len(r.Levels)+1)
	// The deepest answer is enough when it is whole; else each depth above is
	// asked for, until one is. None returns more rows than nodes are wanted.
	for depth := len(r.Levels); depth >= 0; depth-- {
		t, err := m.query(ctx, r.depth(depth, nodes))
		if err != nil {
			return nil, err
		}
		byDepth[depth] = t.Rows
		if !t.More {
			break
		}
	}
	return analytics.Flame(byDepth, nodes)
}

func (r *FlamegraphRequest) difference(ctx context.Context, m *moment, nodes int) (*analytics.Node, error) {
	byDepth := make([][]analytics.FlamePair, len(r.Levels)+1)
	for depth := len(r.Levels); depth >= 0; depth-- {
		now := r.depth(depth, nodes)
		before := now
		before.From, before.To = r.Baseline.From, r.Baseline.To
		a, err := m.query(ctx, now)
		if err != nil {
			return nil, err
		}
		b, err := m.query(ctx, before)
		if err != nil {
			return nil, err
		}
		// What is among the dearest of one period only is looked up in the other.
		if a.Rows, err = m.complete(ctx, now, a, b.Rows); err != nil {
			return nil, err
		}
		if b.Rows, err = m.complete(ctx, before, b, a.Rows); err != nil {
			return nil, err
		}
		byDepth[depth] = analytics.FlamePairs(a.Rows, b.Rows)
		if !a.More && !b.More {
			break
		}
	}
	return analytics.Difference(byDepth, nodes)
}

// lookUpRows is how many rows one look-up answers at a time: names that were
// found together may occur in other combinations, too.
const lookUpRows = 20_000

// complete adds to the cut answer t of q the rows that others have and it has
// not, where there are such.
func (m *moment) complete(ctx context.Context, q analytics.Query, t analytics.Table, others []analytics.Row) ([]analytics.Row, error) {
	rows := t.Rows
	if !t.More {
		return rows, nil
	}
	wanted := map[string]bool{}
	for i := range others {
		wanted[analytics.Path(others[i].Names)] = true
	}
	for i := range rows {
		delete(wanted, analytics.Path(rows[i].Names))
	}
	if len(wanted) == 0 {
		return rows, nil
	}
	q.Any = maps.Clone(q.Any)
	if q.Any == nil {
		q.Any = map[analytics.Dimension][]string{}
	}
	for level, d := range q.GroupBy {
		names := map[string]bool{}
		for i := range others {
			if wanted[analytics.Path(others[i].Names)] {
				names[others[i].Names[level]] = true
			}
		}
		// These were selected by the filter, which they narrow.
		q.Any[d] = slices.Sorted(maps.Keys(names))
	}
	for q.Limit, q.Offset = lookUpRows, 0; len(wanted) > 0; q.Offset += lookUpRows {
		page, err := m.query(ctx, q)
		if err != nil {
			return nil, err
		}
		for i := range page.Rows {
			if path := analytics.Path(page.Rows[i].Names); wanted[path] {
				delete(wanted, path)
				rows = append(rows, page.Rows[i])
			}
		}
		if !page.More {
			break
		}
	}
	return rows, nil
}
