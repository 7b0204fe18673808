package duckdb

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/store"
)

const lossFile = "LOSS"

// readLoss gives the sentence about an earlier loss that nobody accepted yet.
func readLoss(dir string) (string, error) {
	b, err := os.ReadFile(filepath.Join(dir, lossFile))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return strings.TrimSpace(string(b)), err
}

func writeLoss(dir, sentence string) error {
	if err := writeDurably(filepath.Join(dir, lossFile), []byte(sentence+"\n")); err != nil {
		return fmt.Errorf("report a loss: %w", err)
	}
	return nil
}

// Loss gives the reported loss that nobody accepted yet, "" for none.
func Loss(dir string) (string, error) { return atRest(dir, readLoss) }

// Examine looks at a data directory at rest; it changes nothing but a file that
// it writes and removes to see whether there is room.
func Examine(dir string, now time.Time) ([]store.Finding, error) {
	var found []store.Finding
	_, err := atRest(dir, func(dir string) (string, error) {
		found = examine(dir, now)
		return "", nil
	})
	return found, err
}

func examine(dir string, now time.Time) (found []store.Finding) {
	note := func(problem bool, do, format string, args ...any) {
		found = append(found, store.Finding{Problem: problem, What: fmt.Sprintf(format, args...), Do: do})
	}
	if sentence, err := readLoss(dir); err != nil {
		note(true, "make the file readable", "the file LOSS cannot be read: %s", err)
	} else if sentence != "" {
		note(true, "send again what may be missing, then costprof doctor --accept-loss", "on record: %s", sentence)
	}
	size := logSize(dir)
	if size > 0 {
		note(false, "", "the last stop was not clean: %d kB of log are replayed at the next start", (size+1023)>>10)
	}
	if parts, err := readUndo(dir); err != nil {
		note(true, "restore a backup, or look at a copy of the directory with DuckDB", "%s", err)
	} else if parts != nil {
		note(false, "", "a checkpoint was cut off; the next start takes it back")
	}
	if err := probeRoom(dir, size+probeBytes(1)); err != nil {
		note(true, fmt.Sprintf("make room for %d MB, or mend the disk", (size+probeBytes(1))>>20), "the next start can only read: %s", err)
	}
	if info, err := os.Stat(filepath.Join(dir, "acknowledged")); err == nil && info.ModTime().After(now.Add(time.Hour)) {
		note(true, "set the clock right before the next start", "the last commit was made at %s, and this machine's clock says %s", info.ModTime().UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	if kept, _ := filepath.Glob(filepath.Join(dir, "quarantine-*")); len(kept) > 0 {
		note(false, "", "kept from earlier damage, to be removed when no longer needed: %s", strings.Join(kept, ", "))
	}
	return found
}

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
