package rating

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/pricing"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/usage"
)

// listSize is how many unfinished runs are in memory at once.
const listSize = 1000

// pageSize is how many events are corrected at once. Correcting holds up the
// engine's writer, so it is what keeps a run from holding up ingest.
const pageSize = 2000

// everything finds any event.
var everything = analytics.Filter{Aggregates: true}

// Recheck asks the worker to look once more for calls without a price that the
// book can price. It does not wait. Who stored events priced by a book that was
// replaced meanwhile calls it.
func (s *Service) Recheck() {
	s.recheck.Store(true)
	s.signal()
}

func (s *Service) signal() {
	select {
	case s.wake <- struct{}{}:
	default: // a signal is waiting already
	}
}

// The waits between attempts while the store does not answer.
const (
	firstWait = time.Second
	maxWait   = time.Minute
)

// Run applies prices to stored calls, one run after the other, until ctx ends;
// then it returns nil. It first resumes what an earlier process left unfinished. Of
// several servers one does so at a time.
func (s *Service) Run(ctx context.Context) error {
	var again <-chan time.Time
	if s.Locks != nil {
		t := time.NewTicker(takeOverEvery)
		defer t.Stop()
		again = t.C
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
		case <-again:
		}
		for wait := firstWait; ctx.Err() == nil; wait = min(2*wait, maxWait) {
			err := s.workAlone(ctx)
			if err == nil || ctx.Err() != nil {
				break
			}
			s.Log.Warn("Applying prices to stored calls is held up; it is tried again", "error", err, "wait", wait)
			pause(ctx, wait)
		}
	}
}

