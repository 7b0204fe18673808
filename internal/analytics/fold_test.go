package analytics

import (
	"fmt"
	"math"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/usage"
)

func drawRow(t *rapid.T) Row {
	amount := rapid.Int64Range(0, int64(money.Max))
	count := rapid.Int64Range(0, 1<<40)
	r := Row{
		Cost:  money.TotalOf(money.USD(amount.Draw(t, "cost"))),
		Input: count.Draw(t, "input"), Output: count.Draw(t, "output"), Cached: count.Draw(t, "cached"),
		Calls:  rapid.Int64Range(1, 1000).Draw(t, "calls"),
		Errors: count.Draw(t, "errors"), Unpriced: count.Draw(t, "unpriced"), Fallback: count.Draw(t, "fallback"),
		LatencyMicros: count.Draw(t, "latency"),
		Saving:        money.TotalOf(money.USD(rapid.Int64().Draw(t, "saving"))),
	}
	r.Classes[usage.ClassOutput] = money.TotalOf(money.USD(amount.Draw(t, "class")))
	r.ClassTokens[usage.ClassOutput] = count.Draw(t, "class tokens")
	return r
}

var totals = cmp.AllowUnexported(money.Total{})

func TestFoldNeverChangesASum(t *testing.T) {
	locations := make([]*time.Location, len(zones))
	for i, name := range zones {
		locations[i] = zone(t, name)
	}
	rapid.Check(t, func(t *rapid.T) {
		from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(rapid.Int64Range(0, int64(300*24*time.Hour)).Draw(t, "from")))
		to := from.Add(time.Duration(rapid.Int64Range(1, int64(90*24*time.Hour)).Draw(t, "length")))
		loc := rapid.SampledFrom(locations).Draw(t, "zone")
		g := rapid.SampledFrom([]Granularity{Hour, Day, Week, Month}).Draw(t, "granularity")
		edges, err := Edges(from, to, g, loc)
		if err != nil {
			t.Fatal(err)
		}
		grain, shift := GrainFor(edges)
		type event struct {
			at  time.Time
			row Row
		}
		var events []event
		buckets := map[time.Time]*Row{}
		for range rapid.IntRange(0, 30).Draw(t, "events") {
			e := event{from.Add(time.Duration(rapid.Int64Range(0, int64(to.Sub(from))-1).Draw(t, "at"))), drawRow(t)}
			events = append(events, e)
			at := e.at.UTC().Add(-shift).Truncate(grain).Add(shift)
			if buckets[at] == nil {
				buckets[at] = &Row{Bucket: at}
			}
			if err := buckets[at].Merge(&e.row); err != nil {
				t.Fatal(err)
			}
		}
		var rows []Row // in the random order of a map
		for _, r := range buckets {
			rows = append(rows, *r)
		}
		points, err := Fold(rows, edges)
		if err != nil {
			t.Fatal(err)
		}
		// Each event alone, by its own time, must give the same.
		want := make([]Row, len(edges))
		for i := range edges {
			want[i].Bucket = edges[i]
			for j := range events {
				if e := &events[j]; !e.at.Before(edges[i]) && (i+1 == len(edges) || e.at.Before(edges[i+1])) {
					if err := want[i].Merge(&e.row); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		if diff := cmp.Diff(want, points, totals); diff != "" {
			t.Fatalf("zone %v by %s, grain %v, want -, got +:\n%s", loc, g, grain, diff)
		}
	})
}

func TestFoldOfNothing(t *testing.T) {
	edges := []time.Time{instant(t, "2026-01-01T00:00:00Z"), instant(t, "2026-01-02T00:00:00Z")}
	got, err := Fold(nil, edges)
	if err != nil || len(got) != 2 || got[1].Calls != 0 || !got[1].Bucket.Equal(edges[1]) {
		t.Errorf("no rows: %+v, %v; want two empty points", got, err)
	}
	if _, err := Fold([]Row{{Calls: 1}}, nil); err == nil || fault.CodeOf(err) != fault.Internal {
		t.Errorf("rows without edges: %v, want an error", err)
	}
}

func TestMergeRefusesOverflow(t *testing.T) {
	for name, field := range map[string]func(*Row) *int64{
		"input": func(r *Row) *int64 { return &r.Input }, "output": func(r *Row) *int64 { return &r.Output },
		"cached": func(r *Row) *int64 { return &r.Cached }, "calls": func(r *Row) *int64 { return &r.Calls },
		"latency": func(r *Row) *int64 { return &r.LatencyMicros },
	} {
		var a, b Row
		*field(&a), *field(&b) = math.MaxInt64, 1
		if err := a.Merge(&b); fault.CodeOf(err) != fault.Invalid {
			t.Errorf("%s: %v, want Invalid", name, err)
		}
	}
	var both Row
	full := Row{ClassTokens: [usage.NumClasses]int64{usage.ClassMedia: math.MaxInt64}}
	if err := full.Merge(&full); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("tokens of a class beyond 63 bits: %v", err)
	}
	if err := both.Merge(&Row{Input: math.MaxInt64, Output: 1}); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("input and output together: %v, want Invalid", err)
	}
	var a Row
	if err := a.Merge(&Row{First: instant(t, "2026-01-02T00:00:00Z"), Last: instant(t, "2026-01-03T00:00:00Z")}); err != nil {
		t.Fatal(err)
	}
	if err := a.Merge(&Row{First: instant(t, "2026-01-01T00:00:00Z"), Last: instant(t, "2026-01-02T00:00:00Z")}); err != nil {
		t.Fatal(err)
	}
	if a.First.Day() != 1 || a.Last.Day() != 3 {
		t.Errorf("seen %v to %v, want January 1 to 3", a.First, a.Last)
	}
}

