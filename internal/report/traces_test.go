package report

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/store/reference"
	"github.com/costprof/costprof/internal/usage"
)

// traced makes n events of a few traces in two projects, tangled: parents that are
// not there, span ids that come twice, circles.
func traced(n int, seed uint64) []usage.Record {
	r := rand.New(rand.NewPCG(seed, 5))
	out := sample(n, seed)
	for i := range out {
		e := &out[i]
		e.Project = []string{"default", "shop"}[r.IntN(2)]
		e.TraceID, e.SpanID = fmt.Sprint("t", r.IntN(n/8+1)), fmt.Sprint("s", r.IntN(12))
		if up := fmt.Sprint("s", r.IntN(14)); up != e.SpanID && r.IntN(4) > 0 {
			e.ParentSpanID = up
		}
		e.Name = []string{"", "agent", "step", "tool"}[r.IntN(4)]
		e.EventID = fmt.Sprint("own", i)
		e.ID = e.Identity()
	}
	return out
}

// The tree of a trace holds every span once, adds up, and says the same of it as
// the call tree of the whole ledger does.
func TestTraceIsExact(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		records := traced(rapid.IntRange(1, 120).Draw(rt, "n"), rapid.Uint64Range(1, 1000).Draw(rt, "seed"))
		l := &reference.Ledger{}
		if _, err := l.Append(t.Context(), records); err != nil {
			rt.Fatal(err)
		}
		s, _ := service(l)
		one := records[rapid.IntRange(0, len(records)-1).Draw(rt, "one")]
		own := slices.DeleteFunc(slices.Clone(records), func(r usage.Record) bool { return r.Project != one.Project || r.TraceID != one.TraceID })
		got, err := s.Trace(t.Context(), TraceRequest{ID: one.TraceID, Project: one.Project})
		if err != nil {
			rt.Fatal(err)
		}
		want := reference.Query(own, analytics.Query{Measures: analytics.MeasureTokens | analytics.MeasureErrors | analytics.MeasureSource | analytics.MeasureSeen}).Rows[0]
		if diff := cmp.Diff(want, got.Row, totals); diff != "" {
			rt.Fatalf("sums, want -, got +:\n%s", diff)
		}
		if got.Spans != int64(len(own)) || got.Read != got.Spans || got.Hidden.Spans != 0 {
			rt.Fatalf("%d spans, %d read, %d hidden, want %d", got.Spans, got.Read, got.Hidden.Spans, len(own))
		}
		paths := map[string]money.Total{}
		seen := 0
		var walk func(nodes []*analytics.SpanNode, above []string) money.Total
		walk = func(nodes []*analytics.SpanNode, above []string) (sum money.Total) {
			for i, n := range nodes {
				seen++
				if i > 0 && n.Start.Before(nodes[i-1].Start) {
					rt.Fatal("children are not in the order of time")
				}
				path := append(above[:len(above):len(above)], n.Name)
				below := walk(n.Children, path)
				if !n.Aggregate {
					below = below.Add(n.Cost)
					key := analytics.JoinPath(path)
					paths[key] = paths[key].Add(n.Cost)
				}
				if n.Total != below {
					rt.Fatalf("%s is %s, below it %s", n.Name, n.Total, below)
				}
				sum = sum.Plus(below)
			}
			return sum
		}
		if sum := walk(got.Top, nil); sum != want.Cost || seen != len(own) {
			rt.Fatalf("the tree is %s in %d spans, want %s in %d", sum, seen, want.Cost, len(own))
		}
		calls := map[string]money.Total{}
		for _, r := range reference.CallTree(own, analytics.CallTreeQuery{}).Rows {
			calls[analytics.JoinPath(r.Names)] = r.Cost
		}
		if diff := cmp.Diff(calls, paths, totals); diff != "" {
			rt.Fatalf("paths, call tree -, trace +:\n%s", diff)
		}

		most := rapid.IntRange(1, 8).Draw(rt, "most")
		few, err := s.Trace(t.Context(), TraceRequest{ID: one.TraceID, Project: one.Project, MaxSpans: most})
		if err != nil {
			rt.Fatal(err)
		}
		shown, hidden, cost := 0, few.Hidden.Spans, few.Hidden.Cost
		var count func(nodes []*analytics.SpanNode)
		count = func(nodes []*analytics.SpanNode) {
			for _, n := range nodes {
				shown, hidden, cost = shown+1, hidden+n.Hidden.Spans, cost.Plus(n.Hidden.Cost)
				if !n.Aggregate {
					cost = cost.Add(n.Cost)
				}
				count(n.Children)
			}
		}
		if count(few.Top); shown != min(most, len(own)) || shown+hidden != len(own) || cost != want.Cost {
			rt.Fatalf("%d shown of %d, %d hidden, %s in all, want %s", shown, len(own), hidden, cost, want.Cost)
		}
	})
}

