package usage

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Problem is one rule that an input breaks, named by field.
type Problem struct {
	Field string
	Rule  string
}

// Limits of the fields, in characters unless the name says bytes.
const (
	MaxIDLength       = 128
	MaxFeatureLength  = 200
	MaxTextLength     = 256
	MaxTags           = 32
	MaxTagNameLength  = 128
	MaxTagValueLength = 512
	MaxPromptBytes    = 100 << 10
	MaxMetadataBytes  = 16 << 10
	// MaxLatency bounds latency and time to first token.
	MaxLatency = 1_000_000_000 * time.Millisecond
	// MaxAhead is how far a timestamp may lie in the future.
	MaxAhead = 24 * time.Hour
)

// Epoch is the earliest timestamp that an event may have.
var Epoch = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)

// Validate reports every rule that the event breaks, in a fixed order. now is
// the server's clock. Whether a required number was sent at all only the wire
// format can know, and reports.
func (e *Event) Validate(now time.Time) []Problem {
	v := validation{}
	v.text("traceId", e.TraceID, 1, MaxIDLength)
	v.text("spanId", e.SpanID, 1, MaxIDLength)
	v.text("parentSpanId", e.ParentSpanID, 0, MaxIDLength)
	v.text("name", e.Name, 0, MaxTextLength)
	v.text("eventId", e.EventID, 0, MaxTextLength)
	v.text("project", e.Project, 1, MaxIDLength)
	if e.ParentSpanID != "" && e.ParentSpanID == e.SpanID {
		v.add("parentSpanId", "must not be the span itself")
	}

	switch {
	case e.Timestamp.Before(Epoch):
		v.add("timestamp", "must not be before 2020-01-01")
	case e.Timestamp.After(now.Add(MaxAhead)):
		v.add("timestamp", "must not be more than 24 hours ahead")
	}

	v.text("feature", e.Feature, 1, MaxFeatureLength)
	least := 1
	if e.Aggregate {
		least = 0
	}
	v.text("provider", e.Provider, least, MaxTextLength)
	v.text("model", e.Model, least, MaxTextLength)

	_, bad := e.Counts.Buckets()
	v = append(v, bad...)

	v.duration("latencyMs", e.Latency, 0)
	v.duration("timeToFirstTokenMs", e.TimeToFirstToken, -1)
	v.text("serviceTier", e.ServiceTier, 0, MaxTextLength)
	v.text("region", e.Region, 0, MaxTextLength)
	v.text("userId", e.UserID, 0, MaxTextLength)
	v.text("sessionId", e.SessionID, 0, MaxTextLength)
	v.text("department", e.Department, 0, MaxTextLength)
	v.text("environment", e.Environment, 0, MaxTextLength)
	v.text("operation", e.Operation, 0, MaxTextLength)
	v.text("errorCode", e.ErrorCode, 0, MaxTextLength)
	if e.RetryCount < 0 || e.RetryCount > 1_000_000 {
		v.add("retryCount", "must be between 0 and 1000000")
	}

	v.tags(e.Tags)
	if len(e.Prompt) > MaxPromptBytes {
		v.add("prompt", fmt.Sprintf("must be at most %d bytes", MaxPromptBytes))
	}
	v.content("prompt", e.Prompt)
	if len(e.Metadata) > MaxMetadataBytes {
		v.add("metadata", fmt.Sprintf("must be at most %d bytes", MaxMetadataBytes))
	}
	return v
}

type validation []Problem

func (v *validation) add(field, rule string) { *v = append(*v, Problem{field, rule}) }

func (v *validation) tags(tags map[string]string) {
	if len(tags) > MaxTags {
		v.add("tags", fmt.Sprintf("must have at most %d entries", MaxTags))
		return
	}
	for _, name := range slices.Sorted(maps.Keys(tags)) {
		field := "tags." + Shorten(name)
		if name == "" {
			v.add("tags", "must not have an empty name")
		}
		v.text(field, name, 0, MaxTagNameLength)
		v.text(field, tags[name], 0, MaxTagValueLength)
	}
}

func (v *validation) text(field, s string, least, most int) {
	if s == "" && least > 0 {
		v.add(field, "is required")
		return
	}
	// Counting characters only when bytes exceed the limit keeps this off the
	// hot path.
	if len(s) > most && utf8.RuneCountInString(s) > most {
		v.add(field, fmt.Sprintf("must be at most %d characters", most))
	}
	v.content(field, s)
}

func (v *validation) content(field, s string) {
	if strings.IndexByte(s, 0) >= 0 {
		v.add(field, "must not contain U+0000")
	}
	if !utf8.ValidString(s) {
		v.add(field, "must be valid UTF-8")
	}
}

func (v *validation) duration(field string, d, least time.Duration) {
	if d < least || d > MaxLatency {
		v.add(field, "must be between 0 and 1000000000")
	}
}

// Shorten makes text from outside fit for an error message: at most 64
// characters, and no control characters.
func Shorten(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return '?'
		}
		return r
	}, s)
	if utf8.RuneCountInString(s) > 64 {
		s = string([]rune(s)[:64]) + "…"
	}
	return s
}
