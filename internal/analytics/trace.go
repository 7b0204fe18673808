package analytics

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/usage"
)

// Span is one event of a trace, without what no tree shows.
type Span struct {
	ID                    usage.ID
	SpanID, ParentSpanID  string
	Name                  string // with its default
	Feature, Operation    string
	Provider, Model       string // as normalised
	Start                 time.Time
	Latency               time.Duration
	Cost                  money.USD
	Source                usage.Source
	Input, Output, Cached int64
	Error, Aggregate      bool
}

// SpanOf takes what a tree shows from an event.
func SpanOf(r *usage.Record) Span {
	return Span{
		ID: r.ID, SpanID: r.SpanID, ParentSpanID: r.ParentSpanID, Name: r.SpanName(), Feature: r.Feature, Operation: r.Operation,
		Provider: r.ProviderID, Model: r.ModelID, Start: r.Timestamp, Latency: r.Latency, Cost: r.Total(), Source: r.Source,
		Input: r.Counts[usage.Input], Output: r.Counts[usage.Output], Cached: r.Counts.Cached(), Error: r.Error, Aggregate: r.Aggregate,
	}
}

// SpanNode is a span in its tree.
type SpanNode struct {
	Span
	// Orphan says that the span names a parent and does not stand below it: the
	// parent is not there, or it is below this span itself.
	Orphan bool
	// Total is what the span and those below it cost; spans that only sum their
	// children add nothing of their own.
	Total money.Total
	// Children come as they began.
	Children []*SpanNode
	// Hidden is what stands below and is not shown.
	Hidden Hidden

	depth  int
	parent *SpanNode
}

// Hidden sums up spans that are not shown.
type Hidden struct {
	Spans int
	Cost  money.Total
}

// TraceTree makes the tree of a trace's spans and gives those at the top, and what
// of them is hidden. A span stands where Ledger.CallTree would put it. At most
// maxNodes remain: those that cost most with what is below them.
func TraceTree(spans []Span, maxNodes int) (top []*SpanNode, hidden Hidden) {
	nodes := make([]*SpanNode, len(spans))
	for i := range spans {
		nodes[i] = &SpanNode{Span: spans[i]}
	}
	slices.SortFunc(nodes, func(a, b *SpanNode) int {
		return cmp.Or(a.Start.Compare(b.Start), bytes.Compare(a.ID[:], b.ID[:]))
	})
	first := make(map[string]*SpanNode, len(nodes))
	for _, n := range nodes {
		if first[n.SpanID] == nil {
			first[n.SpanID] = n
		}
	}
	below := map[*SpanNode][]*SpanNode{}
	var level []*SpanNode
	for _, n := range nodes {
		up := first[n.ParentSpanID]
		if n.ParentSpanID == "" || up == nil || up == n {
			n.Orphan = n.ParentSpanID != ""
			n.depth = 1
			level = append(level, n)
			continue
		}
		below[up] = append(below[up], n)
	}
	top = level
	order := slices.Clone(level) // parents before their children
	for depth := 2; len(level) > 0 && depth <= MaxCallDepth+1; depth++ {
		var next []*SpanNode
		for _, up := range level {
			up.Children = below[up]
			for _, n := range up.Children {
				n.depth, n.parent = depth, up
				next = append(next, n)
			}
		}
		order = append(order, next...)
		level = next
	}
	for _, n := range nodes {
		if n.depth == 0 {
			n.Orphan, n.depth = true, 1
			top = append(top, n)
			order = append(order, n)
		}
	}
	for _, n := range slices.Backward(order) {
		if !n.Aggregate {
			n.Total = n.Total.Add(n.Cost)
		}
		if n.parent != nil {
			n.parent.Total = n.parent.Total.Plus(n.Total)
		}
	}
	if len(nodes) > maxNodes {
		top, hidden = hide(order, top, maxNodes)
	}
	slices.SortStableFunc(top, func(a, b *SpanNode) int {
		return cmp.Or(a.Start.Compare(b.Start), bytes.Compare(a.ID[:], b.ID[:]))
	})
	return top, hidden
}

// hide keeps the dearest nodes; a parent is as dear as its children and comes
// before them.
func hide(order, top []*SpanNode, maxNodes int) ([]*SpanNode, Hidden) {
	ranked := slices.Clone(order)
	slices.SortStableFunc(ranked, func(a, b *SpanNode) int {
		return cmp.Or(b.Total.Cmp(a.Total), cmp.Compare(a.depth, b.depth), a.Start.Compare(b.Start), bytes.Compare(a.ID[:], b.ID[:]))
	})
	kept := make(map[*SpanNode]bool, maxNodes)
	for _, n := range ranked[:maxNodes] {
		kept[n] = true
	}
	var hidden Hidden
	for _, n := range ranked[maxNodes:] {
		at := n.parent
		for at != nil && !kept[at] {
			at = at.parent
		}
		into := &hidden
		if at != nil {
			into = &at.Hidden
		}
		into.Spans++
		if !n.Aggregate {
			into.Cost = into.Cost.Add(n.Cost)
		}
	}
	gone := func(n *SpanNode) bool { return !kept[n] }
	for n := range kept {
		n.Children = slices.DeleteFunc(n.Children, gone)
	}
	return slices.DeleteFunc(top, gone), hidden
}
