package calllog_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/costprof/costprof/internal/ingest/calllog"
	"github.com/costprof/costprof/internal/ingest/jsonevents"
)

// fuzz reads anything as one format: nothing panics, every record has one
// outcome, every event is one that the server can read, and the same source gives
// the same events.
func fuzz(f *testing.F, name string, seeds ...string) {
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		read := func() ([]string, calllog.Tally) {
			var kind calllog.Kind
			for _, k := range allKinds() {
				if k.Name == name {
					kind = k
				}
			}
			o := calllog.Options{Kind: kind, Changed: changed, Head: []byte(text), Growing: len(text)%2 == 0}
			if kind.Survey != nil {
				if err := calllog.Survey(strings.NewReader(text), o); err != nil {
					t.Fatal(err)
				}
			}
			r := calllog.Open(strings.NewReader(text), o)
			var out []string
			bad := 0
			for e, err := range r.Events() {
				var broken *calllog.RecordError
				switch {
				case errors.As(err, &broken):
					bad++
					if broken.Line < 1 || broken.Problem == "" {
						t.Fatalf("%+v", broken)
					}
				case err != nil:
					t.Fatal(err)
				default:
					batch, err := jsonevents.Decode([]byte(`{"events":[`+string(e.JSON)+`]}`), jsonevents.JSON)
					if err != nil || len(batch.Events[0].Problems) > 0 || len(batch.Events[0].Unknown) > 0 {
						t.Fatalf("%s: %v %+v", e.JSON, err, batch)
					}
					if batch.Events[0].Event.EventID == "" || batch.Events[0].Event.TimestampDefaulted {
						t.Fatalf("%s cannot be recognised again", e.JSON)
					}
					out = append(out, string(e.JSON))
				}
			}
			y := r.Tally()
			if y.Calls+y.Parts+y.NoUsage+y.Malformed+y.Unknown+y.Unfinished != y.Records || y.Calls != len(out) || y.Malformed != bad {
				t.Fatalf("%+v, %d events, %d errors", y, len(out), bad)
			}
			return out, y
		}
		once, tally := read()
		twice, again := read()
		if diff := cmp.Diff(once, twice) + cmp.Diff(tally, again); diff != "" {
			t.Fatal(diff)
		}
	})
}

func FuzzResponses(f *testing.F) {
	fuzz(f, "responses", anthropicStream,
		`{"id":"chatcmpl-1","object":"chat.completion","created":1793534400,"model":"gpt-4o","usage":{"prompt_tokens":2,"completion_tokens":1,"cost":0.1}}`,
		`{"timestamp":1793534400,"response":{"candidates":[{"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":1,"promptTokensDetails":[{"modality":"VIDEO","tokenCount":1}]}}}`,
		`[{"schemaType":"ModelInvocationLog","modelId":"m","input":{"inputTokenCount":1},"output":{"outputTokenCount":1}}]`,
		`{"result":"data: {\"type\":\"response.completed\",\"response\":{\"id\":\"r\",\"usage\":{\"input_tokens\":1}}}\n"}`)
}

func FuzzClaudeCode(f *testing.F) { fuzz(f, "claude-code", user+message(m1, "r", "", 1, "")) }

func FuzzCodex(f *testing.F) {
	fuzz(f, "codex", codexHead("s", "")+tokens([5]int{1, 1, 1, 1}, [5]int{1, 1, 1, 1}, 1))
}

func FuzzLiteLLM(f *testing.F) { fuzz(f, "litellm", spendRow, "request_id,spend\na,1\n") }

func FuzzLangfuse(f *testing.F) {
	fuzz(f, "langfuse", observation("o", "p", "SPAN", `"usageDetails":{"input":1,"output":2,"total":3}`), `{"data":[`+observation("o", "p", "GENERATION", `"usage":{"total":3}`)+`]}`)
}

func FuzzRecognise(f *testing.F) {
	f.Add("[{\n")
	f.Add("a,b\n\"")
	f.Fuzz(func(_ *testing.T, text string) { calllog.Recognise([]byte(text), allKinds()) })
}

// An Anthropic message told in pieces is the message told whole, whatever the
// pieces leave out.
func TestAnthropicPiecesMakeTheWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(0, 1_000_000)
		whole := map[string]any{
			"input_tokens": n.Draw(t, "input"), "cache_read_input_tokens": n.Draw(t, "read"), "cache_creation_input_tokens": n.Draw(t, "write"),
			"output_tokens": n.Draw(t, "output"), "service_tier": "standard",
		}
		write := whole["cache_creation_input_tokens"].(int64)
		hour := rapid.Int64Range(0, write).Draw(t, "hour")
		whole["cache_creation"] = map[string]any{"ephemeral_1h_input_tokens": hour, "ephemeral_5m_input_tokens": write - hour}
		first, last := map[string]any{"output_tokens": 1}, map[string]any{}
		for name, value := range whole {
			if name != "output_tokens" && rapid.Bool().Draw(t, name) {
				first[name] = value
			} else {
				last[name] = value
			}
		}
		line := func(v any) string {
			b, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			return string(b) + "\n"
		}
		head := func(u map[string]any) map[string]any {
			return map[string]any{"id": m1, "type": "message", "model": "claude-opus-4-5", "content": []any{}, "usage": u}
		}
		one := readOne(t, line(head(whole)))
		told := readOne(t, line(map[string]any{"type": "message_start", "message": head(first)})+line(map[string]any{"type": "message_delta", "delta": map[string]any{"stop_reason": "end_turn"}, "usage": last}))
		if diff := cmp.Diff(one, told); diff != "" {
			t.Fatal(diff)
		}
		if sum := one["inputTokens"]; sum != whole["input_tokens"].(int64)+whole["cache_read_input_tokens"].(int64)+write {
			t.Fatalf("%v of %v", one, whole)
		}
	})
}

func readOne(t *rapid.T, text string) map[string]int64 {
	kind, ok := calllog.Recognise([]byte(text), allKinds())
	if !ok {
		t.Fatalf("not recognised: %s", text)
	}
	r := calllog.Open(strings.NewReader(text), calllog.Options{Kind: kind, Changed: changed, Head: []byte(text)})
	var out map[string]int64
	for e, err := range r.Events() {
		if err != nil || out != nil {
			t.Fatalf("%v, %v", out, err)
		}
		batch, err := jsonevents.Decode([]byte(`{"events":[`+string(e.JSON)+`]}`), jsonevents.JSON)
		if err != nil {
			t.Fatal(err)
		}
		out = counts(batch.Events[0].Event)
	}
	return out
}

// The memory of a reader does not grow with streams that never end.
func TestOpenCallsAreBounded(t *testing.T) {
	var b strings.Builder
	const n = 6000
	for i := range n {
		b.WriteString(message("msg_01AbCdEfGhIjKlMnOpQr"+string(rune('a'+i%26))+strings.Repeat("x", i/26), "r", "", 1, ""))
		if b.Len() > 8<<20 {
			break
		}
	}
	r := load(t, b.String()).valid(t)
	if len(r.events) < 2100 || len(ids(r.events)) != len(r.events) {
		t.Errorf("%d events, %d identities, %+v", len(r.events), len(ids(r.events)), r.Tally)
	}
}
