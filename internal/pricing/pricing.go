// Package pricing turns counts into money: the dated price book, the rules by
// which a model's name finds its price, and the arithmetic. It is pure: no clock,
// no store, no network. A Book never changes; a changed one is another Book.
package pricing

import (
	"time"

	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/usage"
)

// Call is what a price depends on.
type Call struct {
	Project         string
	Provider, Model string // as sent
	At              time.Time
	Counts          usage.Counts
	ServiceTier     string
	Region          string
}

// Line is one line of a price: quantity × price ÷ per, rounded half-even once.
type Line struct {
	// Unit is the price's name, for example "cacheRead".
	Unit string `json:"unit"`
	// Quantity is what is charged for, disjoint from every other line's: what was
	// counted, or the least that is charged.
	Quantity int64 `json:"quantity"`
	// Counted is what was counted when the least was charged instead; else 0.
	Counted int64 `json:"counted,omitempty"`
	// Price is USD per Per.
	Price  money.USD `json:"price"`
	Per    int64     `json:"per"`
	Amount money.USD `json:"amount"`
	// Fallback says what had no price of its own: "unit", "tier" or "region".
	Fallback string `json:"fallback,omitempty"`
}

// Quote is a priced call.
type Quote struct {
	usage.Costing
	// ProviderID and ModelID are the normalised names.
	ProviderID, ModelID string
	Lines               []Line
	// Uncovered names the counts that have no price at all and so cost nothing.
	Uncovered []string
}

// Rate is the price of one unit.
type Rate struct {
	Unit  usage.Unit
	Price money.USD // per usage.Units[Unit].Per
	// Above reprices all of the call's quantity when its input tokens exceed a
	// threshold; the last one exceeded applies.
	Above []Step
	// Minimum is the least quantity charged when any was used; 0 is none.
	Minimum int64
}

// Step is a context-length cliff.
type Step struct {
	InputTokens int64
	Price       money.USD
}

// Version is one immutable price: what one model costs at one tier, region and
// time window. Its ID is a hash of all of it but Source.
type Version struct {
	ID              string
	Provider, Model string
	Project         string // "" for all
	ServiceTier     string // "" is standard
	Region          string // "" is any
	// From and To bound the days it is in force, half-open; a zero time is no
	// bound.
	From, To time.Time
	// Window limits it to times of the day; nil is all day.
	Window *Window
	Rates  []Rate
	// Source says where the figures come from.
	Source string
}

// Window is a daily span of local time in a zone, on some weekdays. A window
// whose End is not after Start crosses midnight and belongs to the day it starts.
type Window struct {
	Start, End time.Duration // since local midnight
	Weekdays   []time.Weekday
	Zone       string // IANA name; "" is UTC
}

// Own is a price put by a user: a version, when it was put, and by whom.
type Own struct {
	Version
	PutAt time.Time
}
