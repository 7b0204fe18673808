package calllog_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/costprof/costprof/internal/ingest/calllog"
)

// The shapes are written by hand after the providers' references; the numbers are
// made up so that each convention shows.
func TestUsageConventions(t *testing.T) {
	for _, tc := range []struct {
		name, record              string
		provider, model, tier, id string
		counts                    map[string]int64
	}{{
		name: "OpenAI chat completion: input includes cached, output includes reasoning",
		record: `{"id":"chatcmpl-AbCdEfGhIjKlMnOpQrStUvWx","object":"chat.completion","created":1793534400,"model":"gpt-4o-2024-08-06","service_tier":"default",
			"choices":[{"index":0,"message":{"role":"assistant","content":"half a pair \ud83d"},"finish_reason":"stop"}],
			"usage":{"prompt_tokens":2006,"completion_tokens":300,"total_tokens":2306,"prompt_tokens_details":{"cached_tokens":1920,"audio_tokens":6},
			"completion_tokens_details":{"reasoning_tokens":200,"audio_tokens":10,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}}`,
		provider: "openai", model: "gpt-4o-2024-08-06", tier: "default", id: "chatcmpl-AbCdEfGhIjKlMnOpQrStUvWx",
		counts: map[string]int64{"inputTokens": 2006, "cachedTokens": 1920, "inputAudioTokens": 6, "outputTokens": 300, "reasoningTokens": 200, "outputAudioTokens": 10},
	}, {
		name: "OpenAI response: cache writes are within the input; searches are counted when they ran, not when offered",
		record: `{"id":"resp_0123456789abcdef0123456789abcdef","object":"response","created_at":1793534400,"status":"completed","model":"gpt-5.6","service_tier":"flex",
			"tools":[{"type":"web_search"},{"type":"file_search"}],
			"output":[{"type":"web_search_call","status":"completed","action":{"type":"search"}},{"type":"web_search_call","status":"completed","action":{"type":"open_page"}},
			{"type":"web_search_call","status":"completed"},{"type":"file_search_call","status":"completed"},{"type":"message"}],
			"usage":{"input_tokens":1000,"input_tokens_details":{"cached_tokens":400,"cache_write_tokens":500},"output_tokens":50,"output_tokens_details":{"reasoning_tokens":20},"total_tokens":1050}}`,
		provider: "openai", model: "gpt-5.6", tier: "flex", id: "resp_0123456789abcdef0123456789abcdef",
		counts: map[string]int64{"inputTokens": 1000, "cachedTokens": 400, "cacheWriteTokens": 500, "outputTokens": 50, "reasoningTokens": 20, "webSearches": 2, "storageSearches": 1},
	}, {
		name:     "xAI: reasoning stands beside the output, as the total shows",
		record:   `{"id":"0123456789-abcdef-0123456789","object":"chat.completion","created":1793534400,"model":"grok-4","choices":[],"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":115,"completion_tokens_details":{"reasoning_tokens":100}}}`,
		provider: "xai", model: "grok-4", id: "0123456789-abcdef-0123456789",
		counts: map[string]int64{"inputTokens": 10, "outputTokens": 105, "reasoningTokens": 100},
	}, {
		name:     "DeepSeek: hits have a name of their own",
		record:   `{"id":"0123456789-abcdef-012345678a","object":"chat.completion","created":1793534400,"model":"deepseek-chat","choices":[],"usage":{"prompt_tokens":100,"completion_tokens":5,"total_tokens":105,"prompt_cache_hit_tokens":64,"prompt_cache_miss_tokens":36}}`,
		provider: "deepseek", model: "deepseek-chat", id: "0123456789-abcdef-012345678a",
		counts: map[string]int64{"inputTokens": 100, "cachedTokens": 64, "outputTokens": 5},
	}, {
		name: "Azure OpenAI shows by its filters",
		record: `{"id":"chatcmpl-AbCdEfGhIjKlMnOpQrStUvWy","object":"chat.completion","created":1793534400,"model":"gpt-4o-2024-08-06","prompt_filter_results":[],
			"choices":[{"index":0,"message":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}`,
		provider: "azure", model: "gpt-4o-2024-08-06", id: "chatcmpl-AbCdEfGhIjKlMnOpQrStUvWy",
		counts: map[string]int64{"inputTokens": 1, "outputTokens": 2},
	}, {
		name: "Anthropic: input excludes cache reads and writes; a write for an hour is one",
		record: `{"timestamp":"2026-11-01T08:00:00Z","response":{"id":"msg_01AbCdEfGhIjKlMnOpQrStUv","type":"message","role":"assistant","model":"claude-sonnet-4-5-20250929","content":[],"stop_reason":"end_turn",
			"usage":{"input_tokens":10,"cache_creation_input_tokens":700,"cache_read_input_tokens":5000,"cache_creation":{"ephemeral_5m_input_tokens":200,"ephemeral_1h_input_tokens":500},
			"output_tokens":90,"server_tool_use":{"web_search_requests":3},"service_tier":"priority"}}}`,
		provider: "anthropic", model: "claude-sonnet-4-5-20250929", tier: "priority", id: "msg_01AbCdEfGhIjKlMnOpQrStUv",
		counts: map[string]int64{"inputTokens": 5710, "cachedTokens": 5000, "cacheWriteTokens": 200, "cacheWrite1hTokens": 500, "outputTokens": 90, "webSearches": 3},
	}, {
		name: "Anthropic without the split: all writes last five minutes",
		record: `{"created_at":1793520000,"body":{"id":"msg_bdrk_01AbCdEfGhIjKlMnOpQr","type":"message","model":"claude-3-5-sonnet-20241022","content":[],
			"usage":{"input_tokens":1,"cache_creation_input_tokens":7,"cache_read_input_tokens":0,"output_tokens":2}}}`,
		provider: "aws", model: "claude-3-5-sonnet-20241022", id: "msg_bdrk_01AbCdEfGhIjKlMnOpQr",
		counts: map[string]int64{"inputTokens": 8, "cacheWriteTokens": 7, "outputTokens": 2},
	}, {
		name: "Gemini: thoughts stand beside the candidates, cached within the prompt, tools beside it; queries of Gemini 2 are one grounding",
		record: `{"responseId":"aBcDeFgHiJkLmNoPqRsTuVwX","createTime":"2026-11-01T08:00:00.5Z","modelVersion":"gemini-2.5-pro",
			"candidates":[{"content":{},"finishReason":"STOP","groundingMetadata":{"webSearchQueries":["a","b"]}}],
			"usageMetadata":{"promptTokenCount":1000,"cachedContentTokenCount":600,"candidatesTokenCount":50,"thoughtsTokenCount":200,"toolUsePromptTokenCount":30,"totalTokenCount":1280,
			"promptTokensDetails":[{"modality":"TEXT","tokenCount":700},{"modality":"AUDIO","tokenCount":200},{"modality":"VIDEO","tokenCount":100}],
			"cacheTokensDetails":[{"modality":"AUDIO","tokenCount":150},{"modality":"VIDEO","tokenCount":40},{"modality":"TEXT","tokenCount":410}],
			"candidatesTokensDetails":[{"modality":"IMAGE","tokenCount":40}],"trafficType":"ON_DEMAND_FLEX"}}`,
		provider: "google", model: "gemini-2.5-pro", tier: "flex", id: "aBcDeFgHiJkLmNoPqRsTuVwX",
		counts: map[string]int64{
			"inputTokens": 1030, "cachedTokens": 600, "inputAudioTokens": 200, "cachedAudioTokens": 150, "inputVideoTokens": 60,
			"outputTokens": 250, "reasoningTokens": 200, "outputImageTokens": 40, "webSearches": 1,
		},
	}, {
		name: "Bedrock Converse: the cache is not within the input",
		record: `{"timestamp":"2026-11-01T08:00:00Z","requestId":"01234567-89ab-cdef-0123-456789abcdef","modelId":"us.anthropic.claude-sonnet-4-5-20250929-v1:0","region":"us-east-1",
			"response":{"output":{"message":{}},"stopReason":"end_turn","metrics":{"latencyMs":1200},"usage":{"inputTokens":3,"outputTokens":20,"totalTokens":13239,"cacheReadInputTokens":13216,"cacheWriteInputTokens":0}}}`,
		provider: "aws", model: "us.anthropic.claude-sonnet-4-5-20250929-v1:0", id: "01234567-89ab-cdef-0123-456789abcdef",
		counts: map[string]int64{"inputTokens": 13219, "cachedTokens": 13216, "outputTokens": 20},
	}, {
		name: "Bedrock's invocation log",
		record: `{"schemaType":"ModelInvocationLog","schemaVersion":"1.0","timestamp":"2026-11-01T08:00:00Z","accountId":"123456789012","region":"eu-west-1","requestId":"01234567-89ab-cdef-0123-456789abcdee",
			"operation":"InvokeModel","modelId":"anthropic.claude-3-5-sonnet-20241022-v2:0","input":{"inputTokenCount":10,"cacheReadInputTokenCount":4,"cacheWriteInputTokenCount":6,"inputBodyJson":{}},
			"output":{"outputTokenCount":5,"outputBodyJson":{"usage":{"cache_creation":{"ephemeral_1h_input_tokens":6}}}}}`,
		provider: "aws", model: "anthropic.claude-3-5-sonnet-20241022-v2:0", id: "01234567-89ab-cdef-0123-456789abcdee",
		counts: map[string]int64{"inputTokens": 20, "cachedTokens": 4, "cacheWrite1hTokens": 6, "outputTokens": 5},
	}, {
		name: "a line of OpenAI's batch output is charged as a batch",
		record: `{"id":"batch_req_0123456789abcdef","custom_id":"request-1","response":{"status_code":200,"request_id":"0123456789abcdef0123","body":{"id":"chatcmpl-AbCdEfGhIjKlMnOpQrStUvWz","object":"chat.completion",
			"created":1793534400,"model":"gpt-4o","service_tier":"default","choices":[],"usage":{"prompt_tokens":5,"completion_tokens":1,"total_tokens":6}}},"error":null}`,
		provider: "openai", model: "gpt-4o", tier: "batch", id: "chatcmpl-AbCdEfGhIjKlMnOpQrStUvWz",
		counts: map[string]int64{"inputTokens": 5, "outputTokens": 1},
	}, {
		name:     "and of Anthropic's",
		record:   `{"custom_id":"a","result":{"type":"succeeded","message":{"id":"msg_01AbCdEfGhIjKlMnOpQrStUw","type":"message","model":"claude-haiku-4-5","content":[],"usage":{"input_tokens":5,"output_tokens":1,"service_tier":"batch"}}}}`,
		provider: "anthropic", model: "claude-haiku-4-5", tier: "batch", id: "msg_01AbCdEfGhIjKlMnOpQrStUw",
		counts: map[string]int64{"inputTokens": 5, "outputTokens": 1},
	}} {
		t.Run(tc.name, func(t *testing.T) {
			record := strings.Join(strings.Fields(tc.record), " ") // one line
			e := load(t, record).valid(t).only(t)
			if e.Provider != tc.provider || e.Model != tc.model || e.ServiceTier != tc.tier || e.EventID != tc.id {
				t.Errorf("provider %q, model %q, tier %q, id %q", e.Provider, e.Model, e.ServiceTier, e.EventID)
			}
			if diff := cmp.Diff(tc.counts, counts(e)); diff != "" {
				t.Errorf("counts (-want +got):\n%s", diff)
			}
			if _, bad := e.Counts.Buckets(); bad != nil {
				t.Error(bad)
			}
			// Written over several lines it is the same call.
			if over := load(t, tc.record+"\n").only(t); cmp.Diff(e, over) != "" {
				t.Errorf("over several lines: %s", cmp.Diff(e, over))
			}
			// As an element of an array, and with what a gateway writes around it.
			list := load(t, "[\n"+record+",\n"+record+"]\n")
			if len(ids(list.events)) != 1 || len(list.events) == 0 {
				t.Errorf("in a list: %v, %q", list.Tally, list.bad)
			}
		})
	}
}

