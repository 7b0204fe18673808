package analytics

import (
	"cmp"
	"slices"
	"strings"
)

// JoinPath makes one text of the names of a path, unambiguously.
func JoinPath(names []string) string {
	var b strings.Builder
	for i, n := range names {
		if i > 0 {
			b.WriteString(PathSeparator)
		}
		b.WriteString(strings.ReplaceAll(n, "\x01", PathEscape))
	}
	return b.String()
}

// SplitPath gives the names back.
func SplitPath(path string) []string {
	names := strings.Split(path, PathSeparator)
	for i := range names {
		names[i] = strings.ReplaceAll(names[i], PathEscape, "\x01")
	}
	return names
}

// PathSeparator stands between the names of a path, PathEscape for U+0001 in one.
const (
	PathSeparator = "\x01\x03"
	PathEscape    = "\x01\x02"
)

// Calls are the answers that a call tree is made of: what was spent at each path
// itself, and on the whole.
type Calls struct {
	Paths Table
	Total Row
}

// CallTree makes the tree of calls; before, nil for none, is the same of the
// period to compare with. A node's value is what its spans and those below them
// cost; Own is its own part, where there are children, too. At most maxNodes
// remain, as in Flame. What Paths lacks of Total is in the root's "(other)".
func CallTree(now Calls, before *Calls, maxNodes int) (*Node, error) {
	total := FlamePair{Row: now.Total}
	total.Row.Names = nil
	var pairs []FlamePair
	if before == nil {
		pairs = FlamePairs(now.Paths.Rows, nil)
	} else {
		total.Baseline = before.Total
		for _, p := range FlamePairs(now.Paths.Rows, before.Paths.Rows) {
			// What a cut answer lacks is not known to be nothing.
			unknown := p.Row.Calls == 0 && now.Paths.More || p.Baseline.Calls == 0 && before.Paths.More
			if !unknown {
				pairs = append(pairs, p)
			}
		}
	}
	root := &flameNode{FlamePair: &total}
	nodes := []*flameNode{root}
	known := map[string]*flameNode{}
	for i := range pairs {
		p := &pairs[i]
		for depth := 1; depth <= len(p.Row.Names); depth++ {
			names := p.Row.Names[:depth]
			n := known[Path(names)]
			if n == nil {
				n = &flameNode{FlamePair: &FlamePair{Row: Row{Names: names}}, depth: depth}
				known[Path(names)] = n
				nodes = append(nodes, n)
			}
			if err := n.Row.Merge(&p.Row); err != nil {
				return nil, err
			}
			if err := n.Baseline.Merge(&p.Baseline); err != nil {
				return nil, err
			}
			if depth == len(p.Row.Names) {
				n.own = p
			}
		}
	}
	return assemble(nodes, maxNodes, before != nil)
}

// dearestFirst sorts nodes dearest first and parents before their children.
func dearestFirst(nodes []*flameNode) {
	slices.SortFunc(nodes, func(a, b *flameNode) int {
		return cmp.Or(b.dearest().Cmp(a.dearest()), cmp.Compare(a.depth, b.depth), slices.Compare(a.Row.Names, b.Row.Names))
	})
}