func TestSubtractUndoesMerge(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawRow(t), drawRow(t)
		sum := a
		if err := sum.Merge(&b); err != nil {
			t.Fatal(err)
		}
		sum.Subtract(&b)
		if diff := cmp.Diff(a, sum, totals); diff != "" {
			t.Fatalf("want -, got +:\n%s", diff)
		}
	})
}

// drawLeaves draws rows with distinct names on some levels.
func drawLeaves(t *rapid.T) (rows []Row, levels int) {
	levels = rapid.IntRange(1, 4).Draw(t, "levels")
	name := rapid.SampledFrom([]string{"", Other, "a", "b", "é", "z", "aa", "\xf0\x9f\x92\xb8", "x"})
	seen := map[string]bool{}
	for range rapid.IntRange(0, 60).Draw(t, "rows") {
		names := make([]string, levels)
		for i := range names {
			names[i] = name.Draw(t, "name")
		}
		if key := strings.Join(names, "\x00"); seen[key] {
			continue
		} else {
			seen[key] = true
		}
		rows = append(rows, Row{
			Names: names,
			// Few different costs, so that ties and free calls are common.
			Cost:  money.TotalOf(money.USD(rapid.SampledFrom([]int64{0, 0, 1, 2, 5, 100, int64(money.Max)}).Draw(t, "cost"))),
			Calls: rapid.Int64Range(1, 5).Draw(t, "calls"),
			Input: rapid.Int64Range(0, 9).Draw(t, "input"), Output: rapid.Int64Range(0, 9).Draw(t, "output"),
			Unpriced: rapid.Int64Range(0, 1).Draw(t, "unpriced"), Fallback: rapid.Int64Range(0, 1).Draw(t, "fallback"),
		})
	}
	return rows, levels
}

