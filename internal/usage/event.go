// Package usage is the domain: one model call, its counts, its cost, the rules
// it must keep and the identity it is stored under. It knows no wire format, no
// price and no database.
package usage

import (
	"encoding/json"
	"time"

	"github.com/costprof/costprof/internal/money"
)

// Event is one model call as it was sent.
type Event struct {
	// EventID is the caller's own identity, "" when it left that to us.
	EventID string
	// Project owns the event; ingest fills it before Validate.
	Project string

	TraceID, SpanID, ParentSpanID string
	// Name is the span's name as sent; SpanName gives its default.
	Name string

	// Timestamp is the start of the call in UTC, truncated to microseconds.
	Timestamp time.Time
	// TimestampDefaulted says that Timestamp is the time of arrival.
	TimestampDefaulted bool

	Feature string
	// Provider and Model are as sent. ProviderID and ModelID are what pricing
	// made of them (aliases resolved, a gateway's additions stripped); questions
	// group and filter by these.
	Provider, Model     string
	ProviderID, ModelID string

	Counts Counts

	ServiceTier, Region string

	Latency time.Duration // whole microseconds
	// TimeToFirstToken is negative when it was not sent.
	TimeToFirstToken time.Duration

	// Billed is what the provider charged and Estimated what the caller
	// reckoned; nil when not sent. An explicit 0 is an amount.
	Billed, Estimated *money.USD

	UserID, SessionID, Department, Environment, Operation string

	// Tags are attribution labels, at most MaxTags; nil when there are none.
	Tags map[string]string

	Streaming, Error, Aggregate bool
	ErrorCode                   string
	RetryCount                  int64

	// Prompt is the text as sent until a guard saw the event, and then the redacted
	// text that is to be kept, "" when it is not.
	Prompt string
	// PromptID names the redacted text within the project; zero is none. PromptBytes
	// is its length.
	PromptID    ID
	PromptBytes int64
	// Metadata is a JSON object as sent, nil when there was none.
	Metadata json.RawMessage

	// Sent are the fingerprints of the content as it was sent, where what is stored
	// of it is no longer that; nil elsewhere.
	Sent *Fingerprints
}

// SpanName is the span's name: as sent, else the operation, else the feature.
func (e *Event) SpanName() string {
	switch {
	case e.Name != "":
		return e.Name
	case e.Operation != "":
		return e.Operation
	}
	return e.Feature
}

// Source says where a cost came from.
type Source uint8

// The sources, in the precedence of pricing.
const (
	// SourceUnpriced: nothing is known; the cost counts as 0.
	SourceUnpriced Source = iota
	// SourceBilled: what the provider charged; never re-rated.
	SourceBilled
	// SourceCatalog: priced by us from the price book.
	SourceCatalog
	// SourceClient: only the caller's own estimate was known.
	SourceClient
)

var sourceNames = [...]string{"unpriced", "billed", "catalog", "client"}

func (s Source) String() string { return sourceNames[s] }

// MarshalText gives the name used in the API.
func (s Source) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Costing is an event's price: the cost per class, what caching saved, and
// where they came from.
type Costing struct {
	Classes [NumClasses]money.USD
	// CacheSaving is what the cached and cache-written tokens would have cost at
	// the full input price, less what they did cost. Negative when cache writes
	// cost more than the reads saved.
	CacheSaving money.USD
	Source      Source
	// PriceID names the immutable price version used; "" unless SourceCatalog.
	PriceID string
	// Fallback says that the call's tier or region had no price of its own and
	// took the standard one.
	Fallback bool
}

// Total is the sum of the classes. It cannot overflow: pricing refuses a cost
// above money.Max.
func (c *Costing) Total() money.USD {
	var t money.USD
	for _, v := range c.Classes {
		t += v
	}
	return t
}

// Record is an event as the ledger keeps it.
type Record struct {
	ID ID
	Event
	Costing
	// ReceivedAt is when the event arrived, in UTC microseconds.
	ReceivedAt time.Time
}
