package duckdb

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// ackFile remembers the number of the last commit that callers were told of, so
// that a log whose tail was lost is noticed at the next start: the engine drops
// a torn tail without a word. It is written without sync, after the commit: it
// survives the end of the process, and after a loss of power it is at most too
// low, which reports nothing false. A nil ackFile does nothing.
type ackFile struct{ f *os.File }

func openAcks(dir string) (*ackFile, error) {
	f, err := os.OpenFile(filepath.Join(dir, "acknowledged"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open acknowledged: %w", err)
	}
	return &ackFile{f}, nil
}

func (a *ackFile) read() (int64, error) {
	var b [8]byte
	switch _, err := a.f.ReadAt(b[:], 0); err {
	case nil:
		return int64(binary.LittleEndian.Uint64(b[:])), nil
	case io.EOF:
		return 0, nil
	default:
		return 0, fmt.Errorf("read acknowledged: %w", err)
	}
}

func (a *ackFile) write(n int64) error {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(n))
	_, err := a.f.WriteAt(b[:], 0)
	return err
}

func (a *ackFile) close() {
	if a != nil {
		a.f.Close()
	}
}
