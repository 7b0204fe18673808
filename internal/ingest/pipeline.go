// Package ingest takes decoded events to the ledger: it validates, prices, gives
// each its identity, stores and announces. It knows no wire format (its children
// do), no engine and no transport.
package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/pricing"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/usage"
)

// Ledger is what the pipeline needs of a store.Ledger.
type Ledger interface {
	Append(ctx context.Context, records []usage.Record) (store.Receipt, error)
	Correct(ctx context.Context, c store.Correction) (int64, error)
}

// VersionKeeper is what the pipeline needs of a store.Prices.
type VersionKeeper interface {
	PutVersions(ctx context.Context, versions []pricing.Version) error
}

// Book is what the pipeline needs of a *pricing.Book.
type Book interface {
	// Price gives the event's cost and fills in its normalised names.
	Price(e *usage.Event) (usage.Costing, error)
	Version(id string) (pricing.Version, bool)
}

// Guard takes out of an event what must not be stored, before anything of it is:
// its identity and the fingerprint of its content are known by then.
type Guard interface {
	Apply(e *usage.Event)
}

// Params are what a Pipeline is made of. Ledger, Book, Versions and Log are
// required.
type Params struct {
	Ledger Ledger
	// Book gives the price book in force; one batch is priced with one book.
	Book     func() Book
	Versions VersionKeeper
	Now      func() time.Time
	Log      *slog.Logger
	// Announce is told what was newly stored, and under which commit number. It is
	// called once per batch, before the batch is answered, and must not wait for
	// slow readers; its failure fails nothing. It must not keep the records.
	Announce func(commit int64, stored []usage.Record)
	// Guard may be nil: then everything is stored as it was sent.
	Guard Guard
	// OldestAllowed is the time before which a project keeps nothing; nil and the
	// zero time are no bound.
	OldestAllowed func(project string) time.Time
	// TooOld is called when the ledger refused what OldestAllowed allowed
	// (store.ErrTooOld): it has to learn what was removed meanwhile. nil with a nil
	// OldestAllowed.
	TooOld func(ctx context.Context) error
	// Stale is called when events without a price were stored while the book was
	// being changed, so that the new book may have missed them.
	Stale func()
}

// Pipeline stores batches of events. It may be used from many goroutines.
type Pipeline struct {
	Params
	kept   versions
	warned warned
}

// New makes a pipeline.
func New(p Params) *Pipeline {
	if p.Now == nil {
		p.Now = time.Now
	}
	return &Pipeline{Params: p}
}

// Ingest stores a batch and returns without error only when everything that the
// result counts is durable. A batch with an invalid event stores nothing
// (fault.Invalid, with the problems by field), unless it is Partial. An event
// for a project that the sender may not write stops either kind
// (fault.Forbidden). Errors of the ledger pass through: fault.Unavailable means
// that a retry is safe, and needed.
func (p *Pipeline) Ingest(ctx context.Context, b Batch) (Result, error) {
	if len(b.Events) == 0 || len(b.Events) > MaxBatch {
		return Result{}, BatchSizeError()
	}
	j := p.judge(&b)
	if j.forbidden != nil {
		return Result{}, j.forbidden
	}
	if len(j.rejected) > 0 && !b.Partial {
		return Result{}, j.invalid()
	}
	if j.failure != nil {
		return Result{}, j.failure
	}

	result := Result{Rejected: j.rejections(), Warnings: warnings(&b)}
	if b.Costs {
		result.Costs = j.costs()
	}
	if len(j.records) == 0 {
		return result, nil
	}
	if err := p.kept.keep(ctx, p.Versions, j.book, j.records); err != nil {
		return Result{}, err
	}
	receipt, err := p.Ledger.Append(ctx, j.records)
	if errors.Is(err, store.ErrTooOld) && p.TooOld != nil {
		// Something was removed since the batch was judged: judged again it is told
		// which events are too old, and, when it is Partial, the rest is stored.
		if err := p.TooOld(ctx); err != nil {
			return Result{}, err
		}
		again := p.judge(&b)
		if len(again.rejected) > len(j.rejected) {
			return p.Ingest(ctx, b)
		}
	}
	if err != nil {
		return Result{}, err
	}
	if len(receipt.Outcomes) != len(j.records) {
		return Result{}, fault.New(fault.Internal, "the ledger gave %d outcomes for %d events", len(receipt.Outcomes), len(j.records))
	}
	for i, outcome := range receipt.Outcomes {
		switch outcome {
		case store.Stored:
			result.Accepted++
		case store.Duplicate:
			result.Duplicates++
		case store.Conflict:
			result.Conflicts = append(result.Conflicts, Conflict{Index: j.indexes[i], ID: j.records[i].ID})
		}
	}
	p.tell(j, receipt, result.Accepted)
	if len(receipt.Unmarked) > 0 {
		// After an error the sender tries again and finds duplicates, still without
		// their marks.
		marked, err := p.Ledger.Correct(ctx, store.Correction{Reason: "aggregate", At: p.Now().UTC().Truncate(time.Microsecond), Marks: receipt.Unmarked})
		if err != nil {
			return Result{}, err
		}
		result.Marked = int(marked)
	}
	return result, nil
}

