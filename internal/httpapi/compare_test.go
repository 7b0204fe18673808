package httpapi

import (
	"bytes"
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Two days: the input of chat doubles, search has one call more, and old is gone.
// gpt-4o is 2.5 and 10 USD per million tokens.
func fillTwoDays(f *fixture) {
	f.Helper()
	const first, second = `"timestamp":"2026-11-10T10:00:00Z"`, `"timestamp":"2026-11-11T10:00:00Z"`
	f.post("/api/v1/events", batch(
		event(1, `{"feature":"chat",`+first+`}`),
		event(2, `{"feature":"search",`+first+`}`),
		event(3, `{"feature":"old","billedCostUsd":0.5,`+first+`}`),
		event(11, `{"feature":"chat","inputTokens":2000,`+second+`}`),
		event(12, `{"feature":"search",`+second+`}`),
		event(13, `{"feature":"search",`+second+`}`),
	)).want(202)
}

func TestCompare(t *testing.T) {
	f := setup(t)
	fillTwoDays(f)
	const days = "from=2026-11-11&to=2026-11-11"
	a := f.get("/api/v1/analytics/compare?" + days).want(200)
	const same = `"inputTokens":1000,"outputTokens":100,"cachedTokens":0,"errorCount":0,"unpricedCalls":0,"fallbackCalls":0`
	const want = `{"data":[` +
		`{"name":"old","cost":0,"baseline":0.5,"delta":-0.5,"terms":{"volume":-0.5,"modelMix":0,"tokensPerCall":0,"cacheMix":0,"price":0,"other":0},"mainTerm":"volume",` +
		`"callCount":0,"inputTokens":0,"outputTokens":0,"cachedTokens":0,"errorCount":0,"unpricedCalls":0,"fallbackCalls":0,"baselines":{"callCount":1,` + same + `}},` +
		`{"name":"search","cost":0.007,"baseline":0.0035,"delta":0.0035,"terms":{"volume":0.0035,"modelMix":0,"tokensPerCall":0,"cacheMix":0,"price":0,"other":0},"mainTerm":"volume",` +
		`"callCount":2,"inputTokens":2000,"outputTokens":200,"cachedTokens":0,"errorCount":0,"unpricedCalls":0,"fallbackCalls":0,"baselines":{"callCount":1,` + same + `}},` +
		`{"name":"chat","cost":0.006,"baseline":0.0035,"delta":0.0025,"terms":{"volume":0,"modelMix":0,"tokensPerCall":0.0025,"cacheMix":0,"price":0,"other":0},"mainTerm":"tokensPerCall",` +
		`"callCount":1,"inputTokens":2000,"outputTokens":100,"cachedTokens":0,"errorCount":0,"unpricedCalls":0,"fallbackCalls":0,"baselines":{"callCount":1,` + same + `}}],` +
		`"meta":{"from":"2026-11-11T00:00:00Z","to":"2026-11-12T00:00:00Z","tz":"UTC","baselineFrom":"2026-11-10T00:00:00Z","baselineTo":"2026-11-11T00:00:00Z","groupBy":["feature"],` +
		// Of three calls each: the billed one is among them, so tokens cost a third less then.
		`"total":{"cost":0.013,"baseline":0.507,"delta":-0.494,"terms":{"volume":0,"modelMix":0,"tokensPerCall":0.001666666667,"cacheMix":0,"price":0.004333333333,"other":-0.5},"mainTerm":"other",` +
		`"callCount":3,"inputTokens":4000,"outputTokens":300,"cachedTokens":0,"errorCount":0,"unpricedCalls":0,"fallbackCalls":0,"baselines":{"callCount":3,"inputTokens":3000,"outputTokens":300,"cachedTokens":0,"errorCount":0,"unpricedCalls":0,"fallbackCalls":0}},` +
		`"firstBaselineCall":"2026-11-10T10:00:00Z","lastCall":"2026-11-11T10:00:00Z"},` +
		`"pagination":{"nextCursor":null,"hasMore":false}}` + "\n"
	if diff := cmp.Diff(want, string(a.body)); diff != "" {
		t.Errorf("compare (-want +got):\n%s", diff)
	}
	for _, target := range []string{
		"/api/analytics/compare?" + days,
		"/api/v1/analytics/compare?groupBy=feature&baselineFrom=2026-11-10&baselineTo=2026-11-10&" + days,
		"/api/v1/analytics/compare?baselineFrom=2026-11-10T00:00:00Z&" + days,
	} {
		if b := f.get(target).want(200); !bytes.Equal(a.body, b.body) {
			t.Errorf("%s answers %s", target, b.body)
		}
	}
	f.get("/api/v1/analytics/compare?groupBy=feature,user&feature=chat&" + days).want(200).says(`{"names":["chat",""],"cost":0.006,"baseline":0.0035`)
	f.get("/api/v1/analytics/compare?groupBy=user&" + days).want(200).says(`{"name":"",`)
	f.get("/api/v1/analytics/compare?feature=never&"+days).want(200).says(`"data":[]`, `"delta":0`, `"mainTerm":""`)
	// Dates are those of tz, in the baseline too.
	f.get("/api/v1/analytics/compare?tz=Asia/Kathmandu&baselineTo=2026-11-10&"+days).want(200).
		says(`"from":"2026-11-11T00:00:00+05:45"`, `"baselineFrom":"2026-11-10T00:00:00+05:45","baselineTo":"2026-11-11T00:00:00+05:45"`)
}

func TestComparePages(t *testing.T) {
	f := setup(t)
	fillTwoDays(f)
	f.now = f.now.AddDate(0, 0, -9)
	var names []string
	target := "/api/v1/analytics/compare?limit=1"
	for next := target; next != ""; {
		var page struct {
			Data       []struct{ Name string }
			Meta       struct{ To, BaselineTo string }
			Pagination struct{ NextCursor *string }
		}
		f.get(next).want(200).into(&page)
		for _, row := range page.Data {
			names = append(names, row.Name)
		}
		if page.Meta.To != "2026-11-13T12:00:00.123457Z" || page.Meta.BaselineTo != "2026-10-14T12:00:00.123457Z" {
			t.Errorf("the periods slid to %+v", page.Meta)
		}
		next = ""
		if c := page.Pagination.NextCursor; c != nil {
			next = target + "&cursor=" + url.QueryEscape(*c)
			f.get(next + "&baselineTo=2026-01-01").want(400).says("cursor")
			f.get(next + "&groupBy=model").want(400).says("cursor")
		}
		f.now = f.now.Add(1e9)
	}
	if want := []string{"old", "search", "chat"}; !cmp.Equal(names, want) {
		t.Errorf("got %q, want %q", names, want)
	}
}

func TestBadComparisons(t *testing.T) {
	f := setup(t)
	for target, field := range map[string]string{
		"groupBy=serviceTier":    "groupBy",
		"groupBy=a,b,c":          "groupBy",
		"baselineFrom=yesterday": "baselineFrom",
		"baselineTo=":            "baselineTo",
		"baselineFrom=2026-11-02&baselineTo=2026-11-01": "baselineFrom",
		"baselineFrom=1969-12-31":                       "baselineFrom",
		"baseline=2026-11-01,2026-11-02":                "baseline",
		"fields=cost":                                   "fields",
		"limit=0":                                       "limit",
		"cursor=AAAA":                                   "cursor",
		"from=2026-11-02&to=2026-11-01":                 "from",
	} {
		var got struct{ Details map[string][]string }
		f.get("/api/v1/analytics/compare?" + target).want(400).into(&got)
		if len(got.Details[field]) == 0 {
			t.Errorf("%s: details %v, want one of %s", target, got.Details, field)
		}
	}
	f.get("/api/v1/analytics/compare?from=1970-01-02&to=9998-12-31").want(200).says(`"baselineFrom":"1970-01-01T00:00:00Z"`)
	f.get("/api/v1/analytics/compare?from=1970-01-01&to=9998-12-31").want(200)
}
