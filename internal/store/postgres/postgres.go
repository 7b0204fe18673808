// Package postgres is the engine that several servers may share: the ledger and
// its catalog in a PostgreSQL database. Each server gathers what many callers
// append and commits it in one transaction (group commit); the transactions of
// all servers happen one after the other, in the order of their commit numbers.
// The package knows the schema and the engine's habits, and nothing of prices,
// HTTP or charts.
package postgres

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/store"
)

// Options configure Open. The zero value of a field takes its default.
type Options struct {
	// URL names the database, as libpq does; ReadURL a replica that answers
	// questions, "" for none.
	URL, ReadURL string
	Log          *slog.Logger
	// Now is the clock; default time.Now.
	Now func() time.Time
	// Connections is how many this server opens at most to each database; default
	// 16, at least 8. All but writeConnections are for questions.
	Connections int
	// StatementTimeout is how long one question may take; default 60 s.
	StatementTimeout time.Duration
	// ConnectTimeout is how long to wait for a connection; default 5 s.
	ConnectTimeout time.Duration
	// QueueWait is how long Append waits for room before it reports
	// fault.Unavailable; default 5 s.
	QueueWait time.Duration
	// Exclusive has the ledger for this engine alone; Open fails with fault.Conflict
	// while a server uses it.
	Exclusive bool
	// NoSums answers every question from the events; for tests.
	NoSums bool
	// NearestExact is how many vectors of a project are compared one by one; those of
	// a project with more are searched by an index of neighbours. Default 10,000.
	NearestExact int
	// NoVector leaves pgvector alone; for tests.
	NoVector bool
}

const (
	// writeConnections are for commits, corrections and the catalog.
	writeConnections = 6
	// writers is how many commits one server prepares at once; while one is being
	// written the next is made ready.
	writers = 2
	// queue is how many appends wait for a writer.
	queue = 64
)

// Engine implements store.Engine.
type Engine struct {
	opts Options
	log  *slog.Logger
	// write goes to the database, read too, with the habits of questions; replica
	// is nil or a copy that may be behind.
	write, read, replica *pgxpool.Pool
	// owner holds the ledger when the engine has it for itself.
	owner *pgx.Conn

	cells, tagsets cache
	file           atomic.Uint32 // that of the table of cells
	partitions     partitions
	vector         pgvector
	// swept is when vectors that are gone were last removed from what is searched.
	swept atomic.Int64
	// erased is the last erasure that this server knows of.
	erased atomic.Int64

	appends chan *appendJob
	stop    chan struct{}
	stopped chan struct{} // the writers have ended
	running sync.WaitGroup
	closing sync.Once
	closed  atomic.Bool

	// seen is the highest commit that this server made or answered from: an answer
	// from a replica that does not have it yet would go back in time.
	seen   atomic.Int64
	queued atomic.Int64
	// failing: the last commit failed. probed is when one was last tried for Ping.
	failing atomic.Bool
	probed  atomic.Int64
}

var _ store.Engine = (*Engine)(nil)

// Open connects and brings the schema up to date. Errors are sentences for the
// person who started the server, without secrets.
func Open(ctx context.Context, opts Options) (*Engine, error) {
	opts = opts.withDefaults()
	e := &Engine{
		opts: opts, log: opts.Log,
		appends: make(chan *appendJob, queue), stop: make(chan struct{}), stopped: make(chan struct{}),
	}
	if err := e.connect(ctx); err != nil {
		e.disconnect()
		return nil, err
	}
	for range writers {
		w := &writer{e: e}
		e.running.Go(w.run)
	}
	e.running.Go(e.keepPartitions)
	return e, nil
}

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Connections == 0 {
		o.Connections = 16
	}
	if o.StatementTimeout == 0 {
		o.StatementTimeout = 60 * time.Second
	}
	if o.ConnectTimeout == 0 {
		o.ConnectTimeout = 5 * time.Second
	}
	if o.NearestExact == 0 {
		o.NearestExact = 10_000
	}
	if o.QueueWait == 0 {
		o.QueueWait = 5 * time.Second
	}
	return o
}

// position is the moment that an answer is of.
type position struct {
	last, revision int64
	pruned         analytics.Pruned
}

func (p position) bound(asOf int64) int64 {
	if asOf == 0 {
		return p.last
	}
	return min(asOf, p.last)
}

// errBehind says that a replica lacks what the answer needs.
var errBehind = errors.New("the replica is behind")

// ask runs fn in a transaction of questions. What it reads, the position too, is
// of one moment. least is the lowest commit that must be there; a replica that is
// behind it, or fails, is passed over.
func (e *Engine) ask(ctx context.Context, least int64, fn func(pgx.Tx, position) error) error {
	if e.closed.Load() {
		return errStopping()
	}
	if e.replica != nil {
		least = max(least, e.seen.Load())
		err := inMoment(ctx, e.replica, least, fn)
		var coded *fault.Error
		if err == nil || ctx.Err() != nil || errors.As(err, &coded) {
			return e.explain(ctx, err)
		}
		if !errors.Is(err, errBehind) {
			e.log.Warn("the read replica failed; the database answers itself", "err", secretless(err))
		}
	}
	return e.explain(ctx, inMoment(ctx, e.read, 0, func(tx pgx.Tx, at position) error {
		e.saw(at.last)
		return fn(tx, at)
	}))
}

