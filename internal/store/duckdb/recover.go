package duckdb

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/costprof/costprof/internal/fault"
)

const (
	recoveryDir  = "recovery"
	markerPrefix = "costprof-commit:"
)

// marker is a commit's number as it can be found in the bytes of a log.
func marker(n int64) string { return fmt.Sprintf("%s%016d;", markerPrefix, n) }

// recover opens the ledger and judges what a crash left behind. A log that is
// there at the start (the last stop was not clean) is copied first. When it
// does not replay, file and log are kept together in quarantine-<time>/ and the
// server starts on as much of them as replays. When it replays to fewer commits
// than it, or the acknowledgements, speak of, that is reported the same way.
// Nothing that is not in the ledger is ever deleted.
func (e *Engine) recover(ctx context.Context) (_ *sql.DB, err error) {
	dir := e.opts.Dir
	acked, err := e.acks.read()
	if err != nil {
		return nil, err
	}
	if err := e.makeLedger(ctx); err != nil {
		return nil, err
	}
	if err := takeBack(dir, false); err != nil {
		return nil, err
	}
	logged, unclean, err := keepLogs(dir, !e.proven)
	if err != nil {
		return nil, err
	}
	e.proven = false
	db, err := e.writable(ctx)
	if err != nil {
		if ctx.Err() != nil || !unclean || hasErrno(err) {
			return nil, explainOpen(dir, err)
		}
		e.log.Error("the write-ahead log does not replay", "err", err)
		if db, err = e.quarantine(ctx, err); err != nil {
			return nil, err
		}
	}
	defer func() {
		if err != nil {
			db.Close()
		}
	}()
	var last int64
	if err := db.QueryRowContext(ctx, `SELECT coalesce(max(n), 0) FROM commits`).Scan(&last); err != nil {
		return nil, fmt.Errorf("read last commit: %w", err)
	}
	if logged == last+1 {
		// The log names the commit that was being written when the process died.
		// It was not complete, and unless it is in acked nobody was told of it.
		logged = last
	}
	promised := max(acked, logged)
	if promised > last {
		if err := e.noteLoss(ctx, db, last, promised); err != nil {
			return nil, err
		}
	}
	if unclean {
		// What was replayed may never have reached the disk: its sync may be what
		// failed, and a kernel that could not write a page forgets that it should.
		// A checkpoint writes everything anew, before anybody is told that it is
		// there.
		if err := e.checkpoint(ctx, db); err != nil {
			return nil, err
		}
	}
	if err := os.RemoveAll(filepath.Join(dir, recoveryDir)); err != nil {
		return nil, fmt.Errorf("remove the copy of the replayed log: %w", err)
	}
	e.last.Store(max(last, promised))
	return db, nil
}

// makeLedger makes an empty ledger where there is none, whole or not at all: a
// file whose making was cut off would open no more.
func (e *Engine) makeLedger(ctx context.Context) error {
	path := filepath.Join(e.opts.Dir, ledgerFile)
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	const unborn = "new-" + ledgerFile
	leftovers, err := filepath.Glob(filepath.Join(e.opts.Dir, unborn+"*"))
	if err != nil {
		return err
	}
	for _, left := range leftovers {
		if err := os.Remove(left); err != nil {
			return fmt.Errorf("make the ledger: %w", err)
		}
	}
	db, err := e.opts.connectTo(ctx, unborn, "")
	if err != nil {
		return fmt.Errorf("make the ledger: %w", err)
	}
	_, err = db.ExecContext(ctx, `CHECKPOINT`)
	if err = errors.Join(err, db.Close()); err != nil {
		return fmt.Errorf("make the ledger: %w", err)
	}
	made := filepath.Join(e.opts.Dir, unborn)
	if err := syncDir(made); err != nil { // any file can be synced so
		return fmt.Errorf("make the ledger: %w", err)
	}
	if err := os.Rename(made, path); err != nil {
		return fmt.Errorf("make the ledger: %w", err)
	}
	return syncDir(e.opts.Dir)
}