func TestOpenRouterBills(t *testing.T) {
	body := func(usage string) string {
		return `{"id":"gen-1793534400-AbCdEfGhIjKl","provider":"Anthropic","object":"chat.completion","created":1793534400,"model":"anthropic/claude-sonnet-4.5","choices":[],"usage":{"prompt_tokens":10,"completion_tokens":4,"total_tokens":14,` + usage + `}}`
	}
	for usage, want := range map[string]string{
		`"cost":0.00012345`: "0.00012345",
		`"cost":0`:          "0", // free is a price; nothing is not
		`"cost":1.5e-7,"is_byok":true,"cost_details":{"upstream_inference_cost":0.002}`:  "0.00200015",
		`"cost":0.01,"is_byok":false,"cost_details":{"upstream_inference_cost":0.01}`:    "0.01",
		`"cost":{"input_tokens_cost":0.1,"output_tokens_cost":0.2,"total_cost":0.30001}`: "0.30001",
	} {
		e := load(t, body(usage)).valid(t).only(t)
		if e.Billed == nil || e.Billed.String() != want || e.Provider != "openrouter" {
			t.Errorf("%s: billed %v by %s, want %s", usage, e.Billed, e.Provider, want)
		}
	}
	if e := load(t, body(`"prompt_tokens_details":{"cached_tokens":3}`)).only(t); e.Billed != nil {
		t.Errorf("billed %v out of nothing", e.Billed)
	}
	if r := load(t, body(`"cost":-1`)+"\n"+body(`"cost":0`)); r.Malformed != 1 || len(r.events) != 1 {
		t.Errorf("a negative cost: %+v %q", r.Tally, r.bad)
	}
}

