// Package duckdb is the embedded engine: the ledger and its catalog in one
// DuckDB file. One writer goroutine commits what many callers append (group
// commit); readers run beside it on snapshots. The package knows the schema and
// the engine's habits, and nothing of prices, HTTP or charts.
package duckdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	duck "github.com/duckdb/duckdb-go/v2"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/store/dedupe"
)

// Options configure Open. The zero value of a field takes its default.
type Options struct {
	// Dir is the data directory; it is made when missing.
	Dir string
	Log *slog.Logger
	// Now is the clock; default time.Now.
	Now func() time.Time
	// MemoryLimit bounds the engine's own memory, in bytes; default 700 MiB.
	MemoryLimit int64
	// IdentityMemory bounds the fingerprints of known events, in bytes; default
	// 160 MiB, room for 14 million events in use at once.
	IdentityMemory int
	// Threads the engine may use; default GOMAXPROCS.
	Threads int
	// QueueWait is how long Append waits for room before it reports
	// fault.Unavailable; default 5 s.
	QueueWait time.Duration
	// SumAfter is how long an hour must be over and unchanged before its sums are
	// kept; default 1 minute. SumEvery is how often the writer looks for such
	// hours; default 1 s.
	SumAfter, SumEvery time.Duration
	// SumFactor is how many events there must be to a sum at least for an hour's
	// sums to be kept; default 2.
	SumFactor int64
	// MaxReaders is how many questions run at once; others wait. Default 8.
	MaxReaders int

	// locked: the caller holds the directory already.
	locked bool
}

const (
	ledgerFile = "ledger.duckdb"
	walFile    = ledgerFile + ".wal"
)

// Engine implements store.Engine.
type Engine struct {
	opts Options
	log  *slog.Logger
	lock *os.File
	acks *ackFile

	mu sync.RWMutex // guards db and its replacement
	db *sql.DB      // nil while the ledger cannot be opened

	appends chan *appendJob
	tasks   chan *task
	stop    chan struct{}
	stopped chan struct{}
	closing sync.Once

	readers  chan struct{}
	last     atomic.Int64 // number of the last commit
	queued   atomic.Int64
	counts   dedupe.Spans
	degraded atomic.Pointer[string]
	trouble  trouble
	standby  atomic.Bool // open for reading only
	left     time.Time   // when the writer last tried to end that
	room     int64       // bytes that must be free for it to try
	proven   bool        // the log was seen to replay whole
	file     *os.File    // the ledger's, for reading beside the engine; the writer's
	cells    cellCache
	tags     tagCache
	prompts  promptCache
	uses     keptUses
}

var _ store.Engine = (*Engine)(nil)

// Open opens or makes the ledger in opts.Dir. It fails with fault.Conflict when
// another process holds the directory. A log that does not replay is put aside
// and reported by Ping, never silently dropped.
func Open(ctx context.Context, opts Options) (*Engine, error) {
	opts = opts.withDefaults()
	if err := os.MkdirAll(opts.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	var lock *os.File
	var err error
	if !opts.locked {
		if lock, err = lockDir(opts.Dir); err != nil {
			return nil, err
		}
	}
	e := &Engine{
		opts: opts, log: opts.Log, lock: lock,
		appends: make(chan *appendJob, 64), tasks: make(chan *task, 8),
		stop: make(chan struct{}), stopped: make(chan struct{}),
		readers: make(chan struct{}, opts.MaxReaders),
	}
	fail := func(err error) (*Engine, error) {
		if e.db != nil {
			e.db.Close()
		}
		e.acks.close()
		lock.Close()
		return nil, err
	}
	if err := refuseHalf(opts.Dir); err != nil {
		return fail(err)
	}
	if e.acks, err = openAcks(opts.Dir); err != nil {
		return fail(err)
	}
	if err := e.openLedger(ctx); err != nil {
		return fail(err)
	}
	w, err := newWriter(ctx, e)
	if err != nil {
		return fail(err)
	}
	go w.run()
	return e, nil
}

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.MemoryLimit == 0 {
		o.MemoryLimit = 700 << 20
	}
	if o.IdentityMemory == 0 {
		o.IdentityMemory = 160 << 20
	}
	if o.QueueWait == 0 {
		o.QueueWait = 5 * time.Second
	}
	if o.SumAfter == 0 {
		o.SumAfter = settled
	}
	if o.SumFactor == 0 {
		o.SumFactor = 2
	}
	if o.SumEvery == 0 {
		o.SumEvery = time.Second
	}
	if o.MaxReaders == 0 {
		o.MaxReaders = 8
	}
	return o
}

// connect opens the database file, without any judgement of what is in it;
// further is added to the engine's settings.
func (o Options) connect(ctx context.Context, further string) (*sql.DB, error) {
	return o.connectTo(ctx, ledgerFile, further)
}

