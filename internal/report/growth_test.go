package report

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/store/reference"
	"github.com/costprof/costprof/internal/usage"
)

// grown makes calls of a feature on days of the window, with this input each.
func grown(feature string, inputs map[int][]int64) []usage.Record {
	var out []usage.Record
	for day, list := range inputs {
		for i, input := range list {
			var r usage.Record
			r.Project, r.Feature, r.ModelID, r.SpanID = "p", feature, "m", fmt.Sprint(feature, day, i)
			r.Timestamp = begin.Add(time.Duration(day)*24*time.Hour + time.Duration(i)*time.Minute)
			r.Counts[usage.Input], r.Counts[usage.Output] = input, 10
			r.Classes[usage.ClassInput] = money.USD(3 * input)
			r.ID = r.Identity()
			out = append(out, r)
		}
	}
	return out
}

func of(n int, input int64) []int64 {
	out := make([]int64, n)
	for i := range out {
		out[i] = input
	}
	return out
}

func TestGrowth(t *testing.T) {
	var records []usage.Record
	records = append(records, grown("grew", map[int][]int64{0: of(4, 9), 6: of(5, 1000), 11: of(7, 1200), 16: {5000, 5000, 5000, 5000, 6000, 1}})...)
	records = append(records, grown("shrank", map[int][]int64{0: of(5, 400), 16: of(5, 100)})...)
	records = append(records, grown("stayed", map[int][]int64{0: of(5, 400), 16: of(5, 400)})...)
	records = append(records, grown("once", map[int][]int64{0: of(50, 400), 16: of(4, 9000)})...)
	s, _ := service(ledgerOf(t, records))
	got, err := s.Growth(t.Context(), GrowthRequest{Filter: window})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range got.Rows {
		names = append(names, fmt.Sprint(r.Feature, " ", r.First.Part, "-", r.Last.Part, " ", r.First.Median, "-", r.Last.Median, " ", r.Ratio, " ", r.Added, " ", r.Calls))
	}
	want := []string{
		// 4,000 tokens × 6 calls × 78,003 ÷ 26,001 picodollars
		"grew 1-3 1000-5000 5000 0.000000072 22",
		"stayed 0-3 400-400 1000 0 10",
		"shrank 0-3 400-100 250 -0.0000000045 10",
	}
	if d := cmp.Diff(want, names); d != "" {
		t.Errorf("want -, got +:\n%s", d)
	}
	if got.Uncompared != 1 || got.Left != 0 {
		t.Errorf("%d not compared, %d left", got.Uncompared, got.Left)
	}
	if p := got.Rows[0].Parts; len(p) != 4 || p[0].Calls != 4 || p[0].From != begin || p[3].To != end || p[1].To != p[2].From || p[2].Calls != 7 {
		t.Errorf("parts: %+v", p)
	}
	wantSentences(t, got.Rows[0].Suggestions,
		"The median input grew from 1,000 tokens (5 calls, 2026-03-25 00:00 to 2026-03-30 00:00) to 5,000 (6 calls, 2026-04-04 00:00 to 2026-04-09 00:00), 5 times as much; the 4,000 tokens more of each of the 6 calls cost 0.000000072 USD.",
		"The largest step, 3,800 tokens, is between the parts that begin on 2026-03-30 00:00 and on 2026-04-04 00:00: look for what was changed in the prompt then.")
	wantSentences(t, got.Rows[1].Suggestions, "The median input stayed at 400 tokens.")
	wantSentences(t, got.Rows[2].Suggestions, "The median input fell from 400 tokens (5 calls, 2026-03-20 00:00 to 2026-03-25 00:00) to 100 (5 calls, 2026-04-04 00:00 to 2026-04-09 00:00).")
}

func wantSentences(t *testing.T, got []string, want ...string) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("want -, got +:\n%s", d)
	}
}

