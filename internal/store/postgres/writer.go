package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/usage"
)

// maxCommit is how many events one commit gathers at most. A writer never waits
// for more: what arrived while the last commit was being written is the next.
const maxCommit = 5_000

// appendJob is one caller's Append.
type appendJob struct {
	records []usage.Record
	rows    []row
	receipt store.Receipt
	done    chan error
}

// Append implements store.Ledger.
func (e *Engine) Append(ctx context.Context, records []usage.Record) (store.Receipt, error) {
	if len(records) == 0 {
		return store.Receipt{}, nil
	}
	if err := store.CheckRecords(records); err != nil {
		return store.Receipt{}, err
	}
	j := &appendJob{records: records, rows: make([]row, len(records)), done: make(chan error, 1)}
	for i := range records {
		var err error
		if j.rows[i], err = newRow(&records[i]); err != nil {
			return store.Receipt{}, err
		}
	}
	select {
	case <-e.stop:
		return store.Receipt{}, errStopping()
	default:
	}
	wait := time.NewTimer(e.opts.QueueWait)
	defer wait.Stop()
	e.queued.Add(int64(len(records)))
	defer e.queued.Add(-int64(len(records)))
	select {
	case e.appends <- j:
	case <-wait.C:
		return store.Receipt{}, &fault.Error{Code: fault.Unavailable, Message: "the ledger is behind; nothing was stored", RetryAfter: time.Second}
	case <-e.stop:
		return store.Receipt{}, errStopping()
	case <-ctx.Done():
		return store.Receipt{}, &fault.Error{Code: fault.Unavailable, Message: "the request ended before the events were stored", RetryAfter: time.Second, Err: ctx.Err()}
	}
	// From here the writer answers, also when ctx ends: what it commits must be
	// acknowledged as what it is.
	select {
	case err := <-j.done:
		return j.receipt, err
	case <-e.stopped:
		select {
		case err := <-j.done:
			return j.receipt, err
		default:
			return store.Receipt{}, errStopping()
		}
	}
}

// writer makes commits, one at a time; a server has a few, so that one is made
// ready while another is written.
type writer struct {
	e    *Engine
	copy copier
	// wary counts the commits that still look for known events before they write:
	// after one was found others are likely to follow.
	wary int
}

// run commits until the engine stops and what was accepted is answered.
func (w *writer) run() {
	ctx := context.Background() // a commit, once begun, is finished
	var jobs []*appendJob
	for {
		select {
		case j := <-w.e.appends:
			jobs = w.gather(append(jobs[:0], j))
			w.commit(ctx, jobs)
		case <-w.e.stop:
			for {
				select {
				case j := <-w.e.appends:
					jobs = w.gather(append(jobs[:0], j))
					w.commit(ctx, jobs)
					continue
				default:
				}
				return
			}
		}
	}
}

func (w *writer) gather(jobs []*appendJob) []*appendJob {
	n := len(jobs[0].records)
	for n < maxCommit {
		select {
		case j := <-w.e.appends:
			jobs = append(jobs, j)
			n += len(j.records)
		default:
			return jobs
		}
	}
	return jobs
}

// commit stores what is new of all jobs in one transaction and answers them.
func (w *writer) commit(ctx context.Context, jobs []*appendJob) {
	b := newBatch(jobs)
	err := w.store(ctx, b)
	if err != nil {
		w.e.failing.Store(true)
		w.e.log.Error("commit failed; nothing of it was acknowledged", "err", secretless(err))
		cause := w.e.explain(ctx, err)
		if fault.CodeOf(cause) != fault.Unavailable {
			cause = &fault.Error{Code: fault.Unavailable, Message: "the ledger could not store the events", RetryAfter: time.Second, Err: secretless(err)}
		}
		err = cause
	} else {
		w.e.failing.Store(false)
		w.e.saw(b.number)
		b.answer()
	}
	for _, j := range b.jobs {
		j.done <- err
	}
}

