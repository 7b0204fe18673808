package httpapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fill stores a few calls of known cost: gpt-4o is 2.5 and 10 USD per million
// tokens in 2026.
func fill(f *fixture) {
	f.Helper()
	f.post("/api/v1/events", batch(
		event(1, `{"feature":"chat","userId":"u1","tags":{"team":"red"},"latencyMs":100}`),
		event(2, `{"feature":"chat","userId":"u2","inputTokens":2000,"latencyMs":200.5,"isError":true}`),
		event(3, `{"feature":"search","model":"gpt-4o-mini","userId":"u1","latencyMs":1}`),
		event(4, `{"feature":"search","provider":"nobody","model":"unknown-model"}`),
		event(5, `{"feature":"sum","aggregate":true}`),
	)).want(202)
}

const november = "from=2026-11-01&to=2026-11-30"

func TestBreakdown(t *testing.T) {
	f := setup(t)
	fill(f)
	a := f.get("/api/v1/analytics/cost-breakdown?" + november).want(200)
	const want = `{"data":[` +
		`{"name":"chat","totalCost":0.0095,"totalTokens":3200,"inputTokens":3000,"outputTokens":200,"cachedTokens":0,"callCount":2,"errorCount":1,"avgLatency":150.25,"p95Latency":200.5,"cacheSavings":0,"share":0.978373,"unpricedCalls":0,"fallbackCalls":0},` +
		`{"name":"search","totalCost":0.00021,"totalTokens":2200,"inputTokens":2000,"outputTokens":200,"cachedTokens":0,"callCount":2,"errorCount":0,"avgLatency":125.75,"p95Latency":250.5,"cacheSavings":0,"share":0.021627,"unpricedCalls":1,"fallbackCalls":0}],` +
		`"meta":{"from":"2026-11-01T00:00:00Z","to":"2026-12-01T00:00:00Z","tz":"UTC","groupBy":["feature"],"totalCost":0.00971,"callCount":4,"unpricedCalls":1,"fallbackCalls":0},` +
		`"pagination":{"nextCursor":null,"hasMore":false}}` + "\n"
	if diff := cmp.Diff(want, string(a.body)); diff != "" {
		t.Errorf("breakdown (-want +got):\n%s", diff)
	}
	for _, path := range []string{"/api/analytics/cost-breakdown", "/api/v1/analytics/features", "/api/analytics/features"} {
		if b := f.get(path + "?" + november).want(200); !bytes.Equal(a.body, b.body) {
			t.Errorf("%s answers %s", path, b.body)
		}
	}
	f.get("/api/v1/analytics/users?fields=callCount&"+november).want(200).says(`{"name":"u1","callCount":2}`, `{"name":"","callCount":1}`)
	f.get("/api/v1/analytics/models?fields=name&"+november).want(200).says(`{"name":"gpt-4o"}`, `{"name":"gpt-4o-mini"}`)
	f.get("/api/v1/analytics/cost-breakdown?groupBy=feature,tag:team&fields=callCount&" + november).want(200).says(`{"names":["chat","red"],"callCount":1}`)
	f.get("/api/v1/analytics/features?feature=never+seen&" + november).want(200).says(`"data":[]`)
	f.get("/api/v1/analytics/features?tag:team=red&fields=callCount&" + november).want(200).says(`[{"name":"chat","callCount":1}]`)
	f.get("/api/v1/analytics/features?status=error&fields=callCount&" + november).want(200).says(`[{"name":"chat","callCount":1}]`)
}

