package report

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/store/reference"
)

// However few nodes are wanted, the tree is that of all rows, folded.
func TestFlamegraphIsExact(t *testing.T) {
	records, late := sample(900, 11), sample(900, 12)
	for _, levels := range [][]analytics.Dimension{
		{analytics.Feature},
		{analytics.Feature, analytics.Model},
		{analytics.User, analytics.Feature, analytics.Model},
		{analytics.Model, analytics.User},
		{analytics.Tag("none"), analytics.User},
	} {
		rows := reference.Query(records, analytics.Query{Filter: window, GroupBy: levels, Measures: analytics.MeasureTokens | analytics.MeasureSource}).Rows
		byDepth := make([][]analytics.Row, len(levels)+1)
		byDepth[len(levels)] = rows
		for _, nodes := range []int{2, 3, 10, 50, 100, 5000} {
			want, err := analytics.Flame(byDepth, nodes)
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
			got, err := s.Flamegraph(t.Context(), FlamegraphRequest{Filter: window, Levels: levels, MaxNodes: nodes})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, totals); diff != "" {
				t.Errorf("%v in %d nodes, want -, got +:\n%s", levels, nodes, diff)
			}
			if m.rows > nodes || m.asked > len(levels)+1 {
				t.Errorf("%v in %d nodes took %d questions and %d rows", levels, nodes, m.asked, m.rows)
			}
		}
	}
}

func TestFlamegraphOfNothing(t *testing.T) {
	s, _ := service(&reference.Ledger{})
	got, err := s.Flamegraph(t.Context(), FlamegraphRequest{Filter: window, Levels: []analytics.Dimension{analytics.Feature}})
	if diff := cmp.Diff(&analytics.Node{Name: "Project", Children: []*analytics.Node{}}, got, totals); err != nil || diff != "" {
		t.Errorf("%v, want -, got +:\n%s", err, diff)
	}
}

func TestFlamegraphRefuses(t *testing.T) {
	s, _ := service(&reference.Ledger{})
	all := analytics.Dimensions
	for name, c := range map[string]struct {
		request FlamegraphRequest
		field   string
	}{
		"no level":         {FlamegraphRequest{}, "levels"},
		"too many":         {FlamegraphRequest{Levels: all[:7]}, "levels"},
		"one twice":        {FlamegraphRequest{Levels: []analytics.Dimension{"user", "model", "user"}}, "levels"},
		"an unknown one":   {FlamegraphRequest{Levels: []analytics.Dimension{"traceId"}}, "levels"},
		"trace beside one": {FlamegraphRequest{Levels: []analytics.Dimension{"trace", "model"}}, "levels"},
		"too few nodes":    {FlamegraphRequest{Levels: all[:2], MaxNodes: 1}, "maxNodes"},
		"too many nodes":   {FlamegraphRequest{Levels: all[:2], MaxNodes: MaxNodes + 1}, "maxNodes"},
		"less than none":   {FlamegraphRequest{Levels: all[:2], MaxNodes: -5}, "maxNodes"},
		"tag with no tag":  {FlamegraphRequest{Levels: []analytics.Dimension{"tag:"}}, "levels"},
	} {
		_, err := s.Flamegraph(t.Context(), c.request)
		wantFault(t, name, err, fault.Invalid, c.field)
	}
	s.Ledger = broken{}
	_, err := s.Flamegraph(t.Context(), FlamegraphRequest{Levels: all[:2]})
	wantFault(t, "ledger down", err, fault.Unavailable, "")
}
