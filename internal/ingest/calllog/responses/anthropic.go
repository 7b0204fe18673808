package responses

import (
	"strconv"
	"strings"

	"github.com/costprof/costprof/internal/ingest/calllog"
)

// anthropicProvider says who served a message: clouds mark its id.
func anthropicProvider(o calllog.Object) string {
	id, model := o.Text("id"), o.Text("model")
	switch {
	case strings.HasPrefix(id, "msg_bdrk_"):
		return "aws"
	case strings.HasPrefix(id, "msg_vrtx_"):
		return "google"
	}
	if p := calllog.ProviderOf(model); p != "" {
		return p
	}
	return "anthropic"
}

// message starts the call of an Anthropic message.
func (b *found) message(o calllog.Object) calllog.Call {
	c := b.start(anthropicProvider(o))
	if model := o.Text("model"); model != "" {
		c.Model = model
	}
	c.Operation = "chat"
	identify(&c, o.Text("id"), b.around.stamp())
	return c
}

// stamp is the time around a body as text, "" without one.
func (a *around) stamp() string {
	if a.begun.IsZero() {
		return ""
	}
	return strconv.FormatInt(a.begun.UnixMicro(), 10)
}

func (f *format) anthropic(b found, to *calllog.Sink) {
	c := b.message(b.body)
	var counts calllog.AnthropicUsage
	counts.Merge(b.body.Object("usage"))
	batch := c.ServiceTier
	counts.Apply(&c)
	if batch != "" {
		c.ServiceTier = batch
	}
	to.Call(c)
}

// anthropicEvent is one event of a streamed message. Only the first says which
// message it is of; around it there may be the id of the request.
func (f *format) anthropicEvent(b found, to *calllog.Sink) {
	o := b.body
	key := f.message
	if id := b.around.id; id != "" {
		key = "request:" + id
	}
	switch o.Text("type") {
	case "message_start":
		message := o.Object("message")
		c := b.message(message)
		if b.around.id == "" {
			if f.message != "" {
				to.Close(f.message) // it broke off; what was told is charged
			}
			f.streams++
			key = "message:" + strconv.Itoa(f.streams)
			f.message = key
		} else if to.Finished(key) {
			to.Close(key)
		}
		counts := &calllog.AnthropicUsage{}
		counts.Merge(message.Object("usage"))
		counts.Apply(&c)
		c.State, c.Streaming = counts, true
		to.Put(key, c, false)
	case "message_delta":
		open := to.Open(key)
		if open == nil {
			to.Malformed("goes on with a message whose message_start is not in the file before it")
			return
		}
		c := *open
		counts := *c.State.(*calllog.AnthropicUsage) //nolint:errcheck,forcetypeassert // put there above
		counts.Merge(o.Object("usage"))
		counts.Apply(&c)
		c.State = &counts
		f.passed(&c, b)
		to.Put(key, c, o.Object("delta").Text("stop_reason") != "")
	case "message_stop":
		to.Part()
		if f.message != "" && b.around.id == "" {
			to.Close(f.message)
			f.message = ""
		}
	default:
		to.Part()
	}
}

// passed takes the time since the call began for its latency.
func (f *format) passed(c *calllog.Call, b found) {
	if b.around.latency != 0 {
		c.Latency = b.around.latency
	} else if at := b.around.begun; !c.Timestamp.IsZero() && at.After(c.Timestamp) {
		c.Latency = at.Sub(c.Timestamp)
	}
}
