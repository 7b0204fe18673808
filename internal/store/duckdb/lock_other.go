//go:build !unix

package duckdb

import (
	"fmt"
	"os"
	"path/filepath"
)

// lockDir relies on the engine's own lock of its file where flock is missing.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock file: %w", err)
	}
	return f, nil
}