// store commits the batch. The first attempt takes for granted that all events
// are new, which the database refuses when one is not; the second looks first.
func (w *writer) store(ctx context.Context, b *batch) error {
	if err := w.intern(ctx, b); err != nil {
		return err
	}
	if err := w.e.partitionsFor(ctx, b.records()); err != nil {
		return err
	}
	look, apart, dropped := w.wary > 0 || b.erased > 0, false, false
	for {
		b.reset()
		err := retried(ctx, func() error { return w.attempt(ctx, b, look, apart) })
		var pg *pgconn.PgError
		var old oldError
		switch {
		case errors.Is(err, errErased):
			look = true
			if err := w.intern(ctx, b); err != nil {
				return err
			}
			continue
		case errors.As(err, &old):
			if b.refuse(old); len(b.jobs) == 0 {
				return nil
			}
			continue
		case errors.As(err, &pg) && pg.Code == "23514" && !dropped:
			dropped = true // another server dropped a partition
			w.e.partitions.forgetAll()
			if err := w.e.partitionsFor(ctx, b.records()); err != nil {
				return err
			}
			continue
		case errors.As(err, &pg) && pg.Code == "23505" && !look:
			look, w.wary = true, 100
			continue
		case errors.As(err, &pg) && pg.Code == "22003" && !apart:
			apart = true // the sums of an hour do not fit
			continue
		}
		if w.wary > 0 {
			w.wary--
		}
		if b.found {
			w.wary = 100
		}
		return err
	}
}

// errErased is that of an attempt that found that a person was erased since its
// rows were made ready.
var errErased = errors.New("a person was erased meanwhile")

// intern gives the rows the numbers of their cells and sets of tags. Once a person
// was erased, events that are stored already are left out: what an old one was
// sent with must not come back, not even as a set of tags that nothing has. Nor is
// it written to be taken back again: such a ledger looks before it stores.
func (w *writer) intern(ctx context.Context, b *batch) error {
	for {
		if err := w.internOnce(ctx, b); !errors.Is(err, errErased) {
			return err
		}
	}
}

func (w *writer) internOnce(ctx context.Context, b *batch) error {
	b.erased = w.e.erased.Load()
	if b.erased == 0 {
		return w.e.intern(ctx, b.rows, 0)
	}
	b.reset()
	if err := pgx.BeginFunc(ctx, w.e.write, func(tx pgx.Tx) error { return b.judge(ctx, tx) }); err != nil {
		return err
	}
	fresh := b.fresh()
	rows := make([]row, len(fresh))
	for i, r := range fresh {
		rows[i] = *r
	}
	if err := w.e.intern(ctx, rows, b.erased); err != nil {
		return err
	}
	for i, r := range fresh {
		*r = rows[i]
	}
	return nil
}

// attempt is one transaction. look: find what is stored already. apart: add to
// each hour's sums on its own, so that one that overflows spoils no other.
func (w *writer) attempt(ctx context.Context, b *batch, look, apart bool) error {
	return pgx.BeginFunc(ctx, w.e.write, func(tx pgx.Tx) error {
		l, err := lockLedger(ctx, tx)
		if err != nil {
			return err
		}
		n := l.n
		if l.erased != b.erased {
			// Numbers of sets of tags that the rows have may be gone.
			w.e.learnErasure(l.erased)
			return errErased
		}
		if old, err := b.tooOld(ctx, tx, l.pruned); err != nil {
			return err
		} else if len(old) > 0 {
			return oldError{old}
		}
		if look {
			if err := b.judge(ctx, tx); err != nil {
				return err
			}
		}
		fresh := b.fresh()
		if len(fresh) == 0 {
			return nil
		}
		w.copy.begin()
		explicit := 0
		for _, r := range fresh {
			w.copy.event(r, n)
			if r.rec.EventID != "" {
				explicit++
			}
		}
		if err := w.copyTo(ctx, tx, "events", eventColumns()); err != nil {
			return err
		}
		if explicit > 0 {
			w.copy.begin()
			for _, r := range fresh {
				if r.rec.EventID != "" {
					w.copy.row(3)
					w.copy.id(r.rec.ID)
					w.copy.int64(int64(r.rec.Content()))
					w.copy.int64(r.rec.Timestamp.UnixMicro())
				}
			}
			if err := w.copyTo(ctx, tx, "explicit_ids", []string{"id", "content", "ts"}); err != nil {
				return err
			}
		}
		if err := keepPrompts(ctx, tx, n, fresh); err != nil {
			return err
		}
		if err := addSums(ctx, tx, fresh, apart); err != nil {
			return err
		}
		if err := w.e.seal(ctx, tx, n, change{events: int64(len(fresh))}); err != nil {
			return err
		}
		b.number = n
		return nil
	})
}

func (w *writer) copyTo(ctx context.Context, tx pgx.Tx, table string, columns []string) error {
	w.copy.end()
	_, err := tx.Conn().PgConn().CopyFrom(ctx, bytes.NewReader(w.copy.b), `COPY `+table+` (`+strings.Join(columns, ", ")+`) FROM STDIN BINARY`)
	if err != nil {
		return fmt.Errorf("copy %s: %w", table, err)
	}
	return nil
}