// saw raises seen.
func (e *Engine) saw(n int64) {
	for {
		before := e.seen.Load()
		if n <= before || e.seen.CompareAndSwap(before, n) {
			return
		}
	}
}

func inMoment(ctx context.Context, pool *pgxpool.Pool, least int64, fn func(pgx.Tx, position) error) error {
	tx, err := pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	var at position
	var pruned int64
	var is int16
	if err := tx.QueryRow(ctx, `SELECT last, revision, pruned, form FROM ledger`).Scan(&at.last, &at.revision, &pruned, &is); err != nil {
		return err
	}
	// A replica that has not seen yet how the ledger was brought up lacks sums.
	if at.last < least || is < form {
		return errBehind
	}
	if is > form {
		return errOtherForm
	}
	if pruned > 0 {
		if at.pruned, err = readPruned(ctx, tx); err != nil {
			return err
		}
	}
	return fn(tx, at)
}

// inLedger runs fn in a transaction that holds the ledger's row: nothing else is
// committed meanwhile, by no server. fn gets the number of its commit and says
// whether it made one, how many events it added or took away, and whether it
// changed what was stored. It runs again when the database asks for that.
func (e *Engine) inLedger(ctx context.Context, fn func(tx pgx.Tx, n int64) (change, error)) error {
	if e.closed.Load() {
		return errStopping()
	}
	var made int64
	err := retried(ctx, func() error {
		made = 0
		return pgx.BeginFunc(ctx, e.write, func(tx pgx.Tx) error {
			l, err := lockLedger(ctx, tx)
			if err != nil {
				return err
			}
			n := l.n
			c, err := fn(tx, n)
			if err != nil || c == (change{}) {
				return err
			}
			made = n
			return e.seal(ctx, tx, n, c)
		})
	})
	if err == nil {
		e.saw(made)
	}
	return e.explain(ctx, err)
}

// change is what a commit does to the ledger; the zero value is nothing.
type change struct {
	// events is by how much their number changes.
	events int64
	// revised: stored events were corrected or removed.
	revised bool
}

// locked is where the ledger stands when a transaction begins a commit.
type locked struct {
	// n is the number of the commit.
	n int64
	// pruned is the time before which some project's events were removed, erased the
	// last commit that erased a person; 0 is none.
	pruned, erased int64
}

// lockLedger makes this transaction the only one that commits events.
func lockLedger(ctx context.Context, tx pgx.Tx) (l locked, err error) {
	var is int16
	if err := tx.QueryRow(ctx, `SELECT last + 1, pruned, erased, form FROM ledger FOR UPDATE`).Scan(&l.n, &l.pruned, &l.erased, &is); err != nil {
		return l, err
	}
	if is != form {
		return l, errOtherForm
	}
	return l, nil
}

// errOtherForm refuses commits and answers once a newer version has brought the
// ledger to a form that this one does not know.
var errOtherForm = &fault.Error{Code: fault.Unavailable, Message: "a newer version of costprof uses this database; end this server", RetryAfter: retryAfter}

// seal writes where the ledger stands after the commit at hand.
func (e *Engine) seal(ctx context.Context, tx pgx.Tx, n int64, c change) error {
	_, err := tx.Exec(ctx, `UPDATE ledger SET last = $1, events = events + $2, revision = CASE WHEN $3 THEN $1 ELSE revision END`, n, c.events, c.revised)
	return err
}

// Ping implements store.Engine. After a failed commit it tries one that changes
// nothing, at most once a second.
func (e *Engine) Ping(ctx context.Context) (store.Health, error) {
	h := store.Health{Queued: e.queued.Load()}
	if e.closed.Load() {
		return h, errStopping()
	}
	ctx, cancel := context.WithTimeout(ctx, e.opts.ConnectTimeout)
	defer cancel()
	var standby bool
	if err := e.write.QueryRow(ctx, `SELECT events, pg_is_in_recovery() FROM ledger`).Scan(&h.Events, &standby); err != nil {
		return h, e.explain(ctx, err)
	}
	if standby {
		return h, &fault.Error{Code: fault.Unavailable, Message: "the database is a standby and cannot store", RetryAfter: retryAfter}
	}
	if !e.failing.Load() {
		return h, nil
	}
	if last, now := e.probed.Load(), e.opts.Now().UnixMilli(); now-last >= 1000 && e.probed.CompareAndSwap(last, now) {
		if err := e.tryCommit(ctx); err != nil {
			return h, err
		}
		e.failing.Store(false)
		return h, nil
	}
	return h, &fault.Error{Code: fault.Unavailable, Message: "the ledger could not store the last events", RetryAfter: retryAfter}
}

func (e *Engine) tryCommit(ctx context.Context) error {
	return e.explain(ctx, pgx.BeginFunc(ctx, e.write, func(tx pgx.Tx) error {
		if _, err := lockLedger(ctx, tx); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `UPDATE ledger SET last = last`)
		return err
	}))
}

// Close implements store.Engine: what was accepted is committed, and the
// connections are closed.
func (e *Engine) Close() error {
	e.closing.Do(func() {
		close(e.stop)
		e.running.Wait()
		close(e.stopped)
		e.closed.Store(true)
		e.disconnect()
	})
	return nil
}

// now is the clock in the ledger's precision.
func (e *Engine) now() time.Time { return e.opts.Now().UTC().Truncate(time.Microsecond) }
