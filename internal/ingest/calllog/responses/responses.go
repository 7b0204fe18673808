// Package responses reads logs of what providers answered: one response body a
// record, as OpenAI (chat completions, responses, embeddings and what speaks like
// them), Anthropic (messages), Google (generateContent) and Amazon (Bedrock)
// define them; bodies within what a gateway, a batch or an own logger writes around
// them; and streamed answers, event by event.
//
// Where a body says who served it under which name at which tier, that counts, and
// not what was asked for. Tools are counted when they were used, not when they
// were offered.
package responses

import (
	"strings"
	"time"

	"github.com/costprof/costprof/internal/ingest/calllog"
)

// Kind is the format.
func Kind() calllog.Kind {
	return calllog.Kind{Name: "responses", Feature: "imported", Recognise: recognise, New: func() calllog.Format { return &format{} }}
}

// deepest is how many wrappings are opened.
const deepest = 4

func recognise(o calllog.Object) bool {
	// An own event, or a row of another logger, is none.
	if o.Has("inputTokens", "feature") || o.Has("spend") || o.Has("payload", "type") || o.Has("sessionId", "type") {
		return false
	}
	_, ok := find(o, around{}, 0)
	return ok
}

// format reads one source.
type format struct {
	// message and content are the keys of the Anthropic and the Gemini stream on
	// their way; their events do not say whose they are.
	message, content string
	// streams numbers the streams that have no id.
	streams int
}

// Read looks at a record.
func (f *format) Read(o calllog.Object, to *calllog.Sink) {
	b, ok := find(o, around{}, 0)
	if !ok {
		if o.Has("error") || o.Object("response").Has("error") {
			to.NoUsage()
		}
		return
	}
	f.read(b, to)
}

// Done ends the streams on their way: a source of server-sent events says so.
func (f *format) Done(to *calllog.Sink) {
	for _, key := range []*string{&f.message, &f.content} {
		if *key != "" {
			to.Close(*key)
		}
		*key = ""
	}
}

// found is a body and what stood around it.
type found struct {
	kind   kind
	body   calllog.Object
	around around
	// chunks are the pieces of a streamed answer within one record.
	chunks []calllog.Object
}

func (f *format) read(b found, to *calllog.Sink) {
	if b.chunks != nil {
		f.streams++
		for _, chunk := range b.chunks {
			if k := classify(chunk); k != none {
				f.read(found{kind: k, body: chunk, around: b.around}, to)
			}
		}
		f.Done(to)
		return
	}
	switch b.kind {
	case none:
	case failure:
		to.NoUsage()
	case openAI:
		f.completion(b, to)
	case openAIChunk:
		f.chunk(b, to)
	case openAIEvent:
		f.event(b, to)
	case anthropic:
		f.anthropic(b, to)
	case anthropicEvent:
		f.anthropicEvent(b, to)
	case gemini:
		f.gemini(b, to)
	case converse:
		f.converse(b, to)
	case invocation:
		f.invocation(b, to)
	}
}

type kind int

const (
	none kind = iota
	failure
	openAI
	openAIChunk
	openAIEvent
	anthropic
	anthropicEvent
	gemini
	converse
	invocation
)

// classify says what a body is, by its own members.
func classify(o calllog.Object) kind {
	typ, object := o.Text("type"), o.Text("object")
	usage := o.Object("usage")
	switch {
	case o.Text("schemaType") == "ModelInvocationLog":
		return invocation
	case typ == "message_start" && !o.Object("message").Empty(), typ == "message_delta" && (o.Has("delta") || o.Has("usage")),
		typ == "message_stop", typ == "ping" && len(o.Names()) == 1, strings.HasPrefix(typ, "content_block_"):
		return anthropicEvent
	case strings.HasPrefix(typ, "response."):
		return openAIEvent
	case typ == "message" && usage.Has("input_tokens") && !o.Has("object"):
		return anthropic
	case object == "chat.completion.chunk", object == "text_completion.chunk":
		return openAIChunk
	case o.Has("usageMetadata"), o.Has("usage_metadata"), o.IsList("candidates"):
		return gemini
	case usage.Has("inputTokens", "outputTokens") && (o.Has("stopReason") || o.Has("metrics") || o.Has("output")):
		return converse
	case object == "chat.completion", object == "text_completion", object == "response", object == "list" && o.Has("data", "usage"),
		usage.Has("prompt_tokens"), usage.Has("input_tokens"), usage.Text("type") == "duration",
		o.IsList("choices") && o.Has("model"):
		if delta := o.List("choices"); len(delta) > 0 && delta[0].Has("delta") {
			return openAIChunk
		}
		return openAI
	case typ == "error" && o.Has("error"), o.Has("error") && len(o.Names()) <= 2:
		return failure
	}
	return none
}

// wrapped are the members in which loggers and batches put a body.
var wrapped = []string{"response", "body", "response_body", "responseBody", "result", "message", "output", "completion", "raw_response", "data", "json"}

