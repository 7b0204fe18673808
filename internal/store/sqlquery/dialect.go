// Package sqlquery turns a typed question into SQL and the rows of it into an
// answer, for every engine that speaks SQL: engines share the shape of their
// tables (events, cells, tags, hours) and differ by a Dialect. Values are always
// bound; every name in the text comes from the closed lists of this package. It
// knows no driver and writes nothing.
package sqlquery

import (
	"context"
	"fmt"
	"time"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/usage"
)

// Dialect is what differs between the engines.
type Dialect struct {
	// Divide is the operator of the integer division.
	Divide string
	// Micros is the expression of an event's time in microseconds since 1970.
	Micros string
	// CountIf counts the rows for which a condition holds.
	CountIf func(condition string) string
	// Quantile is the discrete quantile of a column.
	Quantile func(column, fraction string) string
	// Hash is a number of 64 bits for a number and a text, the same for the same ones: by
	// it rows are sorted faster than by the text.
	Hash func(number, text string) string
	// Share is amount × part ÷ whole rounded half-even, of columns with 64-bit integers;
	// 0 when part is 0, which must not be more than whole.
	Share func(amount, part, whole string) string
	// Earliest is the value of the first row of a group in the order of the keys.
	Earliest func(value string, keys ...string) string
	// EventsOf is a relation named events that has those of some hours (HourOf), for
	// an engine that would read all events to find them; nil for one that would not.
	EventsOf func(hours []int64) string
	// Time is the value that is bound for a point in time.
	Time func(time.Time) any
	// Texts casts a value that is bound to a list of texts.
	Texts string
	// Holds says whether the engine can hold a text at all; nil is any. What it
	// cannot hold is no event's.
	Holds func(string) bool
}

// Period numbers the period of the given length that an event lies in. Integer
// division beats date_trunc, and all grains divide the epoch.
func (d *Dialect) Period(length time.Duration) string {
	return fmt.Sprintf("%s %s %d", d.Micros, d.Divide, max(1, length.Microseconds()))
}

// grain numbers the grain of the question that an event lies in; no event is
// before 1970 and a shift.
func (d *Dialect) grain(q *analytics.Query) string {
	if q.Shift == 0 {
		return d.Period(q.Grain)
	}
	return fmt.Sprintf("(%s - %d) %s %d", d.Micros, q.Shift.Microseconds(), d.Divide, max(1, q.Grain.Microseconds()))
}

// UnpricedCalls counts what analytics.Row.Unpriced does.
func (d *Dialect) UnpricedCalls() string {
	return d.CountIf(fmt.Sprintf("source IN (%d, %d)", usage.SourceUnpriced, usage.SourceClient))
}

// Rows are the rows of an answer, as in database/sql.
type Rows interface {
	Next() bool
	Scan(targets ...any) error
	Err() error
	Close() error
}

// Querier runs a SELECT in the transaction that a question is answered in.
type Querier interface {
	Query(ctx context.Context, text string, args ...any) (Rows, error)
}
