package ingest

import (
	"fmt"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/usage"
)

// MaxBatch is the most events that one batch may hold. It is also where a
// decoder stops, so that a body of tiny events cannot become gigabytes of them.
const MaxBatch = 500

// MaxProblems is how many problems of one batch are listed; the rest are
// counted.
const MaxProblems = 100

// maxWarnings is how many warnings one answer lists.
const maxWarnings = 20

// Input is one event as a wire format decoded it.
type Input struct {
	Event usage.Event
	// Problems are the broken rules that only the format can know: wrong types,
	// numbers that were not sent. The pipeline adds those of Validate.
	Problems []usage.Problem
	// MoreProblems counts what Problems no longer holds.
	MoreProblems int
	// Unknown are fields of the event that mean nothing to us.
	Unknown Unknown
}

// Unknown names fields that mean nothing to us. They are ignored, but said,
// because a misspelt count would silently change a bill.
type Unknown []string

// AddProblem notes a broken rule; beyond MaxProblems it only counts, so that a
// hostile event cannot fill the memory.
func (in *Input) AddProblem(field, rule string) {
	if len(in.Problems) >= MaxProblems {
		in.MoreProblems++
		return
	}
	in.Problems = append(in.Problems, usage.Problem{Field: field, Rule: rule})
}

// Add notes a field that is ignored; what no answer would list is not kept, but
// for one more, which tells that there are more.
func (u *Unknown) Add(field []byte) {
	if len(*u) <= maxWarnings {
		*u = append(*u, usage.Shorten(string(field)))
	}
}

// Batch is what arrives in one request.
type Batch struct {
	Events []Input
	// Unknown are fields beside the events.
	Unknown Unknown
	// Partial stores the valid events of a batch that also holds invalid ones.
	Partial bool
	// Costs asks what each event costs.
	Costs bool
	// DefaultProject owns the events that name none; "" is "default".
	DefaultProject string
	// MayWrite says whether the sender may write to a project that an event
	// names; nil allows every project.
	MayWrite func(project string) bool
}

// Result is the answer to a batch. Every event of the batch is in exactly one of
// Accepted, Duplicates, Conflicts and Rejected.
type Result struct {
	// Accepted counts what was newly stored.
	Accepted int `json:"accepted"`
	// Duplicates counts what the ledger, or this batch, held already.
	Duplicates int `json:"duplicates"`
	// Marked counts the stored events that became aggregates, because they were
	// sent again as such: they left all totals.
	Marked int `json:"marked,omitempty" doc:"Stored events that became aggregates because they were sent again with aggregate: true; they left all totals. They are among the duplicates."`
	// Conflicts are events whose explicit eventId belongs to another event,
	// which was kept.
	Conflicts []Conflict `json:"conflicts,omitempty"`
	// Rejected are the invalid events of a partial batch.
	Rejected []Rejected `json:"rejected,omitempty"`
	Warnings []string   `json:"warnings,omitempty"`
	// Costs are what the valid events cost by the present price book, also those
	// that were stored before. Only when they were asked for.
	Costs []Cost `json:"costs,omitempty"`
}

// Cost is what one event of a batch costs.
type Cost struct {
	Index      int          `json:"index"`
	Cost       money.USD    `json:"cost"`
	CostSource usage.Source `json:"costSource"`
}

// Conflict is an event that was not stored because its eventId is taken.
type Conflict struct {
	Index int      `json:"index"`
	ID    usage.ID `json:"id"`
}

// Rejected is an invalid event of a partial batch.
type Rejected struct {
	Index  int                 `json:"index"`
	Errors map[string][]string `json:"errors"`
}

func eventField(index int, field string) string {
	if field == "" {
		return fmt.Sprintf("events[%d]", index)
	}
	return fmt.Sprintf("events[%d].%s", index, field)
}

// NewInput is an input without any field: no timestamp and no time to first
// token were sent.
func NewInput() Input {
	return Input{Event: usage.Event{TimestampDefaulted: true, TimeToFirstToken: -1}}
}

// BatchSizeError is the answer to a batch of no or too many events.
func BatchSizeError() *fault.Error {
	return fault.Field("events", fmt.Sprintf("must have 1 to %d entries", MaxBatch))
}