// checkTree returns the number of nodes after checking what every tree must keep.
func checkTree(t interface{ Fatalf(string, ...any) }, n *Node) int {
	count := 1
	if len(n.Children) == 0 {
		return count
	}
	value, folded := new(big.Int), 0
	var sum Node
	for i, c := range n.Children {
		value.Add(value, c.Value.Big())
		sum.Calls += c.Calls
		sum.Tokens += c.Tokens
		sum.Unpriced += c.Unpriced
		sum.Fallback += c.Fallback
		if c.Folded {
			folded++
			if c.Name != Other || len(c.Children) > 0 {
				t.Fatalf("folded node %+v", c)
			}
		}
		if i > 0 {
			before := n.Children[i-1]
			if cmp := before.Value.Cmp(c.Value); cmp < 0 || cmp == 0 && before.Name > c.Name {
				t.Fatalf("%q (%v) stands before %q (%v)", before.Name, before.Value, c.Name, c.Value)
			}
			if before.Name == c.Name && before.Folded == c.Folded {
				t.Fatalf("%q twice under %q", c.Name, n.Name)
			}
		}
		count += checkTree(t, c)
	}
	if folded > 1 {
		t.Fatalf("%d folded nodes under %q", folded, n.Name)
	}
	if value.Cmp(n.Value.Big()) != 0 || sum.Calls != n.Calls || sum.Tokens != n.Tokens || sum.Unpriced != n.Unpriced || sum.Fallback != n.Fallback {
		t.Fatalf("%+v; its children together %v, %+v", n, value, sum)
	}
	return count
}

// leaves walks the paths of the tree that no folding touched.
func leaves(n *Node, prefix []string, visit func([]string, *Node)) {
	if len(n.Children) == 0 {
		visit(prefix, n)
	}
	for _, c := range n.Children {
		if !c.Folded {
			leaves(c, append(prefix[:len(prefix):len(prefix)], c.Name), visit)
		}
	}
}

// flame makes the tree of leaves alone.
func flame(rows []Row, maxNodes int) (*Node, error) {
	levels := 0
	if len(rows) > 0 {
		levels = len(rows[0].Names)
	}
	byDepth := make([][]Row, levels+1)
	byDepth[levels] = rows
	return Flame(byDepth, maxNodes)
}

func TestFlameKeepsEverySum(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows, levels := drawLeaves(t)
		maxNodes := rapid.IntRange(1, 80).Draw(t, "maxNodes")
		root, err := flame(rows, maxNodes)
		if err != nil {
			t.Fatal(err)
		}
		want := Row{}
		byPath := map[string]*Row{}
		for i := range rows {
			if err := want.Merge(&rows[i]); err != nil {
				t.Fatal(err)
			}
			byPath[strings.Join(rows[i].Names, "\x00")] = &rows[i]
		}
		if root.Name != "Project" || root.Value != want.Cost || root.Calls != want.Calls || root.Tokens != want.Tokens() || root.Unpriced != want.Unpriced || root.Fallback != want.Fallback {
			t.Fatalf("root %+v, want %v, %d calls, %d tokens", root, want.Cost, want.Calls, want.Tokens())
		}
		count := checkTree(t, root)
		if count > maxNodes {
			t.Fatalf("%d nodes, want at most %d", count, maxNodes)
		}
		found := 0
		leaves(root, nil, func(path []string, n *Node) {
			if len(path) != levels {
				return
			}
			found++
			if r := byPath[strings.Join(path, "\x00")]; r == nil || r.Cost != n.Value || r.Calls != n.Calls || r.Tokens() != n.Tokens {
				t.Fatalf("leaf %q is %+v, want %+v", path, n, r)
			}
		})
		if whole, err := flame(rows, 1<<20); err != nil {
			t.Fatal(err)
		} else if all := checkTree(t, whole); all <= maxNodes && found != len(rows) {
			t.Fatalf("%d of %d leaves shown although all %d nodes fit in %d", found, len(rows), all, maxNodes)
		}
	})
}

// A ledger need only be asked for the dearest rows of each depth.
func TestFlameOfCutAnswersIsTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows, levels := drawLeaves(t)
		if len(rows) == 0 {
			return
		}
		maxNodes := rapid.IntRange(1, 40).Draw(t, "maxNodes")
		whole, err := flame(rows, maxNodes)
		if err != nil {
			t.Fatal(err)
		}
		byDepth := make([][]Row, levels+1)
		for depth := range byDepth {
			byDepth[depth] = rank(rows, depth)
			byDepth[depth] = byDepth[depth][:min(maxNodes, len(byDepth[depth]))]
		}
		cut, err := Flame(byDepth, maxNodes)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(whole, cut, totals); diff != "" {
			t.Fatalf("whole -, cut +:\n%s", diff)
		}
	})
}

