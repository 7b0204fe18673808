package calllog_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/costprof/costprof/internal/ingest/calllog"
)

const spendRow = `{"request_id":"chatcmpl-AbCdEfGhIjKlMnOpQrStUv01","call_type":"acompletion","api_key":"88dc","spend":0.0123,"total_tokens":6110,"prompt_tokens":6010,"completion_tokens":100,
"startTime":"2026-10-31T10:00:00.000Z","completionStartTime":"2026-10-31T10:00:00.400Z","endTime":"2026-10-31T10:00:02.500Z","model":"claude-sonnet-4-5","model_id":"m","model_group":"smart","custom_llm_provider":"anthropic",
"api_base":"https://api.anthropic.com","user":"u","end_user":"customer-7","team_id":"team-1","request_tags":["area:search","beta"],"cache_hit":"False","session_id":"sess-1","status":"success",
"metadata":{"user_api_key_team_alias":"Research","user_api_key_alias":"k","usage_object":{"prompt_tokens":6010,"completion_tokens":100,"total_tokens":6110,"prompt_tokens_details":{"cached_tokens":5000,"cache_creation_tokens":1000,
"cache_creation_token_details":{"ephemeral_5m_input_tokens":400,"ephemeral_1h_input_tokens":600}},"cache_creation_input_tokens":1000,"cache_read_input_tokens":5000}}}`

func TestLiteLLM(t *testing.T) {
	row := strings.ReplaceAll(spendRow, "\n", "")
	e := load(t, row).valid(t).only(t)
	// Its prompt holds what was cached and written; an hour's write is one.
	want := map[string]int64{"inputTokens": 6010, "cachedTokens": 5000, "cacheWriteTokens": 400, "cacheWrite1hTokens": 600, "outputTokens": 100}
	if diff := cmp.Diff(want, counts(e)); diff != "" {
		t.Error(diff)
	}
	if e.EventID != "chatcmpl-AbCdEfGhIjKlMnOpQrStUv01" || e.Provider != "anthropic" || e.Estimated.String() != "0.0123" || e.Billed != nil || e.UserID != "customer-7" || e.Department != "Research" ||
		e.SessionID != "sess-1" || e.Operation != "acompletion" || e.Latency != 2500*time.Millisecond || e.TimeToFirstToken != 400*time.Millisecond ||
		cmp.Diff(map[string]string{"area": "search", "beta": "true", "modelGroup": "smart", "key": "k", "team": "team-1"}, e.Tags) != "" {
		t.Errorf("%+v", e)
	}
	// The gateway's own cache answered: it cost nothing, and that is known.
	hit := load(t, strings.Replace(row, `"cache_hit":"False"`, `"cache_hit":"True"`, 1)).valid(t).only(t)
	if hit.Billed == nil || *hit.Billed != 0 || hit.EventID == e.EventID {
		t.Errorf("%+v", hit)
	}
	// Old rows leave the cache out of the prompt.
	old := load(t, strings.ReplaceAll(row, "6010", "10")).valid(t).only(t)
	if diff := cmp.Diff(want, counts(old)); diff != "" {
		t.Error(diff)
	}
	// Without details the row's own sums count.
	plain := load(t, strings.Replace(row, "usage_object", "x", 1)).valid(t).only(t)
	if diff := cmp.Diff(map[string]int64{"inputTokens": 6010, "outputTokens": 100}, counts(plain)); diff != "" {
		t.Error(diff)
	}
	failed := `{"request_id":"0123456789abcdef01234567","call_type":"acompletion","spend":0,"total_tokens":0,"prompt_tokens":0,"completion_tokens":0,"startTime":"2026-10-31T10:00:00Z","endTime":"2026-10-31T10:00:01Z","model":"gpt-4o","custom_llm_provider":"openai","status":"failure","metadata":{"error_information":{"error_code":"429"}}}`
	if f := load(t, failed).valid(t).only(t); !f.Error || f.ErrorCode != "429" {
		t.Errorf("%+v", f)
	}
	if r := load(t, `{"data":[`+row+`,`+failed+`],"total":2}`); len(r.events) != 2 {
		t.Errorf("an answer of the API: %+v", r.Tally)
	}
	if r := load(t, "["+row+","+failed+"]"); len(r.events) != 2 {
		t.Errorf("a list: %+v", r.Tally)
	}
}

