package analytics

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/costprof/costprof/internal/money"
)

var nameGen = rapid.SampledFrom([]string{"", "a", "b", "agent", Other, "\x01", "\x01\x02", "\x01\x03", "ü"})

func TestPathsComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfN(nameGen, 1, 6).Draw(t, "names")
		others := rapid.SliceOfN(nameGen, 1, 6).Draw(t, "others")
		if diff := cmp.Diff(names, SplitPath(JoinPath(names))); diff != "" {
			t.Fatal(diff)
		}
		if (JoinPath(names) == JoinPath(others)) != (Path(names) == Path(others)) {
			t.Fatalf("%q and %q", names, others)
		}
	})
}

// callsOf makes an answer of random paths.
func callsOf(t *rapid.T, label string) Calls {
	rows := map[string]*Row{}
	var c Calls
	for range rapid.IntRange(0, 30).Draw(t, label) {
		names := rapid.SliceOfN(nameGen, 1, 5).Draw(t, "names")
		r := Row{
			Names: names, Calls: rapid.Int64Range(1, 9).Draw(t, "calls"), Input: rapid.Int64Range(0, 1000).Draw(t, "input"),
			Cost: money.TotalOf(money.USD(rapid.Int64Range(0, 1e6).Draw(t, "cost"))),
		}
		if rows[Path(names)] != nil {
			continue
		}
		rows[Path(names)] = &r
		if err := c.Total.Merge(&r); err != nil {
			t.Fatal(err)
		}
		if rapid.IntRange(0, 20).Draw(t, "lost") == 0 {
			c.Paths.More = true // what was cut is in the total alone
			continue
		}
		c.Paths.Rows = append(c.Paths.Rows, r)
	}
	return c
}

// checkCalls checks that every node is the sum of its children and its own part,
// and gives the number of nodes.
func checkCalls(t *rapid.T, n *Node, compared bool) int {
	if (n.Change != nil) != compared {
		t.Fatalf("%q: change %v", n.Name, n.Change)
	}
	if compared && n.Value.Sub(n.Baseline) != n.Delta {
		t.Fatalf("%q: delta %s", n.Name, n.Delta)
	}
	if len(n.Children) == 0 {
		if n.Own != nil {
			t.Fatalf("%q has an own part and no children", n.Name)
		}
		return 1
	}
	value, calls, tokens := n.Value, n.Calls, n.Tokens
	var before money.Total
	if compared {
		before = n.Baseline
	}
	if n.Own != nil {
		value, calls, tokens = value.Sub(n.Own.Value), calls-n.Own.Calls, tokens-n.Own.Tokens
		if compared {
			before = before.Sub(n.Own.Baseline)
		}
	}
	count := 1
	for i, c := range n.Children {
		if i > 0 && c.Value.Cmp(n.Children[i-1].Value) > 0 {
			t.Fatalf("%q is not dearest first", n.Name)
		}
		if c.Folded && c.Name != Other {
			t.Fatalf("what is folded is called %q", c.Name)
		}
		value, calls, tokens = value.Sub(c.Value), calls-c.Calls, tokens-c.Tokens
		if compared {
			before = before.Sub(c.Baseline)
		}
		count += checkCalls(t, c, compared)
	}
	if value.Sign() != 0 || before.Sign() != 0 || calls != 0 || tokens != 0 {
		t.Fatalf("%q is off by %s, %s before, %d calls, %d tokens", n.Name, value, before, calls, tokens)
	}
	return count
}

func TestCallTreeKeepsEverySum(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := callsOf(t, "now")
		var before *Calls
		if rapid.Bool().Draw(t, "compared") {
			c := callsOf(t, "before")
			before = &c
		}
		maxNodes := rapid.IntRange(2, 60).Draw(t, "maxNodes")
		root, err := CallTree(now, before, maxNodes)
		if err != nil {
			t.Fatal(err)
		}
		if root.Value != now.Total.Cost || root.Calls != now.Total.Calls || root.Tokens != now.Total.Tokens() {
			t.Fatalf("the root is %s of %d calls, want %s of %d", root.Value, root.Calls, now.Total.Cost, now.Total.Calls)
		}
		if before != nil && (root.Baseline != before.Total.Cost || root.BaselineCalls != before.Total.Calls) {
			t.Fatalf("the baseline is %s, want %s", root.Baseline, before.Total.Cost)
		}
		if n := checkCalls(t, root, before != nil); n > maxNodes {
			t.Fatalf("%d nodes, want %d at most", n, maxNodes)
		}
		// With room for all, each path of an answer that was not cut has its sums.
		if before != nil || now.Paths.More {
			return
		}
		whole, err := CallTree(now, nil, 10_000)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range now.Paths.Rows {
			at := whole
			for _, name := range r.Names {
				var next *Node
				for _, c := range at.Children {
					if c.Name == name && !c.Folded {
						next = c
					}
				}
				if next == nil {
					t.Fatalf("no %q below %q", name, at.Name)
				}
				at = next
			}
			own := Share{Value: at.Value, Calls: at.Calls, Tokens: at.Tokens}
			if at.Own != nil {
				own = *at.Own
			}
			if own.Value != r.Cost || own.Calls != r.Calls || own.Tokens != r.Tokens() {
				t.Fatalf("%s is %+v, want %s", strings.Join(r.Names, ";"), own, r.Cost)
			}
		}
	})
}
