package client

import (
	"context"
	"net/http"
	"net/url"
)

// FlamegraphRequest asks for cost as a tree.
type FlamegraphRequest struct {
	Filter
	// Levels are dimensions from the root outwards, or "trace" alone for the calls
	// of traces by span name; empty is feature, model.
	Levels []string
	// MaxNodes bounds the tree; 0 is the server's default.
	MaxNodes int
	// Baseline is another period to compare with, "FROM,TO": two dates, the last
	// one included, or two RFC 3339 instants.
	Baseline string
}

// Values gives the request as query parameters.
func (r *FlamegraphRequest) Values() url.Values {
	q := r.Filter.Values()
	setList(q, "levels", r.Levels)
	setInt(q, "maxNodes", r.MaxNodes)
	set(q, "baseline", r.Baseline)
	return q
}

// Node is one frame; its value is the sum of its children's and its own.
type Node struct {
	Name   string `json:"name"`
	Value  USD    `json:"value"`
	Calls  int64  `json:"callCount"`
	Tokens int64  `json:"tokens"`
	// UnpricedCalls have a cost that is only an estimate or unknown.
	UnpricedCalls int64 `json:"unpricedCalls"`
	// Folded marks a node that stands for smaller siblings.
	Folded bool `json:"folded"`
	// Baseline is the value in the period compared with, Delta what it grew by;
	// both are "" without a baseline.
	Baseline       USD   `json:"baseline"`
	Delta          USD   `json:"delta"`
	BaselineCalls  int64 `json:"baselineCallCount"`
	BaselineTokens int64 `json:"baselineTokens"`
	// Own is what a node of a call tree has beside its children; nil otherwise.
	Own      *NodePart `json:"own"`
	Children []Node    `json:"children"`
}

// NodePart is a part of a node.
type NodePart struct {
	Value         USD   `json:"value"`
	Calls         int64 `json:"callCount"`
	Tokens        int64 `json:"tokens"`
	Baseline      USD   `json:"baseline"`
	Delta         USD   `json:"delta"`
	BaselineCalls int64 `json:"baselineCallCount"`
}

// Flamegraph asks for the tree.
func (c *Client) Flamegraph(ctx context.Context, r FlamegraphRequest) (Node, Meta, error) {
	r = r.complete()
	e, err := ask[Node](ctx, c, flamegraphPath, r.Values())
	return e.Data, e.Meta, err
}

// FlamegraphFile asks for the tree as a file of another tool: "pprof" (what
// `go tool pprof` opens), "speedscope" or "folded".
func (c *Client) FlamegraphFile(ctx context.Context, r FlamegraphRequest, format string) ([]byte, error) {
	r = r.complete()
	q := r.Values()
	q.Set("format", format)
	return c.send(ctx, call{method: http.MethodGet, path: apiPrefix + flamegraphPath, query: q, idempotent: true})
}

const flamegraphPath = "analytics/flamegraph"

func (r FlamegraphRequest) complete() FlamegraphRequest {
	if len(r.Levels) == 0 {
		r.Levels = []string{"feature", "model"}
	}
	return r
}
