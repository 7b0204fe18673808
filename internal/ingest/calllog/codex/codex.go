// Package codex reads the rollouts that Codex keeps of its sessions
// (~/.codex/sessions/**/rollout-*.jsonl): records {timestamp, type, payload}, of
// which session_meta and turn_context say where and with which model, and
// token_count events tell the session's usage so far (github.com/openai/codex,
// codex-rs/protocol: RolloutItem, TokenUsageInfo).
//
// The sums only ever say where the session stands, and are repeated for
// other reasons than a call. So a call is the difference to the sum before, and the
// sum is its identity: a fork copies the records before it under new times, and
// they are the same calls.
package codex

import (
	"path"
	"strconv"
	"strings"

	"github.com/costprof/costprof/internal/ingest/calllog"
	"github.com/costprof/costprof/internal/usage"
)

// Kind is the format.
func Kind() calllog.Kind {
	return calllog.Kind{Name: "codex", Feature: "codex", Recognise: recognise, New: func() calllog.Format { return &format{} }}
}

var types = map[string]bool{
	"session_meta": true, "turn_context": true, "event_msg": true, "response_item": true, "compacted": true, "world_state": true, "ghost_snapshot": true,
}

func recognise(o calllog.Object) bool { return types[o.Text("type")] && o.Has("payload") }

// counts are a sum of the session's usage.
type counts struct{ input, cached, write, output, reasoning, total int64 }

func read(o calllog.Object) counts {
	return counts{
		input: o.Count("input_tokens"), cached: o.Count("cached_input_tokens"), write: o.Count("cache_write_input_tokens", "cache_write_tokens"),
		output: o.Count("output_tokens"), reasoning: o.Count("reasoning_output_tokens"), total: o.Count("total_tokens"),
	}
}

func (c counts) minus(b counts) counts {
	return counts{c.input - b.input, c.cached - b.cached, c.write - b.write, c.output - b.output, c.reasoning - b.reasoning, c.total - b.total}
}

// forward says whether nothing went down.
func (c counts) forward() bool {
	return c.input >= 0 && c.cached >= 0 && c.write >= 0 && c.output >= 0 && c.reasoning >= 0
}

func (c counts) String() string {
	var b strings.Builder
	for _, n := range []int64{c.input, c.cached, c.write, c.output, c.reasoning} {
		b.WriteString("-" + strconv.FormatInt(n, 10))
	}
	return b.String()
}

// format reads one rollout.
type format struct {
	// session is its own id, root that of the session that the first records were
	// made in, parent the one that started it as a helper.
	session, root, parent string
	agent                 string
	cwd, branch           string
	provider, model       string
	tier                  string
	// sum is where the session stands; known says that it has been told.
	sum   counts
	known bool
}

// Read looks at a record.
func (f *format) Read(o calllog.Object, to *calllog.Sink) {
	p := o.Object("payload")
	switch o.Text("type") {
	case "session_meta":
		f.meta(p)
	case "turn_context":
		f.context(p)
	case "event_msg":
		if p.Text("type") == "token_count" {
			f.count(o, p.Object("info"), to)
			return
		}
	default:
		if !types[o.Text("type")] && !o.Has("timestamp", "type", "payload") {
			return
		}
	}
	to.NoUsage()
}

func replace(to *string, text string) {
	if text != "" {
		*to = text
	}
}

// meta begins a session. A fork begins with its own and goes on with those of the
// sessions that it copied.
func (f *format) meta(p calllog.Object) {
	id := p.Text("id", "session_id")
	if f.session == "" {
		f.session = id
		replace(&f.cwd, p.Text("cwd"))
		replace(&f.branch, p.Object("git").Text("branch"))
		replace(&f.provider, p.Text("model_provider"))
		replace(&f.model, p.Text("model"))
		spawn := p.Object("source").Object("subagent").Object("thread_spawn")
		f.parent = spawn.Text("parent_thread_id")
		f.agent = spawn.Text("agent_role", "agent_nickname")
		if f.agent == "" {
			f.agent = p.Text("agent_role", "agent_nickname")
		}
		if f.agent == "" && !p.Object("source").Object("subagent").Empty() {
			f.agent = "sub-agent"
		}
	}
	replace(&f.root, id)
	replace(&f.root, p.Text("forked_from_id"))
}

func (f *format) context(p calllog.Object) {
	replace(&f.cwd, p.Text("cwd"))
	replace(&f.model, p.Text("model"))
	replace(&f.tier, p.Text("service_tier"))
}

// count reads where the session stands.
func (f *format) count(o, info calllog.Object, to *calllog.Sink) {
	sum := info.Object("total_token_usage")
	if sum.Empty() {
		to.NoUsage() // limits alone
		return
	}
	now, last := read(sum), read(info.Object("last_token_usage"))
	delta := now.minus(f.sum)
	switch {
	case f.known && delta == counts{}:
		to.NoUsage()
		return
	case info.Has("last_token_usage") && (!f.known || !delta.forward()):
		// A helper starts from its parent's sum; a sum may start anew.
		delta = last
	case !delta.forward():
		delta = now
	}
	f.sum, f.known = now, true
	if delta == (counts{total: delta.total}) {
		to.NoUsage()
		return
	}
	c := calllog.Call{
		ID: "codex-" + f.root + now.String(), TraceID: f.session, SessionID: f.session, Timestamp: o.Time("timestamp"), Provider: f.provider, Model: f.model,
		ServiceTier: f.tier, Operation: "main", Streaming: true,
	}
	if f.root == "" {
		c.ID = ""
	}
	if c.Provider == "" || strings.HasPrefix(c.Provider, "openai") {
		c.Provider = "openai"
	}
	if f.parent != "" {
		c.TraceID = f.parent
	}
	if f.agent != "" || f.parent != "" {
		c.Operation = "sub-agent"
		c.Tag("agent", f.agent)
	}
	c.Tag("project", project(f.cwd))
	c.Tag("branch", f.branch)
	c.Count(usage.Input, delta.input)
	c.Count(usage.CacheRead, delta.cached)
	c.Count(usage.CacheWrite, delta.write)
	c.Count(usage.Output, delta.output)
	c.Count(usage.Reasoning, delta.reasoning)
	to.Call(c)
}

func project(cwd string) string {
	cwd = strings.TrimRight(strings.ReplaceAll(cwd, `\`, "/"), "/")
	if cwd == "" {
		return ""
	}
	return path.Base(cwd)
}