// find opens what is around a body.
func find(o calllog.Object, a around, depth int) (found, bool) {
	k := classify(o)
	if k != none && (k != failure || depth > 0) {
		return found{kind: k, body: o, around: a}, true
	}
	if depth == deepest || o.Empty() {
		return found{}, false
	}
	a.take(o)
	for _, name := range wrapped {
		if in := o.Object(name); !in.Empty() {
			if b, ok := find(in, a, depth+1); ok {
				return b, true
			}
			continue
		}
		if chunks := pieces(o, name); len(chunks) > 0 {
			return found{around: a, chunks: chunks}, true
		}
	}
	return found{}, false
}

// pieces are the chunks of a streamed answer: a list of them, or the
// server-sent events as text.
func pieces(o calllog.Object, name string) []calllog.Object {
	var list []calllog.Object
	if text := o.Text(name); o.IsText(name) && (strings.HasPrefix(text, "data:") || strings.HasPrefix(text, "event:")) {
		for line := range strings.Lines(text) {
			data, ok := strings.CutPrefix(strings.TrimSpace(line), "data:")
			if in, parsed := o.ParseText(strings.TrimSpace(data)); ok && parsed {
				list = append(list, in)
			}
		}
	} else {
		list = o.List(name)
	}
	for _, in := range list {
		if k := classify(in); k != none && k != failure {
			return list
		}
	}
	return nil
}

// around is what stands around a body. An inner value replaces an outer one.
type around struct {
	begun, ended        time.Time
	latency, first      time.Duration
	provider, host      string
	model               string
	user, session       string
	trace, span, parent string
	feature, name       string
	environment, tier   string
	region, id          string
	status              int64
	tags                map[string]string
}

func set(to *string, text string) {
	if text != "" {
		*to = text
	}
}

// take reads what loggers write around a body.
func (a *around) take(o calllog.Object) {
	if t := o.Time("timestamp", "startTime", "start_time", "start", "requestTime", "request_time", "request_timestamp",
		"created_at", "createdAt", "request_created_at", "@timestamp", "time", "ts", "date", "processed_time"); !t.IsZero() {
		a.begun = t
	}
	if t := o.Time("endTime", "end_time", "end", "response_timestamp", "completed_at", "response_created_at"); !t.IsZero() {
		a.ended = t
	}
	if d, ok := o.Millis("latencyMs", "latency_ms", "durationMs", "duration_ms", "elapsed_ms", "delay_ms", "response_time_ms", "response_time", "latency", "duration", "elapsed"); ok {
		a.latency = d
	} else if d, ok := o.Seconds("latency_s", "duration_s", "latency_seconds", "duration_seconds"); ok {
		a.latency = d
	}
	if d, ok := o.Millis("timeToFirstTokenMs", "time_to_first_token_ms", "ttft_ms", "time_to_first_token"); ok {
		a.first = d
	}
	set(&a.provider, o.Text("provider", "custom_llm_provider", "vendor"))
	set(&a.host, o.Text("url", "api_base", "base_url", "endpoint", "host", "target_url"))
	set(&a.model, o.Text("model", "modelId", "model_id", "model_name"))
	set(&a.user, o.Text("userId", "user_id", "user", "end_user"))
	set(&a.session, o.Text("sessionId", "session_id", "conversation_id"))
	set(&a.trace, o.Text("traceId", "trace_id"))
	set(&a.span, o.Text("spanId", "span_id"))
	set(&a.parent, o.Text("parentSpanId", "parent_span_id"))
	set(&a.feature, o.Text("feature", "use_case"))
	set(&a.name, o.Text("name"))
	set(&a.environment, o.Text("environment", "env"))
	set(&a.region, o.Text("region"))
	set(&a.id, o.Text("request_id", "requestId", "id", "key", "custom_id"))
	if n := o.Object("response").Count("status_code", "statusCode", "status"); n != 0 {
		a.status = n
	} else if text := o.Text("status_code", "statusCode"); text != "" {
		a.status = o.Count("status_code", "statusCode")
	}
	if strings.HasPrefix(o.Text("id"), "batch_req_") || o.Has("custom_id", "result") {
		a.tier = "batch"
	}
	request := o.Object("request")
	if in := request.Object("body"); !in.Empty() {
		set(&a.host, request.Text("url"))
		request = in
	}
	set(&a.model, request.Text("model", "modelId"))
	set(&a.host, o.Object("request").Text("url"))
	set(&a.user, request.Object("metadata").Text("user_id"))
	set(&a.user, request.Text("user", "safety_identifier"))
	for _, tags := range []calllog.Object{o.Object("tags"), o.Object("properties")} {
		for _, name := range tags.Names() {
			if text := tags.Text(name); text != "" {
				if a.tags == nil {
					a.tags = map[string]string{}
				}
				a.tags[name] = text
			}
		}
	}
}
