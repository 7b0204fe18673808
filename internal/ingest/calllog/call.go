package calllog

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/usage"
)

// Call is one model call as a log tells it, in the terms of the wire form:
// Counts hold totals that contain their parts.
type Call struct {
	// ID is what the provider or the logger calls this call; "" when nothing
	// does. It becomes the event's eventId, so that the call is known again in a
	// grown, copied or forked file.
	ID string

	TraceID, SpanID, ParentSpanID string
	Name, Feature                 string
	// Timestamp is the start of the call; zero when the log does not say.
	Timestamp                                             time.Time
	Provider, Model                                       string
	Counts                                                usage.Counts
	ServiceTier, Region                                   string
	Latency                                               time.Duration
	TimeToFirstToken                                      time.Duration // 0 when not known
	Billed, Estimated                                     *money.USD
	UserID, SessionID, Department, Environment, Operation string
	Tags                                                  map[string]string
	Streaming, Error, Aggregate                           bool
	ErrorCode                                             string
	Metadata                                              map[string]any

	// NoUsage marks a call whose log does not hold its usage (yet).
	NoUsage bool
	// State is the format's own, while the call is open.
	State any
}

// Tag sets a tag, unless value is empty or there are too many.
func (c *Call) Tag(name, value string) {
	if name == "" || value == "" || len(c.Tags) >= usage.MaxTags {
		return
	}
	if c.Tags == nil {
		c.Tags = make(map[string]string, 4)
	}
	c.Tags[cut(name, usage.MaxTagNameLength)] = cut(value, usage.MaxTagValueLength)
}

// Count sets a count.
func (c *Call) Count(u usage.Unit, n int64) { c.Counts[u] = n }

// wire is the event as it is sent. Its fields' names are the API's.
type wire struct {
	EventID            string            `json:"eventId,omitempty"`
	TraceID            string            `json:"traceId,omitempty"`
	SpanID             string            `json:"spanId,omitempty"`
	ParentSpanID       string            `json:"parentSpanId,omitempty"`
	Name               string            `json:"name,omitempty"`
	Timestamp          string            `json:"timestamp,omitempty"`
	Feature            string            `json:"feature,omitempty"`
	Provider           string            `json:"provider,omitempty"`
	Model              string            `json:"model,omitempty"`
	InputTokens        int64             `json:"inputTokens"`
	OutputTokens       int64             `json:"outputTokens"`
	CachedTokens       int64             `json:"cachedTokens,omitempty"`
	CacheWriteTokens   int64             `json:"cacheWriteTokens,omitempty"`
	CacheWrite1hTokens int64             `json:"cacheWrite1hTokens,omitempty"`
	ReasoningTokens    int64             `json:"reasoningTokens,omitempty"`
	Usage              map[string]int64  `json:"usage,omitempty"`
	ServiceTier        string            `json:"serviceTier,omitempty"`
	Region             string            `json:"region,omitempty"`
	LatencyMs          json.Number       `json:"latencyMs"`
	TimeToFirstTokenMs json.Number       `json:"timeToFirstTokenMs,omitempty"`
	BilledCostUsd      json.Number       `json:"billedCostUsd,omitempty"`
	EstimatedCostUsd   json.Number       `json:"estimatedCostUsd,omitempty"`
	UserID             string            `json:"userId,omitempty"`
	SessionID          string            `json:"sessionId,omitempty"`
	Department         string            `json:"department,omitempty"`
	Environment        string            `json:"environment,omitempty"`
	Operation          string            `json:"operation,omitempty"`
	Tags               map[string]string `json:"tags,omitempty"`
	IsStreaming        bool              `json:"isStreaming,omitempty"`
	IsError            bool              `json:"isError,omitempty"`
	Aggregate          bool              `json:"aggregate,omitempty"`
	ErrorCode          string            `json:"errorCode,omitempty"`
	RetryCount         int64             `json:"retryCount,omitempty"`
	Prompt             string            `json:"prompt,omitempty"`
	Metadata           map[string]any    `json:"metadata,omitempty"`
	Project            string            `json:"project,omitempty"`
}