// The pages of a ranking are its rows, each once; what arrives in between
// changes nothing.
func TestBreakdownPages(t *testing.T) {
	f := setup(t)
	var events []string
	for i := range 7 {
		events = append(events, event(i, fmt.Sprintf(`{"feature":"f%d","inputTokens":%d}`, i, 1000+i)))
	}
	f.post("/api/v1/events", batch(events...)).want(202)
	var names []string
	target := "/api/v1/analytics/features?fields=callCount&limit=3"
	next := target
	for {
		var page struct {
			Data       []struct{ Name string }
			Meta       struct{ From, To string }
			Pagination struct {
				NextCursor *string
				HasMore    bool
			}
		}
		f.get(next).want(200).into(&page)
		for _, row := range page.Data {
			names = append(names, row.Name)
		}
		if page.Meta.To != "2026-11-22T12:00:00.123457Z" {
			t.Errorf("the window slid to %s", page.Meta.To)
		}
		if page.Pagination.HasMore != (page.Pagination.NextCursor != nil) {
			t.Errorf("pagination %+v", page.Pagination)
		}
		if !page.Pagination.HasMore {
			break
		}
		next = target + "&cursor=" + url.QueryEscape(*page.Pagination.NextCursor)
		f.now = f.now.Add(1e9)
		f.post("/api/v1/events", batch(event(100+len(names), `{"feature":"late","inputTokens":900000}`))).want(202)
	}
	if want := []string{"f6", "f5", "f4", "f3", "f2", "f1", "f0"}; !cmp.Equal(names, want) {
		t.Errorf("got %q, want %q", names, want)
	}
	f.now = f.now.Add(11 * 60e9)
	f.get(next).want(410).says("start again")
}

func TestBadQuestions(t *testing.T) {
	f := setup(t)
	for _, tc := range []struct{ target, field string }{
		{"cost-breakdown?groupBy=colour", "groupBy"},
		{"cost-breakdown?groupBy=", "groupBy"},
		{"cost-breakdown?groupBy=feature,feature", "groupBy"},
		{"cost-breakdown?groupBy=feature,model,user", "groupBy"},
		{"cost-breakdown?groupBy=tag:", "groupBy"},
		{"cost-breakdown?groupBy=feature&groupBy=model", "groupBy"},
		{"features?groupBy=model", "groupBy"},
		{"features?limit=0", "limit"},
		{"features?limit=1001", "limit"},
		{"features?limit=ten", "limit"},
		{"features?limit=", "limit"},
		{"features?limit=99999999999999999999", "limit"},
		{"features?fields=cost", "fields"},
		{"features?fields=", "fields"},
		{"features?fields=totalCost,totalCost", "fields"},
		{"features?cursor=x", "cursor"},
		{"features?cursor=%F0%9F%92%A9", "cursor"},
		{"timeseries?granularity=year", "granularity"},
		{"timeseries?granularity=", "granularity"},
		{"timeseries?granularity=minute&from=2020-01-01", "granularity"},
		{"timeseries?granularity=hour&groupBy=user&series=50&from=2026-01-01", "granularity"},
		{"timeseries?series=51&groupBy=user", "series"},
		{"timeseries?series=0", "series"},
		{"timeseries?groupBy=feature,model", "groupBy"},
		{"timeseries?fields=cost", "fields"},
		{"flamegraph?format=svg", "format"},
		{"flamegraph?levels=trace,model", "levels"},
		{"flamegraph?levels=", "levels"},
		{"flamegraph?levels=user,user", "levels"},
		{"flamegraph?levels=feature,model,provider,user,department,project,session", "levels"},
		{"flamegraph?maxNodes=1", "maxNodes"},
		{"flamegraph?maxNodes=20001", "maxNodes"},
		{"flamegraph?baseline=2026-01-01", "baseline"},
		{"flamegraph?baseline=", "baseline"},
		{"flamegraph?baseline=2026-01-01,2026-02-01,2026-03-01", "baseline"},
		{"flamegraph?baseline=2026-02-01,2026-01-01", "baseline"},
		{"flamegraph?baseline=2026-02-01,soon", "baseline"},
		{"flamegraph?baseline=1969-02-01,2026-01-01", "baseline"},
		{"prompts?limit=-1", "limit"},
		{"events?cursor=AAAA", "cursor"},
		{"events?tz=Mars", "tz"},
		{"events?feature=%FF", "feature"},
	} {
		var got struct{ Details map[string][]string }
		f.get("/api/v1/analytics/" + tc.target).want(400).into(&got)
		if len(got.Details[tc.field]) == 0 {
			t.Errorf("%s: details %v, want one of %s", tc.target, got.Details, tc.field)
		}
	}
	// All at once.
	f.get("/api/v1/analytics/cost-breakdown?groupBy=x&limit=0&tz=y&from=z&nonsense=1&status=w&fields=v").want(400).
		says("groupBy", "limit", `"tz"`, `"from"`, "nonsense", "status", "fields")
}

