package reference

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/usage"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// call makes a record; its id is n.
func call(n byte, minute int, feature string, input int64, cost money.USD) usage.Record {
	r := usage.Record{ID: usage.ID{n}}
	r.Timestamp = noon.Add(time.Duration(minute) * time.Minute)
	r.Feature, r.Project, r.ProviderID, r.ModelID = feature, "p", "openai", "gpt"
	r.Provider, r.Model = "OpenAI", "GPT"
	r.Counts[usage.Input] = input
	r.Classes[usage.ClassInput] = cost
	r.Source = usage.SourceCatalog
	r.Latency = time.Duration(input) * time.Microsecond
	return r
}

// The expected figures are reckoned by hand.
func calls() []usage.Record {
	rs := []usage.Record{
		call(1, 0, "chat", 100, 10),
		call(2, 20, "chat", 100, 10),
		call(3, 40, "chat", 400, 41),
		call(4, 70, "search", 50, 5),
		call(5, 75, "", 60, 5),
		call(6, 80, "chat", 900, 1000),
	}
	rs[1].Error = true
	rs[2].Tags = map[string]string{"team": "blue"}
	rs[3].Source = usage.SourceUnpriced
	rs[4].Source = usage.SourceClient
	rs[5].Aggregate = true
	return rs
}

func usd(n int64) money.Total {
	return money.TotalOf(money.USD(n))
}

func TestQueryRanksByCostThenName(t *testing.T) {
	got := Query(calls(), analytics.Query{
		GroupBy:  []analytics.Dimension{analytics.Feature},
		Measures: analytics.MeasureTokens | analytics.MeasureErrors | analytics.MeasureP95 | analytics.MeasureSource | analytics.MeasureSeen,
	})
	want := analytics.Table{
		Cost: usd(71), Calls: 5, Unpriced: 2, Groups: 3,
		Rows: []analytics.Row{
			{Names: []string{"chat"}, Cost: usd(61), Input: 600, Calls: 3, Errors: 1, P95Micros: 400, First: noon, Last: noon.Add(40 * time.Minute)},
			{Names: []string{""}, Cost: usd(5), Input: 60, Calls: 1, Unpriced: 1, P95Micros: 60, First: noon.Add(75 * time.Minute), Last: noon.Add(75 * time.Minute)},
			{Names: []string{"search"}, Cost: usd(5), Input: 50, Calls: 1, Unpriced: 1, P95Micros: 50, First: noon.Add(70 * time.Minute), Last: noon.Add(70 * time.Minute)},
		},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(money.Total{})); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
}

func TestQueryPagesAndBuckets(t *testing.T) {
	got := Query(calls(), analytics.Query{GroupBy: []analytics.Dimension{analytics.Feature}, Limit: 1, Offset: 1})
	if len(got.Rows) != 1 || got.Rows[0].Names[0] != "" || !got.More || got.Calls != 5 {
		t.Errorf("second page: %+v", got)
	}
	got = Query(calls(), analytics.Query{Grain: time.Hour})
	if len(got.Rows) != 2 || !got.Rows[0].Bucket.Equal(noon) || got.Rows[0].Calls != 3 || got.Rows[1].Calls != 2 {
		t.Errorf("hours: %+v", got.Rows)
	}
	got = Query(calls(), analytics.Query{BySent: true, GroupBy: []analytics.Dimension{analytics.Provider, analytics.Model}})
	if len(got.Rows) != 1 || got.Rows[0].Names[0] != "OpenAI" || got.Rows[0].Names[1] != "GPT" {
		t.Errorf("as sent: %+v", got.Rows)
	}
	if got = Query(nil, analytics.Query{}); len(got.Rows) != 1 || got.Rows[0].Calls != 0 {
		t.Errorf("no events: %+v, want one empty row", got.Rows)
	}
	if got = Query(nil, analytics.Query{Grain: time.Hour}); len(got.Rows) != 0 {
		t.Errorf("no events by hour: %+v, want none", got.Rows)
	}
}