func TestGatewayWrapping(t *testing.T) {
	e := load(t, `{"timestamp":"2026-11-01T08:00:00.123456789+01:00","latency":"1.25s","ttft_ms":200,"userId":"u1","session_id":"s1","trace_id":"t1","feature":"chat","status_code":200,
"url":"https://x.openai.azure.com/openai/deployments/mine","request":{"model":"mine","service_tier":"priority","stream":false},"tags":{"team":"a"},"response":"{\"object\":\"chat.completion\",\"id\":\"chatcmpl-AbCdEfGhIjKlMnOpQrStUv00\",\"model\":\"gpt-4o\",\"created\":1793534400,\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1}}"}`).valid(t).only(t)
	if !e.Timestamp.Equal(time.Date(2026, 11, 1, 7, 0, 0, 123456000, time.UTC)) || e.Latency != 1250*time.Millisecond || e.TimeToFirstToken != 200*time.Millisecond ||
		e.UserID != "u1" || e.SessionID != "s1" || e.TraceID != "t1" || e.Feature != "chat" || e.Provider != "azure" || e.Model != "gpt-4o" || e.Tags["team"] != "a" ||
		e.ServiceTier != "" { // the tier that was asked for is not the one that served
		t.Errorf("%+v", e)
	}
	// The answer as its events, in one record.
	sse := `data: {\"id\":\"chatcmpl-AbCdEfGhIjKlMnOpQrStUv01\",\"object\":\"chat.completion.chunk\",\"created\":1793534400,\"model\":\"gpt-4o\",\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n` +
		`data: {\"id\":\"chatcmpl-AbCdEfGhIjKlMnOpQrStUv01\",\"object\":\"chat.completion.chunk\",\"created\":1793534400,\"model\":\"gpt-4o\",\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3}}\n\ndata: [DONE]\n`
	e = load(t, `{"ts":1793534400.5,"duration_ms":10,"response":"`+sse+`"}`).valid(t).only(t)
	if !e.Streaming || counts(e)["inputTokens"] != 7 || e.Timestamp.UnixMilli() != 1793534400500 {
		t.Errorf("%+v", e)
	}
}

