package report

import (
	"context"
	"fmt"

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
	// Levels are the dimensions from the root on.
	Levels []analytics.Dimension
	// MaxNodes bounds the tree; 0 is analytics.DefaultMaxNodes.
	MaxNodes int
}

// Flamegraph answers with a tree whose nodes are exactly the sums of their
// children.
func (s *Service) Flamegraph(ctx context.Context, r FlamegraphRequest) (*analytics.Node, error) {
	if err := distinct("levels", r.Levels, MaxLevels); err != nil {
		return nil, err
	}
	nodes := r.MaxNodes
	switch {
	case nodes == 0:
		nodes = analytics.DefaultMaxNodes
	case nodes < 2 || nodes > MaxNodes:
		return nil, fault.Field("maxNodes", fmt.Sprintf("must be between 2 and %d", MaxNodes))
	}
	var root *analytics.Node
	err := s.atOneMoment(ctx, func(m *moment) error {
		byDepth := make([][]analytics.Row, len(r.Levels)+1)
		// The deepest answer is enough when it is whole; else each depth above is
		// asked for, until one is. None returns more rows than nodes are wanted.
		for depth := len(r.Levels); depth >= 0; depth-- {
			t, err := m.query(ctx, analytics.Query{
				Filter: r.Filter, GroupBy: r.Levels[:depth], Measures: analytics.MeasureTokens | analytics.MeasureSource, Limit: nodes,
			})
			if err != nil {
				return err
			}
			byDepth[depth] = t.Rows
			if !t.More {
				break
			}
		}
		var err error
		root, err = analytics.Flame(byDepth, nodes)
		return err
	})
	return root, err
}
