package httpapi

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/costprof/costprof/internal/store"
)

func TestQuote(t *testing.T) {
	f := setup(t)
	const call = `{"provider":"openai","model":"gpt-4o","inputTokens":1000,"outputTokens":100}`
	a := f.post("/api/v1/prices/quote", call).want(200)
	var got struct {
		Data struct {
			PriceID string
		}
	}
	a.into(&got)
	want := `{"data":{"cost":0.0035,"costSource":"catalog","provider":"openai","model":"gpt-4o","priceId":"` + got.Data.PriceID + `",` +
		`"lines":[{"unit":"input","quantity":1000,"price":2.5,"per":1000000,"amount":0.0025},{"unit":"output","quantity":100,"price":10,"per":1000000,"amount":0.001}]}}` + "\n"
	if diff := cmp.Diff(want, string(a.body)); diff != "" || got.Data.PriceID == "" {
		t.Errorf("quote (-want +got):\n%s", diff)
	}
	f.post("/api/v1/prices/quote", `{"items":[`+call+`,{"provider":"nobody","model":"x","usage":{"webSearches":3},"timestamp":"2030-01-01T00:00:00+02:00"}]}`).want(200).
		says(`{"data":[{"cost":0.0035`, `{"cost":0,"costSource":"unpriced","provider":"nobody","model":"x","priceId":"","lines":[]}]`)
	if n := f.stored(); n != 0 {
		t.Errorf("%d events stored", n)
	}
}

// A quote costs what the event costs that is stored.
func TestQuoteIsWhatIngestPays(t *testing.T) {
	f := setup(t)
	for i, fields := range []string{
		`{"inputTokens":123457,"outputTokens":7,"cachedTokens":100000}`,
		`{"provider":"anthropic","model":"claude-sonnet-4-5-20250929","inputTokens":300000,"outputTokens":5000,"cachedTokens":100000,"cacheWriteTokens":50000,"cacheWrite1hTokens":1000}`,
		`{"provider":"google-gemini","model":"gemini-2.5-pro","inputTokens":250000,"outputTokens":900,"reasoningTokens":300}`,
		`{"serviceTier":"batch","inputTokens":10}`,
	} {
		e := event(i, fields)
		f.post("/api/v1/events", batch(e)).want(202)
		var stored struct{ Data []struct{ Cost, PriceID any } }
		f.get("/api/v1/events?limit=1").want(200)
		var m map[string]json.RawMessage
		if err := json.Unmarshal([]byte(e), &m); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"traceId", "spanId", "feature", "latencyMs"} {
			delete(m, name)
		}
		call, _ := json.Marshal(m)
		var quoted struct{ Data struct{ Cost, PriceID any } }
		f.post("/api/v1/prices/quote", string(call)).want(200).into(&quoted)
		f.get("/api/v1/events?limit=1000").want(200).into(&stored)
		found := false
		for _, s := range stored.Data {
			found = found || s == quoted.Data
		}
		if !found {
			t.Errorf("%s: quoted %v, stored %v", fields, quoted.Data, stored.Data)
		}
	}
}

func TestBadQuotes(t *testing.T) {
	f := setup(t)
	many := `{"items":[` + strings.TrimSuffix(strings.Repeat(`{"provider":"a","model":"b"},`, 501), ",") + `]}`
	for _, tc := range []struct {
		body   string
		status int
		says   []string
	}{
		{`{}`, 400, []string{`"provider":["is required"]`, `"model":["is required"]`}},
		{`{"provider":"","model":null}`, 400, []string{`"provider"`, `"model"`}},
		{`{"provider":1,"model":[]}`, 400, []string{`"provider":["must be a string"]`}},
		{
			`{"provider":"a","model":"b","inputTokens":-1,"outputTokens":1.5,"cachedTokens":"7","reasoningTokens":1e99,"colour":1,"usage":{"nonsense":1,"webSearches":-1},"timestamp":"soon"}`, 400,
			[]string{"inputTokens", "outputTokens", "cachedTokens", "reasoningTokens", "colour", "usage.nonsense", "usage.webSearches", "timestamp"},
		},
		{`{"provider":"a","model":"b","inputTokens":1,"cachedTokens":2}`, 400, []string{`"cachedTokens":["must not be more than inputTokens"]`}},
		{`{"provider":"a","model":"b","usage":3}`, 400, []string{`"usage":["must be an object"]`}},
		{`{"provider":"a\u0000","model":"b"}`, 400, []string{"U+0000"}},
		{`{"provider":"a","provider":"b","model":"c"}`, 400, []string{"not valid JSON"}},
		{`{"items":[]}`, 400, []string{"items", "500"}},
		{`{"items":null}`, 400, []string{"items"}},
		{`{"items":{}}`, 400, []string{"items"}},
		{`{"items":[1,{"provider":"a","model":"b"},{"provider":"a"}]}`, 400, []string{"items[0]", "items[2].model"}},
		{`{"items":[{"provider":"a","model":"b"}],"model":"x"}`, 400, []string{`"model"`}},
		{many, 400, []string{"items"}},
		{`[]`, 400, []string{"must be an object"}},
		{`"x"`, 400, []string{"must be an object"}},
		{`{"provider"`, 400, []string{"not valid JSON"}},
		{`{"provider":"a","model":"b"}{}`, 400, []string{"not valid JSON"}},
		{`{"provider":"a","model":"` + strings.Repeat("x", 300) + `"}`, 400, []string{"256"}},
		{`{"provider":"openai","model":"gpt-4o","outputTokens":1000000000000}`, 400, nil}, // dearer than any call may be
		{" ", 400, []string{"not valid JSON"}},
		{`{"provider":"a","model":"b"` + strings.Repeat(" ", 2<<20) + `}`, 413, []string{"1 MiB"}},
	} {
		a := f.post("/api/v1/prices/quote", tc.body)
		if a.status != tc.status {
			t.Errorf("%.80s: status %d, want %d: %s", tc.body, a.status, tc.status, a.body)
		}
		a.says(tc.says...)
	}
	f.post("/api/v1/prices/quote?x=1", `{"provider":"a","model":"b"}`).want(400).says(`"x"`)
	f.post("/api/v1/prices/quote", `{"provider":"a","model":"b"}`, header("Content-Encoding", "br")).want(415)
}

