package duckdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"
)

// quarantine keeps ledger and log as they were found and opens as much of them
// as replays: the log up to the entry that is damaged, or else the ledger as of
// its last checkpoint. The ledger stays where it is, and the log until its copy
// and the report of the loss are durable: a process that ends in between starts
// over, and one that has no room for copies has changed nothing.
func (e *Engine) quarantine(ctx context.Context, cause error) (_ *sql.DB, err error) {
	dir := e.opts.Dir
	where, err := quarantineDir(dir, e.opts.Now())
	if err != nil {
		return nil, err
	}
	sentence := "the write-ahead log did not replay (%s); ledger and log are kept in %s and the server runs on %s; clients should send again what they sent since then, and costprof doctor --accept-loss ends this report"
	undo := func(err error) (*sql.DB, error) {
		_ = os.RemoveAll(where)
		return nil, fmt.Errorf("quarantine the log: %w", err)
	}
	if err := copyFile(filepath.Join(where, ledgerFile), filepath.Join(dir, ledgerFile)); err != nil {
		return undo(err)
	}
	found, err := logs(dir)
	if err != nil {
		return undo(err)
	}
	for _, path := range found {
		if err := copyFile(filepath.Join(where, filepath.Base(path)), path); err != nil {
			return undo(err)
		}
	}
	if err := errors.Join(syncDir(where), syncDir(dir)); err != nil {
		return undo(err)
	}
	if err := writeLoss(dir, fmt.Sprintf(sentence, firstLine(cause), where, "the last checkpoint")); err != nil {
		return undo(err)
	}

	if cut, ok := damagedAt(cause); ok && len(found) == 1 {
		if err := os.Truncate(found[0], cut); err != nil {
			return nil, fmt.Errorf("cut the damaged log: %w", err)
		}
		if db, err := e.writable(ctx); err == nil {
			return db, writeLoss(dir, fmt.Sprintf(sentence, firstLine(cause), where, "what stood before the damage"))
		}
	}
	for _, path := range found {
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("take the damaged log away: %w", err)
		}
	}
	db, err := e.writable(ctx)
	if err != nil {
		return nil, fmt.Errorf("the ledger does not open without its log either (both are in %s): %w", where, err)
	}
	return db, nil
}

var corrupt = regexp.MustCompile(`Corrupt WAL file: entry .*?at byte position (\d+)`)

// damagedAt finds in the engine's complaint where the entry begins that it
// could not read.
func damagedAt(err error) (int64, bool) {
	m := corrupt.FindStringSubmatch(err.Error())
	if m == nil {
		return 0, false
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	return n, err == nil
}

// keepCopies keeps the logs found at the start, and a copy of the ledger where
// there is room for it.
func keepCopies(dir string, now time.Time) (string, error) {
	where, err := quarantineDir(dir, now)
	if err != nil {
		return "", err
	}
	kept, err := logs(filepath.Join(dir, recoveryDir))
	if err != nil {
		return "", err
	}
	for _, path := range kept {
		if err := os.Rename(path, filepath.Join(where, filepath.Base(path))); err != nil {
			return "", fmt.Errorf("keep the log: %w", err)
		}
	}
	copied := filepath.Join(where, ledgerFile)
	if err := copyFile(copied, filepath.Join(dir, ledgerFile)); err != nil {
		_ = os.Remove(copied)
		if !hasErrno(err) {
			return "", err
		}
	}
	return where, errors.Join(syncDir(where), syncDir(dir))
}

func quarantineDir(dir string, now time.Time) (string, error) {
	where := filepath.Join(dir, "quarantine-"+now.UTC().Format("20060102T150405.000Z"))
	return where, os.MkdirAll(where, 0o700)
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}

// syncDir makes the names in a directory durable. Not every file system can.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && hasErrno(err) {
		return err
	}
	return nil
}