func (o Options) connectTo(ctx context.Context, name, further string) (*sql.DB, error) {
	dsn := fmt.Sprintf("%s?memory_limit=%dB&checkpoint_threshold=1TB&auto_checkpoint_skip_wal_threshold=1000000000000&temp_directory=%s%s",
		filepath.Join(o.Dir, name), o.MemoryLimit, filepath.Join(o.Dir, "spill"), further)
	if o.Threads > 0 {
		dsn += fmt.Sprintf("&threads=%d", o.Threads)
	}
	c, err := duck.NewConnector(dsn, nil)
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(c)
	db.SetMaxOpenConns(o.MaxReaders + 8)
	db.SetMaxIdleConns(o.MaxReaders + 8)
	// See checkpoint.go.
	if _, err := db.ExecContext(ctx, `PRAGMA disable_checkpoint_on_shutdown`); err != nil {
		db.Close()
		return nil, err
	}
	return db, nil
}

// openLedger opens the file, recovers what a crash left, migrates, and loads the
// small state that the engine keeps in memory. On a disk that cannot be written
// it opens for reading; standby tells.
func (e *Engine) openLedger(ctx context.Context) error {
	db, err := e.recover(ctx)
	if err != nil {
		return e.openStandby(ctx, err)
	}
	if err := e.load(ctx, db); err != nil {
		db.Close()
		return err
	}
	e.use(db)
	return nil
}

func (e *Engine) load(ctx context.Context, db *sql.DB) error {
	sentence, err := readLoss(e.opts.Dir)
	if err != nil {
		return err
	}
	if sentence != "" {
		e.degraded.Store(&sentence)
	}
	return e.countSpans(ctx, db)
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

// read runs fn in a transaction, one of at most MaxReaders at a time. What it
// reads, the position too, is of one moment.
func (e *Engine) read(ctx context.Context, fn func(querier, position) error) error {
	return e.asReader(ctx, func() error { return e.inMoment(ctx, fn) })
}

func (e *Engine) asReader(ctx context.Context, ask func() error) error {
	select {
	case e.readers <- struct{}{}:
		defer func() { <-e.readers }()
	case <-ctx.Done():
		return ctx.Err()
	}
	e.mu.RLock()
	defer e.mu.RUnlock()
	if e.db == nil {
		return errDown
	}
	err := ask()
	var coded *fault.Error
	if err == nil || errors.As(err, &coded) {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if hasErrno(err) {
		return &fault.Error{Code: fault.Unavailable, Message: "the disk of the data directory is full or broken: the question needs more room than it has", RetryAfter: 5 * time.Second, Err: err}
	}
	return fmt.Errorf("ledger: %w", err)
}

// look asks one question for which any moment will do, outside of a transaction.
func (e *Engine) look(ctx context.Context, fn func(querier) error) error {
	return e.asReader(ctx, func() error { return fn(e.db) })
}

func (e *Engine) inMoment(ctx context.Context, fn func(querier, position) error) error {
	tx, err := e.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	var at position
	var pruned bool
	if err := tx.QueryRowContext(ctx, `SELECT coalesce(max(n), 0), coalesce(max(n) FILTER (events < 0), 0), EXISTS (SELECT 1 FROM pruned) FROM commits`).
		Scan(&at.last, &at.revision, &pruned); err != nil {
		return err
	}
	if pruned {
		if at.pruned, err = readPruned(ctx, tx); err != nil {
			return err
		}
	}
	return fn(tx, at)
}

var errDown = &fault.Error{Code: fault.Unavailable, Message: "the ledger cannot be opened at the moment", RetryAfter: 5 * time.Second}

// Ping implements store.Engine. After a failure to store it tries, at most once
// a second, whether that works again, so that a server which nobody sends to any
// more, because it is not healthy, notices that it is.
func (e *Engine) Ping(ctx context.Context) (store.Health, error) {
	h := store.Health{Events: e.counts.Sum(), Queued: e.queued.Load()}
	if d := e.degraded.Load(); d != nil {
		h.Degraded = *d
	}
	err := e.read(ctx, func(db querier, _ position) error {
		var one int
		return db.QueryRowContext(ctx, `SELECT 1`).Scan(&one)
	})
	// After a failure that closed the file only the writer can open it again.
	if trouble := e.trouble.err(); trouble != nil {
		err = trouble
	} else if err == nil {
		return h, nil
	}
	if size, ok := e.trouble.due(time.Now()); ok && probeRoom(e.opts.Dir, size) == nil && e.do(ctx, e.probe) == nil {
		return h, nil
	}
	return h, err
}

// Close implements store.Engine: what was accepted is committed, the log is
// checkpointed into the file, and the directory is free for another process.
func (e *Engine) Close() error {
	var err error
	e.closing.Do(func() {
		close(e.stop)
		<-e.stopped
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.db != nil && !e.standby.Load() {
			if cerr := e.checkpoint(context.Background(), e.db); cerr != nil {
				e.log.Warn("checkpoint at close failed; the log will be replayed at the next start", "err", cerr)
			}
		}
		if e.db != nil {
			err = e.db.Close()
			e.db = nil
		}
		if e.file != nil {
			e.file.Close()
		}
		e.acks.close()
		e.lock.Close()
	})
	return err
}

// now is the clock in the ledger's precision.
func (e *Engine) now() time.Time { return e.opts.Now().UTC().Truncate(time.Microsecond) }