func TestOpenAIStream(t *testing.T) {
	chunk := func(id, choices, usage string) string {
		return fmt.Sprintf(`data: {"id":%q,"object":"chat.completion.chunk","created":1793534400,"model":"gpt-4o","service_tier":"default","choices":[%s],"usage":%s}`+"\n\n", id, choices, usage)
	}
	word, end := `{"index":0,"delta":{"content":"x"},"finish_reason":null}`, `{"index":0,"delta":{},"finish_reason":"stop"}`
	last := `{"prompt_tokens":11,"completion_tokens":22,"total_tokens":33,"prompt_tokens_details":{"cached_tokens":4}}`
	a, b := "chatcmpl-AbCdEfGhIjKlMnOpQrStUvAA", "chatcmpl-AbCdEfGhIjKlMnOpQrStUvBB"
	// Two streams at once; the filters' chunk of Azure comes first.
	text := `data: {"id":"","object":"chat.completion.chunk","created":0,"model":"","choices":[],"prompt_filter_results":[]}` + "\n" +
		chunk(a, word, "null") + chunk(b, word, "null") + chunk(a, end, "null") + chunk(b, end, "null") + chunk(a, "", last) + chunk(b, "", last) + "data: [DONE]\n"
	r := load(t, text).valid(t)
	if len(r.events) != 2 || len(ids(r.events)) != 2 || counts(r.events[0])["inputTokens"] != 11 || counts(r.events[1])["cachedTokens"] != 4 || !r.events[0].Streaming {
		t.Errorf("%+v %+v", r.Tally, r.events)
	}
	// Without usage nothing is made up, and it is said.
	r = load(t, chunk(a, word, "null")+chunk(a, end, "null")+chunk(b, "", last))
	if len(r.events) != 1 || r.Silent != 1 {
		t.Errorf("no usage: %+v", r.Tally)
	}
	// vLLM tells the usage with every chunk: the last counts.
	r = load(t, chunk(a, word, `{"prompt_tokens":11,"completion_tokens":1}`)+chunk(a, word, `{"prompt_tokens":11,"completion_tokens":2}`)+chunk(a, end, `{"prompt_tokens":11,"completion_tokens":3}`))
	if e := r.only(t); counts(e)["outputTokens"] != 3 {
		t.Errorf("%v", counts(e))
	}
	// Ollama draws its ids from a thousand.
	r = load(t, chunk("chatcmpl-7", word, "null")+chunk("chatcmpl-7", end, last)+chunk("chatcmpl-7", word, "null")+chunk("chatcmpl-7", end, strings.Replace(last, "22", "23", 1)))
	if len(r.events) != 2 || len(ids(r.events)) != 2 {
		t.Errorf("short ids: %d events, %+v", len(r.events), r.Tally)
	}
}