func TestPriceList(t *testing.T) {
	f := setup(t)
	f.get("/api/v1/prices?provider=openai&model=gpt-4o").want(200).says(`"model":"gpt-4o"`, `"input":2.5`, `"output":10`, `"at":"2026-11-22T12:00:00.123456789Z"`)
	f.get("/api/v1/prices?provider=nobody").want(200).says(`"data":[]`)
	seen, cursor, total := map[string]bool{}, "", 0
	for {
		var page struct {
			Data       []struct{ PriceID string }
			Meta       struct{ At string }
			Pagination struct{ NextCursor *string }
		}
		f.get("/api/v1/prices?limit=500" + cursor).want(200).into(&page)
		for _, p := range page.Data {
			total++
			seen[p.PriceID] = true
		}
		if page.Meta.At != "2026-11-22T12:00:00.123456789Z" {
			t.Errorf("at slid to %s", page.Meta.At)
		}
		if page.Pagination.NextCursor == nil {
			break
		}
		f.now = f.now.Add(time.Second)
		cursor = "&cursor=" + url.QueryEscape(*page.Pagination.NextCursor)
	}
	if len(seen) != total || total < 1500 {
		t.Errorf("%d prices, %d different", total, len(seen))
	}
	f.get("/api/v1/prices?provider=openai" + cursor).want(400).says("other parameters")
	f.get("/api/v1/prices?at=soon&limit=0&cursor=%21&project=a&project=b").want(400).says(`"at"`, `"limit"`, `"cursor"`, `"project"`)
	// The end of the list went away.
	f.get("/api/v1/prices?cursor=" + cursorTo(f, "p_gone")).want(410).says("start again")
}

func cursorTo(f *fixture, id string) string {
	return cursor{Shape: shapeOf("prices", "", "", "", ""), At: f.now, Last: id}.String()
}

func FuzzCursor(f *testing.F) {
	f.Add(cursor{Shape: 1, Last: "p_1"}.String())
	f.Add("AQ")
	f.Fuzz(func(t *testing.T, text string) {
		q := readQuery(url.Values{"cursor": {text}}.Encode(), pageParams)
		c := readCursor(q, 1)
		if q.err() == nil && text != "" && c.Shape != 1 {
			t.Errorf("%q became %+v", text, c)
		}
	})
}

// Every list refuses a cursor that is not one, also where decoders are lax, and
// an empty one, which would begin again without end.
func TestBrokenCursors(t *testing.T) {
	f := setup(t)
	fill(f)
	for _, path := range []string{
		"/api/v1/events?limit=1&" + november, "/api/v1/analytics/cost-breakdown?limit=1&" + november, "/api/v1/prices?limit=1",
		"/api/v1/analytics/prompts?" + november, "/api/v1/analytics/prompts/growth?" + november, "/api/v1/analytics/prompts/history?" + november, "/api/v1/prices/unpriced?" + november, "/api/v1/jobs?limit=1",
	} {
		var page struct{ Pagination struct{ NextCursor string } }
		f.get(path).want(200).into(&page)
		good := page.Pagination.NextCursor
		for _, bad := range []string{"", "%20", "null", "A", "%F0%9F%92%A5", good + "%0A", good + "=", "%0D%0A" + good, good + good, strings.Repeat("A", 10_000)} {
			f.get(path + "&cursor=" + bad).want(400).says("cursor")
		}
		for i := range good {
			other := byte('A')
			if good[i] == other {
				other = 'B'
			}
			f.get(path + "&cursor=" + good[:i] + string(other) + good[i+1:]).want(400).says("cursor")
		}
	}
}

