package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"time"
)

// Event is one model call as it is sent. TraceID, SpanID and Feature are always
// required; Provider and Model unless Aggregate.
type Event struct {
	// EventID is an identity of the caller's own, unique in its project. Without
	// one the server derives an identity from the event's content.
	EventID string `json:"eventId,omitzero"`
	// Project defaults to the key's project, else "default".
	Project string `json:"project,omitzero"`

	TraceID      string `json:"traceId"`
	SpanID       string `json:"spanId"`
	ParentSpanID string `json:"parentSpanId,omitzero"`
	Name         string `json:"name,omitzero"`

	// Timestamp is the start of the call; the server keeps microseconds. Send
	// fills it in when it is zero.
	Timestamp time.Time `json:"timestamp,omitzero"`

	// Feature is what the call was for.
	Feature  string `json:"feature"`
	Provider string `json:"provider,omitzero"`
	Model    string `json:"model,omitzero"`

	// InputTokens is the total including cached and cache-written tokens,
	// OutputTokens the total including reasoning.
	InputTokens        int64 `json:"inputTokens"`
	OutputTokens       int64 `json:"outputTokens"`
	CachedTokens       int64 `json:"cachedTokens,omitzero"`
	CacheWriteTokens   int64 `json:"cacheWriteTokens,omitzero"`
	CacheWrite1hTokens int64 `json:"cacheWrite1hTokens,omitzero"`
	ReasoningTokens    int64 `json:"reasoningTokens,omitzero"`
	// Usage holds further counts, for example "webSearches".
	Usage map[string]int64 `json:"usage,omitempty"`

	ServiceTier string `json:"serviceTier,omitzero"`
	Region      string `json:"region,omitzero"`

	Latency Duration `json:"latencyMs"`
	// TimeToFirstToken is nil when it was not measured.
	TimeToFirstToken *Duration `json:"timeToFirstTokenMs,omitzero"`

	// BilledCostUSD is what the provider charged, EstimatedCostUSD the caller's
	// own reckoning; "" when not known.
	BilledCostUSD    USD `json:"billedCostUsd,omitzero"`
	EstimatedCostUSD USD `json:"estimatedCostUsd,omitzero"`

	UserID      string            `json:"userId,omitzero"`
	SessionID   string            `json:"sessionId,omitzero"`
	Department  string            `json:"department,omitzero"`
	Environment string            `json:"environment,omitzero"`
	Operation   string            `json:"operation,omitzero"`
	Tags        map[string]string `json:"tags,omitempty"`

	IsStreaming bool `json:"isStreaming,omitzero"`
	IsError     bool `json:"isError,omitzero"`
	// Aggregate marks a span that only sums its children. Sent again with the mark,
	// a stored event gets it, and leaves all totals.
	Aggregate  bool   `json:"aggregate,omitzero"`
	ErrorCode  string `json:"errorCode,omitzero"`
	RetryCount int64  `json:"retryCount,omitzero"`

	Prompt string `json:"prompt,omitzero"`
	// Metadata is a JSON object.
	Metadata json.RawMessage `json:"metadata,omitempty"`
}

// StoredEvent is an event as the server gives it back.
type StoredEvent struct {
	Event
	ID         string    `json:"id"`
	Cost       USD       `json:"cost"`
	CostSource string    `json:"costSource"`
	PriceID    string    `json:"priceId,omitzero"`
	ReceivedAt time.Time `json:"receivedAt,omitzero"`
	// PromptID names the redacted prompt within the project, also where its text is
	// not kept; Prompt is the text, where it is, only on a single event.
	PromptID    string `json:"promptId,omitzero"`
	PromptBytes int64  `json:"promptBytes,omitzero"`
	// Lines are the event's price lines, only on a single event.
	Lines []Line `json:"lines,omitempty"`
	// History are the costs it had before, newest first, only on a single event.
	History []PastCost `json:"history,omitempty"`
}

// PastCost is a cost that an event had before.
type PastCost struct {
	// At is when it was replaced, Reason by what.
	At     time.Time `json:"at"`
	Reason string    `json:"reason"`
	// Cost, CostSource and PriceID are what it was; NewCost is what it became.
	Cost        USD            `json:"cost"`
	CostSource  string         `json:"costSource"`
	PriceID     string         `json:"priceId,omitzero"`
	CostByClass map[string]USD `json:"costByClass"`
	CacheSaving USD            `json:"cacheSavings"`
	NewCost     USD            `json:"newCost"`
	// Marked says that the event became an aggregate: it kept its cost and left all
	// totals.
	Marked bool `json:"marked,omitzero"`
}

// Duration travels as a number of milliseconds with at most three decimals.
type Duration time.Duration

// Millis makes a Duration of whole milliseconds.
func Millis(n int64) Duration { return Duration(time.Duration(n) * time.Millisecond) }

// String gives the form of time.Duration.
func (d Duration) String() string { return time.Duration(d).String() }

// MarshalJSON writes milliseconds, truncated to microseconds.
func (d Duration) MarshalJSON() ([]byte, error) {
	us := time.Duration(d).Microseconds()
	var b []byte
	if us < 0 {
		b = append(b, '-')
		us = -us
	}
	b = strconv.AppendInt(b, us/1000, 10)
	if frac := us % 1000; frac != 0 {
		b = bytes.TrimRight(fmt.Appendf(b, ".%03d", frac), "0")
	}
	return b, nil
}

// UnmarshalJSON reads milliseconds; digits finer than a nanosecond are dropped.
func (d *Duration) UnmarshalJSON(b []byte) error {
	s := string(b)
	if s == "null" {
		return nil
	}
	r, err := USD(s).Rat()
	if err != nil {
		return errors.New("client: a duration must be a number of milliseconds")
	}
	r.Mul(r, big.NewRat(int64(time.Millisecond), 1))
	n := new(big.Int).Quo(r.Num(), r.Denom())
	if !n.IsInt64() {
		return errors.New("client: a duration is out of range")
	}
	*d = Duration(n.Int64())
	return nil
}
