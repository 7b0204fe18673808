package duckdb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"time"

	duck "github.com/duckdb/duckdb-go/v2"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/store"
)

const (
	// restoringDir holds a ledger that is being loaded; nothing looks at it.
	restoringDir = "restoring"
	// replacingFile is there while the loaded ledger takes the place of the old
	// one: several files change, and no start may see some of them.
	replacingFile = "REPLACING"
	// loadCommit is how many rows a commit of a load has.
	loadCommit = 100_000
)

// Load fills the ledger in opts.Dir, which it makes when missing. The new ledger
// is built beside the old one and takes its place when it is complete. It fails
// with fault.Conflict when another process holds the directory, and when there is
// a ledger that is not empty and l does not force.
func Load(ctx context.Context, opts Options, l store.Load) error {
	opts = opts.withDefaults()
	if err := os.MkdirAll(opts.Dir, 0o700); err != nil {
		return fmt.Errorf("make data directory: %w", err)
	}
	lock, err := lockDir(opts.Dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	opts.locked = true
	if !l.Force {
		if err := refuseFull(ctx, opts); err != nil {
			return err
		}
	}
	building := opts
	building.Dir = filepath.Join(opts.Dir, restoringDir)
	building.SumEvery = math.MaxInt64 // nobody waits for sums here
	if err := os.RemoveAll(building.Dir); err != nil {
		return fmt.Errorf("remove what a restore left: %w", err)
	}
	defer func() { _ = os.RemoveAll(building.Dir) }() // the next restore would, too
	if err := build(ctx, building, l); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(building.Dir, walFile)); err == nil {
		return errors.New("the restored ledger could not be completed: its log was not written into it")
	}
	return replace(opts.Dir, building.Dir)
}

// Holds says whether there is a ledger in the directory.
func Holds(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, ledgerFile))
	return err == nil
}

// refuseFull fails when there is something in the ledger.
func refuseFull(ctx context.Context, opts Options) error {
	if _, err := os.Stat(filepath.Join(opts.Dir, ledgerFile)); errors.Is(err, fs.ErrNotExist) {
		_, err := os.Stat(filepath.Join(opts.Dir, replacingFile))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
	}
	e, err := Open(ctx, opts)
	if err != nil {
		return err
	}
	defer func() { _ = e.Close() }() // nothing was changed
	return e.read(ctx, func(db querier, _ position) error {
		for _, t := range store.Tables() {
			if t.Incidental {
				continue
			}
			var some bool
			if err := db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM `+t.Name+`)`).Scan(&some); err != nil {
				return err
			}
			if some {
				return fault.New(fault.Conflict, "the ledger in %s is not empty; --force replaces it", opts.Dir)
			}
		}
		return nil
	})
}

func build(ctx context.Context, opts Options, l store.Load) error {
	e, err := Open(ctx, opts)
	if err != nil {
		return err
	}
	in, err := newLoader(ctx, e)
	if err == nil {
		err = l.Source(ctx, in)
		err = in.end(err)
	}
	return errors.Join(err, e.Close())
}

// replace puts the loaded ledger in the place of the old one.
func replace(dir, loaded string) error {
	if err := writeDurably(filepath.Join(dir, replacingFile), []byte("A restore was replacing this ledger.\n")); err != nil {
		return fmt.Errorf("replace the ledger: %w", err)
	}
	for _, name := range []string{walFile, undoFile, lossFile, recoveryDir, "spill"} {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("replace the ledger: %w", err)
		}
	}
	for _, name := range []string{ledgerFile, "acknowledged"} {
		if err := os.Rename(filepath.Join(loaded, name), filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("replace the ledger: %w", err)
		}
	}
	err := syncDir(dir)
	if err == nil {
		err = os.Remove(filepath.Join(dir, replacingFile))
	}
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		return fmt.Errorf("replace the ledger: %w", err)
	}
	return nil
}

// refuseHalf fails where a restore was cut off while it replaced the ledger.
func refuseHalf(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, replacingFile)); err == nil {
		return fault.New(fault.Conflict, "a restore into the data directory %s was cut off at its end; run it again with --force", dir)
	}
	return nil
}

// loader is the sink that fills an engine which nobody else uses.
type loader struct {
	ctx     context.Context
	e       *Engine
	conn    *sql.Conn
	table   *store.Table
	rows    *duck.Appender
	pending int
	last    int64
	args    []driver.Value
}

func newLoader(ctx context.Context, e *Engine) (*loader, error) {
	conn, err := e.db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	l := &loader{ctx: ctx, e: e, conn: conn}
	return l, l.begin()
}

func (l *loader) begin() error {
	_, err := l.conn.ExecContext(l.ctx, `BEGIN TRANSACTION`)
	return err
}

// Table implements store.Sink.
func (l *loader) Table(t *store.Table) error {
	if err := l.closeTable(); err != nil {
		return err
	}
	l.table = t
	if t.Name == store.PositionTable {
		return nil
	}
	return l.conn.Raw(func(c any) (err error) {
		l.rows, err = duck.NewAppenderWithColumns(c.(driver.Conn), "", "", t.Name, t.Names())
		return err
	})
}

// Row implements store.Sink.
func (l *loader) Row(values []any) error {
	if l.table.Name == store.PositionTable {
		l.last, _ = values[0].(int64)
		return nil
	}
	l.args = l.args[:0]
	for i, v := range values {
		c := l.table.Columns[i]
		switch w := v.(type) {
		case int64:
			if c.Kind == store.Moment {
				v = time.UnixMicro(w).UTC()
			} else if c.Name == "content" {
				v = uint64(w)
			}
		case []byte:
			if !isBlob(l.table) {
				v = encodingOf(l.table).EncodeToString(w)
			}
		case [16]byte:
			v = duck.UUID(w)
		}
		l.args = append(l.args, v)
	}
	if err := l.rows.AppendRow(l.args...); err != nil {
		return fmt.Errorf("load %s: %w", l.table.Name, err)
	}
	if l.pending++; l.pending < loadCommit {
		return nil
	}
	if err := l.rows.Flush(); err != nil {
		return fmt.Errorf("load %s: %w", l.table.Name, err)
	}
	return errors.Join(l.commit(), l.begin())
}

func (l *loader) commit() error {
	l.pending = 0
	if _, err := l.conn.ExecContext(l.ctx, `COMMIT`); err != nil {
		return err
	}
	info, err := os.Stat(filepath.Join(l.e.opts.Dir, walFile))
	if err != nil || info.Size() < checkpointAt {
		return nil //nolint:nilerr // no log is a small one
	}
	return l.e.checkpoint(l.ctx, l.conn)
}

func (l *loader) closeTable() error {
	if l.rows == nil {
		return nil
	}
	err := l.rows.Close()
	l.rows = nil
	if err != nil {
		return fmt.Errorf("load %s: %w", l.table.Name, err)
	}
	return nil
}

// end writes the commit that makes this another ledger than the one it was
// dumped from; err is what happened before.
func (l *loader) end(err error) error {
	defer l.conn.Close()
	if err != nil {
		if l.rows != nil {
			_ = l.rows.Clear()
			_ = l.closeTable()
		}
		return err
	}
	if err := l.closeTable(); err != nil {
		return err
	}
	n := l.last + 1
	if _, err := l.conn.ExecContext(l.ctx, `INSERT INTO commits VALUES (?, ?, ?, ?)`, n, l.e.now(), changed, marker(n)); err != nil {
		return err
	}
	if err := l.commit(); err != nil {
		return err
	}
	l.e.last.Store(n)
	return l.e.acks.write(n)
}
