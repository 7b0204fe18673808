package demo

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/costprof/costprof/client"
)

// generator makes events from one source of chance.
type generator struct {
	rand    *rand.Rand
	project string
	planted *Planted
}

// act is something that one user did, of which all its calls share the trace.
type act struct {
	f  *feature
	at time.Time

	trace, user, session, environment string
	tags                              map[string]string
}

// model is how fast a model answers; its price is the server's affair.
type model struct {
	provider, name string
	// first is the time to the first token in ms, pace the microseconds for each
	// further one.
	first, pace int64
}

const users = 80

func (g *generator) begin(f *feature, at time.Time) *act {
	user := g.zipf(users)
	a := &act{
		f: f, at: at,
		trace:   g.hex(16),
		user:    fmt.Sprintf("user-%03d", user+1),
		session: g.hex(8),
		// Someone who tries things out tries all of them, so by the call.
		environment: "production",
		tags:        map[string]string{"team": f.team, "plan": [...]string{"enterprise", "pro", "free"}[user%3]},
	}
	switch n := g.rand.IntN(100); {
	case n < 5:
		a.environment = "development"
	case n < 15:
		a.environment = "staging"
	}
	if f.job {
		a.user, a.session = "", ""
		delete(a.tags, "plan")
	}
	return a
}

func (g *generator) pick(weight func(*feature) int) *feature {
	total := 0
	for i := range features {
		total += weight(&features[i])
	}
	at := g.rand.IntN(total)
	for i := range features {
		if at -= weight(&features[i]); at < 0 {
			return &features[i]
		}
	}
	return &features[0]
}

// Office hours are UTC hours of a company in Europe; jobs run at night.
var (
	officeHours = [24]int{2, 1, 1, 1, 2, 4, 12, 35, 70, 95, 100, 92, 70, 85, 98, 95, 80, 55, 30, 18, 12, 8, 5, 3}
	nightHours  = [24]int{60, 100, 100, 90, 60, 20, 5, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 3, 5, 10, 20, 30, 40}
)

func (g *generator) hour(f *feature) int {
	hours := &officeHours
	if f.job {
		hours = &nightHours
	}
	total := 0
	for _, w := range hours {
		total += w
	}
	at := g.rand.IntN(total)
	for h, w := range hours {
		if at -= w; at < 0 {
			return h
		}
	}
	return 12
}

// call is one model call of an act, offset after its start.
func (g *generator) call(a *act, m model, offset time.Duration, input, output int64) client.Event {
	first := g.vary(m.first, 30)
	took := first*1000 + output*g.vary(m.pace, 20)
	return client.Event{
		Project: g.project, TraceID: a.trace, SpanID: g.hex(8),
		Timestamp: a.at.Add(offset), Feature: a.f.name,
		Provider: m.provider, Model: m.name, InputTokens: input, OutputTokens: output,
		Latency: client.Duration(time.Duration(took) * time.Microsecond),
		UserID:  a.user, SessionID: a.session, Department: a.f.department, Environment: a.environment,
		Tags: a.tags,
	}
}

// stream marks a call as streamed, with the time to its first token.
func (g *generator) stream(e *client.Event, m model) {
	e.IsStreaming = true
	first := min(client.Millis(g.vary(m.first, 30)), e.Latency)
	e.TimeToFirstToken = &first
}

// root is the span above the calls of an act; it only sums them up.
func (g *generator) root(a *act, operation string, children []client.Event) client.Event {
	e := client.Event{
		Project: g.project, TraceID: a.trace, SpanID: g.hex(8), Name: operation, Operation: operation,
		Timestamp: a.at, Feature: a.f.name, Aggregate: true,
		UserID: a.user, SessionID: a.session, Department: a.f.department, Environment: a.environment, Tags: a.tags,
	}
	for i := range children {
		c := &children[i]
		c.ParentSpanID = e.SpanID
		e.InputTokens += c.InputTokens
		e.OutputTokens += c.OutputTokens
		end := c.Timestamp.Add(time.Duration(c.Latency)).Sub(a.at)
		e.Latency = max(e.Latency, client.Duration(end))
	}
	return e
}

// after is the moment when a call has ended, from the act's start.
func after(a *act, e *client.Event) time.Duration {
	return e.Timestamp.Add(time.Duration(e.Latency)).Sub(a.at)
}

// mayFail turns some calls into a failed attempt and its repetition.
func (g *generator) mayFail(a *act, e client.Event, perMille int64) []client.Event {
	if !g.chance(perMille) {
		return []client.Event{e}
	}
	failed := e
	failed.SpanID = g.hex(8)
	failed.IsError = true
	failed.ErrorCode = oneOf(g, "rate_limit_exceeded", "overloaded", "timeout", "internal_server_error")
	failed.IsStreaming, failed.TimeToFirstToken = false, nil
	failed.OutputTokens, failed.ReasoningTokens = 0, 0
	if failed.ErrorCode != "timeout" {
		// Refused at once: nothing was read, so nothing is charged.
		failed.InputTokens, failed.CachedTokens, failed.CacheWriteTokens, failed.CacheWrite1hTokens = 0, 0, 0, 0
		failed.Usage, failed.BilledCostUSD = nil, ""
		failed.Latency = client.Millis(g.between(40, 400))
	} else {
		failed.Latency = client.Millis(30_000)
	}
	e.RetryCount = 1
	e.Timestamp = a.at.Add(after(a, &failed) + time.Duration(g.between(500, 2500))*time.Millisecond)
	return []client.Event{failed, e}
}
