package duckdb

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/costprof/costprof/internal/fault"
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
