package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/costprof/costprof/client"
)

const comparison = `{"data":[
	{"name":"search.answer","cost":1390,"baseline":1000,"delta":390,"terms":{"volume":10,"modelMix":0,"tokensPerCall":385.004,"cacheMix":0,"price":-5.004,"other":0},"mainTerm":"tokensPerCall",
	 "callCount":1010,"inputTokens":5050000,"outputTokens":101000,"baselines":{"callCount":1000,"inputTokens":2000000,"outputTokens":100000}},
	{"name":"","cost":0,"baseline":50,"delta":-50,"terms":{"volume":-50,"modelMix":0,"tokensPerCall":0,"cacheMix":0,"price":0,"other":0},"mainTerm":"volume","callCount":0,"baselines":{"callCount":7}},
	{"name":"evil\u001b[31m","cost":72.1,"baseline":0,"delta":72.1,"terms":{"volume":72.1,"modelMix":0,"tokensPerCall":0,"cacheMix":0,"price":0,"other":0},"mainTerm":"volume","callCount":3,"baselines":{"callCount":0}},
	{"name":"same","cost":1,"baseline":1,"delta":0,"terms":{"volume":0,"modelMix":0,"tokensPerCall":0,"cacheMix":0,"price":0,"other":0},"mainTerm":"","callCount":3,"baselines":{"callCount":3}}],
	"meta":{"from":"2026-11-16T00:00:00Z","to":"2026-11-23T00:00:00Z","tz":"UTC","baselineFrom":"2026-11-09T00:00:00Z","baselineTo":"2026-11-16T00:00:00Z","groupBy":["feature"],
	 "total":{"cost":1463.1,"baseline":1051,"delta":412.1,"terms":{"volume":30,"modelMix":2.1,"tokensPerCall":385.004,"cacheMix":0,"price":-5.004,"other":0},"mainTerm":"tokensPerCall",
	  "callCount":1016,"unpricedCalls":12,"baselines":{"callCount":1010,"unpricedCalls":1}},
	 "firstBaselineCall":"2026-11-09T08:00:00Z","lastCall":"2026-11-22T20:00:00Z"},
	"pagination":{"nextCursor":null,"hasMore":false}}`

func TestDiff(t *testing.T) {
	url := answers(t, map[string]string{"/api/v1/analytics/compare": comparison})
	got := run(t, "--server", url, "diff", "--from", "2026-11-16", "--to", "2026-11-22")
	want := strings.Join([]string{
		"Spend rose by $412.10 (+39%): mostly search.answer (+$390.00), because of longer calls (input 2,000 → 5,000 tokens a call).",
		"Fell most: (none) (-$50.00), which has no calls any more (before: 7).",
		"2026-11-16 to 2026-11-22 against 2026-11-09 to 2026-11-15, UTC",
		"",
		`FEATURE           BEFORE        NOW    CHANGE     %   VOLUME  MODELS    LENGTH   PRICE  MAINLY`,
		`search.answer  $1,000.00  $1,390.00  +$390.00  +39%  +$10.00       ·  +$385.00  -$5.00  longer calls`,
		`(none)            $50.00      $0.00   -$50.00  gone  -$50.00       ·         ·       ·  no calls`,
		`evil\x1b[31m       $0.00     $72.10   +$72.10   new  +$72.10       ·         ·       ·  new calls`,
		`same               $1.00      $1.00         ·              ·       ·         ·       ·`,
		`total          $1,051.00  $1,463.10  +$412.10  +39%  +$30.00  +$2.10  +$385.00  -$5.00`,
		"",
	}, "\n")
	if d := cmp.Diff(want, got.out); got.code != 0 || d != "" {
		t.Errorf("exit %d, want -, got +:\n%s", got.code, d)
	}
	if want := "The columns of total take all calls as one: what moves between rows is MODELS, LENGTH and so on there, so that they are not the sums of the rows.\n" +
		"12 calls of the later and 1 of the earlier period have no price (estimated, or counted as 0): see `costprof prices unpriced`.\n"; got.err != want {
		t.Errorf("notes %q, want %q", got.err, want)
	}
	// Programs get the server's own answer.
	if got := run(t, "--server", url, "diff", "--json"); got.out != comparison+"\n" || got.err != "" {
		t.Errorf("--json: %+v", got)
	}
}

