package cli

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/costprof/costprof/client"
)

// A bare date as the end of an own price includes that day, wherever it is given.
func TestEndOfAPrice(t *testing.T) {
	for text, want := range map[string]string{
		"":                     "0001-01-01T00:00:00Z",
		"2026-12-31":           "2027-01-01T00:00:00Z",
		"2026-12-31T00:00:00Z": "2026-12-31T00:00:00Z",
	} {
		if got, err := parseEnd("--to", text); err != nil || got.Format(time.RFC3339) != want {
			t.Errorf("%q: %v, %v, want %s", text, got, err, want)
		}
	}
	var asked string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/v1/prices/explain" {
			io.WriteString(w, `{"data":{"source":"catalog"}}`)
			return
		}
		body, _ := io.ReadAll(r.Body)
		asked = r.URL.RawQuery + string(body)
		io.WriteString(w, `{"data":{"prices":{"input":2},"effectiveFrom":"2026-10-01T00:00:00Z","effectiveTo":"2026-11-01T00:00:00Z"}}`)
	}))
	defer s.Close()
	got := run(t, "--server", s.URL, "prices", "set", "openai", "gpt-4o", "input=2", "--from", "2026-10-01", "--to", "2026-10-31")
	if !strings.Contains(asked, `"effectiveTo":"2026-11-01T00:00:00Z"`) || got.out != "openai gpt-4o: input $2 from 2026-10-01 to 2026-10-31\n" {
		t.Errorf("set asked %s and said %+v", asked, got)
	}
	got = run(t, "--server", s.URL, "prices", "delete", "openai", "gpt-4o", "--from", "2026-10-01", "--to", "2026-10-31")
	if !strings.Contains(asked, "effectiveTo=2026-11-01T00%3A00%3A00Z") || got.code != 0 {
		t.Errorf("delete asked %s and said %+v", asked, got)
	}
}

// What was priced already is changed by another command, which is said.
func TestPriceThatCorrects(t *testing.T) {
	answer := func(source, from string) string {
		return answers(t, map[string]string{
			"/api/v1/prices/explain": `{"data":{"source":"` + source + `"}}`,
			"/api/v1/prices":         `{"data":{"prices":{"input":2},"effectiveFrom":"` + from + `"}}`,
		})
	}
	set := []string{"prices", "set", "openai", "gpt-4o", "input=2"}
	for name, c := range map[string]struct {
		source, from string
		flags        []string
		want         string
	}{
		"from now":          {"catalog", "2026-01-01T00:00:00Z", nil, "put the price again with --from"},
		"for the past":      {"catalog", "2026-01-01T00:00:00Z", []string{"--from", "2026-01-01"}, "prices rerate --from 2026-01-01 --to "},
		"for the future":    {"catalog", "9000-01-01T00:00:00Z", []string{"--from", "9000-01-01"}, ""},
		"had none":          {"unpriced", "2026-01-01T00:00:00Z", nil, ""},
		"json is only that": {"catalog", "2026-01-01T00:00:00Z", []string{"--json"}, ""},
	} {
		got := run(t, append(append([]string{"--server", answer(c.source, c.from)}, set...), c.flags...)...)
		if got.code != 0 || c.want == "" && got.err != "" || !strings.Contains(got.err, c.want) {
			t.Errorf("%s: %+v, want %q", name, got, c.want)
		}
	}
}

// A model without a price never sends one round in a circle.
func TestExplainUnpriced(t *testing.T) {
	url := answers(t, map[string]string{"/api/v1/prices/explain": `{"data":{"source":"unpriced","because":"nobody has it"}}`, "/api/v1/prices": `{"data":[]}`})
	for _, c := range [][]string{{"m", "costprof prices set PROVIDER m input=…"}, {"m", "costprof prices set p m input=…", "--provider", "p"}} {
		got := run(t, append([]string{"--server", url, "prices", "explain", c[0]}, c[2:]...)...)
		if got.code != 0 || !strings.Contains(got.err, c[1]) {
			t.Errorf("%v: %+v", c, got)
		}
	}
	// An own price is found without its provider.
	url = answers(t, map[string]string{
		"/api/v1/prices/explain": `{"data":{"source":"catalog","because":"own"}}`, "/api/v1/prices": `{"data":[{"provider":"self-hosted","model":"m","prices":{}}]}`,
	})
	if got := run(t, "--server", url, "prices", "explain", "m"); got.out != "own\n" || got.err != "" {
		t.Errorf("own: %+v", got)
	}
}

func TestHints(t *testing.T) {
	row := `{"name":"","totalCost":1,"callCount":1,"unpricedCalls":1,"fallbackCalls":2}`
	url := answers(t, map[string]string{"/api/v1/analytics/cost-breakdown": `{"data":[` + row + `],"meta":{"totalCost":1,"callCount":1}}`})
	got := run(t, "--server", url, "breakdown", "tag:release")
	want := "No call has the tag release.\n1 call has no price (estimated, or counted as 0): see `costprof prices unpriced`.\n" +
		"2 calls took a standard price for want of one for their tier or region: `costprof events ID` shows it.\n"
	if got.err != want || !strings.HasPrefix(got.out, "$1.0000 in 1 call\n") {
		t.Errorf("got %+v, want notes\n%s", got, want)
	}
}

func TestSpanOfAFile(t *testing.T) {
	now := time.Date(2026, 11, 30, 21, 16, 40, 0, time.UTC)
	for want, f := range map[string]client.Filter{
		"2026-10-31 21:16 to 2026-11-30 21:16 UTC":     {},
		"2026-11-01 to 2026-11-30 Europe/Berlin":       {From: "2026-11-01", To: "2026-11-30", TZ: "Europe/Berlin"},
		"2026-11-01 to 2026-11-30 22:16 Europe/Berlin": {From: "2026-11-01", TZ: "Europe/Berlin"},
		"the 30 days to 2026-11-30 UTC":                {To: "2026-11-30"},
		"2026-11-30 20:00 to 2026-11-30 21:00 UTC":     {From: "2026-11-30T20:00:00Z", To: "2026-11-30T21:00:00Z"},
	} {
		if got := span(f, now); got != want {
			t.Errorf("%+v: %q, want %q", f, got, want)
		}
	}
	// A file that goes on had another now.
	if got := span(client.Filter{}, time.Time{}); got != "" {
		t.Errorf("without a now: %q", got)
	}
}
