package responses

import (
	"strconv"
	"strings"
	"time"

	"github.com/costprof/costprof/internal/ingest/calllog"
	"github.com/costprof/costprof/internal/usage"
)

// start is a call with what stood around its body.
func (b *found) start(provider string) calllog.Call {
	a := &b.around
	c := calllog.Call{
		TraceID: a.trace, SpanID: a.span, ParentSpanID: a.parent, Name: a.name, Feature: a.feature, Timestamp: a.begun, Provider: a.provider,
		Model: a.model, Region: a.region, Latency: a.latency, TimeToFirstToken: a.first,
		UserID: a.user, SessionID: a.session, Environment: a.environment, ServiceTier: a.tier,
	}
	for name, text := range a.tags {
		c.Tag(name, text)
	}
	if c.Latency == 0 && !a.ended.IsZero() && a.ended.After(a.begun) {
		if a.begun.IsZero() {
			c.Timestamp = a.ended
		} else {
			c.Latency = a.ended.Sub(a.begun)
		}
	}
	if c.TimeToFirstToken > c.Latency {
		c.TimeToFirstToken = 0
	}
	if a.status >= 400 {
		c.Error, c.ErrorCode = true, strconv.FormatInt(a.status, 10)
	}
	if c.Provider == "" {
		c.Provider = calllog.ProviderAt(a.host)
	}
	if c.Provider == "" {
		c.Provider = provider
	}
	return c
}

// identify gives a call the id of its response. A short id is no identity of its
// own: local servers count, or draw one of a thousand; with the time, and what
// was counted, it is one.
func identify(c *calllog.Call, id string, created string) {
	switch {
	case id == "":
	case calllog.Unique(id):
		c.ID = id
	case created != "" && created != "0":
		parts := []string{id, created, c.Model}
		for _, n := range c.Counts {
			parts = append(parts, strconv.FormatInt(n, 10))
		}
		c.ID = id + "-" + calllog.Hash(parts...)
	}
}

// openAIProvider says who served a body in OpenAI's form.
func openAIProvider(o calllog.Object, model string) string {
	switch {
	case o.IsText("provider") && strings.HasPrefix(o.Text("id"), "gen-"):
		return "openrouter"
	case o.Has("prompt_filter_results"), o.Has("content_filters"):
		return "azure"
	case o.Has("x_groq"):
		return "groq"
	}
	for _, choice := range o.List("choices") {
		if choice.Has("content_filter_results") {
			return "azure"
		}
	}
	if p := calllog.ProviderOf(model); p != "" {
		return p
	}
	return "openai"
}

// completion is a whole body: chat completion, completion, response, embedding,
// image or transcription.
func (f *format) completion(b found, to *calllog.Sink) {
	o := b.body
	c, has := b.openAI(o)
	if !has {
		to.NoUsage()
		return
	}
	// Of a response that was asked for again while it was made, the last counts.
	if id := c.ID; id != "" && o.Text("object") == "response" {
		status := o.Text("status")
		to.Put(id, c, status != "in_progress" && status != "queued")
		return
	}
	to.Call(c)
}

// openAI makes a call of a body that has usage.
func (b *found) openAI(o calllog.Object) (calllog.Call, bool) {
	u := o.Object("usage")
	if u.Empty() {
		u = o.Object("x_groq").Object("usage")
	}
	if u.Empty() {
		return calllog.Call{}, false
	}
	model := o.Text("model")
	if model == "" {
		model = b.around.model
	}
	c := b.start(openAIProvider(o, model))
	c.Model = model
	if t := o.Time("created", "created_at"); c.Timestamp.IsZero() && t.Year() > 2000 {
		c.Timestamp = t
	}
	if done := o.Time("completed_at"); c.Latency == 0 && done.After(c.Timestamp) && o.Has("created_at") {
		c.Latency = done.Sub(c.Timestamp)
	}
	// "auto" is what was asked for; what was served is another word.
	if tier := o.Text("service_tier"); tier != "" && tier != "auto" && c.ServiceTier == "" {
		c.ServiceTier = tier
	}
	c.OpenAIUsage(u)
	c.Count(usage.WebSearches, max(c.Counts[usage.WebSearches], searches(o, "web_search_call")))
	c.Count(usage.StorageSearches, searches(o, "file_search_call"))
	if c.UserID == "" {
		c.UserID = o.Text("user", "safety_identifier")
	}
	c.Operation = operation(o)
	if o.Text("status") == "failed" || o.Object("error").Has("message") {
		c.Error, c.ErrorCode = true, o.Object("error").Text("code")
	}
	id := o.Text("id")
	if id == "" && calllog.Unique(b.around.id) {
		id = b.around.id
	}
	identify(&c, id, o.Text("created", "created_at"))
	return c, true
}

