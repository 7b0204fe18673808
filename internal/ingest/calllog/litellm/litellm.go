// Package litellm reads spend logs of the LiteLLM proxy: rows of its table
// LiteLLM_SpendLogs as JSON or CSV, and the payloads of its generic callback, which
// say the same under nearly the same names (docs.litellm.ai: spend tracking,
// logging spec).
//
// Its spend is an estimate of its own, kept beside our price. Its prompt tokens
// include what was read from and written to a cache; rows of old versions, in
// which they do not, show by cache counts that are larger than the prompt.
package litellm

import (
	"strings"
	"time"

	"github.com/costprof/costprof/internal/ingest/calllog"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/usage"
)

// Kind is the format.
func Kind() calllog.Kind {
	return calllog.Kind{Name: "litellm", Feature: "litellm", Recognise: recognise, New: func() calllog.Format { return format{} }}
}

func recognise(o calllog.Object) bool {
	if rows := o.List("data"); len(rows) > 0 && !o.Has("object") {
		o = rows[0]
	}
	return o.Has("request_id") && o.Has("spend") || o.Has("call_type") && (o.Has("response_cost") || o.Has("custom_llm_provider"))
}

type format struct{}

// Read looks at a row, or at an answer that holds rows.
func (f format) Read(o calllog.Object, to *calllog.Sink) {
	if rows := o.List("data"); len(rows) > 0 && !o.Has("request_id") {
		for _, row := range rows {
			if recognise(row) {
				read(row, to)
			}
		}
		return
	}
	if recognise(o) {
		read(o, to)
	}
}

func read(o calllog.Object, to *calllog.Sink) {
	meta := o.Object("metadata")
	c := calllog.Call{
		ID: o.Text("request_id", "id"), TraceID: o.Text("trace_id", "session_id", "request_id", "id"), SpanID: o.Text("request_id", "id"),
		SessionID: o.Text("session_id"), Timestamp: o.Time("startTime", "start_time"), Model: o.Text("model", "model_group"),
		Operation: o.Text("call_type"), Streaming: o.Bool("stream"), Estimated: o.Amount("spend", "response_cost"),
		UserID: o.Text("end_user", "user"), Provider: o.Text("custom_llm_provider"),
		Department: meta.Text("user_api_key_team_alias"),
	}
	if c.UserID == "" {
		c.UserID = meta.Text("user_api_key_end_user_id", "user_api_key_user_id")
	}
	if c.Department == "" {
		c.Department = o.Text("team_id")
	}
	if c.Provider == "" {
		c.Provider = calllog.ProviderAt(o.Text("api_base"))
	}
	if c.Provider == "" {
		c.Provider = calllog.ProviderOf(c.Model)
	}
	c.Feature = meta.Object("spend_logs_metadata").Text("feature")
	if c.Feature == "" {
		c.Feature = o.Text("agent_id")
	}
	timing(o, &c)
	tags(o, meta, &c)
	status := o.Text("status")
	if status == "" {
		status = meta.Text("status")
	}
	if c.Error = status == "failure"; c.Error {
		e := meta.Object("error_information")
		if e.Empty() {
			e = o.Object("error_information")
		}
		c.ErrorCode = e.Text("error_code", "error_class")
	}
	counts(o, meta, &c)
	// A short id is one of a local server, or no id of its own.
	if !calllog.Unique(c.ID) {
		c.ID = ""
	} else if c.Error {
		c.ID = "litellm-" + c.ID // a retry may bear the same
	}
	if c.Counts == (usage.Counts{}) && (c.Estimated == nil || *c.Estimated == 0) && !c.Error {
		to.NoUsage()
		return
	}
	if c.Error && (c.Model == "" || c.Provider == "") {
		to.NoUsage() // refused before a model was chosen
		return
	}
	if strings.EqualFold(o.Text("cache_hit"), "true") {
		c.Billed = new(money.USD) // the gateway answered; nobody charged
		c.Tag("gatewayCache", "hit")
		if c.ID != "" { // the answer's id is that of the call that was charged
			c.ID = "litellm-cache-" + c.ID + c.Timestamp.Format(time.RFC3339Nano)
		}
	}
	to.Call(c)
}

func timing(o calllog.Object, c *calllog.Call) {
	ended, first := o.Time("endTime", "end_time"), o.Time("completionStartTime", "completion_start_time")
	if ended.After(c.Timestamp) && !c.Timestamp.IsZero() {
		c.Latency = ended.Sub(c.Timestamp)
	} else if ms, ok := o.Millis("request_duration_ms"); ok {
		c.Latency = ms
	}
	// Of a call that is not streamed both times are the same.
	if first.After(c.Timestamp) && first.Before(ended) {
		c.TimeToFirstToken, c.Streaming = first.Sub(c.Timestamp), true
	}
}

func tags(o, meta calllog.Object, c *calllog.Call) {
	for _, tag := range o.Texts("request_tags") {
		name, value, ok := strings.Cut(tag, ":")
		if !ok {
			name, value, ok = strings.Cut(tag, "=")
		}
		if !ok {
			value = "true"
		}
		c.Tag(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	if group := o.Text("model_group"); group != c.Model {
		c.Tag("modelGroup", group)
	}
	c.Tag("key", meta.Text("user_api_key_alias"))
	c.Tag("team", o.Text("team_id"))
	c.Tag("organization", o.Text("organization_id"))
	c.Tag("mcpTool", o.Text("mcp_namespaced_tool_name"))
}

// counts takes the detailed usage, and the row's own sums where there is none.
func counts(o, meta calllog.Object, c *calllog.Call) {
	u := meta.Object("usage_object")
	if u.Empty() {
		u = o.Object("usage_object")
	}
	if !u.Has("prompt_tokens") && !u.Has("input_tokens") {
		c.Count(usage.Input, o.Count("prompt_tokens"))
		c.Count(usage.Output, o.Count("completion_tokens"))
		extra := meta.Object("additional_usage_values")
		c.Count(usage.CacheRead, extra.Count("cache_read_input_tokens"))
		c.Count(usage.CacheWrite, extra.Count("cache_creation_input_tokens"))
	} else {
		c.OpenAIUsage(u)
		c.Billed = nil // what a gateway says is the row's spend
	}
	within := c.Counts[usage.CacheRead] + c.Counts[usage.CacheWrite] + c.Counts[usage.CacheWrite1h]
	if within > c.Counts[usage.Input] {
		c.Count(usage.Input, c.Counts[usage.Input]+within)
	}
}