func TestFilters(t *testing.T) {
	for name, c := range map[string]struct {
		filter analytics.Filter
		want   int64
	}{
		"half-open":     {analytics.Filter{From: noon.Add(20 * time.Minute), To: noon.Add(70 * time.Minute)}, 2},
		"missing value": {analytics.Filter{Any: map[analytics.Dimension][]string{analytics.Feature: {""}}}, 1},
		"any of":        {analytics.Filter{Any: map[analytics.Dimension][]string{analytics.Feature: {"", "search"}}}, 2},
		"tag":           {analytics.Filter{Any: map[analytics.Dimension][]string{analytics.Tag("team"): {"blue"}}}, 1},
		"missing tag":   {analytics.Filter{Any: map[analytics.Dimension][]string{analytics.Tag("team"): {""}}}, 4},
		"normalised":    {analytics.Filter{Any: map[analytics.Dimension][]string{analytics.Model: {"gpt"}}}, 5},
		"errors":        {analytics.Filter{Status: analytics.StatusError}, 1},
		"ok":            {analytics.Filter{Status: analytics.StatusOK}, 4},
		"sources":       {analytics.Filter{Sources: []usage.Source{usage.SourceClient, usage.SourceUnpriced}}, 2},
		"aggregates":    {analytics.Filter{Aggregates: true}, 6},
		"none of":       {analytics.Filter{Any: map[analytics.Dimension][]string{analytics.Feature: {}}}, 0},
	} {
		if got := Query(calls(), analytics.Query{Filter: c.filter}).Calls; got != c.want {
			t.Errorf("%s: %d calls, want %d", name, got, c.want)
		}
	}
}

func TestBloat(t *testing.T) {
	got := Bloat(calls(), analytics.BloatQuery{MinRatio: 4000, MinCalls: 3})
	// 41 × 300 ÷ 400 = 30.75
	if len(got.Rows) != 1 || got.Rows[0].Median != 100 || got.Rows[0].GroupCalls != 3 || got.Rows[0].Wasted != 31 {
		t.Errorf("bloat: %+v", got.Rows)
	}
	if got := Bloat(calls(), analytics.BloatQuery{MinRatio: 4001, MinCalls: 3}); len(got.Rows) != 0 {
		t.Errorf("above the ratio: %+v", got.Rows)
	}
	for _, c := range []struct{ amount, num, den, want int64 }{{1, 1, 2, 0}, {3, 1, 2, 2}, {-1, 1, 2, 0}, {-3, 1, 2, -2}, {10, 2, 3, 7}} {
		if got := share(money.USD(c.amount), c.num, c.den); int64(got) != c.want {
			t.Errorf("share(%d, %d/%d) = %d, want %d", c.amount, c.num, c.den, got, c.want)
		}
	}
}

func TestEventsInOrder(t *testing.T) {
	rs := calls()
	rs[0].Timestamp = rs[1].Timestamp // two of one moment
	ids := func(rs []usage.Record) (out []byte) {
		for _, r := range rs {
			out = append(out, r.ID[0])
		}
		return out
	}
	if got := ids(Events(rs, store.EventQuery{})); string(got) != "\x05\x04\x03\x02\x01" {
		t.Errorf("order %v", got)
	}
	after := Key(&rs[1])
	if got := ids(Events(rs, store.EventQuery{After: &after, Limit: 3})); string(got) != "\x01" {
		t.Errorf("after id 2: %v", got)
	}
}

func TestLedgerRemembersMoments(t *testing.T) {
	ctx, l, rs := t.Context(), &Ledger{}, calls()
	ask := func(asOf int64) analytics.Table {
		t.Helper()
		table, err := l.Query(ctx, analytics.Query{Filter: analytics.Filter{AsOf: asOf}})
		if err != nil {
			t.Fatal(err)
		}
		return table
	}
	if _, err := l.Append(ctx, rs[:2]); err != nil {
		t.Fatal(err)
	}
	first := ask(0)
	receipt, err := l.Append(ctx, rs)
	if err != nil || receipt.Outcomes[0] != store.Duplicate || receipt.Outcomes[2] != store.Stored {
		t.Fatalf("%+v, error %v", receipt, err)
	}
	if got := ask(first.AsOf); got.Calls != 2 || got.AsOf != first.AsOf {
		t.Errorf("as of the first commit: %+v", got)
	}
	if got := ask(0); got.Calls != 5 {
		t.Errorf("now: %d calls", got.Calls)
	}
	n, err := l.Correct(ctx, store.Correction{Changes: []store.CostChange{
		{ID: rs[3].ID, WasSource: usage.SourceUnpriced, Now: usage.Costing{Source: usage.SourceCatalog}},
		{ID: rs[4].ID, WasSource: usage.SourceCatalog},
	}})
	if err != nil || n != 1 {
		t.Errorf("corrected %d, %v; want 1", n, err)
	}
	if got := ask(0); got.Revision == first.Revision {
		t.Error("a correction left the revision as it was")
	}
	if n, err := l.Prune(ctx, map[string]time.Time{rs[0].Project: noon.Add(time.Minute)}); err != nil || n != 1 {
		t.Errorf("pruned %d, %v; want 1", n, err)
	}
}
