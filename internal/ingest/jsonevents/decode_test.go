package jsonevents

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/ingest"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/usage"
)

const full = `{"traceId":"t1","spanId":"s1","parentSpanId":"s0","name":"search","timestamp":"2026-11-01T14:00:00.1234567+02:00",
"feature":"chat","provider":"Azure-OpenAI","model":"gpt-4o","inputTokens":1e3,"outputTokens":200.0,"cachedTokens":300,
"cacheWriteTokens":20,"cacheWrite1hTokens":10,"reasoningTokens":50,"usage":{"inputAudioTokens":5,"webSearches":2,"images":null},
"serviceTier":"batch","region":"eu","latencyMs":12.3456,"timeToFirstTokenMs":0,"billedCostUsd":1.5e-3,"estimatedCostUsd":0,
"userId":"u","sessionId":"se","department":"d","environment":"prod","operation":"op","tags":{"a":"1","b\u00fc":"\"x\""},
"isStreaming":true,"isError":true,"aggregate":false,"errorCode":"429","retryCount":2,"prompt":"hi\nthere",
"metadata":{"k": [1, {"x":null}]},"project":"p","eventId":"e-1"}`

func fullEvent() usage.Event {
	billed, estimated := money.USD(1_500_000_000), money.USD(0)
	e := usage.Event{
		EventID: "e-1", Project: "p", TraceID: "t1", SpanID: "s1", ParentSpanID: "s0", Name: "search",
		Timestamp: time.Date(2026, 11, 1, 12, 0, 0, 123456000, time.UTC),
		Feature:   "chat", Provider: "Azure-OpenAI", Model: "gpt-4o", ServiceTier: "batch", Region: "eu",
		Latency: 12346 * time.Microsecond, Billed: &billed, Estimated: &estimated,
		UserID: "u", SessionID: "se", Department: "d", Environment: "prod", Operation: "op",
		Tags: map[string]string{"a": "1", "bü": `"x"`}, Streaming: true, Error: true,
		ErrorCode: "429", RetryCount: 2, Prompt: "hi\nthere", Metadata: []byte(`{"k":[1,{"x":null}]}`),
	}
	e.Counts[usage.Input], e.Counts[usage.Output], e.Counts[usage.CacheRead] = 1000, 200, 300
	e.Counts[usage.CacheWrite], e.Counts[usage.CacheWrite1h], e.Counts[usage.Reasoning] = 20, 10, 50
	e.Counts[usage.InputAudio], e.Counts[usage.WebSearches] = 5, 2
	return e
}

func TestDecodeEveryField(t *testing.T) {
	oneLine := strings.ReplaceAll(full, "\n", "")
	for name, tt := range map[string]struct {
		body   string
		format Format
	}{
		"JSON":              {`{"source":"x","events":[` + full + `]}`, JSON},
		"JSON with BOM":     {"\xef\xbb\xbf{\"events\":[" + full + `]}`, JSON},
		"NDJSON":            {oneLine + "\n", NDJSON},
		"NDJSON, BOM, CRLF": {"\xef\xbb\xbf\r\n" + oneLine + "\r\n\r\n  \n", NDJSON},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := decode([]byte(tt.body), tt.format)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]ingest.Input{{Event: fullEvent()}}, got); diff != "" {
				t.Errorf("decoded event (-want +got):\n%s", diff)
			}
			if bad := got[0].Event.Validate(time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC)); len(bad) > 0 {
				t.Errorf("a correct event has problems: %v", bad)
			}
		})
	}
}

