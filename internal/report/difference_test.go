package report

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/store/reference"
)

// However few nodes are wanted, the difference is that of all rows, folded; and
// each side of it is what the tree of that period alone would add up to.
func TestDifferenceIsExact(t *testing.T) {
	records, late := sample(900, 21), sample(900, 22)
	middle := begin.Add(9 * 24 * time.Hour)
	now, before := analytics.Filter{From: middle, To: end}, Period{begin, middle}
	for _, levels := range [][]analytics.Dimension{
		{analytics.Feature},
		{analytics.User, analytics.Feature, analytics.Model},
		{analytics.Model, analytics.User},
		{analytics.User, analytics.Tag("none")},
	} {
		ask := func(f analytics.Filter) []analytics.Row {
			return reference.Query(records, analytics.Query{Filter: f, GroupBy: levels, Measures: analytics.MeasureTokens | analytics.MeasureSource}).Rows
		}
		byDepth := make([][]analytics.FlamePair, len(levels)+1)
		byDepth[len(levels)] = analytics.FlamePairs(ask(now), ask(analytics.Filter{From: before.From, To: before.To}))
		for _, nodes := range []int{2, 3, 10, 50, 100, 5000} {
			want, err := analytics.Difference(byDepth, nodes)
			if err != nil {
				t.Fatal(err)
			}
			l := ledgerOf(t, records)
			m := &meddler{Ledger: l}
			m.before = func(asked int) {
				if asked > 0 {
					mustAppend(t, l, late[asked])
				}
			}
			s, _ := service(m)
			got, err := s.Flamegraph(t.Context(), FlamegraphRequest{Filter: now, Baseline: &before, Levels: levels, MaxNodes: nodes})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, totals); diff != "" {
				t.Errorf("%v in %d nodes, want -, got +:\n%s", levels, nodes, diff)
			}
			if n := checkDifference(t, got); n > nodes {
				t.Errorf("%v has %d nodes, want %d at most", levels, n, nodes)
			}
			whole := reference.Query(records, analytics.Query{Filter: analytics.Filter{From: before.From, To: before.To}, Measures: analytics.MeasureTokens}).Rows[0]
			if whole.Cost != got.Baseline || whole.Calls != got.BaselineCalls || whole.Tokens() != got.BaselineTokens {
				t.Errorf("baseline %s of %d calls, want %s of %d", got.Baseline, got.BaselineCalls, whole.Cost, whole.Calls)
			}
		}
	}
}

// checkDifference checks every sum of the tree and counts its nodes.
func checkDifference(t *testing.T, n *analytics.Node) int {
	t.Helper()
	if n.Change == nil || n.Value.Sub(n.Baseline) != n.Delta {
		t.Fatalf("%s: %s less baseline is not delta", n.Name, n.Value)
	}
	if len(n.Children) == 0 {
		return 1
	}
	count, rest := 1, *n
	change := *n.Change
	for _, c := range n.Children {
		count += checkDifference(t, c)
		rest.Value, change.Baseline = rest.Value.Sub(c.Value), change.Baseline.Sub(c.Baseline)
		rest.Calls, change.BaselineCalls = rest.Calls-c.Calls, change.BaselineCalls-c.BaselineCalls
		rest.Tokens, change.BaselineTokens = rest.Tokens-c.Tokens, change.BaselineTokens-c.BaselineTokens
		rest.Unpriced, rest.Fallback = rest.Unpriced-c.Unpriced, rest.Fallback-c.Fallback
	}
	if rest.Value.Sign() != 0 || change.Baseline.Sign() != 0 || rest.Calls != 0 || change.BaselineCalls != 0 ||
		rest.Tokens != 0 || change.BaselineTokens != 0 || rest.Unpriced != 0 || rest.Fallback != 0 {
		t.Fatalf("%s is not the sum of its children", n.Name)
	}
	return count
}

func TestDifferenceOfNothing(t *testing.T) {
	s, _ := service(&reference.Ledger{})
	r := FlamegraphRequest{Filter: window, Levels: []analytics.Dimension{analytics.Feature}, Baseline: &Period{begin.Add(-time.Hour), begin}}
	got, err := s.Flamegraph(t.Context(), r)
	if diff := cmp.Diff(&analytics.Node{Name: "Project", Children: []*analytics.Node{}, Change: &analytics.Change{}}, got, totals); err != nil || diff != "" {
		t.Errorf("%v, want -, got +:\n%s", err, diff)
	}
	r.Baseline.To = r.Baseline.From
	_, err = s.Flamegraph(t.Context(), r)
	wantFault(t, "an empty baseline", err, fault.Invalid, "baseline")
}
