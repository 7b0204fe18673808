package report

import (
	"context"
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
			Median: 2000, GroupCalls: 6, InputCost: 21_000_000_000, Wasted: 16_000_000_000, Project: "p", MedianRatio: -1,
		},
		BloatRatio: 4200, RedundancyScore: 762, InputRatio: 700_000,
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
	base := analytics.Bloat{Input: 3000, Output: 1000, Cached: 2000, Median: 1500, GroupCalls: 1234567, Wasted: money.PerUSD, MedianRatio: -1}
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
		"with spread": {func(b *analytics.Bloat) { b.Output, b.Deviation, b.MedianRatio = 50, 120, 2345 }, []string{
			"Input is 2 times the median of 1,234,567 calls of this feature and model (3,000 against 1,500 tokens); the 1,500 tokens above the median cost 1 USD.",
			"That is 12.5 times the usual distance from the median: half of these calls are within 120 tokens of it.",
			"The call returned 50 output tokens for 3,000 input tokens, 1 for every 60 (usual is 1 for every 2.3); check whether it needs all of its context.",
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

// The spread is asked for only where it is wanted, and changes no row's place.
func TestPromptsSpread(t *testing.T) {
	l := ledgerOf(t, sample(600, 13))
	s, _ := service(l)
	r := PromptsRequest{Filter: window, MinRatio: 1500, Limit: 20}
	plain, err := s.Prompts(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	r.Cursor, r.Spread = plain.NextCursor, true // a cursor of either
	if _, err := s.Prompts(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	r.Cursor = ""
	got, err := s.Prompts(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range got.Rows {
		if was := plain.Rows[i]; was.ID != p.ID || was.Deviations != nil || was.Deviation != 0 || was.MedianRatio != -1 {
			t.Errorf("row %d without the spread: %+v", i, was)
		}
		if p.Deviation == 0 || p.MedianRatio < 0 || p.Deviations == nil || *p.Deviations != ratioOf(p.Input-p.Median, p.Deviation, 1000) {
			t.Errorf("row %d: %+v", i, p)
		}
	}
	if deviations(analytics.Bloat{Input: 5, Median: 3}) != nil {
		t.Error("something divided by a deviation of 0")
	}
}

// texts says of one call where its prompt is long.
type texts struct {
	id   usage.ID
	part analytics.LongPart
	f    analytics.Filter
	err  error
}

func (x *texts) LongParts(_ context.Context, f analytics.Filter, _ []analytics.Bloat) (map[usage.ID]analytics.LongPart, error) {
	x.f = f
	return map[usage.ID]analytics.LongPart{x.id: x.part}, x.err
}

func TestLongPartIsNamed(t *testing.T) {
	for name, c := range map[string]struct {
		part analytics.LongPart
		want string
	}{
		"behind": {
			analytics.LongPart{Characters: 7800, Usual: 1900, Texts: 10, Number: 2, Parts: 3, PartCharacters: 6210, PartUsual: 300, Behind: "Context:"},
			`Of the 7,800 characters of its prompt 6,210 are in part 2 of the 3 that vary, behind "Context:"; usual there are 300 (median of 10 prompts of this feature and model).`,
		},
		"first": {
			analytics.LongPart{Characters: 7800, Usual: 1900, Texts: 3, Number: 1, Parts: 1, PartCharacters: 6210, PartUsual: 300},
			`Of the 7,800 characters of its prompt 6,210 are in part 1 of the 1 that vary, at the beginning; usual there are 300 (median of 3 prompts of this feature and model).`,
		},
		"another kind": {
			analytics.LongPart{Characters: 7800, Usual: 1900, Texts: 3},
			`Its prompt has 7,800 characters; usual are 1,900 (median of 3 prompts of this feature and model).`,
		},
		"not the prompt": {
			analytics.LongPart{Characters: 66, Usual: 67, Texts: 10, Parts: 1},
			`Its prompt has 66 characters, and usual are 67 (median of 10 prompts of this feature and model): the tokens beyond are in what is sent beside it, such as the history, tools or files.`,
		},
	} {
		if got := suggestPart(c.part); got != c.want {
			t.Errorf("%s: %s", name, got)
		}
	}
	s, _ := service(ledgerOf(t, sample(600, 13)))
	r := PromptsRequest{Filter: window, MinRatio: 1500, Limit: 5}
	plain, err := s.Prompts(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	x := &texts{id: plain.Rows[3].ID, part: analytics.LongPart{Characters: 9, Usual: 2, Texts: 4}}
	s.Texts = x
	got, err := s.Prompts(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	for i, row := range got.Rows {
		if named := row.LongPart != nil && row.Suggestions[1] == suggestPart(x.part); named != (i == 3) {
			t.Errorf("row %d: %+v", i, row)
		}
	}
	if x.f.From != window.From || x.f.To != window.To {
		t.Errorf("asked of %+v", x.f)
	}
	x.err = fault.New(fault.Unavailable, "down")
	_, err = s.Prompts(t.Context(), r)
	wantFault(t, "texts down", err, fault.Unavailable, "")
}