// A cursor carries its range: a request that names another one is refused, one
// that names none goes on.
func TestCursorOfAnotherRange(t *testing.T) {
	f := setup(t)
	fill(f)
	for _, path := range []string{"/api/v1/events?limit=1", "/api/v1/analytics/cost-breakdown?limit=1"} {
		var page struct{ Pagination struct{ NextCursor string } }
		f.get(path + "&from=2026-11-01").want(200).into(&page)
		next := path + "&cursor=" + page.Pagination.NextCursor
		f.now = f.now.Add(time.Minute)
		f.get(next).want(200).says(`"from":"2026-11-01T00:00:00Z"`)
		f.get(next + "&from=2026-11-01").want(200)
		f.get(next + "&startDate=2026-11-01").want(200)
		f.get(next + "&from=2026-11-01&tz=Asia/Kolkata").want(400).says("other parameters")
		f.get(next + "&from=2026-11-02").want(400).says("other parameters")
		f.get(next + "&to=2026-11-20").want(400).says("other parameters")
	}
}

func TestOwnPrices(t *testing.T) {
	f := setup(t)
	f.post("/api/v1/events", batch(event(1, `{"provider":"acme","model":"own-1"}`), event(2, `{"provider":"acme","model":"own-1","estimatedCostUsd":0.5}`))).want(202)
	f.get("/api/v1/prices/unpriced").want(200).says(`"provider":"acme"`, `"model":"own-1"`, `"calls":2`, `"firstSeen":"2026-11-20T10:00:00Z"`, `"estimatedCost":0.5`)
	f.get("/api/v1/prices/unpriced?from=2026-11-21").want(200).says(`"data":[]`)
	f.get("/api/v1/prices/unpriced?project=other").want(200).says(`"data":[]`)
	f.get("/api/v1/prices/unpriced?feature=x&limit=0&cursor=y").want(400).says("feature", "limit")

	var put struct {
		Data struct{ PriceID, JobID, EffectiveFrom string }
	}
	f.do("PUT", "/api/v1/prices", `{"provider":"acme","model":"own-1","prices":{"input":1.5,"output":"3","cacheRead":1e-1}}`).want(200).into(&put)
	if put.Data.EffectiveFrom != "2026-11-20T10:00:00Z" || put.Data.JobID == "" {
		t.Errorf("put %+v", put.Data)
	}
	f.do("PUT", "/api/v1/prices", `{"provider":"acme","model":"own-2","prices":{"input":1}}`).want(200).says(`"warnings":["output is not in this price: outputTokens will cost nothing"]`)
	f.do("DELETE", "/api/v1/prices?provider=acme&model=own-2", "").want(204)
	f.post("/api/v1/prices/quote", `{"provider":"acme","model":"own-1","inputTokens":1000000,"outputTokens":1,"cachedTokens":10}`).want(200).
		says(`"priceId":"`+put.Data.PriceID+`"`, `"cost":1.499989`)
	f.get("/api/v1/prices?provider=acme").want(200).says(put.Data.PriceID, `"cacheRead":0.1`)
	f.get("/api/v1/prices/explain?provider=acme&model=own-1").want(200).says(put.Data.PriceID, "an own price", `"chosen":true`)

	f.get("/api/v1/jobs").want(200).says(put.Data.JobID, `"state":"running"`, `"name":"prices.backfill"`)
	f.get("/api/v1/jobs/" + put.Data.JobID).want(200).says(`"reason":"put"`)
	f.get("/api/v1/jobs?state=failed").want(200).says(`"data":[]`)
	f.get("/api/v1/jobs?state=lost").want(400)
	f.get("/api/v1/jobs/unknown").want(404)

	f.do("DELETE", "/api/v1/prices?provider=acme&model=own-1&effectiveFrom=soon&effectiveTo=", "").want(400).says("effectiveFrom", "effectiveTo")
	f.do("DELETE", "/api/v1/prices?provider=acme&model=own-1&effectiveFrom=2026-11-02&effectiveTo=2026-11-01", "").want(400).says("effectiveTo")
	f.do("DELETE", "/api/v1/prices?provider=acme&model=own-1&effectiveFrom=2026-11-21&effectiveTo=2026-11-21", "").want(204)
	f.get("/api/v1/prices?provider=acme&at=2026-11-21").want(200).says(`"data":[]`)
	f.get("/api/v1/prices?provider=acme&at=2026-11-22").want(200).says(`"effectiveFrom":"2026-11-22T00:00:00Z"`)
	f.do("DELETE", "/api/v1/prices?provider=acme&model=own-1", "").want(204)
	f.do("DELETE", "/api/v1/prices?provider=acme&model=own-1", "").want(404)
	f.do("DELETE", "/api/v1/prices?provider=acme&colour=red", "").want(400).says(`"model":["is required"]`, "colour")
	f.get("/api/v1/prices?provider=acme").want(200).says(`"data":[]`)
	for _, e := range f.catalog.audit {
		if e.Actor != "anonymous" {
			t.Errorf("audit entry %+v", e)
		}
	}
	if len(f.catalog.audit) != 5 {
		t.Errorf("%d audit entries, want 5", len(f.catalog.audit))
	}
}