func TestShortIDsAreNoIdentity(t *testing.T) {
	body := func(created int) string {
		return fmt.Sprintf(`{"id":"chatcmpl-123","object":"chat.completion","created":%d,"model":"llama3","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}`+"\n", created)
	}
	set := set(t, map[string]any{"provider": "ollama"})
	r := load(t, body(1793534400)+body(1793534401)+body(1793534401), set)
	if len(r.events) != 3 || len(ids(r.events)) != 2 {
		t.Errorf("%d events of %d identities", len(r.events), len(ids(r.events)))
	}
	again := load(t, body(1793534400)+body(1793534401)+body(1793534401)+body(1793534402), set)
	if all := ids(append(again.events, r.events...)); len(all) != 3 {
		t.Errorf("grown by one, %d identities of what were 2", len(all))
	}
}

func TestResponsesStreamAndPolls(t *testing.T) {
	body := func(status, usage string) string {
		return `{"id":"resp_0123456789abcdef0123456789abcdee","object":"response","created_at":1793534400,"status":"` + status + `","model":"gpt-5","output":[],"usage":` + usage + `}`
	}
	const done = `{"input_tokens":9,"output_tokens":8,"total_tokens":17}`
	r := load(t, `event: response.created
data: {"type":"response.created","response":`+body("in_progress", "null")+`}

event: response.output_text.delta
data: {"type":"response.output_text.delta","delta":"a"}

event: response.completed
data: {"type":"response.completed","response":`+body("completed", done)+`}
`).valid(t)
	if e := r.only(t); counts(e)["outputTokens"] != 8 || !e.Streaming || !e.Timestamp.Equal(time.Unix(1793534400, 0)) {
		t.Errorf("%+v", e)
	}
	// A response that is asked for until it is there is one call.
	r = load(t, body("in_progress", "null")+"\n"+body("in_progress", `{"input_tokens":9,"output_tokens":1}`)+"\n"+body("completed", done)+"\n"+body("completed", done)+"\n").valid(t)
	if e := r.only(t); counts(e)["outputTokens"] != 8 || r.Parts != 2 || r.NoUsage != 1 {
		t.Errorf("%v %+v", counts(e), r.Tally)
	}
}