// Pages together are the ranking, whatever arrives; what the cost of a difference
// is rounded to is the nearest picodollar, of two the even one.
func TestGrowthPages(t *testing.T) {
	l := ledgerOf(t, sample(600, 13))
	s, now := service(l)
	all, err := s.Growth(t.Context(), GrowthRequest{Filter: window, Parts: 3})
	if err != nil || len(all.Rows) < 10 {
		t.Fatalf("%d rows, %v", len(all.Rows), err)
	}
	r := GrowthRequest{Filter: window, Parts: 3, Limit: 4}
	var got []Growth
	for page := 0; ; page++ {
		p, err := s.Growth(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, p.Rows...)
		if p.NextCursor == "" {
			break
		}
		r.Cursor = p.NextCursor
		mustAppend(t, l, sample(3, 20+uint64(page))[2])
	}
	if d := cmp.Diff(all.Rows, got, totals); d != "" {
		t.Errorf("pages together, want -, got +:\n%s", d)
	}
	other := r
	other.Parts = 4
	_, err = s.Growth(t.Context(), other)
	wantFault(t, "other parts", err, fault.Invalid, "cursor")
	now.Time = now.Add(RankingLife + 1)
	_, err = s.Growth(t.Context(), r)
	wantFault(t, "after 10 minutes", err, fault.Gone, "")
	for _, c := range []struct{ cost, first, last, want int64 }{{1, 1, 3, 1}, {1, 3, 2, 0}, {3, 3, 2, -2}, {5, 3, 2, -2}} {
		// One call of two tokens.
		part := func(median, cost int64) GrowthPart {
			return GrowthPart{GrowthPart: analytics.GrowthPart{Calls: 1, Input: 2, Median: median, InputCost: money.TotalOf(money.USD(cost))}}
		}
		if got, _ := added(part(c.first, 0), part(c.last, c.cost)).Int64(); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
	for name, c := range map[string]struct {
		request GrowthRequest
		field   string
	}{
		"one part":       {GrowthRequest{Parts: 1}, "parts"},
		"many parts":     {GrowthRequest{Parts: MaxParts + 1}, "parts"},
		"limit too big":  {GrowthRequest{Limit: 1001}, "limit"},
		"foreign cursor": {GrowthRequest{Cursor: question{kind: kindPrompts}.encode(position{})}, "cursor"},
	} {
		_, err := s.Growth(t.Context(), c.request)
		wantFault(t, name, err, fault.Invalid, c.field)
	}
}

// A session that grows by what was said, and one whose calls have nothing to do
// with each other.
func TestHistory(t *testing.T) {
	var records []usage.Record
	turn := func(feature, session string, minute, input, cached, output int) {
		var r usage.Record
		r.Project, r.Feature, r.ModelID, r.SessionID, r.SpanID = "p", feature, "m", session, fmt.Sprint(feature, session, minute)
		r.Timestamp = begin.Add(time.Duration(minute) * time.Minute)
		r.Counts[usage.Input], r.Counts[usage.CacheRead], r.Counts[usage.Output] = int64(input), int64(cached), int64(output)
		r.Classes[usage.ClassInput], r.Classes[usage.ClassCacheRead] = money.USD(20*(input-cached)), money.USD(2*cached)
		r.ID = r.Identity()
		records = append(records, r)
	}
	turn("chat", "s", 0, 1000, 0, 200)
	turn("chat", "s", 1, 1300, 1000, 200) // 1,200 sent again, 200 history, none of it cached
	turn("chat", "s", 2, 1600, 1300, 100) // 1,500 sent again, 500 history, 300 of it cached
	turn("chat", "alone", 3, 7000, 0, 1)
	turn("label", "s", 4, 500, 0, 5)
	turn("label", "s", 5, 480, 0, 5)
	turn("label", "", 6, 480, 0, 5)
	s, now := service(ledgerOf(t, records))
	got, err := s.History(t.Context(), HistoryRequest{Filter: window})
	if err != nil {
		t.Fatal(err)
	}
	at := func(minute int) time.Time { return begin.Add(time.Duration(minute) * time.Minute) }
	chat := analytics.History{
		Feature: "chat", Sessions: 2, Calls: 4, Turns: 2, MaxTurns: 2, Input: 10900, MaxInput: 7000, Resent: 2700, ResentCached: 2300, History: 700, HistoryCached: 300,
		ResentCost: money.TotalOf(20*400 + 2*2300), HistoryCost: money.TotalOf(20*400 + 2*300), First: at(0), Last: at(3),
	}
	label := analytics.History{
		Feature: "label", Sessions: 1, Calls: 2, Turns: 1, MaxTurns: 1, Input: 980, MaxInput: 500, Resent: 480, ResentCost: money.TotalOf(20 * 480), First: at(4), Last: at(5),
	}
	if d := cmp.Diff([]analytics.History{chat, label}, []analytics.History{got.Rows[0].History, got.Rows[1].History}, totals); d != "" {
		t.Errorf("want -, got +:\n%s", d)
	}
	if got.Rows[0].ResentShare != 248 || got.Rows[0].HistoryShare != 64 {
		t.Errorf("%+v", got.Rows[0])
	}
	wantSentences(t, got.Rows[1].Suggestions, "Of the 980 input tokens of 2 calls in 1 session, up to 480 (49%) had been sent in the turn before; they cost 0.0000000096 USD, and 0 of them came from the cache.")

	sessions, err := s.History(t.Context(), HistoryRequest{Filter: window, BySession: true, Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	if r := sessions.Rows[0]; r.Session != "s" || r.Project != "p" || r.Feature != "chat" || r.Calls != 3 || r.Input != 3900 || sessions.NextCursor == "" {
		t.Errorf("%+v", sessions)
	}
	wantSentences(t, sessions.Rows[0].Suggestions,
		"Of the 3,900 input tokens of 3 calls in 1 session, up to 2,700 (69%) had been sent in the turn before; they cost 0.0000000126 USD, and 2,300 of them came from the cache.",
		"700 of them are beyond what the first call of each session sent, 350 for each of 2 turns, and cost 0.0000000086 USD: cut or sum up the older part of the conversation.")
	next, err := s.History(t.Context(), HistoryRequest{Filter: window, BySession: true, Limit: 1, Cursor: sessions.NextCursor})
	if err != nil || len(next.Rows) != 1 || next.Rows[0].Feature != "label" || next.NextCursor != "" {
		t.Errorf("%+v, %v", next, err)
	}
	_, err = s.History(t.Context(), HistoryRequest{Filter: window, Cursor: sessions.NextCursor})
	wantFault(t, "a cursor of sessions", err, fault.Invalid, "cursor")
	now.Time = now.Add(RankingLife + 1)
	_, err = s.History(t.Context(), HistoryRequest{Filter: window, BySession: true, Cursor: sessions.NextCursor})
	wantFault(t, "after 10 minutes", err, fault.Gone, "")
	_, err = s.History(t.Context(), HistoryRequest{Limit: -1})
	wantFault(t, "limit", err, fault.Invalid, "limit")

	uncached := suggestHistory(analytics.History{Sessions: 3, Calls: 13, Turns: 10, Input: 40_000, Resent: 30_000, ResentCached: 1000})
	if len(uncached) != 2 || !strings.Contains(uncached[1], "29,000 of the tokens sent again did not come from the cache") {
		t.Errorf("%q", uncached)
	}
}

func TestGrowthOfNothing(t *testing.T) {
	s, _ := service(&reference.Ledger{})
	g, err := s.Growth(t.Context(), GrowthRequest{Filter: window})
	if err != nil || len(g.Rows) != 0 || g.NextCursor != "" {
		t.Errorf("%+v, %v", g, err)
	}
	h, err := s.History(t.Context(), HistoryRequest{Filter: window})
	if err != nil || len(h.Rows) != 0 || h.NextCursor != "" {
		t.Errorf("%+v, %v", h, err)
	}
}