func TestTraceOfSeveralProjects(t *testing.T) {
	records := sample(2, 1)
	for i := range records {
		records[i].TraceID, records[i].Project = "same", fmt.Sprint("p", i)
		records[i].ID = records[i].Identity()
	}
	s, _ := service(ledgerOf(t, records))
	_, err := s.Trace(t.Context(), TraceRequest{ID: "same"})
	wantFault(t, "two projects", err, fault.Conflict, "project")
	for _, r := range records {
		got, err := s.Trace(t.Context(), TraceRequest{ID: "same", Project: r.Project})
		if err != nil || len(got.Top) != 1 || got.Top[0].ID != r.ID || got.Project != r.Project {
			t.Errorf("%s: %+v, %v", r.Project, got, err)
		}
		only := analytics.Filter{Any: map[analytics.Dimension][]string{analytics.Project: {r.Project}}}
		if got, err = s.Trace(t.Context(), TraceRequest{ID: "same", Filter: only}); err != nil || got.Project != r.Project {
			t.Errorf("seen from %s: %+v, %v", r.Project, got, err)
		}
	}
	_, err = s.Trace(t.Context(), TraceRequest{ID: "same", Project: "other"})
	wantFault(t, "another project", err, fault.NotFound, "")
	_, err = s.Trace(t.Context(), TraceRequest{ID: "none"})
	wantFault(t, "another trace", err, fault.NotFound, "")
	_, err = s.Trace(t.Context(), TraceRequest{ID: "same", MaxSpans: MaxSpans + 1})
	wantFault(t, "too many spans", err, fault.Invalid, "maxSpans")
}

func TestTracesInPages(t *testing.T) {
	records, late := traced(400, 7), traced(400, 8)
	l := ledgerOf(t, records)
	s, now := service(l)
	by := []analytics.Dimension{analytics.Project, analytics.Trace}
	f := window
	f.Status = analytics.StatusOK
	want := reference.Query(records, analytics.Query{Filter: f, GroupBy: by, Measures: analytics.MeasureSeen})
	r := TracesRequest{Filter: f, Limit: 7}
	at := 0
	for {
		page, err := s.Traces(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range page.Rows {
			w := want.Rows[at]
			at++
			if row.Project != w.Names[0] || row.TraceID != w.Names[1] || row.Cost != w.Cost || row.Calls != w.Calls || row.First != w.First {
				t.Fatalf("row %d is %s %s %s, want %v", at, row.Project, row.TraceID, row.Cost, w)
			}
			whole := slices.DeleteFunc(slices.Clone(records), func(r usage.Record) bool { return r.Project != row.Project || r.TraceID != row.TraceID })
			all := reference.Query(whole, analytics.Query{Filter: analytics.Filter{Aggregates: true}, Measures: analytics.MeasureSeen | analytics.MeasureRoot}).Rows[0]
			if row.Spans != all.Calls || row.Name != all.Root || row.Start != all.First || row.End != all.End {
				t.Fatalf("%s %s has %d spans from %s on, want %d from %s on", row.Project, row.TraceID, row.Spans, row.Start, all.Calls, all.First)
			}
		}
		if page.Cost != want.Cost || page.Calls != want.Calls {
			t.Fatalf("%s in all, want %s", page.Cost, want.Cost)
		}
		if page.NextCursor == "" {
			break
		}
		r.Cursor = page.NextCursor
		mustAppend(t, l, late[at])
	}
	if at != len(want.Rows) {
		t.Fatalf("%d traces, want %d", at, len(want.Rows))
	}
	now.Time = now.Add(RankingLife + time.Nanosecond)
	_, err := s.Traces(t.Context(), r)
	wantFault(t, "an old ranking", err, fault.Gone, "")
	r.Status = analytics.StatusError
	_, err = s.Traces(t.Context(), r)
	wantFault(t, "another question's cursor", err, fault.Invalid, "cursor")
	empty, err := s.Traces(t.Context(), TracesRequest{Filter: analytics.Filter{From: end, To: end.Add(time.Hour)}})
	if err != nil || empty.Rows == nil || len(empty.Rows) != 0 {
		t.Errorf("nothing: %+v, %v", empty, err)
	}
}

// However few nodes are wanted, a call tree is that of all calls.
func TestCallTreeIsExact(t *testing.T) {
	records := traced(400, 9)
	s, _ := service(ledgerOf(t, records))
	middle := begin.Add(9 * 24 * time.Hour)
	for _, f := range []analytics.Filter{window, {From: middle, To: end, Any: map[analytics.Dimension][]string{analytics.Model: {"gpt-1"}}}} {
		calls := func(f analytics.Filter) analytics.Calls {
			return analytics.Calls{
				Paths: reference.CallTree(records, analytics.CallTreeQuery{Filter: f}),
				Total: reference.Query(records, analytics.Query{Filter: f, Measures: analytics.MeasureTokens | analytics.MeasureSource}).Rows[0],
			}
		}
		for _, nodes := range []int{2, 10, 5000} {
			want, err := analytics.CallTree(calls(f), nil, nodes)
			if err != nil {
				t.Fatal(err)
			}
			r := FlamegraphRequest{Filter: f, Levels: []analytics.Dimension{analytics.Trace}, MaxNodes: nodes}
			got, err := s.Flamegraph(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, totals); diff != "" {
				t.Errorf("in %d nodes, want -, got +:\n%s", nodes, diff)
			}
			r.Baseline = &Period{begin, middle}
			g := f
			g.From, g.To = begin, middle
			before := calls(g)
			if want, err = analytics.CallTree(calls(f), &before, nodes); err != nil {
				t.Fatal(err)
			}
			if got, err = s.Flamegraph(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, totals); diff != "" {
				t.Errorf("difference in %d nodes, want -, got +:\n%s", nodes, diff)
			}
		}
	}
	empty, _ := service(&reference.Ledger{})
	got, err := empty.Flamegraph(t.Context(), FlamegraphRequest{Filter: window, Levels: []analytics.Dimension{analytics.Trace}})
	if err != nil || got.Calls != 0 || len(got.Children) != 0 {
		t.Errorf("of nothing: %+v, %v", got, err)
	}
}
