package analytics

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/costprof/costprof/internal/money"
)

// Other is the name under which small siblings are summed up. Real values may
// have the same name, so what is summed up is also marked.
const Other = "(other)"

const rootName = "Project"

// DefaultMaxNodes bounds a flame tree when nothing else is said.
const DefaultMaxNodes = 5_000

// Node is a node of a flame tree. Value and counts of a node with children are
// exactly the sums of theirs and, in a call tree, of its own. Children come
// dearest first, then by name in byte order; a leaf's are nil, those of the root
// of an empty tree are not.
type Node struct {
	Name     string      `json:"name"`
	Value    money.Total `json:"value"`
	Calls    int64       `json:"callCount"`
	Tokens   int64       `json:"tokens"`
	Unpriced int64       `json:"unpricedCalls"`
	Fallback int64       `json:"fallbackCalls"`
	Folded   bool        `json:"folded,omitempty"` // stands for smaller siblings
	// Own is what a node with children has beside them; only in call trees.
	Own *Share `json:"own,omitempty"`
	// The other period's side; only in differences.
	*Change
	Children []*Node `json:"children,omitzero"`
	// TruncatedBefore is the answer's, in the root.
	TruncatedBefore time.Time `json:"-"`
}

// Share is a part of a node.
type Share struct {
	Value  money.Total `json:"value"`
	Calls  int64       `json:"callCount"`
	Tokens int64       `json:"tokens"`
	*Change
}

// Change is a node's side in the period that it is compared with. Delta is
// Value less Baseline.
type Change struct {
	Baseline       money.Total `json:"baseline" required:"false"`
	Delta          money.Total `json:"delta" required:"false"`
	BaselineCalls  int64       `json:"baselineCallCount" required:"false"`
	BaselineTokens int64       `json:"baselineTokens" required:"false"`
}

// Flame makes the tree of the answers to one Query for each depth: byDepth[k]
// groups by the first k levels, byDepth[0] is the total. At most maxNodes nodes
// remain, the root and every "(other)" counted: the dearest ones, wherever they
// are.
//
// Each answer may be cut to its maxNodes dearest rows and the tree is still the
// same, exactly: a node that is among the dearest of all is among the dearest of
// its depth, and so is its parent, which costs no less. A nil answer is summed
// from the next deeper one, which then must not be cut. fault.Invalid when the
// tokens do not fit 63 bits.
func Flame(byDepth [][]Row, maxNodes int) (*Node, error) {
	pairs := make([][]FlamePair, len(byDepth))
	for depth, rows := range byDepth {
		if rows == nil {
			continue
		}
		pairs[depth] = make([]FlamePair, len(rows))
		for i := range rows {
			pairs[depth][i] = FlamePair{Row: rows[i]}
		}
	}
	return fold(pairs, maxNodes, false)
}

// FlamePair is what one node is in two periods: the one asked for, and the one it is
// compared with. Names are those of Row.
type FlamePair struct{ Row, Baseline Row }

// FlamePairs puts the rows of two answers to the same question together by their
// names; what one of them has not is empty there.
func FlamePairs(now, before []Row) []FlamePair {
	out := make([]FlamePair, 0, max(len(now), len(before)))
	index := make(map[string]int, len(now))
	for i := range now {
		index[Path(now[i].Names)] = len(out)
		out = append(out, FlamePair{Row: now[i]})
	}
	for i := range before {
		at, known := index[Path(before[i].Names)]
		if !known {
			at = len(out)
			out = append(out, FlamePair{Row: Row{Names: before[i].Names}})
		}
		out[at].Baseline = before[i]
	}
	return out
}

// Difference makes the tree of two periods as Flame does that of one. What is
// folded is folded on both sides: a node counts as dear as it was in the dearer
// of the two. So each answer may be cut to the rows that are among the maxNodes
// dearest of either period, when both sides of these are whole.
func Difference(byDepth [][]FlamePair, maxNodes int) (*Node, error) {
	return fold(slices.Clone(byDepth), maxNodes, true)
}

func fold(byDepth [][]FlamePair, maxNodes int, compared bool) (*Node, error) {
	leaf := len(byDepth) - 1
	for depth := leaf - 1; depth >= 0; depth-- {
		if byDepth[depth] == nil {
			var err error
			if byDepth[depth], err = rollUp(byDepth[depth+1], depth); err != nil {
				return nil, err
			}
		}
	}
	var nodes []*flameNode
	for depth, pairs := range byDepth {
		for i := range pairs {
			n := &flameNode{FlamePair: &pairs[i], depth: depth}
			if depth == leaf {
				n.own = n.FlamePair
			}
			nodes = append(nodes, n)
		}
	}
	if len(nodes) == 0 || nodes[0].depth > 0 {
		nodes = append(nodes, &flameNode{FlamePair: &FlamePair{}})
	}
	return assemble(nodes, maxNodes, compared)
}

