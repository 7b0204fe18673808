package pricing

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/costprof/costprof/internal/usage"
)

// Why each candidate lost is true, and the same whatever the order in which own
// prices are stored.
func TestExplainTellsWhyEachLost(t *testing.T) {
	version := func(project, tier, region, from, to string) Version {
		v := Version{Provider: "acme", Model: "m", Project: project, ServiceTier: tier, Region: region}
		if from != "" {
			v.From = instant(t, from)
		}
		if to != "" {
			v.To = instant(t, to)
		}
		return v
	}
	const past, future = "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"
	night := Window{Start: 22 * time.Hour, End: 6 * time.Hour}
	shipped := smallBook(t, ModelData{ID: "m", Versions: []Version{
		{Rates: []Rate{rate(t, usage.Input, "9")}}, {Window: &night, Rates: []Rate{rate(t, usage.Input, "8")}},
	}})
	put := []Own{
		own(t, version("p", "", "", past, future), "1"), own(t, version("p", "batch", "", past, ""), "2"),
		own(t, version("p", "", "eu", past, ""), "3"), own(t, version("p", "", "", future, ""), "4"),
		own(t, version("p", "", "", "", past), "5"), own(t, version("", "", "", past, ""), "6"),
		own(t, version("other", "", "", past, ""), "7"),
	}
	c := Call{Provider: "acme", Model: "m", Project: "p", At: instant(t, "2026-06-01T12:00:00Z")}
	want := map[string]string{
		"1": "in force", "2": `for service tier "batch"`, "3": `for region "eu"`, "4": "not in force yet: it starts 2027-01-01T00:00:00Z",
		"5": "no longer in force: it ended 2026-01-01T00:00:00Z", "6": "another one comes first", "8": "outside its window", "9": "another one comes first",
	}
	first := ""
	for i := range put {
		b := with(t, shipped, append(slices.Clone(put[i:]), put[:i]...)...)
		e := b.Explain(c)
		if len(e.Candidates) != len(want) {
			t.Fatalf("%d candidates, want %d (and not another project's)", len(e.Candidates), len(want))
		}
		for _, candidate := range e.Candidates {
			input := candidate.Version.Rates[0].Price.String()
			if want[input] == "" || !strings.Contains(candidate.Why, want[input]) {
				t.Errorf("the price %s: %q, want %q", input, candidate.Why, want[input])
			}
		}
		text, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		if first == "" {
			first = string(text)
		}
		if string(text) != first {
			t.Errorf("the order of own prices changes the explanation:\n%s\n%s", first, text)
		}
	}
}

func TestReach(t *testing.T) {
	shipped := smallBook(t, ModelData{ID: "m", Versions: []Version{
		{To: instant(t, "2026-02-01T00:00:00Z"), Rates: []Rate{rate(t, usage.Input, "1")}},
		{From: instant(t, "2026-03-01T00:00:00Z"), To: instant(t, "2026-04-01T00:00:00Z"), Rates: []Rate{rate(t, usage.Input, "2")}},
	}})
	b := with(
		t, shipped,
		own(t, Version{Provider: "acme", Model: "m", Project: "p", ServiceTier: "batch", From: instant(t, "2026-05-01T00:00:00Z")}, "3"),
	)
	for _, tt := range []struct{ project, first, last, want string }{
		{"", "2026-01-31T00:00:00Z", "2026-02-15T00:00:00Z", "1"},
		{"", "2026-02-01T00:00:00Z", "2026-02-28T23:59:59Z", ""},
		{"", "2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z", "2"},
		{"", "2026-02-01T00:00:00Z", "2026-07-01T00:00:00Z", "2"}, // neither at the first nor at the last
		{"p", "2026-01-01T00:00:00Z", "2026-07-01T00:00:00Z", "312"},
		{"q", "2026-04-01T00:00:00Z", "2026-07-01T00:00:00Z", ""},
	} {
		got := ""
		for v := range b.Reach(Call{Provider: "acme", Model: "m", Project: tt.project, At: instant(t, tt.first)}, instant(t, tt.last)) {
			got += v.Rates[0].Price.String()
		}
		if got != tt.want {
			t.Errorf("project %q from %s to %s: prices %q, want %q", tt.project, tt.first, tt.last, got, tt.want)
		}
	}
	for range b.Reach(Call{Provider: "acme", Model: "m", Project: "p", At: instant(t, "2026-01-01T00:00:00Z")}, instant(t, "2026-07-01T00:00:00Z")) {
		break
	}
}