func TestDiffOfAPeriodThatGoesOn(t *testing.T) {
	url := answers(t, map[string]string{"/api/v1/analytics/compare": strings.ReplaceAll(comparison, `"to":"2026-11-23`, `"to":"9000-11-23`)})
	got := run(t, "--server", url, "diff", "--from", "2026-11-16", "--to", "9000-11-22")
	if !strings.HasPrefix(got.out, "So far spend rose by $412.10") || !strings.Contains(strings.SplitN(got.out, "\n\n", 2)[0], "\nThe later period is not over: ") {
		t.Errorf("got %+v", got)
	}
}

func TestDiffWithoutCalls(t *testing.T) {
	const empty = `{"data":[],"meta":{"from":"2026-11-16T00:00:00Z","to":"2026-11-23T00:00:00Z","tz":"UTC","baselineFrom":"2026-11-09T00:00:00Z","baselineTo":"2026-11-16T00:00:00Z","total":{"cost":0,"baseline":0,"delta":0}},"pagination":{}}`
	url := answers(t, map[string]string{"/api/v1/analytics/compare": empty})
	if got := run(t, "--server", url, "diff"); got.code != 0 || !strings.Contains(got.err, "No calls in this time") || !strings.Contains(got.err, "--last 24h") {
		t.Errorf("by default: %+v", got)
	}
	if got := run(t, "--server", url, "diff", "--feature", "x", "--last", "1d"); !strings.Contains(got.err, "No calls match") || strings.Contains(got.err, "--last 24h") {
		t.Errorf("with a filter: %+v", got)
	}
}

// The default is whole days of the zone: the last seven before today.
func TestDiffDefaultDays(t *testing.T) {
	now := time.Date(2026, 3, 1, 23, 30, 0, 0, time.UTC)
	for zone, want := range map[string][2]string{
		"":               {"2026-02-22", "2026-02-28"},
		"Asia/Tokyo":     {"2026-02-23", "2026-03-01"},
		"Mars":           {"2026-02-22", "2026-02-28"}, // the server says that there is no such zone
		"America/Bogota": {"2026-02-22", "2026-02-28"},
	} {
		d := diffCmd{filterFlags: filterFlags{TZ: zone}}
		if !d.defaults(now) || d.From != want[0] || d.To != want[1] {
			t.Errorf("%q: %s to %s, want %v", zone, d.From, d.To, want)
		}
	}
	for _, d := range []diffCmd{{filterFlags: filterFlags{Last: "7d"}}, {filterFlags: filterFlags{From: "2026-01-01"}}, {filterFlags: filterFlags{To: "2026-01-01"}}, {Cursor: "x"}} {
		before := d
		if d.defaults(now) || !cmp.Equal(d.filterFlags, before.filterFlags) {
			t.Errorf("%+v became %+v", before.filterFlags, d.filterFlags)
		}
	}
}