const anthropicStream = `event: message_start
data: {"type":"message_start","message":{"id":"msg_01AbCdEfGhIjKlMnOpQrSt01","type":"message","model":"claude-opus-4-5","content":[],"usage":{"input_tokens":25,"cache_creation_input_tokens":100,"cache_read_input_tokens":50,"cache_creation":{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":100},"output_tokens":1,"service_tier":"standard"}}}

event: content_block_start
data: {"type":"content_block_start","index":0}

event: ping
data: {"type":"ping"}

event: message_delta
data: {"type":"message_delta","delta":{},"usage":{"output_tokens":7}}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":15,"server_tool_use":{"web_search_requests":2}}}

event: message_stop
data: {"type":"message_stop"}

`

func TestAnthropicStreamIsCumulative(t *testing.T) {
	want := map[string]int64{"inputTokens": 175, "cachedTokens": 50, "cacheWrite1hTokens": 100, "outputTokens": 15, "webSearches": 2}
	e := load(t, anthropicStream).valid(t).only(t)
	if diff := cmp.Diff(want, counts(e)); diff != "" || e.EventID != "msg_01AbCdEfGhIjKlMnOpQrSt01" {
		t.Errorf("%s: %s", e.EventID, diff)
	}
	// One that broke off is charged for what it told; the next is not mixed in.
	broken := strings.Split(anthropicStream, "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop")[0]
	r := load(t, broken+strings.ReplaceAll(anthropicStream, "St01", "St02")).valid(t)
	if len(r.events) != 2 || counts(r.events[0])["outputTokens"] != 7 || counts(r.events[1])["outputTokens"] != 15 {
		t.Errorf("%+v: %+v", r.Tally, r.events)
	}
	// Pieces without their beginning are said.
	if r := load(t, strings.SplitAfter(anthropicStream, "\n\n")[3]+anthropicStream); r.Malformed != 1 || len(r.events) != 1 {
		t.Errorf("%+v %q", r.Tally, r.bad)
	}
	// While the file is being written, an answer that has not ended is left.
	for _, cut := range []int{strings.Index(anthropicStream, "event: ping"), strings.Index(anthropicStream, `"end_turn"`)} {
		r := load(t, anthropicStream[:cut], growing)
		if len(r.events) != 0 || len(r.bad) != 0 || r.Unfinished == 0 {
			t.Errorf("cut at %d: %+v %q", cut, r.Tally, r.bad)
		}
	}
}

