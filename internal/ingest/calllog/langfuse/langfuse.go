// Package langfuse reads exports of Langfuse: observations as its API, its table
// exports and its blob storage exports write them, as JSON or CSV, with the names
// of the API (traceId) or of the storage (trace_id). Source: langfuse.com/docs
// (observations API, token and cost tracking).
//
// The buckets of usageDetails are disjoint and freely named. What a span sums up
// of its children counts with the children and not with the span.
package langfuse

import (
	"strings"

	"github.com/costprof/costprof/internal/ingest/calllog"
)

// Kind is the format. Its formats share what is known of the tree of
// observations, so that a trace may lie in several files.
func Kind() calllog.Kind {
	t := newTree()
	return calllog.Kind{
		Name: "langfuse", Feature: "langfuse", Recognise: recognise,
		New:    func() calllog.Format { return format{t} },
		Survey: func(o calllog.Object) { each(o, t.add) },
	}
}

// each gives the observations in a record: itself, those of an answer, or those
// of a trace.
func each(o calllog.Object, do func(calllog.Object)) {
	if observation(o) {
		do(o)
		return
	}
	for _, name := range []string{"data", "observations"} {
		for _, in := range o.List(name) {
			each(in, do)
		}
	}
}

func recognise(o calllog.Object) bool {
	found := false
	each(o, func(calllog.Object) { found = true })
	return found
}

// types are the kinds of observations.
var types = map[string]bool{
	"GENERATION": true, "SPAN": true, "EVENT": true, "AGENT": true, "TOOL": true, "CHAIN": true, "RETRIEVER": true, "EVALUATOR": true, "EMBEDDING": true,
	"GUARDRAIL": true,
}

func observation(o calllog.Object) bool {
	return o.Text("id") != "" && o.Text("traceId", "trace_id") != "" && types[strings.ToUpper(o.Text("type"))]
}

type format struct{ tree *tree }

// Read looks at a record.
func (f format) Read(o calllog.Object, to *calllog.Sink) {
	each(o, func(in calllog.Object) { f.read(in, to) })
	if o.IsList("observations") || o.IsList("data") {
		to.NoUsage()
	}
}

func (f format) read(o calllog.Object, to *calllog.Sink) {
	b := counts(o)
	estimated := cost(o)
	if b.empty() && (estimated == nil || *estimated == 0) {
		to.NoUsage()
		return
	}
	id, trace := o.Text("id"), o.Text("traceId", "trace_id")
	c := calllog.Call{
		ID: "langfuse-" + id, TraceID: trace, SpanID: id, ParentSpanID: o.Text("parentObservationId", "parent_observation_id"), Name: o.Text("name"),
		Timestamp: o.Time("startTime", "start_time"), Model: o.Text("model", "providedModelName", "provided_model_name", "internalModelId"),
		Estimated: estimated, UserID: o.Text("userId", "user_id"), SessionID: o.Text("sessionId", "session_id"), Environment: o.Text("environment"),
		Feature: o.Text("traceName", "trace_name"), Operation: strings.ToLower(o.Text("type")),
	}
	if c.Feature == "" {
		c.Feature = c.Name
	}
	ended, first := o.Time("endTime", "end_time"), o.Time("completionStartTime", "completion_start_time")
	if ended.After(c.Timestamp) && !c.Timestamp.IsZero() {
		c.Latency = ended.Sub(c.Timestamp)
	}
	if first.After(c.Timestamp) && !first.After(ended) {
		c.TimeToFirstToken, c.Streaming = first.Sub(c.Timestamp), true
	}
	if o.Text("level") == "ERROR" {
		c.Error = true
	}
	meta := o.Object("metadata")
	c.Provider = meta.Text("ls_provider", "provider", "gen_ai.system", "gen_ai.provider.name")
	if c.Provider == "" {
		c.Provider = meta.Object("attributes").Text("gen_ai.provider.name", "gen_ai.system")
	}
	if c.Provider == "" {
		c.Provider = calllog.ProviderOf(c.Model)
	}
	for _, tag := range append(o.Texts("tags"), o.Texts("traceTags")...) {
		c.Tag(tag, "true")
	}
	c.Tag("prompt", o.Text("promptName", "prompt_name"))
	c.Tag("version", o.Text("version"))
	c.Tag("release", o.Text("release"))
	b.apply(&c)
	c.Aggregate = f.tree.sums(o)
	// Sums too: what lies below one may be in a later export, and then it must be
	// told as it was before.
	if c.Provider == "" {
		c.Provider = "unknown"
	}
	if c.Model == "" {
		c.Model = "unknown"
	}
	// A sender may write an observation again; the last counts.
	to.Put(c.ID, c, true)
}