// rank groups by the first names and sorts dearest first by repeated search: slow
// and obvious.
func rank(rows []Row, depth int) []Row {
	groups := map[string]Row{}
	for _, r := range rows {
		key := fmt.Sprintf("%q", r.Names[:depth])
		g := groups[key]
		g.Names = r.Names[:depth]
		g.Cost = g.Cost.Plus(r.Cost)
		g.Calls, g.Input, g.Output = g.Calls+r.Calls, g.Input+r.Input, g.Output+r.Output
		g.Unpriced, g.Fallback = g.Unpriced+r.Unpriced, g.Fallback+r.Fallback
		groups[key] = g
	}
	var ranked []Row
	for len(groups) > 0 {
		best := ""
		for key, g := range groups {
			if best == "" {
				best = key
				continue
			}
			b := groups[best]
			if c := g.Cost.Cmp(b.Cost); c > 0 || c == 0 && strings.Join(g.Names, "\x00") < strings.Join(b.Names, "\x00") {
				best = key
			}
		}
		ranked = append(ranked, groups[best])
		delete(groups, best)
	}
	return ranked
}

func TestFlameFoldsTheSmallest(t *testing.T) {
	row := func(cost money.USD, names ...string) Row {
		return Row{Names: names, Cost: money.TotalOf(cost), Calls: 1, Input: 2, Output: 1}
	}
	rows := []Row{
		row(50, "chat", "big"), row(30, "chat", "mid"), row(3, "chat", "small"), row(2, "chat", "tiny"),
		row(10, Other, "big"), row(1, "rare", "big"),
	}
	root, err := flame(rows, 8)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	var print func(n *Node, depth int)
	print = func(n *Node, depth int) {
		fmt.Fprintf(&b, "%s%s %d/%d/%d %v\n", strings.Repeat(" ", depth), n.Name, n.Value.Big(), n.Calls, n.Tokens, n.Folded)
		for _, c := range n.Children {
			print(c, depth+1)
		}
	}
	print(root, 0)
	want := `Project 96/6/18 false
 chat 85/4/12 false
  big 50/1/3 false
  mid 30/1/3 false
  (other) 5/2/6 true
 (other) 10/1/3 false
  big 10/1/3 false
 (other) 1/1/3 true
`
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
	empty, err := flame(nil, 10)
	if err != nil || empty.Name != "Project" || empty.Value.Sign() != 0 || empty.Children == nil || len(empty.Children) > 0 {
		t.Errorf("no rows: %+v, %v", empty, err)
	}
	if _, err := flame([]Row{{Names: []string{"a"}, Input: math.MaxInt64, Output: 1, Calls: 1}}, 10); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("too many tokens: %v, want Invalid", err)
	}
}

// A flame tree of a ledger with many users takes a tenth of a second; what is
// quadratic in the rows takes hours.
func TestFlameOfManyRows(t *testing.T) {
	rows := make([]Row, 200_000)
	for i := range rows {
		rows[i] = Row{Names: []string{fmt.Sprint("user", i/4), fmt.Sprint("session", i)}, Cost: money.TotalOf(money.USD(i * 7919 % 10_007)), Calls: 1}
	}
	began := time.Now()
	root, err := flame(rows, DefaultMaxNodes)
	if err != nil {
		t.Fatal(err)
	}
	if n := checkTree(t, root); n > DefaultMaxNodes || n < DefaultMaxNodes-10 {
		t.Errorf("%d nodes, want close to %d", n, DefaultMaxNodes)
	}
	if d := time.Since(began); d > 5*time.Minute {
		t.Errorf("took %v", d)
	}
}
