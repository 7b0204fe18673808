package duckdb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	duck "github.com/duckdb/duckdb-go/v2"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/store/dedupe"
	"github.com/costprof/costprof/internal/usage"
)

// maxCommit is how many events one commit gathers at most. The writer never
// waits for more: what arrived while the last commit was being written is the
// next one.
const maxCommit = 5_000

// appendJob is one caller's Append.
type appendJob struct {
	records []usage.Record
	receipt store.Receipt
	done    chan error
}

// task is other work that must not run beside a commit.
type task struct {
	run  func(ctx context.Context, w *writer) error
	done chan error
}

// Append implements store.Ledger.
func (e *Engine) Append(ctx context.Context, records []usage.Record) (store.Receipt, error) {
	if len(records) == 0 {
		return store.Receipt{}, nil
	}
	if err := store.CheckRecords(records); err != nil {
		return store.Receipt{}, err
	}
	j := &appendJob{records: records, done: make(chan error, 1)}
	wait := time.NewTimer(e.opts.QueueWait)
	defer wait.Stop()
	select {
	case <-e.stop:
		return store.Receipt{}, errStopping
	default:
	}
	e.queued.Add(int64(len(records)))
	defer e.queued.Add(-int64(len(records)))
	select {
	case e.appends <- j:
	case <-wait.C:
		return store.Receipt{}, &fault.Error{Code: fault.Unavailable, Message: "the ledger is behind; nothing was stored", RetryAfter: time.Second}
	case <-e.stop:
		return store.Receipt{}, errStopping
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
			return store.Receipt{}, errStopping
		}
	}
}

var errStopping = &fault.Error{Code: fault.Unavailable, Message: "the server is stopping; nothing was stored", RetryAfter: 2 * time.Second}

// do runs fn between commits.
func (e *Engine) do(ctx context.Context, fn func(ctx context.Context, w *writer) error) error {
	t := &task{run: fn, done: make(chan error, 1)}
	select {
	case e.tasks <- t:
	case <-e.stop:
		return errStopping
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-t.done:
		return err
	case <-e.stopped:
		select {
		case err := <-t.done:
			return err
		default:
			return errStopping
		}
	}
}

// writer is the one goroutine that changes events. It owns its connection, the
// appenders on it, and the memory of what is stored.
type writer struct {
	e       *Engine
	known   *dedupe.Known
	conn    *sql.Conn
	events  *duck.Appender
	commits *duck.Appender
	// Of what events name by number.
	cells, tagsets, tags *duck.Appender
	prompts, queue       *duck.Appender
	args                 []driver.Value
	sums                 summer
	// pruned says before when each project's events were removed.
	pruned analytics.Pruned
	// nextCheckpoint is the size of the log at which one is due.
	nextCheckpoint int64
}

func newWriter(ctx context.Context, e *Engine) (*writer, error) {
	w := &writer{e: e, known: dedupe.NewKnown(e.opts.IdentityMemory, &e.counts), nextCheckpoint: checkpointAt}
	if err := w.recall(ctx); err != nil {
		return nil, err
	}
	if e.standby.Load() {
		return w, nil
	}
	return w, w.connect(ctx)
}

// recall reads what the writer keeps in memory of the ledger.
func (w *writer) recall(ctx context.Context) (err error) {
	if err := w.sums.load(ctx, w.e.db); err != nil {
		return err
	}
	w.pruned, err = readPruned(ctx, w.e.db)
	return err
}

