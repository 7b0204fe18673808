package main

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/costprof/costprof/internal/usage"
)

// traffic makes the n-th call of a reproducible stream: 12 features, 20 models
// of 5 providers, 3 environments, 5,000 users, sessions of about 8 calls, 24 tag
// sets. Every third block of 15 calls is two runs of an agent, of 3 to 12 calls
// that name their parents; the others are in traces of 5 calls side by side.
// Everything but the time follows from n and the run's name.
type traffic struct {
	run   string // keeps the identities of runs apart
	start time.Time
	step  time.Duration
}

type model struct{ provider, name string }

var models = []model{
	{"openai", "gpt-4o"},
	{"openai", "gpt-4o-mini"},
	{"openai", "o3"},
	{"openai", "gpt-4.1"},
	{"openai", "gpt-4.1-mini"},
	{"openai", "gpt-5"},
	{"openai", "gpt-5-mini"},
	{"anthropic", "claude-3-5-haiku-latest"},
	{"anthropic", "claude-sonnet-4-5"},
	{"anthropic", "claude-opus-4-6"},
	{"anthropic", "claude-3-5-sonnet"},
	{"google", "gemini-2.5-flash"},
	{"google", "gemini-2.5-pro"},
	{"google", "gemini-2.5-flash-lite"},
	{"google", "gemini-2.0-flash"},
	{"mistral", "mistral-medium-latest"},
	{"mistral", "ministral-8b-latest"},
	{"mistral", "mistral-large-latest"},
	{"deepseek", "deepseek-chat"},
	{"deepseek", "deepseek-reasoner"},
}

var (
	features     = []string{"support-chat", "rag-search", "code-review", "summaries", "translation", "triage", "onboarding", "reports", "extraction", "agents", "moderation", "voice"}
	environments = []string{"production", "production", "production", "production", "staging", "development"}
	teams        = []string{"core", "growth", "platform", "research", "sales", "support", "data", "mobile"}
	plans        = []string{"free", "pro", "enterprise"}
)

func (t traffic) event(n int) usage.Event {
	r := rand.New(rand.NewPCG(uint64(n), 0x9e3779b97f4a7c15))
	m := models[skewed(r, len(models))]
	e := usage.Event{
		Project: "default", TraceID: t.run + "-t" + strconv.Itoa(n/5), SpanID: t.run + "-s" + strconv.Itoa(n),
		Timestamp: t.start.Add(time.Duration(n) * t.step).Truncate(time.Microsecond).UTC(),
		Feature:   features[skewed(r, len(features))], Provider: m.provider, Model: m.name,
		UserID: "user-" + strconv.Itoa(skewed(r, 5000)), SessionID: t.run + "-c" + strconv.Itoa(n/8),
		Environment: environments[r.IntN(len(environments))], Operation: "chat",
		Latency:          time.Duration(200_000+r.IntN(8_000_000)) * time.Microsecond,
		TimeToFirstToken: -1,
		Tags:             map[string]string{"team": teams[skewed(r, len(teams))], "plan": plans[r.IntN(len(plans))]},
		Error:            r.IntN(60) == 0,
	}
	t.place(&e, n)
	c := &e.Counts
	c[usage.Input] = 200 + int64(r.ExpFloat64()*2500)
	c[usage.Output] = 20 + int64(r.ExpFloat64()*400)
	if r.IntN(3) == 0 {
		c[usage.CacheRead] = c[usage.Input] / 2
	}
	return e
}

// block is how many calls are placed in traces together.
const block = 15

var steps = []string{"plan", "search", "read", "edit", "check", "answer"}

// place puts the call into the tree of its agent's run, when it is of one.
func (t traffic) place(e *usage.Event, n int) {
	first := n - n%block
	if n/block%3 != 0 {
		return
	}
	r := rand.New(rand.NewPCG(uint64(first), 0x6a09e667f3bcc909))
	cut := first + 3 + r.IntN(10) // where the second run begins
	if n >= cut {
		first = cut
	}
	e.TraceID = t.run + "-a" + strconv.Itoa(first)
	if n == first {
		e.Name = "run"
		return
	}
	r = rand.New(rand.NewPCG(uint64(n), 0xbb67ae8584caa73b))
	e.Name = steps[r.IntN(len(steps))]
	parent := first
	if n > first+1 && r.IntN(3) == 0 {
		parent = first + 1 + r.IntN(n-first-1)
	}
	e.ParentSpanID = t.run + "-s" + strconv.Itoa(parent)
}

// skewed picks from n with low numbers more often, as features and users are.
func skewed(r *rand.Rand, n int) int {
	f := r.Float64()
	return min(n-1, int(f*f*float64(n)))
}

// appendBatch appends the wire form of events [from, from+n).
func (t traffic) appendBatch(b []byte, from, n int) []byte {
	b = append(b, `{"events":[`...)
	for i := range n {
		if i > 0 {
			b = append(b, ',')
		}
		e := t.event(from + i)
		b = fmt.Appendf(b, `{"traceId":%q,"spanId":%q%s,"timestamp":%q,"feature":%q,"provider":%q,"model":%q,"inputTokens":%d,"outputTokens":%d,"cachedTokens":%d,"latencyMs":%d.%03d,"userId":%q,"sessionId":%q,"environment":%q,"operation":%q,"isError":%t,"tags":{"team":%q,"plan":%q}}`,
			e.TraceID, e.SpanID, above(&e), e.Timestamp.Format("2006-01-02T15:04:05.000000Z"), e.Feature, e.Provider, e.Model,
			e.Counts[usage.Input], e.Counts[usage.Output], e.Counts[usage.CacheRead], e.Latency.Milliseconds(), e.Latency.Microseconds()%1000,
			e.UserID, e.SessionID, e.Environment, e.Operation, e.Error, e.Tags["team"], e.Tags["plan"])
	}
	return append(b, `]}`...)
}

// above is what an event says of its place in its trace, in its wire form.
func above(e *usage.Event) string {
	switch {
	case e.Name == "":
		return ""
	case e.ParentSpanID == "":
		return fmt.Sprintf(`,"name":%q`, e.Name)
	}
	return fmt.Sprintf(`,"name":%q,"parentSpanId":%q`, e.Name, e.ParentSpanID)
}
