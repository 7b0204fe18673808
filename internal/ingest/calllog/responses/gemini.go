package responses

import (
	"strconv"
	"strings"

	"github.com/costprof/costprof/internal/ingest/calllog"
	"github.com/costprof/costprof/internal/usage"
)

// gemini is a body of generateContent or embedContent, whole or a piece of a
// streamed one: pieces tell the usage so far, and the last has a finishReason.
// Older ones have no responseId; those up to a finishReason are one answer.
func (f *format) gemini(b found, to *calllog.Sink) {
	o := b.body
	meta := o.Object(o.First("usageMetadata", "usage_metadata"))
	c := b.start("google")
	if model := o.Text("modelVersion", "model_version"); model != "" {
		c.Model = model
	}
	if t := o.Time("createTime", "create_time"); c.Timestamp.IsZero() {
		c.Timestamp = t
	}
	c.Operation = "chat"
	batch := c.ServiceTier
	c.GeminiUsage(meta)
	if batch != "" {
		c.ServiceTier = batch
	}
	c.NoUsage = meta.Empty()
	grounded(o, &c)
	done := len(o.List("candidates")) == 0
	for _, candidate := range o.List("candidates") {
		done = done || candidate.Text("finishReason", "finish_reason") != ""
	}
	id := o.Text("responseId", "response_id")
	identify(&c, id, o.Text("createTime", "create_time"))
	key := "content:" + id
	if id == "" {
		if f.content == "" {
			f.streams++
			f.content = "content:#" + strconv.Itoa(f.streams)
		}
		key = f.content
	}
	if before := to.Open(key); before != nil {
		c.Streaming = true
		if c.NoUsage { // the piece tells nothing new
			kept := *before
			kept.Streaming = true
			c = kept
		}
		c.Count(usage.WebSearches, max(c.Counts[usage.WebSearches], before.Counts[usage.WebSearches]))
		if c.Model == "" {
			c.Model = before.Model
		}
		f.passed(&c, b)
	} else if !done {
		c.Streaming = true
	}
	to.Put(key, c, done && !c.NoUsage)
	if id == "" && done {
		to.Close(key)
		f.content = ""
	}
}

// grounded counts searches: up to Gemini 2.5 a grounded prompt is charged once,
// from Gemini 3 each query is (ai.google.dev/gemini-api/docs/pricing).
func grounded(o calllog.Object, c *calllog.Call) {
	var queries int64
	for _, candidate := range o.List("candidates") {
		ground := candidate.Object(candidate.First("groundingMetadata", "grounding_metadata"))
		for _, q := range ground.Texts(ground.First("webSearchQueries", "web_search_queries")) {
			if q != "" {
				queries++
			}
		}
	}
	name := strings.TrimPrefix(c.Model, "models/")
	if queries > 1 && (strings.HasPrefix(name, "gemini-1") || strings.HasPrefix(name, "gemini-2")) {
		queries = 1
	}
	c.Count(usage.WebSearches, queries)
}