func operation(o calllog.Object) string {
	data := o.List("data")
	switch {
	case o.Text("object") == "response", o.IsList("choices"):
		return "chat"
	case o.Text("object") == "list" || len(data) > 0 && data[0].Has("embedding"):
		return "embeddings"
	case len(data) > 0 && (data[0].Has("b64_json") || data[0].Has("url")):
		return "images"
	case o.Has("text"):
		return "transcription"
	}
	return ""
}

// searches counts the tool calls of a response that ran. Opening a page that
// a search found is not another search.
func searches(o calllog.Object, typ string) (n int64) {
	for _, item := range o.List("output") {
		action := item.Object("action").Text("type")
		if item.Text("type") == typ && item.Text("status") != "failed" && (action == "" || action == "search") {
			n++
		}
	}
	return n
}

// chunk is a piece of a streamed chat completion. The last one holds the usage,
// if it was asked for; some servers tell it with each.
func (f *format) chunk(b found, to *calllog.Sink) {
	o := b.body
	id := o.Text("id")
	if id == "" {
		to.Part() // Azure's first chunk has the filters' results alone
		return
	}
	key := "chunk:" + id
	choices := o.List("choices")
	if len(choices) > 0 && to.Finished(key) && !calllog.Unique(id) {
		to.Close(key) // the number came again
	}
	c, has := b.openAI(o)
	before := to.Open(key)
	switch {
	case !has && before != nil:
		to.Part()
		return
	case !has:
		c = b.start(openAIProvider(o, o.Text("model")))
		c.Model, c.NoUsage = o.Text("model"), true
		if t := o.Time("created"); c.Timestamp.IsZero() && t.Year() > 2000 {
			c.Timestamp = t
		}
	}
	c.Operation, c.Streaming = "chat", true
	if before != nil {
		c.TimeToFirstToken, c.Latency = keep(before.TimeToFirstToken, c.TimeToFirstToken), keep(c.Latency, before.Latency)
		if begun := before.Timestamp; !b.around.begun.IsZero() && c.Latency == 0 && b.around.begun.After(begun) {
			c.Latency = b.around.begun.Sub(begun)
		}
		if !calllog.Unique(id) && before.ID != "" {
			c.ID = before.ID
		}
	}
	finished := len(choices) == 0
	for _, choice := range choices {
		finished = finished || choice.Text("finish_reason") != ""
	}
	to.Put(key, c, has && finished)
}

func keep(a, b time.Duration) time.Duration {
	if a != 0 {
		return a
	}
	return b
}

// event is one event of a streamed response; some hold the response as it is by
// then.
func (f *format) event(b found, to *calllog.Sink) {
	o := b.body.Object("response")
	if o.Empty() {
		to.Part()
		return
	}
	c, has := b.openAI(o)
	key := "event:" + o.Text("id")
	if !has {
		if to.Open(key) != nil {
			to.Part()
			return
		}
		c = b.start(openAIProvider(o, o.Text("model")))
		c.Model, c.NoUsage, c.Timestamp = o.Text("model"), true, o.Time("created_at")
	}
	c.Streaming, c.Operation = true, "chat"
	switch b.body.Text("type") {
	case "response.completed", "response.incomplete", "response.failed":
		to.Put(key, c, has)
	default:
		to.Put(key, c, false)
	}
}