// writable opens the ledger for writing, with today's schema.
func (e *Engine) writable(ctx context.Context) (*sql.DB, error) {
	db, err := e.opts.connect(ctx, "")
	if err != nil && !hasErrno(err) && ctx.Err() == nil {
		if back := takeBack(e.opts.Dir, true); back == nil {
			db, err = e.opts.connect(ctx, "")
		}
	}
	if err != nil {
		return nil, err
	}
	if err := os.Remove(filepath.Join(e.opts.Dir, undoFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		db.Close()
		return nil, err
	}
	if err := migrate(ctx, db); err != nil {
		db.Close()
		return nil, err
	}
	return db, nil
}

// noteLoss reports, once, that the ledger ends before a commit that somebody
// was told of, and makes sure that no number is used twice.
func (e *Engine) noteLoss(ctx context.Context, db *sql.DB, last, promised int64) error {
	dir := e.opts.Dir
	known, err := readLoss(dir)
	if err != nil {
		return err
	}
	if known == "" {
		where, err := keepCopies(dir, e.opts.Now())
		if err != nil {
			return err
		}
		sentence := fmt.Sprintf("the ledger ends at commit %d but commit %d was acknowledged; what was found is kept in %s; clients should send again what they sent since then, and costprof doctor --accept-loss ends this report", last, promised, where)
		e.log.Error(sentence)
		if err := writeLoss(dir, sentence); err != nil {
			return err
		}
	}
	if _, err := db.ExecContext(ctx, `INSERT INTO commits VALUES (?, ?, ?, ?)`, promised, e.now(), changed, marker(promised)); err != nil {
		return fmt.Errorf("note lost commits: %w", err)
	}
	return nil
}

// logs lists the engine's logs: beside the main one there may be those that a
// checkpoint was writing.
func logs(dir string) ([]string, error) {
	all, err := filepath.Glob(filepath.Join(dir, walFile+"*"))
	if err != nil {
		return nil, err
	}
	var found []string
	for _, path := range all {
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("look at the write-ahead log: %w", err)
		}
		found = append(found, path)
	}
	return found, nil
}

// logSize is how many bytes the logs hold.
func logSize(dir string) (n int64) {
	found, _ := logs(dir)
	for _, path := range found {
		if info, err := os.Stat(path); err == nil {
			n += info.Size()
		}
	}
	return n
}

// keepLogs copies the logs that a crash left, unless they need none, and finds
// the highest commit in them.
func keepLogs(dir string, copied bool) (logged int64, unclean bool, err error) {
	found, err := logs(dir)
	if err != nil || len(found) == 0 {
		return 0, false, err
	}
	kept := filepath.Join(dir, recoveryDir)
	// What an earlier start could not finish takes room and is copied again.
	if err := os.RemoveAll(kept); err != nil {
		return 0, true, err
	}
	if err := os.MkdirAll(kept, 0o700); err != nil {
		return 0, true, err
	}
	for _, path := range found {
		if copied {
			if err := copyFile(filepath.Join(kept, filepath.Base(path)), path); err != nil {
				_ = os.RemoveAll(kept)
				return 0, true, fmt.Errorf("copy the write-ahead log: %w", err)
			}
		}
		n, err := highestMarker(path)
		if err != nil {
			return 0, true, err
		}
		logged = max(logged, n)
	}
	return logged, true, nil
}

// highestMarker finds the highest commit number in a log, whole or torn.
func highestMarker(path string) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var highest int64
	const length = len(markerPrefix) + 17
	buf := make([]byte, 1<<20)
	kept := 0
	for {
		n, err := f.Read(buf[kept:])
		data := buf[:kept+n]
		for at := 0; ; {
			i := bytes.Index(data[at:], []byte(markerPrefix))
			if i < 0 || at+i+length > len(data) {
				break
			}
			at += i + len(markerPrefix)
			if v, perr := strconv.ParseInt(string(data[at:at+16]), 10, 64); perr == nil && data[at+16] == ';' {
				highest = max(highest, v)
			}
		}
		if errors.Is(err, io.EOF) {
			return highest, nil
		}
		if err != nil {
			return highest, fmt.Errorf("read the write-ahead log: %w", err)
		}
		kept = copy(buf, data[max(0, len(data)-length+1):])
	}
}

// explainOpen makes a sentence of an engine's refusal to open.
func explainOpen(dir string, err error) error {
	if strings.Contains(err.Error(), "Could not set lock") {
		return fault.New(fault.Conflict, "the data directory %s is in use by another process", dir)
	}
	return fmt.Errorf("open the ledger in %s: %w", dir, err)
}

func firstLine(err error) string {
	s, _, _ := strings.Cut(err.Error(), "\n")
	return s
}