func TestBadPuts(t *testing.T) {
	f := setup(t)
	for body, says := range map[string][]string{
		`{}`: {`"provider"`, `"model"`, `"prices"`},
		`{"provider":"a","model":"b","prices":{"input":-1,"output":"x","cacheRead":0.0000000000001,"nonsense":1,"reasoning":true,"requests":1e30},"effectiveFrom":"soon","effectiveTo":7,"colour":1}`: {
			"prices.input",
			"prices.output", "prices.cacheRead", "picodollar", "prices.nonsense", "prices.reasoning", "prices.requests", "effectiveFrom", "effectiveTo", "colour",
		},
		`{"provider":"a","model":"b","prices":[]}`: {"prices"},
		`{"provider":"a","model":"b","prices":{"input":1},"effectiveFrom":"2026-02-01","effectiveTo":"2026-01-01"}`: {"effectiveTo"},
		`{"provider":"a","model":"b","prices":{"input":1,"input":2}}`:                                               {"twice"},
	} {
		f.do("PUT", "/api/v1/prices", body).want(400).says(says...)
	}
	if len(f.catalog.own) != 0 || len(f.catalog.runs) != 0 {
		t.Errorf("something was stored: %v %v", f.catalog.own, f.catalog.runs)
	}
}

func TestExplain(t *testing.T) {
	f := setup(t)
	f.get("/api/v1/prices/explain?model=gpt-4o").want(200).says(`"source":"unpriced"`, `"listed":["openai"`, `"candidates":[]`)
	f.get("/api/v1/prices/explain?provider=openai&model=openai/gpt-4o-2024-08-06&at=2025-01-01").want(200).says(`"source":"catalog"`, `"because":"`)
	f.get("/api/v1/prices/explain").want(400).says(`"model":["is required"]`)
}

func TestJobPages(t *testing.T) {
	f := setup(t)
	for i := range 5 {
		run := store.Run{ID: fmt.Sprint("job", i), Name: "n", State: "done", Started: f.now.Add(time.Duration(i) * time.Second), Finished: f.now}
		if err := f.catalog.PutRun(t.Context(), run); err != nil {
			t.Fatal(err)
		}
	}
	var ids []string
	cursor := ""
	for range 5 {
		var page struct {
			Data       []struct{ ID string }
			Pagination struct{ NextCursor *string }
		}
		f.get("/api/v1/jobs?limit=2" + cursor).want(200).into(&page)
		for _, j := range page.Data {
			ids = append(ids, j.ID)
		}
		if page.Pagination.NextCursor == nil {
			break
		}
		cursor = "&cursor=" + *page.Pagination.NextCursor
	}
	if want := []string{"job4", "job3", "job2", "job1", "job0"}; !cmp.Equal(ids, want) {
		t.Errorf("got %q", ids)
	}
	f.get("/api/v1/jobs?state=done" + cursor).want(400).says("other parameters")
}

func FuzzQuoteBody(f *testing.F) {
	f.Add(`{"provider":"openai","model":"gpt-4o","inputTokens":1000,"usage":{"webSearches":2},"timestamp":"2026-01-01T00:00:00Z"}`)
	f.Add(`{"provider":"a","model":null,"inputTokens":1e400,"usage":[]}`)
	f.Add(`[{"a":{}}]`)
	s := &server{now: func() time.Time { return noon }}
	f.Fuzz(func(t *testing.T, body string) {
		q := readQuery("", nil)
		fields, err := q.object("", []byte(body))
		if err != nil {
			return
		}
		call := s.quoted(fields)
		if q.err() == nil && (call.Provider == "" || call.Model == "" || call.At.IsZero()) {
			t.Errorf("%q became %+v", body, call)
		}
	})
}

// A thousand problems are counted, not written out.
func TestProblemsAreBounded(t *testing.T) {
	f := setup(t)
	items := strings.TrimSuffix(strings.Repeat(`{},`, 500), ",")
	a := f.post("/api/v1/prices/quote", `{"items":[`+items+`]}`).want(400).says("1000 problems, of which 100 are listed")
	if len(a.body) > 20_000 {
		t.Errorf("%d bytes", len(a.body))
	}
}