// event gives the wire form. Names that are too long for a field are cut, ids
// are hashed: neither may cost us the call.
func (c *Call) event() wire {
	w := wire{
		EventID: key(c.ID, usage.MaxTextLength), TraceID: key(c.TraceID, usage.MaxIDLength), SpanID: key(c.SpanID, usage.MaxIDLength),
		ParentSpanID: key(c.ParentSpanID, usage.MaxIDLength), Name: cut(c.Name, usage.MaxTextLength), Feature: cut(c.Feature, usage.MaxFeatureLength),
		Provider: cut(c.Provider, usage.MaxTextLength), Model: cut(c.Model, usage.MaxTextLength),
		ServiceTier: cut(c.ServiceTier, usage.MaxTextLength), Region: cut(c.Region, usage.MaxTextLength),
		LatencyMs: millis(max(0, c.Latency)),
		UserID:    cut(c.UserID, usage.MaxTextLength), SessionID: cut(c.SessionID, usage.MaxTextLength),
		Department: cut(c.Department, usage.MaxTextLength), Environment: cut(c.Environment, usage.MaxTextLength),
		Operation: cut(c.Operation, usage.MaxTextLength), Tags: c.Tags,
		IsStreaming: c.Streaming, IsError: c.Error, Aggregate: c.Aggregate, ErrorCode: cut(c.ErrorCode, usage.MaxTextLength),
		Metadata: c.Metadata,
	}
	if !c.Timestamp.IsZero() {
		w.Timestamp = c.Timestamp.UTC().Truncate(time.Microsecond).Format(time.RFC3339Nano)
	}
	if c.TimeToFirstToken > 0 {
		w.TimeToFirstTokenMs = millis(c.TimeToFirstToken)
	}
	if c.Billed != nil {
		w.BilledCostUsd = json.Number(c.Billed.String())
	}
	if c.Estimated != nil {
		w.EstimatedCostUsd = json.Number(c.Estimated.String())
	}
	if w.ParentSpanID == w.SpanID {
		w.ParentSpanID = ""
	}
	for u, n := range c.Counts {
		switch unit := usage.Unit(u); {
		case n == 0:
		case unit == usage.Input:
			w.InputTokens = n
		case unit == usage.Output:
			w.OutputTokens = n
		case unit == usage.CacheRead:
			w.CachedTokens = n
		case unit == usage.CacheWrite:
			w.CacheWriteTokens = n
		case unit == usage.CacheWrite1h:
			w.CacheWrite1hTokens = n
		case unit == usage.Reasoning:
			w.ReasoningTokens = n
		default:
			if w.Usage == nil {
				w.Usage = make(map[string]int64)
			}
			w.Usage[usage.Units[u].Count] = n
		}
	}
	return w
}

// millis writes whole microseconds as milliseconds.
func millis(d time.Duration) json.Number {
	us := d.Microseconds()
	text := strconv.FormatInt(us/1000, 10)
	if rest := us % 1000; rest != 0 {
		text += strings.TrimRight(fmt.Sprintf(".%03d", rest), "0")
	}
	return json.Number(text)
}

// key is an id that fits n characters.
func key(id string, n int) string {
	if len(id) <= n {
		return id
	}
	return hash(id)
}

// hash is a short name for text.
func hash(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		h.Write(binary.AppendUvarint(nil, uint64(len(p))))
		h.Write([]byte(p))
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// Hash is a short name for texts, for ids that a log does not have.
func Hash(parts ...string) string { return hash(parts...) }

// strong is how long an id must be to be taken for the only one of its kind:
// providers' ids are (28 characters and more), while local servers count, or draw
// one of a thousand numbers.
const strong = 20

// Unique says whether an id is long enough to name one call in the world.
func Unique(id string) bool { return len(id) >= strong }
