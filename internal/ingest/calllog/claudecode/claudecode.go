// Package claudecode reads the transcripts that Claude Code keeps of its sessions
// (~/.claude/projects/**/*.jsonl). Nobody documents them; what is relied on is
// what tools that read them agree on: records of type "assistant" hold an
// Anthropic message with its usage, several records tell of one message while it
// is streamed, and resumed and forked sessions copy the records before.
//
// So a message counts once, by its id, wherever it stands, and of its records the
// last one counts.
package claudecode

import (
	"path"
	"strings"

	"github.com/costprof/costprof/internal/ingest/calllog"
)

// Kind is the format.
func Kind() calllog.Kind {
	return calllog.Kind{Name: "claude-code", Feature: "claude-code", Recognise: recognise, New: func() calllog.Format { return &format{} }}
}

// others are the types of records that hold no usage.
var others = map[string]bool{
	"user": true, "system": true, "summary": true, "file-history-snapshot": true, "queue-operation": true, "progress": true, "attachment": true,
	"agent-name": true, "custom-title": true, "ai-title": true, "last-prompt": true, "permission-mode": true, "pr-link": true, "mode": true, "tag": true,
}

func recognise(o calllog.Object) bool {
	switch t := o.Text("type"); {
	case t == "assistant":
		return o.Has("message") && (o.Has("sessionId") || o.Has("uuid"))
	case t == "summary":
		return o.Has("leafUuid")
	case others[t]:
		return o.Has("sessionId") || o.Has("messageId", "snapshot")
	}
	return false
}

// format reads one transcript.
type format struct {
	// short and first are the last message with a short id and its first record:
	// what follows before anybody else speaks is more of the same message.
	short, first string
}

// Read looks at a record.
func (f *format) Read(o calllog.Object, to *calllog.Sink) {
	kind := o.Text("type")
	message := o.Object("message")
	if kind == "progress" {
		// A sub-agent's message that is passed on while it works.
		if in := o.Object("data").Object("message"); in.Text("type") == "assistant" {
			message, kind = in.Object("message"), "assistant"
		}
	}
	switch {
	case kind == "assistant" && message.Has("usage"):
		f.read(o, message, to)
	case kind == "user":
		f.short = ""
		to.NoUsage()
	case kind == "assistant", others[kind], kind != "" && o.Has("sessionId"):
		to.NoUsage()
	}
}

func (f *format) read(o, message calllog.Object, to *calllog.Sink) {
	model := message.Text("model")
	if model == "<synthetic>" || o.Bool("isApiErrorMessage") {
		to.NoUsage() // a note of the program's own, no call
		return
	}
	id, request := message.Text("id"), o.Text("requestId")
	c := calllog.Call{
		TraceID: o.Text("sessionId"), SessionID: o.Text("sessionId"), SpanID: id, Timestamp: o.Time("timestamp"),
		Provider: provider(id, model), Model: model, Operation: "main", Streaming: true, Estimated: o.Amount("costUSD"),
	}
	if c.SpanID == "" {
		c.SpanID = o.Text("uuid")
	}
	c.Tag("project", project(o.Text("cwd")))
	c.Tag("branch", o.Text("gitBranch"))
	if agent := o.Text("agentId"); agent != "" || o.Bool("isSidechain") {
		c.Operation = "sub-agent"
		c.Tag("agent", agent)
	}
	c.Tag("agentType", o.Text("attributionAgent", "agentType"))
	c.Tag("skill", o.Text("attributionSkill"))

	var counts calllog.AnthropicUsage
	counts.Merge(message.Object("usage"))
	counts.Apply(&c)

	// The record of one message has a request id, its copy may have none: a
	// provider's id is enough. Short ids come from local servers that count.
	switch {
	case calllog.Unique(id):
		c.ID = id
	case id != "" && request != "":
		c.ID = id + ":" + request
	case id != "":
		if id != f.short {
			f.short, f.first = id, o.Text("uuid")
		}
		c.ID = calllog.Hash(id, o.Text("sessionId"), f.first)
	case o.Has("uuid"):
		c.ID = o.Text("uuid")
	}
	if c.ID == "" {
		to.Call(c)
		return
	}
	to.Put(c.ID, c, message.Text("stop_reason") != "")
}

func provider(id, model string) string {
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

// project names the folder that a session worked in, of either kind of path.
func project(cwd string) string {
	cwd = strings.TrimRight(strings.ReplaceAll(cwd, `\`, "/"), "/")
	if cwd == "" {
		return ""
	}
	return path.Base(cwd)
}
