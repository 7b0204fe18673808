package responses

import (
	"time"

	"github.com/costprof/costprof/internal/ingest/calllog"
	"github.com/costprof/costprof/internal/usage"
)

// converse is a body of Bedrock's Converse. Input excludes what was read from and
// written to the cache (docs.aws.amazon.com, TokenUsage). Neither model nor id is
// in it.
func (f *format) converse(b found, to *calllog.Sink) {
	c := b.start("aws")
	converseUsage(&c, b.body.Object("usage"))
	if ms, ok := b.body.Object("metrics").Millis("latencyMs"); ok && c.Latency == 0 {
		c.Latency = ms
	}
	if tier := b.body.Object("serviceTier").Text("type"); tier != "" {
		c.ServiceTier = tier
	}
	c.Operation = "chat"
	identify(&c, b.around.id, b.around.stamp())
	to.Call(c)
}

func converseUsage(c *calllog.Call, u calllog.Object) {
	read, write := u.Count("cacheReadInputTokens", "cacheReadInputTokenCount"), u.Count("cacheWriteInputTokens", "cacheWriteInputTokenCount")
	var hour int64
	for _, d := range u.List("cacheDetails") {
		if d.Text("ttl") == "1h" {
			hour += d.Count("inputTokens")
		}
	}
	if hour > write {
		u.Complain("cacheDetails", "must not hold more than cacheWriteInputTokens")
	}
	c.Count(usage.Input, u.Count("inputTokens", "inputTokenCount")+read+write)
	c.Count(usage.CacheRead, read)
	c.Count(usage.CacheWrite, write-hour)
	c.Count(usage.CacheWrite1h, hour)
	c.Count(usage.Output, u.Count("outputTokens", "outputTokenCount"))
}

// invocation is a record of Bedrock's model invocation logging
// (docs.aws.amazon.com/bedrock, model-invocation-logging). Its own counts are
// what is charged; the body tells the split of cache writes.
func (f *format) invocation(b found, to *calllog.Sink) {
	o := b.body
	b.around.take(o)
	in, out := o.Object("input"), o.Object("output")
	c := b.start("aws")
	c.Provider, c.Operation, c.Streaming = "aws", "chat", o.Text("operation") == "ConverseStream" || o.Text("operation") == "InvokeModelWithResponseStream"
	if o.Has("errorCode") {
		c.Error, c.ErrorCode = true, o.Text("errorCode")
	}
	identify(&c, o.Text("requestId"), b.around.stamp())
	if !in.Has("inputTokenCount") && !out.Has("outputTokenCount") {
		to.NoUsage()
		return
	}
	c.Count(usage.Output, out.Count("outputTokenCount"))
	read, write := in.Count("cacheReadInputTokenCount"), in.Count("cacheWriteInputTokenCount")
	c.Count(usage.Input, in.Count("inputTokenCount")+read+write)
	c.Count(usage.CacheRead, read)
	c.Count(usage.CacheWrite, write)
	answer := out.Object("outputBodyJson")
	if hour := answer.Object("usage").Object("cache_creation").Count("ephemeral_1h_input_tokens"); hour > 0 && hour <= write {
		c.Count(usage.CacheWrite, write-hour)
		c.Count(usage.CacheWrite1h, hour)
	}
	if ms, ok := answer.Object("metrics").Millis("latencyMs"); ok && c.Latency == time.Duration(0) {
		c.Latency = ms
	}
	c.Tag("account", o.Text("accountId"))
	to.Call(c)
}
