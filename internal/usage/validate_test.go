package usage

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

var now = time.Date(2026, 3, 20, 12, 0, 0, 0, time.UTC)

func valid() *Event {
	return &Event{
		Project: "default", TraceID: "t", SpanID: "s", Timestamp: now, Feature: "chat", Provider: "openai", Model: "gpt-4o",
		TimeToFirstToken: -1,
	}
}

func problems(e *Event) (out []string) {
	for _, p := range e.Validate(now) {
		out = append(out, p.Field+": "+p.Rule)
	}
	return out
}

func TestValidate(t *testing.T) {
	long := func(n int) string { return strings.Repeat("é", n) }
	tags := func(n int) map[string]string {
		m := map[string]string{}
		for i := range n {
			m[fmt.Sprint("t", i)] = "v"
		}
		return m
	}
	for name, c := range map[string]struct {
		change func(*Event)
		want   []string
	}{
		"nothing wrong": {func(*Event) {}, nil},
		"every text at its limit": {func(e *Event) {
			e.TraceID, e.SpanID, e.Feature, e.Model, e.UserID = long(128), "s"+long(127), long(200), long(256), long(256)
		}, nil},
		"trace missing":         {func(e *Event) { e.TraceID = "" }, []string{"traceId: is required"}},
		"span too long":         {func(e *Event) { e.SpanID = long(129) }, []string{"spanId: must be at most 128 characters"}},
		"its own parent":        {func(e *Event) { e.ParentSpanID = "s" }, []string{"parentSpanId: must not be the span itself"}},
		"feature missing":       {func(e *Event) { e.Feature = "" }, []string{"feature: is required"}},
		"feature too long":      {func(e *Event) { e.Feature = long(201) }, []string{"feature: must be at most 200 characters"}},
		"model missing":         {func(e *Event) { e.Model, e.Provider = "", "" }, []string{"provider: is required", "model: is required"}},
		"an aggregate has none": {func(e *Event) { e.Model, e.Provider, e.Aggregate = "", "", true }, nil},
		"first instant":         {func(e *Event) { e.Timestamp = Epoch }, nil},
		"before 2020":           {func(e *Event) { e.Timestamp = Epoch.Add(-1) }, []string{"timestamp: must not be before 2020-01-01"}},
		"a day ahead":           {func(e *Event) { e.Timestamp = now.Add(MaxAhead) }, nil},
		"more than a day ahead": {func(e *Event) { e.Timestamp = now.Add(MaxAhead + 1) }, []string{"timestamp: must not be more than 24 hours ahead"}},
		"negative count":        {func(e *Event) { e.Counts[Input], e.Counts[CacheRead] = -1, 5 }, []string{"inputTokens: must be 0 or more"}},
		"impossible sum":        {func(e *Event) { e.Counts[CacheRead] = 5 }, []string{"cachedTokens: must not be more than inputTokens"}},
		"negative latency":      {func(e *Event) { e.Latency = -1 }, []string{"latencyMs: must be between 0 and 1000000000"}},
		"longest latency":       {func(e *Event) { e.Latency, e.TimeToFirstToken = MaxLatency, MaxLatency }, nil},
		"latency too long":      {func(e *Event) { e.Latency = MaxLatency + 1 }, []string{"latencyMs: must be between 0 and 1000000000"}},
		"first token too late":  {func(e *Event) { e.TimeToFirstToken = MaxLatency + 1 }, []string{"timeToFirstTokenMs: must be between 0 and 1000000000"}},
		"negative retries":      {func(e *Event) { e.RetryCount = -1 }, []string{"retryCount: must be between 0 and 1000000"}},
		"U+0000":                {func(e *Event) { e.UserID = "a\x00" }, []string{"userId: must not contain U+0000"}},
		"not UTF-8":             {func(e *Event) { e.Department = "\xff" }, []string{"department: must be valid UTF-8"}},
		"U+0000 in the prompt":  {func(e *Event) { e.Prompt = "\x00" }, []string{"prompt: must not contain U+0000"}},
		"longest prompt":        {func(e *Event) { e.Prompt = strings.Repeat("a", MaxPromptBytes) }, nil},
		"prompt too long":       {func(e *Event) { e.Prompt = strings.Repeat("a", MaxPromptBytes+1) }, []string{"prompt: must be at most 102400 bytes"}},
		"metadata too long":     {func(e *Event) { e.Metadata = make([]byte, MaxMetadataBytes+1) }, []string{"metadata: must be at most 16384 bytes"}},
		"most tags":             {func(e *Event) { e.Tags = tags(32) }, nil},
		"too many tags":         {func(e *Event) { e.Tags = tags(33) }, []string{"tags: must have at most 32 entries"}},
		"tag without name":      {func(e *Event) { e.Tags = map[string]string{"": "v"} }, []string{"tags: must not have an empty name"}},
		"tag too long":          {func(e *Event) { e.Tags = map[string]string{"a": long(513)} }, []string{"tags.a: must be at most 512 characters"}},
		"hostile tag name": {func(e *Event) { e.Tags = map[string]string{"\x00\n" + long(200): "v"} }, []string{
			"tags.??" + long(62) + "…: must be at most 128 characters", "tags.??" + long(62) + "…: must not contain U+0000",
		}},
		"several at once": {func(e *Event) { e.TraceID, e.Feature, e.Counts[Output], e.RetryCount = "", "", -1, -1 }, []string{
			"traceId: is required", "feature: is required", "outputTokens: must be 0 or more", "retryCount: must be between 0 and 1000000",
		}},
	} {
		e := valid()
		c.change(e)
		if diff := cmp.Diff(c.want, problems(e)); diff != "" {
			t.Errorf("%s, want -, got +:\n%s", name, diff)
		}
	}
}

func TestShorten(t *testing.T) {
	for in, want := range map[string]string{
		"":                       "",
		"plain é":                "plain é",
		"a\nb\x00\x7f":           "a?b??",
		"\xff\xfe":               "??",
		strings.Repeat("é", 64):  strings.Repeat("é", 64),
		strings.Repeat("é", 65):  strings.Repeat("é", 64) + "…",
		strings.Repeat("x", 1e6): strings.Repeat("x", 64) + "…",
	} {
		if got := Shorten(in); got != want || !utf8.ValidString(got) {
			t.Errorf("Shorten(%.20q) = %q, want %q", in, got, want)
		}
	}
}

func TestSpanName(t *testing.T) {
	e := &Event{Feature: "f"}
	for _, c := range []struct {
		change func()
		want   string
	}{{func() {}, "f"}, {func() { e.Operation = "o" }, "o"}, {func() { e.Name = "n" }, "n"}} {
		c.change()
		if got := e.SpanName(); got != c.want {
			t.Errorf("span name %q, want %q", got, c.want)
		}
	}
}

func TestSourceNames(t *testing.T) {
	for s, want := range map[Source]string{SourceUnpriced: "unpriced", SourceBilled: "billed", SourceCatalog: "catalog", SourceClient: "client"} {
		if b, err := s.MarshalText(); err != nil || string(b) != want {
			t.Errorf("source %d is %q, %v; want %q", s, b, err, want)
		}
	}
}