// tell announces what was stored. The events are durable: nothing that happens
// here may become an error.
func (p *Pipeline) tell(j *judgement, receipt store.Receipt, accepted int) {
	defer func() {
		if r := recover(); r != nil {
			p.Log.Error("Announcing stored events failed", "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
		}
	}()
	if accepted == 0 {
		return
	}
	stored := j.records
	if accepted < len(stored) {
		stored = make([]usage.Record, 0, accepted)
		for i, outcome := range receipt.Outcomes {
			if outcome == store.Stored {
				stored = append(stored, j.records[i])
			}
		}
	}
	unpriced := p.warned.warn(p.Log, stored)
	// Whoever swaps the book re-prices what is in the ledger afterwards; these
	// events may have come too late for that.
	if unpriced && p.Stale != nil && p.Book() != j.book {
		p.Stale()
	}
	if p.Announce != nil {
		p.Announce(receipt.Commit, stored)
	}
}

// judgement is what became of a batch before anything is stored.
type judgement struct {
	book Book
	// records are the valid events, indexes their places in the batch.
	records  []usage.Record
	indexes  []int
	rejected []rejection
	// forbidden and failure end the whole batch.
	forbidden, failure *fault.Error
}

// costs says what each valid event costs.
func (j *judgement) costs() []Cost {
	costs := make([]Cost, len(j.records))
	for i := range j.records {
		costs[i] = Cost{Index: j.indexes[i], Cost: j.records[i].Total(), CostSource: j.records[i].Source}
	}
	return costs
}

type rejection struct {
	index    int
	problems []usage.Problem
	more     int
}

// judge validates, prices and identifies every event.
func (p *Pipeline) judge(b *Batch) *judgement {
	now := p.Now().UTC().Truncate(time.Microsecond)
	j := &judgement{
		book:    p.Book(),
		records: make([]usage.Record, 0, len(b.Events)),
		indexes: make([]int, 0, len(b.Events)),
	}
	for i := range b.Events {
		in := &b.Events[i]
		e := &in.Event
		switch {
		case e.Project != "":
			if b.MayWrite != nil && !b.MayWrite(e.Project) && j.forbidden == nil {
				j.forbidden = &fault.Error{
					Code:    fault.Forbidden,
					Message: "This key may not write to the project of " + eventField(i, ""),
					Details: map[string][]string{eventField(i, "project"): {"is not a project of this key"}},
				}
			}
		case b.DefaultProject != "":
			e.Project = b.DefaultProject
		default:
			e.Project = "default"
		}
		if e.TimestampDefaulted {
			e.Timestamp = now
		}
		problems := p.problems(in, now)
		if len(problems) == 0 {
			costing, err := j.book.Price(e)
			if err == nil {
				j.records = append(j.records, usage.Record{ID: e.Identity(), Event: *e, Costing: costing, ReceivedAt: now})
				p.guard(&j.records[len(j.records)-1].Event)
				j.indexes = append(j.indexes, i)
				continue
			}
			var known *fault.Error
			if !errors.As(err, &known) || known.Code != fault.Invalid {
				j.failure = &fault.Error{Code: fault.Internal, Message: "An event could not be priced", Err: fmt.Errorf("%s: %w", eventField(i, ""), err)}
				continue
			}
			problems = fromFault(known)
		}
		j.rejected = append(j.rejected, rejection{index: i, problems: problems, more: in.MoreProblems})
	}
	return j
}

// guard lets the guard see an event that has something for it.
func (p *Pipeline) guard(e *usage.Event) {
	if p.Guard == nil || e.Prompt == "" && e.ErrorCode == "" && len(e.Metadata) == 0 && len(e.Tags) == 0 {
		return
	}
	e.Seal()
	p.Guard.Apply(e)
}