func TestSentences(t *testing.T) {
	for want, c := range map[string]client.Change{
		"Spend was $5.0000; there were no calls in the earlier period to compare with.": {Cost: "5", Delta: "5", Counts: client.Counts{CallCount: 1}},
		"There were no calls; in the earlier period spend was $5.0000.":                 {Cost: "0", Baseline: "5", Delta: "-5", Baselines: client.Counts{CallCount: 1}},
		"Spend did not change: $5.0000.":                                                {Cost: "5", Baseline: "5", Delta: "0", Counts: client.Counts{CallCount: 1}, Baselines: client.Counts{CallCount: 1}},
		"Spend rose by $5.0000.":                                                        {Cost: "5", Baseline: "0", Delta: "5", Counts: client.Counts{CallCount: 1}, Baselines: client.Counts{CallCount: 1}},
		"Spend rose by $99.0000 (×100).":                                                {Cost: "100", Baseline: "1", Delta: "99", Counts: client.Counts{CallCount: 1}, Baselines: client.Counts{CallCount: 1}},
		"Spend fell by $1.0000 (-50%).":                                                 {Cost: "1", Baseline: "2", Delta: "-1", Counts: client.Counts{CallCount: 1}, Baselines: client.Counts{CallCount: 1}},
	} {
		if got := sentence(&c, nil, 4); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	// Of several rows the first one in the direction of the whole, whatever moved
	// further the other way.
	total := client.Change{Cost: "9", Baseline: "10", Delta: "-1", Counts: client.Counts{CallCount: 9}, Baselines: client.Counts{CallCount: 9}}
	rows := []client.Change{
		{Names: []string{"a", "m"}, Delta: "5", MainTerm: "price"},
		{Names: []string{"b", ""}, Delta: "-0.4", MainTerm: "cacheMix", Counts: client.Counts{CallCount: 1, InputTokens: 100, CachedTokens: 80}, Baselines: client.Counts{CallCount: 1, InputTokens: 100, CachedTokens: 10}},
	}
	if got, want := sentence(&total, rows, 2), "Spend fell by $1.00 (-10%): most of all b, (none) (-$0.40), because more of the input came from a cache (10% → 80%)."; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, c := range []struct {
		term, delta string
		was, is     client.Counts
		short, long string
	}{
		{"volume", "1", client.Counts{CallCount: 1200}, client.Counts{CallCount: 2400}, "more calls", "because of more calls (1,200 → 2,400)"},
		{"volume", "-1", client.Counts{CallCount: 2}, client.Counts{CallCount: 1}, "fewer calls", "because of fewer calls (2 → 1)"},
		{"modelMix", "1", client.Counts{}, client.Counts{}, "dearer models", "because calls moved to dearer models or tiers"},
		{"tokensPerCall", "-1", client.Counts{CallCount: 2, InputTokens: 20, OutputTokens: 20}, client.Counts{CallCount: 2, InputTokens: 20, OutputTokens: 10}, "shorter calls", "because of shorter calls (output 10 → 5 tokens a call)"},
		{"tokensPerCall", "1", client.Counts{CallCount: 1, InputTokens: 100}, client.Counts{CallCount: 1, InputTokens: 101}, "longer calls", "because of longer calls"},
		{"cacheMix", "1", client.Counts{InputTokens: 4, CachedTokens: 2}, client.Counts{InputTokens: 4, CachedTokens: 1}, "fewer cache reads", "because less of the input came from a cache (50% → 25%)"},
		{"cacheMix", "1", client.Counts{}, client.Counts{}, "dearer caching", "because the input was cached otherwise"},
		{"price", "-1", client.Counts{}, client.Counts{}, "cheaper tokens", "because a token cost less"},
		{"other", "1", client.Counts{}, client.Counts{}, "fees, billed sums", "because of fees or billed sums, which tokens do not explain"},
		{"", "0", client.Counts{}, client.Counts{}, "", ""},
		{"a term of a later server", "1", client.Counts{}, client.Counts{}, "", ""},
	} {
		got := reasonOf(&client.Change{MainTerm: c.term, Delta: client.USD(c.delta), Counts: c.is, Baselines: c.was})
		if got != (reason{c.short, c.long}) {
			t.Errorf("%s %s: %+v, want %q, %q", c.term, c.delta, got, c.short, c.long)
		}
	}
}

// What makes a comparison less than it seems is said.
func TestDoubts(t *testing.T) {
	day := func(n int) time.Time { return time.Date(2026, 11, n, 0, 0, 0, 0, time.UTC) }
	whole := client.CompareMeta{Meta: client.Meta{From: day(16), To: day(23)}, BaselineFrom: day(9), BaselineTo: day(16), FirstBaselineCall: day(10), LastCall: day(22)}
	for name, c := range map[string]struct {
		now    time.Time
		change func(*client.CompareMeta)
		want   string
	}{
		"nothing":         {day(24), func(*client.CompareMeta) {}, ""},
		"until about now": {day(23).Add(-time.Second), func(*client.CompareMeta) {}, ""},
		"not over":        {day(19).Add(12 * time.Hour), func(*client.CompareMeta) {}, "not over: 3.5 days of 7 days"},
		"ends early":      {day(24), func(m *client.CompareMeta) { m.LastCall = day(18) }, "last call of the later period is of 2026-11-18"},
		"begins late":     {day(24), func(m *client.CompareMeta) { m.FirstBaselineCall = day(14) }, "first call of the earlier period is of 2026-11-14"},
		"another length":  {day(24), func(m *client.CompareMeta) { m.BaselineTo, m.FirstBaselineCall = day(10), day(9) }, "7 days against 1 day"},
	} {
		m := whole
		c.change(&m)
		got := strings.Join(doubts(&m, c.now), "\n")
		if c.want == "" && got != "" || !strings.Contains(got, c.want) || strings.Contains(got, "\n") {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// What moved against the whole is named, unless it is small beside the rest.
func TestAgainst(t *testing.T) {
	counts := client.Counts{CallCount: 9}
	total := client.Change{Delta: "-1", Counts: counts, Baselines: counts}
	fell := client.Change{Name: "a", Delta: "-5", MainTerm: "price", Counts: counts, Baselines: counts}
	rose := client.Change{Name: "b", Cost: "8", Baseline: "4", Delta: "4", MainTerm: "price", Counts: counts, Baselines: counts}
	const want = "Rose most: b (+$4.00, +100%), because a token cost more."
	if got := against(&total, []client.Change{fell, rose}, 2); len(got) != 1 || got[0] != want {
		t.Errorf("%q, want %q", got, want)
	}
	rose.Delta = "0.4"
	if got := against(&total, []client.Change{fell, rose}, 2); len(got) != 0 {
		t.Errorf("a small row: %q", got)
	}
	total.Delta, rose.Delta = "0", "5"
	if got := against(&total, []client.Change{fell, rose}, 2); len(got) != 2 {
		t.Errorf("what cancels out: %q", got)
	}
}

// The column that holds the answer stays in a narrow window, and what goes is said.
func TestDiffInANarrowWindow(t *testing.T) {
	row := client.Change{Name: "support-chat", Cost: "106", Baseline: "100", Delta: "6", Terms: client.Terms{Volume: "1", ModelMix: "-2", TokensPerCall: "0.5", CacheMix: "9", Price: "-2.5", Other: "0"}}
	tab := diffTable([]string{"feature"}, []client.Change{row, row}, &row, 2)
	if got := tab.hidden(0); len(got) != 0 {
		t.Errorf("without a limit: %v", got)
	}
	if got := strings.Join(tab.hidden(70), ", "); !strings.HasPrefix(got, "BEFORE, ") || strings.Contains(got, "CACHE") {
		t.Errorf("70 cells: %s are hidden, want BEFORE first and CACHE not", got)
	}
}

// A day as --from and no --to is compared with the same time of day.
func TestLikeWithLike(t *testing.T) {
	now := time.Date(2026, 11, 30, 21, 30, 0, 0, time.UTC)
	d := diffCmd{filterFlags: filterFlags{From: "2026-11-24"}}
	d.likeWithLike(now)
	if d.To != "2026-11-30T21:30:00Z" || d.BaselineFrom != "2026-11-17" || d.BaselineTo != "2026-11-23T21:30:00Z" {
		t.Errorf("got %+v", d)
	}
	for _, d := range []diffCmd{
		{filterFlags: filterFlags{From: "2026-11-24T00:00:00Z"}}, {filterFlags: filterFlags{From: "2026-11-24", To: "2026-11-25"}},
		{filterFlags: filterFlags{From: "2026-11-24"}, BaselineTo: "2026-11-01"}, {filterFlags: filterFlags{From: "2026-12-24"}},
	} {
		before := d
		if d.likeWithLike(now); d.BaselineFrom != before.BaselineFrom || d.To != before.To {
			t.Errorf("%+v became %+v", before, d)
		}
	}
}