func TestDecodeDefaults(t *testing.T) {
	got, err := decode([]byte(`{"events":[{"traceId":"t","spanId":"s","feature":"f","provider":"p","model":"m","inputTokens":0,"outputTokens":0,"latencyMs":0,"timestamp":null,"tags":null,"metadata":null,"isError":null}]}`), JSON)
	if err != nil {
		t.Fatal(err)
	}
	want := ingest.NewInput()
	want.Event.TraceID, want.Event.SpanID, want.Event.Feature, want.Event.Provider, want.Event.Model = "t", "s", "f", "p", "m"
	if diff := cmp.Diff([]ingest.Input{want}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestDecodeAggregateNeedsNoTokens(t *testing.T) {
	got, err := decode([]byte(`{"events":[{"traceId":"t","spanId":"s","feature":"f","latencyMs":1,"aggregate":true}]}`), JSON)
	if err != nil || len(got[0].Problems) > 0 || !got[0].Event.Aggregate {
		t.Errorf("got %+v, %v", got, err)
	}
}

// problems decodes one event and joins its problems as "field: rule".
func problems(t *testing.T, event string) []string {
	t.Helper()
	got, err := decode([]byte(`{"events":[`+event+`]}`), JSON)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, p := range got[0].Problems {
		lines = append(lines, p.Field+": "+p.Rule)
	}
	return lines
}

func TestDecodeReportsEveryProblem(t *testing.T) {
	const event = `{"traceId":1,"spanId":[],"parentSpanId":{},"name":true,"timestamp":"yesterday","feature":1.5,"provider":false,"model":0,
"inputTokens":"5","outputTokens":1.5,"cachedTokens":1e-1,"usage":{"webSearch":1,"inputTokens":1,"images":"2"},"serviceTier":1,
"latencyMs":"fast","timeToFirstTokenMs":[],"billedCostUsd":"1.00","estimatedCostUsd":-1,"tags":{"a":1,"b":"ok"},
"isStreaming":"yes","retryCount":0.5,"prompt":1,"metadata":[],"project":1,"eventId":1}`
	want := []string{
		"traceId: must be a string", "spanId: must be a string", "parentSpanId: must be a string", "name: must be a string",
		"timestamp: must be an RFC 3339 time such as 2026-01-31T12:00:00Z",
		"feature: must be a string", "provider: must be a string", "model: must be a string",
		"inputTokens: must be a number", "outputTokens: must be a whole number", "cachedTokens: must be a whole number",
		"usage.webSearch: must be one of inputAudioTokens, cachedAudioTokens, inputImageTokens, cachedImageTokens, inputVideoTokens, " +
			"outputAudioTokens, outputImageTokens, outputVideoTokens, citationTokens, webSearches, storageSearches, socialSearches, " +
			"rerankSearches, requests, images, pages, annotatedPages, audioMilliseconds, messages, codeExecutions",
		"usage.inputTokens: is a field of the event, not of usage",
		"usage.images: must be a number",
		"serviceTier: must be a string", "latencyMs: must be a number", "timeToFirstTokenMs: must be a number",
		"billedCostUsd: must be a number, in US dollars", "estimatedCostUsd: must be between 0 and 9000000 USD",
		"tags.a: must be a string", "isStreaming: must be true or false", "retryCount: must be a whole number",
		"prompt: must be a string", "metadata: must be an object", "project: must be a string", "eventId: must be a string",
	}
	if diff := cmp.Diff(want, problems(t, event)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	missing := []string{"inputTokens: is required", "outputTokens: is required", "latencyMs: is required"}
	if diff := cmp.Diff(missing, problems(t, `{"inputTokens":null}`)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{": must be an object"}, problems(t, `[1]`)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestDecodeTimestamps(t *testing.T) {
	for text, want := range map[string]string{
		"2026-11-01T12:00:00Z":               "2026-11-01T12:00:00Z",
		"2026-11-01T12:00:00.9999999Z":       "2026-11-01T12:00:00.999999Z",
		"2026-11-01T00:30:00+05:45":          "2026-10-31T18:45:00Z",
		"2026-11-01T12:00:00.123456789-08:0": "",
		"2026-11-01T12:00:00+24:00":          "",
		"2026-11-01T12:00:00,5Z":             "",
		"2026-11-01T1:00:00Z":                "",
		"2026-11-01t12:00:00z":               "2026-11-01T12:00:00Z",
		"0001-01-01T00:00:00Z":               "0001-01-01T00:00:00Z",
		"2026-11-01T24:00:00Z":               "",
		"2026-12-31T23:59:60Z":               "",
		"2026-02-29T00:00:00Z":               "",
		"2026-11-01":                         "",
		"2026-11-01T12:00:00":                "",
		"2026-11-01 12:00:00Z":               "",
		"1762000000":                         "",
		"":                                   "",
	} {
		got, err := decode([]byte(fmt.Sprintf(`{"events":[{"timestamp":%q}]}`, text)), JSON)
		if err != nil {
			t.Fatal(err)
		}
		e := got[0].Event
		bad := len(got[0].Problems) > 3
		if e.TimestampDefaulted || bad != (want == "") || (!bad && e.Timestamp.Format(time.RFC3339Nano) != want) {
			t.Errorf("timestamp %q: got %v, problems %v, want %q", text, e.Timestamp, got[0].Problems, want)
		}
	}
}

// What a range refuses must reach Validate as a value that it refuses.
func TestDecodeKeepsBadRangesBad(t *testing.T) {
	for field, values := range map[string][]string{
		"inputTokens":        {"-1", "-1e99", "1e99", "9223372036854775808", "1000000000001"},
		"retryCount":         {"-1", "1e7", "-1e30"},
		"latencyMs":          {"-1", "-0.0000001", "1e10", "1000000000.001", "1e400"},
		"timeToFirstTokenMs": {"-1", "-0.0000001", "1e10"},
		"usage.images":       {"-3", "1e40"},
	} {
		for _, value := range values {
			member := fmt.Sprintf("%q:%s", field, value)
			if name, ok := strings.CutPrefix(field, "usage."); ok {
				member = fmt.Sprintf(`"usage":{%q:%s}`, name, value)
			}
			got, err := decode([]byte(`{"events":[{`+member+`}]}`), JSON)
			if err != nil {
				t.Fatal(err)
			}
			found := false
			for _, p := range got[0].Event.Validate(time.Now()) {
				found = found || p.Field == field
			}
			if !found {
				t.Errorf("%s = %s passes Validate", field, value)
			}
		}
	}
}

// decode is Decode of the events alone.
func decode(body []byte, f Format) ([]ingest.Input, error) {
	b, err := Decode(body, f)
	return b.Events, err
}

func TestDecodeUnknownFields(t *testing.T) {
	got, err := Decode([]byte(`{"project":"shop","none":null,"events":[{"cachedToken":5,"x":{"deep":[1]},"y":null}],"partial\n":true}`), JSON)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(ingest.Unknown{"project", "partial?"}, got.Unknown); diff != "" {
		t.Errorf("beside the events (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(ingest.Unknown{"cachedToken", "x"}, got.Events[0].Unknown); diff != "" {
		t.Errorf("of the event (-want +got):\n%s", diff)
	}
}

func TestDecodeMetadata(t *testing.T) {
	deep := func(n int) string {
		return `{"inputTokens":1,"outputTokens":1,"latencyMs":1,"metadata":` + strings.Repeat(`{"a":`, n) + `1` + strings.Repeat(`}`, n) + `}`
	}
	if got := problems(t, deep(64)); len(got) > 0 {
		t.Errorf("64 levels: %v", got)
	}
	if diff := cmp.Diff([]string{"metadata: must not be nested deeper than 64 levels"}, problems(t, deep(65))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// One content has one form, and no number is touched.
	for _, text := range []string{
		`{"b":[1.0,12345678901234567890, 1e2],"a":{"y":"é","x":null}}`,
		"{ \"a\" : {\"x\":null,\n\"y\":\"\\u00e9\"},\t\"b\":[1.0,12345678901234567890,1e2] }",
	} {
		got, err := decode([]byte(`{"events":[{"metadata":`+text+`}]}`), JSON)
		if err != nil {
			t.Fatal(err)
		}
		if want := `{"a":{"x":null,"y":"é"},"b":[1.0,12345678901234567890,1e2]}`; string(got[0].Event.Metadata) != want {
			t.Errorf("metadata %s, want %s", got[0].Event.Metadata, want)
		}
	}
	for text, want := range map[string]int{`"\u0000"`: 1, `"\\u0000"`: 0, `"\\\u0000"`: 1, `"a\"b"`: 0, `"[[[["`: 0} {
		got := problems(t, `{"inputTokens":1,"outputTokens":1,"latencyMs":1,"metadata":{"k":`+text+`}}`)
		if len(got) != want {
			t.Errorf("metadata with %s: problems %v, want %d", text, got, want)
		}
	}
}

// The ids were computed by another program from the decision record alone: what
// the wire form says, however it says it, leads to the same identity for ever.
func TestIdentityFromTheWire(t *testing.T) {
	const chat = `{"traceId":"t","spanId":"s","feature":"chat","project":"p",`
	for _, tt := range []struct{ name, event, id string }{
		{
			"zone, nanoseconds, exponents, half a microsecond",
			chat + `"timestamp":"2026-03-20T14:34:56.7890129+02:00","provider":"azure-openai","model":"azure/gpt-4o","inputTokens":1e3,"outputTokens":200.0,"latencyMs":0.0005}`,
			"19a9d6271a40abad1da722ca5d9c3e4f",
		},
		{
			"counts of both kinds, and what does not count",
			chat + `"timestamp":"2026-03-20T12:34:56Z","provider":"openai","model":"gpt-4o","inputTokens":1000,"outputTokens":200,"cachedTokens":100,
				"reasoningTokens":0,"usage":{"webSearches":2,"images":0},"latencyMs":0.0015,"operation":"completion","serviceTier":"batch","tags":{"a":"b"},"billedCostUsd":1}`,
			"8e3d4887cb92c9af8e414bfba6cb467c",
		},
		{
			"an aggregate without names, text that is not normalised",
			`{"traceId":"t\u0301","spanId":"\u00e9","timestamp":"2026-03-20T12:34:56.000001Z","feature":"chat","aggregate":true,"latencyMs":1234.5678,"project":"p"}`,
			"40052ef8b73809732845f27e83103616",
		},
		{
			"an explicit id",
			chat + `"timestamp":"2026-03-20T12:34:56Z","provider":"openai","model":"gpt-4o","inputTokens":1,"outputTokens":2,"latencyMs":1,"eventId":"call-1"}`,
			"4728cc6ab58e5dade0e2c597a6cace4d",
		},
	} {
		got, err := decode([]byte(`{"events":[`+tt.event+`]}`), JSON)
		if err != nil || len(got[0].Problems) > 0 {
			t.Fatalf("%s: %v, %v", tt.name, got, err)
		}
		if id := got[0].Event.Identity().String(); id != tt.id {
			t.Errorf("%s: id %s, want %s", tt.name, id, tt.id)
		}
	}
}

func TestDecodeMalformed(t *testing.T) {
	for _, tt := range []struct{ body, want string }{
		{``, `The body is empty; it must be {"events":[…]}`},
		{" \n ", `The body is empty; it must be {"events":[…]}`},
		{`[]`, `The body must be a JSON object {"events":[…]}`},
		{`nonsense`, `The body must be a JSON object {"events":[…]}`},
		{`x`, `Malformed JSON at line 1, byte 0: invalid character 'x' at start of value`},
		{"{\"events\":[\n{\"traceId\":}]}", `Malformed JSON at line 2, byte 23, in events[0].traceId: invalid character '}' at start of value`},
		{`{"events":[{"traceId":"a"`, `Malformed JSON at line 1, byte 25: it ends too early`},
		{`{"events":[{"a":1,"a":2}]}`, `Malformed JSON at line 1, byte 18, in events[0].a: duplicate field`},
		{`{"events":[],"events":[]}`, `Malformed JSON at line 1, byte 13, in events: duplicate field`},
		{`{"events":[{"tags":{"x":"1","x":"2"}}]}`, `Malformed JSON at line 1, byte 28, in events[0].tags.x: duplicate field`},
		{"{\"events\":[{\"traceId\":\"\xff\"}]}", `Malformed JSON at line 1, byte 23, in events[0].traceId: invalid UTF-8`},
		{`{"events":[{"traceId":"\ud800"}]}`, `Malformed JSON at line 1, byte 23, in events[0].traceId: invalid surrogate pair ` + "`\\ud800\"}]}`" + ` in string`},
		{`{"events":[{"inputTokens":01}]}`, `Malformed JSON at line 1, byte 27, in events[0]: invalid character '1' after object value (expecting ',' or '}')`},
		{`{"events":[]}{}`, `The body goes on after its JSON object; send NDJSON as application/x-ndjson`},
		{`{"events":[]} x`, `The body goes on after its JSON object; send NDJSON as application/x-ndjson`},
	} {
		_, err := decode([]byte(tt.body), JSON)
		var got *fault.Error
		if !errors.As(err, &got) || got.Code != fault.Invalid || got.Message != tt.want {
			t.Errorf("Decode(%q)\n got %v\nwant %s", tt.body, err, tt.want)
		}
	}
	_, err := decode([]byte(`{"events":{}}`), JSON)
	if diff := cmp.Diff(fault.Field("events", "must be an array"), err); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestDecodeBrokenLines(t *testing.T) {
	body := sample(1) + "\n{broken\n" + sample(2) + "{}\n[]\n{\"a\":1,\"a\":2}\n" + sample(3)
	got, err := decode([]byte(body), NDJSON)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for i, in := range got {
		for _, p := range in.Problems {
			lines = append(lines, fmt.Sprintf("%d %s %s", i, p.Field, p.Rule))
		}
	}
	want := []string{
		"1  line 2 is not one JSON object: invalid character 'b' at start of value",
		"2  line 3 is not one JSON object: the line holds more than one value",
		"3  must be an object",
		"4  line 5 is not one JSON object: a: duplicate field",
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got[0].Event.TraceID != "trace-00000001" || got[5].Event.TraceID != "trace-00000003" {
		t.Errorf("lines around broken ones were lost: %q, %q", got[0].Event.TraceID, got[5].Event.TraceID)
	}
}

func TestDecodeBatchSize(t *testing.T) {
	if got, err := decode(batch(500), JSON); err != nil || len(got) != 500 {
		t.Errorf("500 events: %d, %v", len(got), err)
	}
	want := fault.Field("events", "must have 1 to 500 entries")
	_, err := decode(batch(501), JSON)
	if diff := cmp.Diff(want, err); diff != "" {
		t.Errorf("501 events (-want +got):\n%s", diff)
	}
	_, err = decode([]byte(strings.Repeat("{}\n", 501)), NDJSON)
	if diff := cmp.Diff(want, err); diff != "" {
		t.Errorf("501 lines (-want +got):\n%s", diff)
	}
	if got, err := decode([]byte(`{"a":1}`), JSON); err != nil || len(got) != 0 {
		t.Errorf("no events: %v, %v", got, err)
	}
}

// hostileBodies are made to hurt, at the full size that the server accepts.
func hostileBodies() map[string]string {
	const size = 5 << 20
	keys := func(prefix string) string {
		var b strings.Builder
		for i := 0; b.Len() < size-40; i++ {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `"%s%d":1`, prefix, i)
		}
		return b.String()
	}
	many := keys("")
	many = many[:strings.LastIndexByte(many[:10_000], ',')]
	tags := strings.ReplaceAll(keys(""), ":1", `:""`)
	tags = tags[:strings.LastIndexByte(tags[:size-40], ',')]
	return map[string]string{
		"a million members":  `{` + keys("") + `,"events":[]}`,
		"a million fields":   `{"events":[{` + keys("") + `}]}`,
		"a million usages":   `{"events":[{"usage":{` + keys("") + `}}]}`,
		"a million tags":     `{"events":[{"tags":{` + tags + `}}]}`,
		"bad tags":           `{"events":[{"tags":{` + keys("t") + `}}]}`,
		"tiny events":        `{"events":[` + strings.Repeat("{},", size/3) + `{}]}`,
		"scalars":            `{"events":[` + strings.Repeat("1,", size/2) + `1]}`,
		"problems of many":   `{"events":[` + strings.Repeat(`{"usage":{`+many+`}},`, 499) + `{}]}`,
		"deep arrays":        `{"events":` + strings.Repeat("[", size),
		"million metadata":   `{"events":[{"metadata":{` + keys("") + `}}]}`,
		"deep metadata":      `{"events":[{"metadata":` + strings.Repeat(`{"a":`, 9000) + `1` + strings.Repeat(`}`, 9000) + `}]}`,
		"long number":        `{"events":[{"inputTokens":` + strings.Repeat("9", size) + `}]}`,
		"long exponent":      `{"events":[{"latencyMs":1e` + strings.Repeat("9", size) + `}]}`,
		"long string":        `{"events":[{"feature":"` + strings.Repeat(`\u00e9`, size/6) + `"}]}`,
		"long unknown field": `{"events":[{"` + strings.Repeat("x", size) + `":1}]}`,
		"whitespace":         `{"events":` + strings.Repeat(" ", size) + `[]}`,
	}
}

// What a hostile body costs beside memory is time: see BenchmarkDecodeHostile.
func TestDecodeHostileBodies(t *testing.T) {
	for name, body := range hostileBodies() {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			batch, err := Decode([]byte(body), JSON)
			runtime.ReadMemStats(&after)
			// TotalAlloc counts garbage too, so it bounds the peak from above.
			if used := after.TotalAlloc - before.TotalAlloc; used > 150<<20 {
				t.Errorf("allocated %d MiB", used>>20)
			}
			if len(batch.Unknown) > 21 {
				t.Errorf("kept %d unknown members", len(batch.Unknown))
			}
			for _, in := range batch.Events {
				if len(in.Problems) > ingest.MaxProblems || len(in.Unknown) > 21 || len(in.Event.Tags) > usage.MaxTags+1 {
					t.Errorf("kept %d problems, %d unknown fields, %d tags", len(in.Problems), len(in.Unknown), len(in.Event.Tags))
				}
			}
			if err != nil && len(err.Error()) > 1000 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"events":[`+full+`]}`), false)
	f.Add([]byte(strings.ReplaceAll(full, "\n", "")+"\n{}\n{x"), true)
	f.Add(batch(2), false)
	f.Add([]byte(`{"events":[{"tags":{"\u0000":"\ud83d\ude00"},"metadata":{"a":"\u0000"},"usage":{"x":1}},[],null,5]}`), false)
	now := time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, body []byte, lines bool) {
		format := JSON
		if lines {
			format = NDJSON
		}
		inputs, err := decode(body, format)
		if err != nil {
			if fault.CodeOf(err) != fault.Invalid {
				t.Fatalf("error without a code for the client: %v", err)
			}
			return
		}
		for i := range inputs {
			in := &inputs[i]
			if len(in.Problems) > 0 {
				continue
			}
			// Without problems the required numbers were there, and what is left
			// to judge is Validate's: nothing else may be wrong with the event.
			again, err := decode(wire(&in.Event), JSON)
			in.Event.Project = "p"
			if bad := in.Event.Validate(now); len(bad) > 0 {
				continue
			}
			if err != nil {
				t.Fatalf("round trip: %v", err)
			}
			again[0].Event.Project = "p"
			if diff := cmp.Diff(in.Event, again[0].Event); diff != "" {
				t.Errorf("round trip (-first +second):\n%s", diff)
			}
		}
	})
}