// assemble makes the tree of nodes, one of which is the root.
func assemble(nodes []*flameNode, maxNodes int, compared bool) (*Node, error) {
	dearestFirst(nodes)
	root := nodes[0] // no node is dearer
	nodes = keepable(nodes, maxNodes)
	if len(nodes) == 0 {
		alone := &Node{Name: rootName, Children: []*Node{}}
		alone.measure(root.FlamePair, compared)
		return alone, nil
	}
	for _, n := range nodes {
		if n.depth > 0 {
			n.node = &Node{Name: n.Row.Names[n.depth-1]}
		} else {
			n.node = &Node{Name: rootName, Children: []*Node{}}
			for _, side := range [...]*Row{&n.Row, &n.Baseline} {
				if err := side.Fits(); err != nil {
					return nil, err
				}
			}
		}
		n.node.measure(n.FlamePair, compared)
		if n.parent != nil {
			n.parent.node.Children = append(n.parent.node.Children, n.node)
		}
	}
	for _, n := range nodes {
		own := &FlamePair{}
		if n.own != nil {
			own = n.own
		}
		if rest, some := n.node.rest(own); some {
			n.node.Children = append(n.node.Children, rest)
		}
		if len(n.node.Children) > 0 && own.calls() != 0 {
			var part Node
			part.measure(own, compared)
			n.node.Own = &Share{part.Value, part.Calls, part.Tokens, part.Change}
		}
		n.node.sort()
	}
	return root.node, nil
}

func (n *Node) measure(p *FlamePair, compared bool) {
	r, b := &p.Row, &p.Baseline
	n.Value, n.Calls, n.Tokens, n.Unpriced, n.Fallback = r.Cost, r.Calls, r.Tokens(), r.Unpriced, r.Fallback
	if compared {
		n.Change = &Change{b.Cost, r.Cost.Sub(b.Cost), b.Calls, b.Tokens()}
	}
}

// rest is what the node has beyond its children and its own part, and whether
// that is anything.
func (n *Node) rest(own *FlamePair) (*Node, bool) {
	rest := *n
	rest.Name, rest.Folded, rest.Children = Other, true, nil
	part := &Node{}
	part.measure(own, n.Change != nil)
	some := false
	if n.Change != nil {
		change := *n.Change
		rest.Change = &change
	}
	for _, c := range append([]*Node{part}, n.Children...) {
		rest.Value = rest.Value.Sub(c.Value)
		rest.Calls -= c.Calls
		rest.Tokens -= c.Tokens
		rest.Unpriced -= c.Unpriced
		rest.Fallback -= c.Fallback
		if rest.Change != nil {
			rest.Baseline = rest.Baseline.Sub(c.Baseline)
			rest.Delta = rest.Delta.Sub(c.Delta)
			rest.BaselineCalls -= c.BaselineCalls
			rest.BaselineTokens -= c.BaselineTokens
		}
	}
	if rest.Change != nil {
		some = rest.BaselineCalls != 0
	}
	return &rest, some || rest.Calls != 0
}

// sort puts the children dearest first.
func (n *Node) sort() {
	slices.SortFunc(n.Children, func(a, b *Node) int {
		before := 0
		if a.Change != nil && b.Change != nil {
			before = b.Baseline.Cmp(a.Baseline)
		}
		return cmp.Or(b.Value.Cmp(a.Value), before, strings.Compare(a.Name, b.Name), compareFolded(a, b))
	})
}

// rollUp sums rows by their first names.
func rollUp(rows []FlamePair, depth int) ([]FlamePair, error) {
	sums := []FlamePair{}
	index := map[string]int{}
	for i := range rows {
		names := rows[i].Row.Names[:depth]
		at, known := index[Path(names)]
		if !known {
			at = len(sums)
			index[Path(names)] = at
			sums = append(sums, FlamePair{Row: Row{Names: names}})
		}
		if err := sums[at].Row.Merge(&rows[i].Row); err != nil {
			return nil, err
		}
		if err := sums[at].Baseline.Merge(&rows[i].Baseline); err != nil {
			return nil, err
		}
	}
	return sums, nil
}

type flameNode struct {
	*FlamePair
	depth  int
	parent *flameNode
	// own is what the node has beside its children; nil is nothing.
	own *FlamePair
	// unseen counts the calls that are neither its own nor of a kept child, on both
	// sides: an "(other)" stands for them.
	unseen int64
	node   *Node
}

func (p *FlamePair) dearest() money.Total {
	if p.Baseline.Cost.Cmp(p.Row.Cost) > 0 {
		return p.Baseline.Cost
	}
	return p.Row.Cost
}

func (p *FlamePair) calls() int64 { return p.Row.Calls + p.Baseline.Calls }

// keepable gives the longest beginning of nodes, ranked dearest first and parents
// before children, that with the "(other)" nodes it needs is within maxNodes. It
// links the nodes to their parents.
func keepable(nodes []*flameNode, maxNodes int) []*flameNode {
	known := map[string]*flameNode{}
	kept := nodes[:0:0]
	others, fits := 0, 0
	for _, n := range nodes {
		if len(kept) >= maxNodes {
			break
		}
		if n.depth > 0 {
			n.parent = known[Path(n.Row.Names[:n.depth-1])]
			if n.parent == nil {
				continue // cut away with its parent, whose "(other)" holds it
			}
			if n.parent.unseen -= n.calls(); n.parent.unseen == 0 {
				others--
			}
		}
		n.unseen = n.calls()
		if n.own != nil {
			n.unseen -= n.own.calls()
		}
		if n.unseen != 0 {
			others++
		}
		known[Path(n.Row.Names)] = n
		kept = append(kept, n)
		if len(kept)+others <= maxNodes {
			fits = len(kept)
		}
	}
	return kept[:fits]
}

// Path joins names unambiguously: no name contains U+0000.
func Path(names []string) string {
	var b strings.Builder
	for _, n := range names {
		b.WriteString(n)
		b.WriteByte(0)
	}
	return b.String()
}

// compareFolded puts a real "(other)" before the folded one.
func compareFolded(a, b *Node) int {
	switch {
	case a.Folded == b.Folded:
		return 0
	case b.Folded:
		return -1
	}
	return 1
}
