package analytics

import (
	"cmp"
	"slices"
	"strings"

	"github.com/costprof/costprof/internal/money"
)

// Other is the name under which small siblings are summed up. Real values may
// have the same name, so what is summed up is also marked.
const Other = "(other)"

// DefaultMaxNodes bounds a flame tree when nothing else is said.
const DefaultMaxNodes = 5_000

// Node is a node of a flame tree. Value and counts of a node with children are
// exactly the sums of theirs. Children come dearest first, then by name in byte
// order; a leaf's are nil, those of the root of an empty tree are not.
type Node struct {
	Name     string      `json:"name"`
	Value    money.Total `json:"value"`
	Calls    int64       `json:"callCount"`
	Tokens   int64       `json:"tokens"`
	Unpriced int64       `json:"unpricedCalls"`
	Fallback int64       `json:"fallbackCalls"`
	Folded   bool        `json:"folded,omitempty"` // stands for smaller siblings
	Children []*Node     `json:"children,omitzero"`
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
	leaf := len(byDepth) - 1
	byDepth = slices.Clone(byDepth)
	for depth := leaf - 1; depth >= 0; depth-- {
		if byDepth[depth] == nil {
			var err error
			if byDepth[depth], err = rollUp(byDepth[depth+1], depth); err != nil {
				return nil, err
			}
		}
	}
	var nodes []*flameNode
	for depth, rows := range byDepth {
		for i := range rows {
			nodes = append(nodes, &flameNode{row: &rows[i], depth: depth})
		}
	}
	slices.SortFunc(nodes, func(a, b *flameNode) int {
		return cmp.Or(b.row.Cost.Cmp(a.row.Cost), cmp.Compare(a.depth, b.depth), slices.Compare(a.row.Names, b.row.Names))
	})
	nodes = keepable(nodes, leaf, maxNodes)

	root := &Node{Name: "Project", Children: []*Node{}}
	if len(byDepth) > 0 && len(byDepth[0]) > 0 {
		total := &byDepth[0][0]
		if err := total.Fits(); err != nil {
			return nil, err
		}
		root.measure(total)
	}
	for _, n := range nodes {
		if n.parent == nil {
			n.node = root
			continue
		}
		n.node = &Node{Name: n.row.Names[n.depth-1]}
		n.node.measure(n.row)
		n.parent.node.Children = append(n.parent.node.Children, n.node)
	}
	for _, n := range nodes {
		rest := *n.node
		rest.Name, rest.Folded, rest.Children = Other, true, nil
		for _, c := range n.node.Children {
			rest.Value = rest.Value.Sub(c.Value)
			rest.Calls -= c.Calls
			rest.Tokens -= c.Tokens
			rest.Unpriced -= c.Unpriced
			rest.Fallback -= c.Fallback
		}
		if n.depth < leaf && rest.Calls != 0 {
			n.node.Children = append(n.node.Children, &rest)
		}
		slices.SortFunc(n.node.Children, func(a, b *Node) int {
			return cmp.Or(b.Value.Cmp(a.Value), strings.Compare(a.Name, b.Name), compareFolded(a, b))
		})
	}
	return root, nil
}

func (n *Node) measure(r *Row) {
	n.Value, n.Calls, n.Tokens, n.Unpriced, n.Fallback = r.Cost, r.Calls, r.Tokens(), r.Unpriced, r.Fallback
}

// rollUp sums rows by their first names.
func rollUp(rows []Row, depth int) ([]Row, error) {
	sums := []Row{}
	index := map[string]int{}
	for i := range rows {
		names := rows[i].Names[:depth]
		at, known := index[path(names)]
		if !known {
			at = len(sums)
			index[path(names)] = at
			sums = append(sums, Row{Names: names})
		}
		if err := sums[at].Merge(&rows[i]); err != nil {
			return nil, err
		}
	}
	return sums, nil
}

type flameNode struct {
	row    *Row
	depth  int
	parent *flameNode
	// unseen counts the calls that no kept child has: an "(other)" stands for
	// them.
	unseen int64
	node   *Node
}

// keepable gives the longest beginning of nodes, ranked dearest first and parents
// before children, that with the "(other)" nodes it needs is within maxNodes. It
// links the nodes to their parents.
func keepable(nodes []*flameNode, leaf, maxNodes int) []*flameNode {
	known := map[string]*flameNode{}
	kept := nodes[:0:0]
	others, fits := 0, 0
	for _, n := range nodes {
		if len(kept) >= maxNodes {
			break
		}
		if n.depth > 0 {
			n.parent = known[path(n.row.Names[:n.depth-1])]
			if n.parent == nil {
				continue // cut away with its parent, whose "(other)" holds it
			}
			if n.parent.unseen -= n.row.Calls; n.parent.unseen == 0 {
				others--
			}
		}
		if n.depth < leaf {
			if n.unseen = n.row.Calls; n.unseen != 0 {
				others++
			}
			known[path(n.row.Names)] = n
		}
		kept = append(kept, n)
		if len(kept)+others <= maxNodes {
			fits = len(kept)
		}
	}
	return kept[:fits]
}

// path joins names unambiguously: no name contains U+0000.
func path(names []string) string {
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
