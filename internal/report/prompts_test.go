package report

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/store/reference"
	"github.com/costprof/costprof/internal/usage"
)

func TestPromptsNamesFigures(t *testing.T) {
	records := make([]usage.Record, 6)
	for i := range records {
		e := &records[i]
		e.Project, e.Feature, e.ModelID, e.SpanID = "p", "chat", "gpt", string(rune('a'+i))
		e.Timestamp = begin.Add(time.Duration(i) * time.Minute)
		e.Counts[usage.Input], e.Counts[usage.Output] = 2000, 100
		e.ID = e.Identity()
	}
	big := &records[5]
	big.Counts[usage.Input], big.Counts[usage.Output] = 8400, 12
	big.Classes[usage.ClassInput] = 21_000_000_000 // 8,400 × 2.50 USD per million
	s, _ := service(ledgerOf(t, records))
	got, err := s.Prompts(t.Context(), PromptsRequest{Filter: window})
	if err != nil {
		t.Fatal(err)
	}
	want := []Prompt{{
		Bloat: analytics.Bloat{
			ID: big.ID, Timestamp: big.Timestamp, Feature: "chat", Model: "gpt", Input: 8400, Output: 12,
			Median: 2000, GroupCalls: 6, InputCost: 21_000_000_000, Wasted: 16_000_000_000,
		},
		BloatRatio: 4200, RedundancyScore: 762,
		Suggestions: []string{
			"Input is 4.2 times the median of 6 calls of this feature and model (8,400 against 2,000 tokens); the 6,400 tokens above the median cost 0.016 USD.",
			"0 of 8,400 input tokens came from the cache; what every call repeats belongs at the beginning of the prompt, where the provider can cache it.",
			"The call returned 12 output tokens for 8,400 input tokens, 1 for every 700; check whether it needs all of its context.",
		},
	}}
	if diff := cmp.Diff(want, got.Rows, totals); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
	if got.NextCursor != "" {
		t.Error("a cursor behind the last row")
	}
}

// What is not true of a call is not said of it.
func TestSuggestions(t *testing.T) {
	base := analytics.Bloat{Input: 3000, Output: 1000, Cached: 2000, Median: 1500, GroupCalls: 1234567, Wasted: money.PerUSD}
	for name, c := range map[string]struct {
		change func(*analytics.Bloat)
		want   []string
	}{
		"well cached": {func(*analytics.Bloat) {}, []string{
			"Input is 2 times the median of 1,234,567 calls of this feature and model (3,000 against 1,500 tokens); the 1,500 tokens above the median cost 1 USD.",
		}},
		"unpriced": {func(b *analytics.Bloat) { b.Wasted = 0 }, []string{
			"Input is 2 times the median of 1,234,567 calls of this feature and model (3,000 against 1,500 tokens).",
		}},
		"too short to cache, no output": {func(b *analytics.Bloat) { b.Wasted, b.Input, b.Median, b.Cached, b.Output = 0, 1000, 96, 0, 0 }, []string{
			"Input is 10.4 times the median of 1,234,567 calls of this feature and model (1,000 against 96 tokens).",
			"The call returned no output tokens for 1,000 input tokens.",
		}},
	} {
		b := base
		c.change(&b)
		if diff := cmp.Diff(c.want, suggest(b)); diff != "" {
			t.Errorf("%s, want -, got +:\n%s", name, diff)
		}
	}
}

func TestPromptsPages(t *testing.T) {
	records, late := sample(600, 13), sample(600, 14)
	l := ledgerOf(t, records)
	s, now := service(l)
	all := reference.Bloat(records, analytics.BloatQuery{Filter: window, MinRatio: 1500, MinCalls: 5})
	if len(all.Rows) < 30 {
		t.Fatalf("only %d rows", len(all.Rows))
	}
	r := PromptsRequest{Filter: window, MinRatio: 1500, Limit: 10}
	first := r
	var got []analytics.Bloat
	for page := 0; ; page++ {
		p, err := s.Prompts(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range p.Rows {
			got = append(got, row.Bloat)
		}
		if p.NextCursor == "" {
			break
		}
		r.Cursor = p.NextCursor
		mustAppend(t, l, late[page])
	}
	if diff := cmp.Diff(all.Rows, got); diff != "" {
		t.Errorf("pages together, want -, got +:\n%s", diff)
	}
	now.Time = now.Add(RankingLife + 1)
	_, err := s.Prompts(t.Context(), r)
	wantFault(t, "after 10 minutes", err, fault.Gone, "")
	p, err := s.Prompts(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	r.Cursor = p.NextCursor
	other := r
	other.MinRatio = 1501
	_, err = s.Prompts(t.Context(), other)
	wantFault(t, "another ratio", err, fault.Invalid, "cursor")
	correct(t, l, &records[1])
	_, err = s.Prompts(t.Context(), r)
	wantFault(t, "after a correction", err, fault.Gone, "")
}

func TestPromptsRefuses(t *testing.T) {
	s, _ := service(&reference.Ledger{})
	for name, c := range map[string]struct {
		request PromptsRequest
		field   string
	}{
		"ratio of 1":     {PromptsRequest{MinRatio: 1000}, "minRatio"},
		"ratio below":    {PromptsRequest{MinRatio: -1}, "minRatio"},
		"ratio too big":  {PromptsRequest{MinRatio: 1 << 62}, "minRatio"},
		"calls below 1":  {PromptsRequest{MinCalls: -1}, "minCalls"},
		"limit too big":  {PromptsRequest{Limit: 1001}, "limit"},
		"broken cursor":  {PromptsRequest{Cursor: "!"}, "cursor"},
		"foreign cursor": {PromptsRequest{Cursor: question{kind: kindEvents}.encode(position{})}, "cursor"},
	} {
		_, err := s.Prompts(t.Context(), c.request)
		wantFault(t, name, err, fault.Invalid, c.field)
	}
	s.Ledger = broken{}
	_, err := s.Prompts(t.Context(), PromptsRequest{})
	wantFault(t, "ledger down", err, fault.Unavailable, "")
}