func pause(ctx context.Context, wait time.Duration) {
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// work does all that waits. An error means that the store does not answer.
func (s *Service) work(ctx context.Context) error {
	for {
		tasks, err := s.waiting(ctx)
		if err != nil {
			return err
		}
		for _, attempt := range tasks {
			if err := attempt(ctx); err != nil {
				return err
			}
		}
		if len(tasks) > 0 {
			continue // there may be more than one list holds
		}
		if !s.recheck.Swap(false) {
			return nil
		}
		if err := s.lookAgain(ctx); err != nil {
			s.recheck.Store(true)
			return err
		}
	}
}

// waiting lists unfinished runs, oldest first.
func (s *Service) waiting(ctx context.Context) ([]func(context.Context) error, error) {
	unlock, err := s.change(ctx)
	if err != nil {
		return nil, err
	}
	runs, err := s.Catalog.ListRuns(ctx, "running", listSize)
	unlock()
	if err != nil {
		return nil, fmt.Errorf("list unfinished runs: %w", err)
	}
	var tasks []func(context.Context) error
	for _, run := range slices.Backward(runs) {
		var task func(context.Context) error
		var err error
		switch run.Name {
		case BackfillName:
			t, failed := restore(run)
			task, err = func(ctx context.Context) error { return s.attempt(ctx, t) }, failed
		case RerateName:
			t, failed := restoreRerun(run)
			task, err = func(ctx context.Context) error { return s.redo(ctx, t) }, failed
		default:
			continue
		}
		if err != nil {
			s.Log.Error("A run cannot be resumed", "run", run.ID, "error", err)
			run.State, run.Error, run.Finished = "failed", "its record cannot be read", s.Now().UTC()
			if err := s.Catalog.PutRun(ctx, run); err != nil {
				return nil, err
			}
			continue
		}
		tasks = append(tasks, task)
	}
	return tasks, nil
}

// lookAgain makes a run when the book knows prices for calls without one.
func (s *Service) lookAgain(ctx context.Context) error {
	in := input{Reason: reasonRecheck, Actor: "costprof"}
	wanted, err := s.priced(ctx, s.Book(), &in, inProject(""))
	if err != nil || len(wanted.rows) == 0 {
		return err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("make a run's id: %w", err)
	}
	t := task{ID: id.String(), Name: BackfillName, Started: s.Now().UTC().Truncate(time.Microsecond), Input: in}
	return s.save(ctx, &t, "running")
}

// attempt finishes a run, well or not. An error means that it must be tried
// again.
func (s *Service) attempt(ctx context.Context, t *task) error {
	err := s.backfill(ctx, t)
	switch {
	case err == nil:
		s.Log.Info("Applied prices to stored calls", "run", t.ID, "reason", t.Input.Reason,
			"calls", t.Result.Calls, "oldCost", t.Result.OldCost.String(), "newCost", t.Result.NewCost.String())
		return nil
	case ctx.Err() != nil || fault.CodeOf(err) == fault.Unavailable:
		return err
	}
	s.Log.Error("Applying prices to stored calls failed", "run", t.ID, "error", err)
	t.Error = "it failed after " + fmt.Sprint(t.Result.Calls) + " calls; the log says why"
	return s.save(ctx, t, "failed")
}

// backfill re-prices what the run looks at, page by page, newest first.
func (s *Service) backfill(ctx context.Context, t *task) error {
	if err := s.settle(ctx, t); err != nil {
		return err
	}
	filter := inProject(t.Input.Project)
	filter.From, filter.To = t.Input.From, t.Input.To
	book := s.Book()
	wanted, err := s.priced(ctx, book, &t.Input, filter)
	if err != nil {
		return err
	}
	t.Result.Scanned, t.Result.Refused = 0, 0
	if len(wanted.rows) > 0 {
		if filter, err = s.narrow(ctx, filter, book, wanted); err != nil {
			return err
		}
		if err := s.pages(ctx, t, filter); err != nil {
			return err
		}
	}
	return s.finish(ctx, t)
}

func (s *Service) pages(ctx context.Context, t *task, filter analytics.Filter) error {
	kept := make(map[string]bool)
	var after *store.EventKey
	for {
		// Each page takes the book of its moment: what a price that was put later
		// replaces is not applied any more.
		book := s.Book()
		var changes []repriced
		events := 0
		for r, err := range s.Ledger.Events(ctx, store.EventQuery{Filter: filter, After: after, Limit: s.pageSize}) {
			if err != nil {
				return fmt.Errorf("read calls without a price: %w", err)
			}
			events++
			after = &store.EventKey{Timestamp: r.Timestamp, ID: r.ID}
			e := r.Event
			now, err := book.Price(&e)
			if err != nil {
				t.Result.Refused++
				continue
			}
			if v, ok := book.Version(now.PriceID); !ok || !t.Input.covers(&v) {
				continue
			}
			changes = append(changes, repriced{
				CostChange: store.CostChange{ID: r.ID, Timestamp: r.Timestamp, WasSource: r.Source, WasPriceID: r.PriceID, Now: now},
				old:        r.Total(), aggregate: r.Aggregate,
			})
		}
		t.Result.Scanned += int64(events)
		if len(changes) > 0 {
			if err := s.keepVersions(ctx, book, changes, kept); err != nil {
				return err
			}
			if err := s.correct(ctx, t, changes); err != nil {
				return err
			}
		}
		if events < s.pageSize {
			return nil
		}
	}
}

// keepVersions makes the versions durable before calls name them.
func (s *Service) keepVersions(ctx context.Context, book *pricing.Book, changes []repriced, kept map[string]bool) error {
	var fresh []pricing.Version
	for i := range changes {
		id := changes[i].Now.PriceID
		if id == "" || kept[id] {
			continue
		}
		v, ok := book.Version(id)
		if !ok {
			return fmt.Errorf("the price book does not know its own version %s", id)
		}
		kept[id] = true
		fresh = append(fresh, v)
	}
	if len(fresh) == 0 {
		return nil
	}
	return s.Catalog.PutVersions(ctx, fresh)
}

// correct applies one batch and sums it up exactly.
func (s *Service) correct(ctx context.Context, t *task, changes []repriced) error {
	t.Result.Pending = sum(changes)
	if err := s.save(ctx, t, "running"); err != nil {
		return err
	}
	correction := store.Correction{Reason: "backfill " + t.ID, At: s.Now().UTC().Truncate(time.Microsecond)}
	for i := range changes {
		correction.Changes = append(correction.Changes, changes[i].CostChange)
	}
	applied, err := s.Ledger.Correct(ctx, correction)
	if err != nil {
		return fmt.Errorf("correct costs: %w", err)
	}
	if applied != int64(len(changes)) {
		// Some are gone or were changed by someone else: count what is there.
		there := changes[:0:0]
		for _, c := range changes {
			ok, err := s.applied(ctx, c.ID, c.Now.PriceID)
			if err != nil {
				return err
			}
			if ok {
				there = append(there, c)
			}
		}
		t.Result.Pending = sum(there)
	}
	t.Result.add(t.Result.Pending)
	t.Result.Pending = nil
	return nil
}

// settle adds the batch that an interruption left pending, when it was applied.
func (s *Service) settle(ctx context.Context, t *task) error {
	pending := t.Result.Pending
	if pending == nil {
		return nil
	}
	id, err := usage.ParseID(pending.Probe)
	if err != nil {
		return fmt.Errorf("read the pending batch of run %s: %w", t.ID, err)
	}
	ok, err := s.applied(ctx, id, pending.PriceID)
	if err != nil {
		return err
	}
	if ok {
		t.Result.add(pending)
	}
	t.Result.Pending = nil
	return s.save(ctx, t, "running")
}

// finish writes the audit entry and then ends the run.
func (s *Service) finish(ctx context.Context, t *task) error {
	known, err := s.audited(ctx, BackfillName, t.ID)
	if err != nil {
		return err
	}
	// A look that changed nothing is nobody's change.
	nothing := t.Input.Reason == reasonRecheck && t.Result.Calls == 0 && t.Result.Aggregates == 0
	if !known && !nothing {
		audit, err := entry{s.Now().UTC().Truncate(time.Microsecond), t.Input.Actor, BackfillName, struct {
			JobID string `json:"jobId"`
			input
			result
		}{t.ID, t.Input, t.Result}}.audit()
		if err != nil {
			return err
		}
		if err := s.Catalog.AppendAudit(ctx, audit); err != nil {
			return err
		}
	}
	return s.save(ctx, t, "done")
}

// audited says whether the run was interrupted behind its audit entry.
func (s *Service) audited(ctx context.Context, action, id string) (bool, error) {
	entries, err := s.Catalog.ListAudit(ctx, 0, 100)
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(entries, func(e store.AuditEntry) bool {
		return e.Action == action && strings.Contains(string(e.Detail), id)
	}), nil
}