func TestTimeseries(t *testing.T) {
	f := setup(t)
	fill(f)
	var got struct {
		Data []struct {
			Timestamp string
			Cost      json.Number
			CallCount int
		}
	}
	f.get("/api/v1/analytics/timeseries?granularity=day&from=2026-11-19&to=2026-11-21&tz=Asia/Kathmandu").want(200).into(&got)
	if len(got.Data) != 3 || got.Data[1].Timestamp != "2026-11-20T00:00:00+05:45" || got.Data[1].Cost != "0.00971" || got.Data[1].CallCount != 4 || got.Data[0].CallCount != 0 {
		t.Errorf("got %+v", got.Data)
	}
	f.get("/api/v1/analytics/timeseries?granularity=month&groupBy=feature&series=1&from=2026-11-01&to=2026-11-30").want(200).
		says(`"name":"chat"`, `"name":"(other)","rest":true`, `"granularity":"month"`)
	f.get("/api/v1/analytics/timeseries?groupBy=user&feature=never").want(200).says(`"data":[]`)
	f.get("/api/v1/analytics/timeseries").want(200).says(`"granularity":"hour"`)
}

func TestFlamegraph(t *testing.T) {
	f := setup(t)
	fill(f)
	type node struct {
		Name     string
		Value    json.Number
		Children []node
	}
	var got struct{ Data node }
	f.get("/api/v1/analytics/flamegraph?format=json&levels=feature,user,tag:team&" + november).want(200).into(&got)
	if got.Data.Name != "Project" || got.Data.Value != "0.00971" || len(got.Data.Children) != 2 {
		t.Errorf("root %+v", got.Data)
	}
	var check func(n node)
	check = func(n node) {
		if len(n.Children) == 0 {
			return
		}
		sum := new(big.Rat)
		for _, c := range n.Children {
			v, _ := new(big.Rat).SetString(string(c.Value))
			sum.Add(sum, v)
			check(c)
		}
		if v, _ := new(big.Rat).SetString(string(n.Value)); v.Cmp(sum) != 0 {
			t.Errorf("%s is %s, its children %s", n.Name, n.Value, sum)
		}
	}
	check(got.Data)
	f.get("/api/v1/analytics/flamegraph?feature=never").want(200).says(`"value":0`)
}

func TestPrompts(t *testing.T) {
	f := setup(t)
	var events []string
	for i := range 9 {
		events = append(events, event(i))
	}
	events = append(events, event(9, `{"inputTokens":8000}`))
	f.post("/api/v1/events", batch(events...)).want(202)
	f.get("/api/v1/analytics/prompts").want(200).says(
		`"inputTokens":8000`, `"medianInputTokens":1000`, `"bloatRatio":8`, `"redundancyScore":0.875`, `"wastedCost":0.0175`, `"inputOutputRatio":`, `"suggestions":["`).lacks("medianAbsDeviationTokens", "longPart")
	f.get("/api/v1/analytics/prompts?spread=true").want(200).says(`"medianAbsDeviationTokens":0,"medianInputOutputRatio":10,`).lacks(`"deviations"`) // nothing to divide by
	f.post("/api/v1/events", batch(event(10, `{"inputTokens":1100}`), event(11, `{"inputTokens":1100}`), event(12, `{"inputTokens":1100}`), event(13, `{"inputTokens":1200}`),
		event(14, `{"inputTokens":1100}`), event(15, `{"inputTokens":1100}`), event(16, `{"inputTokens":1100}`), event(17, `{"inputTokens":900}`), event(18, `{"inputTokens":1100}`), event(19, `{"inputTokens":1100}`))).want(202)
	f.get("/api/v1/analytics/prompts?spread=true").want(200).says(`"medianInputTokens":1000`, `"medianAbsDeviationTokens":100,"deviations":70,`, "70 times the usual distance")
	f.get("/api/v1/analytics/prompts?spread=yes").want(400).says("spread")
	f.get("/api/v1/analytics/prompts?feature=never").want(200).says(`"data":[]`)
}

