package duckdb

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// A ledger that cannot be opened for writing, because its disk is full or
// broken, is opened for reading: the engine replays the log in memory and
// changes nothing on disk. Questions are answered, appends are refused with what
// is wrong, and the writer opens it again as soon as the disk allows.

// openStandby opens the ledger for reading after cause kept it from being opened
// otherwise; it fails with that cause where this does not work either.
func (e *Engine) openStandby(ctx context.Context, cause error) error {
	if !isDisk(cause) || ctx.Err() != nil {
		return cause
	}
	if _, err := os.Stat(filepath.Join(e.opts.Dir, ledgerFile)); err != nil {
		return cause
	}
	db, err := e.opts.connect(ctx, "&access_mode=READ_ONLY")
	if err != nil {
		return fmt.Errorf("%w (nor does it open for reading: %s)", cause, firstLine(err))
	}
	if err := upToDate(ctx, db); err != nil {
		db.Close()
		return fmt.Errorf("%w (and %s)", cause, firstLine(err))
	}
	if err := e.load(ctx, db); err != nil {
		db.Close()
		return err
	}
	if e.proven, err = e.complete(ctx, db); err != nil {
		db.Close()
		return fmt.Errorf("%w (and %s)", cause, firstLine(err))
	}
	// An attempt to write the log into the ledger takes a part of the log's size;
	// how much shows.
	e.room = min(max(2*e.room, probeBytes(1)), logSize(e.opts.Dir)+probeBytes(1))
	if !e.proven {
		e.room = logSize(e.opts.Dir) + probeBytes(1) // for a copy
	}
	sentence := "the disk of the data directory reports errors: questions are answered, nothing can be stored until that is mended"
	if isFull(cause) {
		sentence = fmt.Sprintf("the disk of the data directory is full: questions are answered, nothing can be stored until %d MB are free", (e.room+1<<20-1)>>20)
	}
	if e.trouble.err() == nil {
		e.log.Error("the ledger opens for reading only", "err", cause)
	}
	e.trouble.begin(sentence, 1)
	e.standby.Store(true)
	e.use(db)
	return nil
}

// complete says whether the open ledger holds every commit that its log and the
// acknowledgements speak of. A log of which that was seen needs no copy.
func (e *Engine) complete(ctx context.Context, db *sql.DB) (bool, error) {
	promised, err := e.acks.read()
	if err != nil {
		return false, err
	}
	found, err := logs(e.opts.Dir)
	if err != nil {
		return false, err
	}
	for _, path := range found {
		n, err := highestMarker(path)
		if err != nil {
			return false, err
		}
		promised = max(promised, n)
	}
	var last int64
	err = db.QueryRowContext(ctx, `SELECT coalesce(max(n), 0) FROM commits`).Scan(&last)
	return last >= promised, err
}

// leaveStandby closes a ledger that is open for reading once there is room to
// open it otherwise.
func (e *Engine) leaveStandby() error {
	if !e.standby.Load() {
		return nil
	}
	if since := time.Since(e.left); since >= 0 && since < probeEvery {
		return e.trouble.err()
	}
	e.left = time.Now()
	if err := probeRoom(e.opts.Dir, e.room); err != nil {
		return e.trouble.err()
	}
	e.use(nil)
	e.standby.Store(false)
	return nil
}

// use replaces the open ledger and closes the one before, once its readers are
// done; nil leaves none.
func (e *Engine) use(db *sql.DB) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.db != nil {
		_ = e.db.Close() // what was acknowledged is in the log
	}
	e.db = db
	e.uses.drop()
}