func TestGeminiStream(t *testing.T) {
	chunk := func(id, finish string, out int) string {
		return fmt.Sprintf(`{%s"modelVersion":"gemini-3-pro","candidates":[{"content":{}%s}],"usageMetadata":{"promptTokenCount":10,"candidatesTokenCount":%d,"totalTokenCount":%d}}`, id, finish, out, 10+out)
	}
	const stop = `,"finishReason":"STOP"`
	r := load(t, chunk("", "", 1)+"\n"+chunk("", "", 5)+"\n"+chunk("", stop, 9)+"\n"+chunk("", stop, 3)+"\n").valid(t)
	if len(r.events) != 2 || counts(r.events[0])["outputTokens"] != 9 || counts(r.events[1])["outputTokens"] != 3 {
		t.Errorf("without ids: %+v", r.events)
	}
	a, b := `"responseId":"aBcDeFgHiJkLmNoPqRsTuVwA",`, `"responseId":"aBcDeFgHiJkLmNoPqRsTuVwB",`
	r = load(t, "["+chunk(a, "", 1)+","+chunk(b, "", 2)+",\n"+chunk(a, stop, 9)+","+chunk(b, stop, 7)+"]").valid(t)
	if len(r.events) != 2 || counts(r.events[0])["outputTokens"] != 9 || counts(r.events[1])["outputTokens"] != 7 || r.Parts != 2 {
		t.Errorf("two at once: %+v %+v", r.Tally, r.events)
	}
}

func TestOtherBodies(t *testing.T) {
	embedding := `{"object":"list","data":[{"object":"embedding","embedding":[0.1,%d]}],"model":"text-embedding-3-small","usage":{"prompt_tokens":8,"total_tokens":8}}` + "\n"
	one, two := fmt.Sprintf(embedding, 1), fmt.Sprintf(embedding, 2)
	r := load(t, one+two+one).valid(t)
	if len(ids(r.events)) != 3 || r.Undated != 3 || r.events[0].Operation != "embeddings" || !r.events[0].Timestamp.Equal(changed) {
		t.Errorf("embeddings: %+v %+v", r.Tally, r.events)
	}
	// The same file, written to since, holds the same calls.
	later := load(t, one+two+one, func(o *calllog.Options) { o.Changed = changed.Add(time.Hour) })
	if len(ids(append(later.events, r.events...))) != 3 {
		t.Error("the file's time is part of the identity")
	}
	image := load(t, `{"created":1793534400,"data":[{"b64_json":"x"}],"usage":{"total_tokens":100,"input_tokens":50,"output_tokens":50,"input_tokens_details":{"text_tokens":10,"image_tokens":40}}}`, set(t, map[string]any{"model": "gpt-image-1"})).valid(t).only(t)
	if diff := cmp.Diff(map[string]int64{"inputTokens": 50, "inputImageTokens": 40, "outputTokens": 50}, counts(image)); diff != "" {
		t.Error(diff)
	}
	speech := load(t, `{"timestamp":"2026-11-01T08:00:00Z","request":{"model":"whisper-1"},"response":{"text":"a","usage":{"type":"duration","seconds":12.5}}}`).valid(t).only(t)
	if counts(speech)["audioMilliseconds"] != 12500 || speech.Model != "whisper-1" {
		t.Errorf("%+v", speech)
	}
	r = load(t, one+`{"error":{"message":"no"}}`+"\n"+`{"something":"else"}`+"\n"+"[1]\nnot json\n"+`{"id":"chatcmpl-AbCdEfGhIjKlMnOpQrStUv22","object":"chat.completion","model":"gpt-4o","usage":{"prompt_tokens":"many","completion_tokens":1}}`+"\n"+
		`{"object":"chat.completion","model":"gpt-4o","usage":{"prompt_tokens":-1,"completion_tokens":1}}`+"\n")
	if r.NoUsage != 1 || r.Unknown != 1 || r.FirstUnknown != 3 || r.Malformed != 4 || len(r.events) != 1 {
		t.Errorf("%+v %q", r.Tally, r.bad)
	}
	if want := "line 6: prompt_tokens must be a whole number, not \"many\""; len(r.bad) == 4 && !strings.Contains(r.bad[2], "usage.prompt_tokens must be a whole number") {
		t.Errorf("%q, want %q", r.bad, want)
	}
}
