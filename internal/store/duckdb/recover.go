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
	"time"

	"github.com/costprof/costprof/internal/fault"
)

const (
	lossFile     = "LOSS"
	recoveryDir  = "recovery"
	markerPrefix = "costprof-commit:"
)

// marker is a commit's number as it can be found in the bytes of a log.
func marker(n int64) string { return fmt.Sprintf("%s%016d;", markerPrefix, n) }

// recover opens the ledger and judges what a crash left behind. A log that is
// there at the start (the last stop was not clean) is copied first. When it
// does not replay, file and log are put aside together in quarantine-<time>/
// and the server starts on the file as of its last checkpoint. When it replays
// to fewer commits than it, or the acknowledgements, speak of, that is reported
// the same way. Nothing is ever deleted.
func (e *Engine) recover(ctx context.Context) (*sql.DB, error) {
	dir := e.opts.Dir
	wal := filepath.Join(dir, walFile)
	acked, err := e.acks.read()
	if err != nil {
		return nil, err
	}
	logged, unclean, err := keepLog(dir, wal)
	if err != nil {
		return nil, err
	}
	db, err := e.opts.connect(ctx)
	if err == nil {
		err = migrate(ctx, db)
	}
	if err != nil {
		if db != nil {
			db.Close()
		}
		if ctx.Err() != nil || !unclean {
			return nil, explainOpen(dir, err)
		}
		e.log.Error("the write-ahead log does not replay", "err", err)
		if db, err = e.quarantine(ctx, err); err != nil {
			return nil, err
		}
	}
	var last int64
	if err := db.QueryRowContext(ctx, `SELECT coalesce(max(n), 0) FROM commits`).Scan(&last); err != nil {
		db.Close()
		return nil, fmt.Errorf("read last commit: %w", err)
	}
	if logged == last+1 {
		// The log names the commit that was being written when the process died.
		// It was not complete, and unless it is in acked nobody was told of it.
		logged = last
	}
	promised := max(acked, logged)
	if sentence, _ := readLoss(dir); promised > last && sentence == "" {
		where, err := keepCopies(dir, e.opts.Now(), unclean)
		if err != nil {
			db.Close()
			return nil, err
		}
		sentence := fmt.Sprintf("the ledger ends at commit %d but commit %d was acknowledged; what was found is kept in %s; clients should send again what they sent since then, and costprof doctor --accept-loss ends this report", last, promised, where)
		e.log.Error(sentence)
		if err := writeLoss(dir, sentence); err != nil {
			db.Close()
			return nil, err
		}
	}
	if promised > last {
		// Numbers are never used twice, also not those of lost commits, and a loss
		// is found once.
		if _, err := db.ExecContext(ctx, `INSERT INTO commits VALUES (?, ?, ?, ?)`, promised, e.now(), changed, marker(promised)); err != nil {
			db.Close()
			return nil, fmt.Errorf("note lost commits: %w", err)
		}
	}
	e.last.Store(max(last, promised))
	return db, nil
}

// keepLog copies a log that a crash left and finds the highest commit in it.
func keepLog(dir, wal string) (logged int64, unclean bool, err error) {
	info, err := os.Stat(wal)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("look at the write-ahead log: %w", err)
	}
	if err := os.MkdirAll(filepath.Join(dir, recoveryDir), 0o700); err != nil {
		return 0, true, err
	}
	if err := copyFile(filepath.Join(dir, recoveryDir, walFile), wal); err != nil {
		return 0, true, fmt.Errorf("copy the write-ahead log: %w", err)
	}
	logged, err = highestMarker(wal)
	return logged, true, err
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

// quarantine puts file and log aside and opens a copy of the file alone.
func (e *Engine) quarantine(ctx context.Context, cause error) (*sql.DB, error) {
	dir := e.opts.Dir
	where, err := quarantineDir(dir, e.opts.Now())
	if err != nil {
		return nil, err
	}
	file, kept := filepath.Join(dir, ledgerFile), filepath.Join(where, ledgerFile)
	// The log as it was before the engine touched it.
	if err := os.Rename(filepath.Join(dir, recoveryDir, walFile), filepath.Join(where, walFile)); err != nil {
		return nil, fmt.Errorf("quarantine the log: %w", err)
	}
	if err := os.Rename(file, kept); err != nil {
		return nil, fmt.Errorf("quarantine the ledger: %w", err)
	}
	if err := os.Remove(filepath.Join(dir, walFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err := copyFile(file, kept); err != nil {
		return nil, fmt.Errorf("copy the ledger: %w", err)
	}
	db, err := e.opts.connect(ctx)
	if err == nil {
		err = migrate(ctx, db)
	}
	if err != nil {
		if db != nil {
			db.Close()
		}
		return nil, fmt.Errorf("the ledger does not open without its log either (both are in %s): %w", where, err)
	}
	sentence := fmt.Sprintf("the write-ahead log did not replay (%s); ledger and log are kept in %s and the server runs on the last checkpoint until costprof doctor --accept-loss", firstLine(cause), where)
	return db, writeLoss(dir, sentence)
}

// keepCopies keeps the log found at the start beside a copy of the ledger.
func keepCopies(dir string, now time.Time, withLog bool) (string, error) {
	where, err := quarantineDir(dir, now)
	if err != nil {
		return "", err
	}
	if withLog {
		if err := os.Rename(filepath.Join(dir, recoveryDir, walFile), filepath.Join(where, walFile)); err != nil {
			return "", fmt.Errorf("keep the log: %w", err)
		}
	}
	return where, copyFile(filepath.Join(where, ledgerFile), filepath.Join(dir, ledgerFile))
}

func quarantineDir(dir string, now time.Time) (string, error) {
	where := filepath.Join(dir, "quarantine-"+now.UTC().Format("20060102T150405.000Z"))
	return where, os.MkdirAll(where, 0o700)
}

// readLoss gives the sentence about an earlier loss that nobody accepted yet.
func readLoss(dir string) (string, error) {
	b, err := os.ReadFile(filepath.Join(dir, lossFile))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return strings.TrimSpace(string(b)), err
}

func writeLoss(dir, sentence string) error {
	return os.WriteFile(filepath.Join(dir, lossFile), []byte(sentence+"\n"), 0o600)
}

// Loss gives the reported loss that nobody accepted yet, "" for none.
func Loss(dir string) (string, error) { return atRest(dir, readLoss) }

// AcceptLoss forgets a reported loss, so that the ledger counts as whole again;
// it returns the sentence that was on record, "" for none.
func AcceptLoss(dir string) (string, error) {
	return atRest(dir, func(dir string) (string, error) {
		sentence, err := readLoss(dir)
		if err != nil || sentence == "" {
			return "", err
		}
		return sentence, os.Remove(filepath.Join(dir, lossFile))
	})
}

// atRest runs fn on a data directory that exists and that no server holds.
func atRest(dir string, fn func(dir string) (string, error)) (string, error) {
	if _, err := os.Stat(dir); err != nil {
		return "", fault.New(fault.NotFound, "there is no data directory %s", dir)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	return fn(dir)
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
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	if err := out.Sync(); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}