func TestLiteLLMAsCSVAndPayload(t *testing.T) {
	quote := func(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
	csv := "request_id,call_type,spend,total_tokens,prompt_tokens,completion_tokens,startTime,endTime,completionStartTime,model,custom_llm_provider,user,metadata,cache_hit,request_tags\n" +
		"chatcmpl-AbCdEfGhIjKlMnOpQrStUv01,acompletion,1.5e-05,110,100,10,2026-10-31 10:00:00.5,2026-10-31 10:00:02.5,,openai/gpt-4o,openai,u," +
		quote(`{"usage_object":{"prompt_tokens":100,"completion_tokens":10,"prompt_tokens_details":{"cached_tokens":60}}}`) + ",," + quote(`["a:b"]`) + "\n" +
		"chatcmpl-AbCdEfGhIjKlMnOpQrStUv02,acompletion,0.1,x,y,z,2026-10-31 10:00:00,2026-10-31 10:00:02,,gpt-4o,openai,u,{},,[]\n" +
		"short\n"
	r := load(t, csv)
	if len(r.events) != 1 || r.Malformed != 2 || !strings.HasPrefix(r.bad[0], "line 3: prompt_tokens must be a whole number") {
		t.Fatalf("%+v %q", r.Tally, r.bad)
	}
	if e := r.events[0]; counts(e)["cachedTokens"] != 60 || e.Estimated.String() != "0.000015" || e.Tags["a"] != "b" || e.Latency != 2*time.Second || e.Timestamp.UnixMilli()%1000 != 500 {
		t.Errorf("%+v", e)
	}
	e := load(t, `{"id":"chatcmpl-AbCdEfGhIjKlMnOpQrStUv01","trace_id":"t","call_type":"acompletion","response_cost":0.002,"status":"success","custom_llm_provider":"openai","total_tokens":3,"prompt_tokens":2,"completion_tokens":1,"startTime":1793534400.25,"endTime":1793534401.25,"completionStartTime":1793534401.25,"model":"gpt-4o","metadata":{"usage_object":null},"cache_hit":null,"request_tags":[]}`).valid(t).only(t)
	if e.TraceID != "t" || e.Latency != time.Second || e.Streaming || e.Estimated.String() != "0.002" || e.EventID != "chatcmpl-AbCdEfGhIjKlMnOpQrStUv01" {
		t.Errorf("%+v", e)
	}
}

func observation(id, parent, kind, usage string) string {
	return fmt.Sprintf(`{"id":%q,"traceId":"trace-1","parentObservationId":%s,"type":%q,"name":"answer","startTime":"2026-10-31T10:00:00.000Z","endTime":"2026-10-31T10:00:02.000Z","completionStartTime":"2026-10-31T10:00:00.500Z","model":"claude-sonnet-4-5",%s}`,
		id, map[bool]string{true: "null", false: `"` + parent + `"`}[parent == ""], kind, usage) + "\n"
}

func TestLangfuseBuckets(t *testing.T) {
	for usage, want := range map[string]map[string]int64{
		`"usageDetails":{"input":10,"cache_read_input_tokens":5000,"cache_creation_input_tokens":700,"output":90,"total":5800}`:                     {"inputTokens": 5710, "cachedTokens": 5000, "cacheWriteTokens": 700, "outputTokens": 90},
		`"usageDetails":{"input":10,"input_cached_tokens":20,"output":5,"output_reasoning_tokens":30,"total":65}`:                                   {"inputTokens": 30, "cachedTokens": 20, "outputTokens": 35, "reasoningTokens": 30},
		`"usageDetails":{"input":1,"input_cache_creation":7,"input_cache_creation_5m":3,"input_cache_creation_1h":4,"output":2}`:                    {"inputTokens": 8, "cacheWriteTokens": 3, "cacheWrite1hTokens": 4, "outputTokens": 2},
		`"usageDetails":{"input":1,"input_cache_creation_1h":4,"output":2}`:                                                                         {"inputTokens": 5, "cacheWrite1hTokens": 4, "outputTokens": 2},
		`"usageDetails":{"input":1,"input_audio_tokens":7,"input_cached_audio_tokens":3,"output":2,"output_audio_tokens":9,"web_search_queries":2}`: {"inputTokens": 11, "cachedTokens": 3, "inputAudioTokens": 10, "cachedAudioTokens": 3, "outputTokens": 11, "outputAudioTokens": 9, "webSearches": 2},
		`"usageDetails":{"input":100,"input_cached_tokens":60,"output":20,"output_reasoning_tokens":15,"total":120}`:                                {"inputTokens": 100, "cachedTokens": 60, "outputTokens": 20, "reasoningTokens": 15},
		`"usageDetails":{"prompt_tokens":100,"completion_tokens":20,"total_tokens":120,"prompt_tokens_details":{"cached_tokens":60},"cost":1}`:      {"inputTokens": 100, "cachedTokens": 60, "outputTokens": 20},
		`"usageDetails":{"promptTokenCount":100,"candidatesTokenCount":20,"thoughtsTokenCount":30,"totalTokenCount":150}`:                           {"inputTokens": 100, "outputTokens": 50, "reasoningTokens": 30},
		`"usageDetails":{"input_tokens":10,"cache_read_input_tokens":50,"output_tokens":5}`:                                                         {"inputTokens": 60, "cachedTokens": 50, "outputTokens": 5},
		`"usageDetails":{"total":9}`:                            {"inputTokens": 9},
		`"usage":{"input":3,"output":4,"total":7}`:              {"inputTokens": 3, "outputTokens": 4},
		`"promptTokens":3,"completionTokens":4,"totalTokens":7`: {"inputTokens": 3, "outputTokens": 4},
		`"usageDetails":"{\"input\":3,\"output\":4}"`:           {"inputTokens": 3, "outputTokens": 4},
	} {
		e := load(t, observation("o1", "", "GENERATION", usage)).valid(t).only(t)
		if diff := cmp.Diff(want, counts(e)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", usage, diff)
		}
		if _, bad := e.Counts.Buckets(); bad != nil {
			t.Errorf("%s: %v", usage, bad)
		}
	}
}

func TestLangfuse(t *testing.T) {
	e := load(t, observation("o1", "p0", "GENERATION", `"usageDetails":{"input":10,"output":5,"seconds":3},"costDetails":{"input":0.1,"output":2e-2,"total":0.12},"sessionId":"s","userId":"u","environment":"prod","traceName":"chat","metadata":{"ls_provider":"amazon_bedrock"}`)).valid(t).only(t)
	if e.EventID != "langfuse-o1" || e.TraceID != "trace-1" || e.SpanID != "o1" || e.ParentSpanID != "p0" || e.Feature != "chat" || e.Estimated.String() != "0.12" || e.Latency != 2*time.Second ||
		e.TimeToFirstToken != 500*time.Millisecond || e.Provider != "amazon_bedrock" || e.Environment != "prod" || string(e.Metadata) != `{"otherUsage":{"seconds":3}}` {
		t.Errorf("%+v", e)
	}
	snake := `{"id":"o1","trace_id":"trace-1","parent_observation_id":"p0","type":"GENERATION","name":"n","start_time":"2026-10-31 10:00:00.000000","end_time":"2026-10-31 10:00:01.000000","provided_model_name":"gpt-4o","usage_details":{"input":"10","output":"5"},"cost_details":{"input":"0.1","output":"0.02"}}`
	s := load(t, snake).valid(t).only(t)
	if s.Model != "gpt-4o" || s.Provider != "openai" || s.Estimated.String() != "0.12" || counts(s)["inputTokens"] != 10 || s.EventID != e.EventID {
		t.Errorf("%+v", s)
	}
	// Written again, an observation is one; the last counts.
	again := load(t, observation("o1", "", "GENERATION", `"usageDetails":{"input":1,"output":1}`)+observation("o1", "", "GENERATION", `"usageDetails":{"input":2,"output":2}`)).valid(t)
	if counts(again.only(t))["inputTokens"] != 2 {
		t.Errorf("%+v", again)
	}
	if r := load(t, `{"data":[`+strings.TrimSpace(observation("o1", "", "GENERATION", `"usageDetails":{"input":1,"output":1}`))+`,`+strings.TrimSpace(observation("o2", "", "SPAN", `"usageDetails":{}`))+`],"meta":{"page":1}}`); len(r.events) != 1 {
		t.Errorf("a page of the API: %+v", r.Tally)
	}
}

// What a parent sums up of its children counts once, in whatever order they come.
func TestLangfuseAggregates(t *testing.T) {
	use := func(n int) string { return fmt.Sprintf(`"usageDetails":{"input":%d,"output":1}`, n) }
	rows := []string{
		observation("agent", "", "AGENT", use(300)),           // sums up all below
		observation("step", "agent", "SPAN", `"x":1`),         // tells nothing
		observation("outer", "step", "GENERATION", use(151)),  // a client's own sum of its two calls
		observation("in-1", "outer", "GENERATION", use(100)),  //
		observation("in-2", "outer", "GENERATION", use(50)),   //
		observation("caller", "step", "GENERATION", use(900)), // a call that made another
		observation("called", "caller", "GENERATION", use(9)), //
		observation("orphan", "gone", "GENERATION", use(1)),
		observation("circle", "circle2", "SPAN", use(1)), observation("circle2", "circle", "SPAN", use(1)),
	}
	want := map[string]bool{"agent": true, "outer": true, "circle": true, "circle2": true}
	check := func(events []string) {
		r := load(t, strings.Join(events, ""))
		if len(r.events) != 9 {
			t.Fatalf("%+v %q", r.Tally, r.bad)
		}
		for _, e := range r.events {
			if e.Aggregate != want[e.SpanID] {
				t.Errorf("%s: aggregate %v", e.SpanID, e.Aggregate)
			}
		}
	}
	check(rows)
	var back []string
	for _, r := range rows {
		back = append([]string{r}, back...)
	}
	check(back)
}

func TestRecogniseTellsFormatsApart(t *testing.T) {
	for text, want := range map[string]string{
		strings.ReplaceAll(spendRow, "\n", ""): "litellm",
		observation("o", "", "SPAN", `"x":1`):  "langfuse",
		user:                                   "claude-code",
		codexHead("s", ""):                     "codex",
		anthropicStream:                        "responses",
		"id,traceId,type,usageDetails\no,t,GENERATION,{}\n": "langfuse",
		"request_id,spend\nr,1\n":                           "litellm",
		"a,b\n1,2\n":                                        "",
		`{"a":1}`:                                           "",
		"":                                                  "",
		"\xef\xbb\xbf" + strings.ReplaceAll(spendRow, "\n", ""):     "litellm",
		"not json\n" + strings.ReplaceAll(spendRow, "\n", ""):       "",
		"{broken\n" + strings.ReplaceAll(spendRow, "\n", "") + "\n": "litellm",
	} {
		kind, _ := calllog.Recognise([]byte(text), allKinds())
		if kind.Name != want {
			t.Errorf("%.60q: %q, want %q", text, kind.Name, want)
		}
	}
}