// Where prompts grew, and what sessions send again.
func TestPromptGrowthAndHistory(t *testing.T) {
	f := setup(t)
	var events []string
	for i := range 24 { // 8 days apart, and the second half with four times the input
		day := 1 + i/12*18
		events = append(events, event(i, fmt.Sprintf(`{"timestamp":"2026-11-%02dT10:%02d:00Z","inputTokens":%d,"cachedTokens":0,"outputTokens":100,"sessionId":"s%d"}`, day, i, 1000*(1+i/12*3)+100*(i%3), i/3)))
	}
	f.post("/api/v1/events", batch(events...)).want(202)
	const range30 = "from=2026-11-01&to=2026-11-20"
	f.get("/api/v1/analytics/prompts/growth?"+range30+"&parts=2&tz=Europe/Berlin").want(200).says(
		`"feature":"chat"`, `"callCount":24`, `"growth":{"first":{"from":"2026-11-01T00:00:00+01:00","to":"2026-11-11T00:00:00+01:00","callCount":12,"medianInputTokens":1100,`,
		`"tokens":3000,"ratio":3.727,"addedCost":0.09}`, // 3,000 tokens × 12 calls at 2.50 USD a million
		`"notCompared":0,"leftOut":0`, "The median input grew from 1,100 tokens")
	f.get("/api/analytics/prompts/growth?" + range30 + "&feature=never").want(200).says(`"data":[]`)
	f.get("/api/v1/analytics/prompts/growth?" + range30 + "&parts=25").want(400).says("parts")

	// Sessions of 1,000, 1,100 and 1,200 tokens: 1,100 and 1,200 could have been there.
	f.get("/api/v1/analytics/prompts/history?"+range30).want(200).says(
		`"feature":"chat","sessions":8,"callCount":24,"turns":16,"maxTurns":2,"inputTokens":62400,"maxInputTokens":4200,"resentTokens":42400,"resentCachedTokens":0,"resentShare":0.679,"resentCost":0.106,`,
		`"historyTokens":2400,"historyCachedTokens":0,"historyShare":0.038,"historyCost":0.006,`, "Of the 62,400 input tokens").lacks("sessionId")
	f.get("/api/analytics/prompts/history?"+range30+"&groupBy=session&limit=1").want(200).says(`"project":"default","sessionId":"s`, `"hasMore":true`)
	f.get("/api/v1/analytics/prompts/history?"+range30+"&groupBy=user").want(400).says("groupBy", "feature, session")
}