func (w *writer) connect(ctx context.Context) error {
	conn, err := w.e.db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("writer's connection: %w", err)
	}
	err = conn.Raw(func(c any) (err error) {
		for _, t := range w.appenders() {
			if *t.appender, err = duck.NewAppenderFromConn(c.(driver.Conn), "", t.table); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		conn.Close()
		return fmt.Errorf("appender: %w", err)
	}
	w.conn = conn
	return nil
}

// appenders are the tables that the writer appends to.
func (w *writer) appenders() []tableAppender {
	return []tableAppender{{"events", &w.events}, {"commits", &w.commits}, {"cells", &w.cells}, {"tagsets", &w.tagsets}, {"tags", &w.tags}, {"prompts", &w.prompts}, {"embed_queue", &w.queue}}
}

type tableAppender struct {
	table    string
	appender **duck.Appender
}

// disconnect gives up the connection; errors no longer matter.
func (w *writer) disconnect() {
	if w.conn == nil {
		return
	}
	for _, t := range w.appenders() {
		if a := *t.appender; a != nil {
			_ = a.Clear()
			_ = a.Close()
		}
		*t.appender = nil
	}
	_ = w.conn.Close()
	w.conn = nil
}

// run commits until the engine stops and what was accepted is answered.
func (w *writer) run() {
	defer close(w.e.stopped)
	ctx := context.Background() // a commit, once begun, is finished
	var jobs []*appendJob
	idle := time.NewTicker(w.e.opts.SumEvery)
	defer idle.Stop()
	for {
		select {
		case j := <-w.e.appends:
			jobs = w.gather(append(jobs[:0], j))
			w.commit(ctx, jobs)
			w.settle(ctx)
		case t := <-w.e.tasks:
			t.done <- w.task(ctx, t)
			w.settle(ctx)
		case <-idle.C:
			w.settle(ctx)
			w.sumIdle(ctx)
		case <-w.e.stop:
			for {
				select {
				case j := <-w.e.appends:
					jobs = w.gather(append(jobs[:0], j))
					w.commit(ctx, jobs)
					continue
				default:
				}
				w.disconnect()
				return
			}
		}
	}
}

// settle is what follows a commit once it is answered: a checkpoint when one is
// due, and after a failure the ledger is opened again, so that questions find
// it.
func (w *writer) settle(ctx context.Context) {
	w.checkpointIfDue(ctx)
	if w.e.db == nil {
		_ = w.ready(ctx) // it is tried again, and logs why
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
	err := w.ready(ctx)
	if err == nil {
		if jobs = w.refuseOld(jobs); len(jobs) == 0 {
			return
		}
		if err = w.store(ctx, jobs); err != nil {
			w.e.log.Error("commit failed; nothing of it was acknowledged", "err", err)
			err = w.failed(ctx, err, jobs)
		}
	}
	for _, j := range jobs {
		j.done <- err
	}
}

// failed notes that the jobs could not be stored, and makes the answer to them.
func (w *writer) failed(ctx context.Context, cause error, jobs []*appendJob) error {
	events := 0
	for _, j := range jobs {
		events += len(j.records)
	}
	sentence := storeTrouble(cause)
	w.e.trouble.begin(sentence, events)
	w.reset(ctx, cause)
	return &fault.Error{Code: fault.Unavailable, Message: sentence, RetryAfter: time.Second, Err: cause}
}

func (w *writer) store(ctx context.Context, jobs []*appendJob) error {
	batches := make([][]usage.Record, len(jobs))
	for i, j := range jobs {
		batches[i] = j.records
	}
	receipts, err := dedupe.Store(ctx, w.known, w, batches)
	if err != nil {
		return err
	}
	for i, j := range jobs {
		j.receipt = receipts[i]
	}
	return nil
}

// Insert implements dedupe.Ledger.
func (w *writer) Insert(ctx context.Context, recs []*usage.Record) (int64, error) {
	n := w.e.last.Load() + 1
	return n, w.insert(ctx, n, recs)
}

func (w *writer) insert(ctx context.Context, n int64, recs []*usage.Record) error {
	if err := w.exec(ctx, `BEGIN TRANSACTION`); err != nil {
		return err
	}
	cells, err := w.e.cells.intern(ctx, w, recs)
	if err != nil {
		return fmt.Errorf("cells: %w", err)
	}
	sets, err := w.e.tags.intern(ctx, w, recs)
	if err != nil {
		return fmt.Errorf("tags: %w", err)
	}
	if err := w.e.prompts.keep(ctx, w, n, recs); err != nil {
		return fmt.Errorf("prompts: %w", err)
	}
	for i, r := range recs {
		if w.args, err = (row{r, cells[i], sets[i]}).values(w.args, n); err != nil {
			return err
		}
		if err := w.events.AppendRow(w.args...); err != nil {
			return fmt.Errorf("append: %w", err)
		}
	}
	if err := w.events.Flush(); err != nil {
		return fmt.Errorf("flush events: %w", err)
	}
	if err := w.unsum(ctx, hoursOf(recs)); err != nil {
		return err
	}
	return w.seal(ctx, n, len(recs))
}

// keptCommits is how many rows of commits are kept at least; the highest is what
// recovery needs, and corrections and removals (changed) are kept for ever.
const keptCommits = 10_000

// changed stands for the number of events in a commit that corrected or removed
// stored ones.
const changed = -1

// seal writes the commit's row and commits; events is their number, or changed.
func (w *writer) seal(ctx context.Context, n int64, events int) error {
	if err := w.commits.AppendRow(n, w.e.now(), int64(events), marker(n)); err != nil {
		return fmt.Errorf("append commit: %w", err)
	}
	if err := w.commits.Flush(); err != nil {
		return fmt.Errorf("flush commit: %w", err)
	}
	if n%keptCommits == 0 {
		if err := w.exec(ctx, `DELETE FROM commits WHERE n <= ? AND events >= 0`, n-keptCommits); err != nil {
			return fmt.Errorf("trim commits: %w", err)
		}
	}
	if err := w.exec(ctx, `COMMIT`); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	w.e.last.Store(n)
	w.e.trouble.stored(events)
	if err := w.e.acks.write(n); err != nil {
		w.e.log.Warn("acknowledged commit could not be noted", "err", err)
	}
	return nil
}

func (w *writer) exec(ctx context.Context, q string, args ...any) error {
	_, err := w.conn.ExecContext(ctx, q, args...)
	return err
}

// task runs a task in the transaction it opens itself.
func (w *writer) task(ctx context.Context, t *task) error {
	if err := w.ready(ctx); err != nil {
		return err
	}
	err := t.run(ctx, w)
	if err == nil {
		return nil
	}
	if w.reset(ctx, err); isDisk(err) {
		err = &fault.Error{Code: fault.Unavailable, Message: storeTrouble(err), RetryAfter: time.Second, Err: err}
		w.e.trouble.begin(storeTrouble(err), 1)
	}
	return err
}

// sumIdle sums up settled hours until somebody wants to append.
func (w *writer) sumIdle(ctx context.Context) {
	if w.e.trouble.err() != nil {
		return // sums can wait until events can be stored
	}
	for len(w.e.appends) == 0 && len(w.e.tasks) == 0 && w.ready(ctx) == nil {
		more, err := w.sumUp(ctx)
		if err != nil {
			w.e.log.Warn("hours could not be summed up; questions read the events", "err", err)
			w.reset(ctx, err)
			return
		}
		if !more {
			return
		}
		select {
		case <-w.e.stop:
			return
		default:
		}
	}
}

// ready makes sure there is a connection, opening the ledger anew after a
// failure that closed it.
func (w *writer) ready(ctx context.Context) error {
	if w.conn != nil {
		return nil
	}
	if err := w.e.leaveStandby(); err != nil {
		return err
	}
	if w.e.db == nil {
		if err := w.e.openLedger(ctx); err != nil {
			w.e.log.Error("the ledger does not open", "err", err)
			return errDown
		}
		if w.e.standby.Load() {
			return w.e.trouble.err()
		}
		w.e.log.Info("the ledger is open again")
	}
	if err := w.recall(ctx); err != nil {
		return errors.Join(errDown, err)
	}
	if err := w.connect(ctx); err != nil {
		return errors.Join(errDown, err)
	}
	return nil
}

// reset forgets everything that a failed transaction may have left half done.
// A commit that failed may still have happened: what is known of the ledger is
// read from it again. After an error that the engine calls fatal, or that is the
// disk's, the file is closed and opened anew: what the engine believes of the
// file may not be so.
func (w *writer) reset(ctx context.Context, cause error) {
	if w.conn != nil {
		_ = w.exec(ctx, `ROLLBACK`)
	}
	w.disconnect()
	w.known.Forget()
	w.e.cells.forget()
	w.e.tags.forget()
	w.e.prompts.forget()
	db := w.e.db
	healthy := false
	var last int64
	if db != nil && !isFatal(cause) && !isDisk(cause) && !errors.Is(cause, errReopen) {
		healthy = db.QueryRowContext(ctx, `SELECT coalesce(max(n), 0) FROM commits`).Scan(&last) == nil &&
			w.e.countSpans(ctx, db) == nil
	}
	if healthy {
		w.e.last.Store(max(w.e.last.Load(), last))
		return
	}
	w.e.use(nil)
}

func isFatal(err error) bool {
	var d *duck.Error
	return errors.As(err, &d) && (d.Type == duck.ErrorTypeFatal || d.Type == duck.ErrorTypeInternal)
}

func isOutOfRange(err error) bool {
	var d *duck.Error
	return errors.As(err, &d) && (d.Type == duck.ErrorTypeConversion || d.Type == duck.ErrorTypeOutOfRange)
}