// An event comes back as it was sent.
func TestEvents(t *testing.T) {
	f := setup(t)
	sent := event(1, `{"parentSpanId":"p","name":"n","provider":"azure-openai","inputTokens":1000,"outputTokens":200,"cachedTokens":400,"cacheWriteTokens":100,
		"cacheWrite1hTokens":50,"reasoningTokens":20,"usage":{"webSearches":2,"inputAudioTokens":5},"serviceTier":"batch","region":"eu","latencyMs":12.345,
		"timeToFirstTokenMs":0,"billedCostUsd":1e-3,"estimatedCostUsd":0,"userId":"u","sessionId":"s","department":"d","environment":"e","operation":"o",
		"tags":{"a":"b","<&>":"ü"},"isStreaming":true,"isError":true,"errorCode":"429","retryCount":3,"metadata":{"z":1,"a":[1.50,"</script>"]},
		"project":"p1","eventId":"mine","timestamp":"2026-11-20T10:00:00.123456+02:00"}`)
	f.post("/api/v1/events", batch(sent)).want(202)
	var page struct{ Data []map[string]json.RawMessage }
	f.get("/api/v1/events?project=p1").want(200).into(&page)
	if len(page.Data) != 1 {
		t.Fatalf("%d events", len(page.Data))
	}
	var want map[string]json.RawMessage
	if err := json.Unmarshal([]byte(sent), &want); err != nil {
		t.Fatal(err)
	}
	want["timestamp"] = json.RawMessage(`"2026-11-20T08:00:00.123456Z"`)
	want["billedCostUsd"] = json.RawMessage(`0.001`)
	for name, value := range want {
		var compact bytes.Buffer
		if err := json.Compact(&compact, value); err != nil {
			t.Fatal(err)
		}
		var a, b any
		if json.Unmarshal(page.Data[0][name], &a) != nil || json.Unmarshal(compact.Bytes(), &b) != nil || !cmp.Equal(a, b) {
			t.Errorf("%s came back as %s, was sent as %s", name, page.Data[0][name], compact.Bytes())
		}
	}
	for name, value := range map[string]string{
		"cost": "0.001", "costSource": `"billed"`, "priceId": `""`, "providerId": `"azure"`, "receivedAt": `"2026-11-22T12:00:00.123456Z"`,
		"costByClass": `{"input":0,"cacheRead":0,"cacheWrite":0,"output":0,"reasoning":0,"media":0,"units":0,"unsplit":0.001}`,
	} {
		if got := string(page.Data[0][name]); got != value {
			t.Errorf("%s is %s, want %s", name, got, value)
		}
	}
	if _, there := page.Data[0]["lines"]; there {
		t.Error("a list has price lines")
	}
}

func TestEvent(t *testing.T) {
	f := setup(t)
	fill(f)
	var page struct {
		Data []struct{ ID, PriceID string }
	}
	f.get("/api/events?feature=chat&status=ok").want(200).into(&page)
	id := page.Data[0].ID
	for _, path := range []string{"/api/v1/events/", "/api/events/"} {
		f.get(path+id).want(200).says(
			`"lines":[{"unit":"input","quantity":1000,"price":2.5,"per":1000000,"amount":0.0025},{"unit":"output","quantity":100,"price":10,"per":1000000,"amount":0.001}]`,
			`"cost":0.0035`, page.Data[0].PriceID)
	}
	f.get("/api/v1/events/" + strings.ToUpper(id)).want(200)
	for _, id := range []string{strings.Repeat("0", 32), "nope", "%2e%2e", strings.Repeat("x", 5000), "\xff"} {
		f.get("/api/v1/events/" + id).want(404)
	}
	f.get("/api/v1/events/" + id + "?project=p").want(400).says("project")
}

// Aggregates are listed, and in no total; the list pages through every event.
func TestEventPages(t *testing.T) {
	f := setup(t)
	fill(f)
	seen := map[string]bool{}
	cursor := ""
	for range 10 {
		var page struct {
			Data       []struct{ ID string }
			Pagination struct{ NextCursor *string }
		}
		f.get("/api/v1/events?limit=2" + cursor).want(200).into(&page)
		for _, e := range page.Data {
			if seen[e.ID] {
				t.Errorf("%s came twice", e.ID)
			}
			seen[e.ID] = true
		}
		if page.Pagination.NextCursor == nil {
			break
		}
		cursor = "&cursor=" + *page.Pagination.NextCursor
	}
	if len(seen) != 5 {
		t.Errorf("%d events, want 5", len(seen))
	}
	f.get("/api/v1/events?feature=chat" + cursor).want(400).says("cursor")
}
