package duckdb

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	duck "github.com/duckdb/duckdb-go/v2"

	"github.com/costprof/costprof/internal/fault"
)

// trouble is why nothing can be stored now; the zero value is none. A commit
// ends it that is as large as the one that failed, or a probe: on a disk that
// is nearly full a small commit proves nothing about the next.
type trouble struct {
	mu       sync.Mutex
	sentence string
	events   int // of the largest commit that failed
	probed   time.Time
}

// begin notes a failure to store so many events.
func (t *trouble) begin(sentence string, events int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sentence, t.events = sentence, max(t.events, events, 1)
}

// stored notes that a commit of so many events succeeded.
func (t *trouble) stored(events int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if events >= t.events {
		t.sentence, t.events = "", 0
	}
}

func (t *trouble) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sentence, t.events = "", 0
}

// err is the failure that callers are told, nil for none.
func (t *trouble) err() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.events == 0 {
		return nil
	}
	return &fault.Error{Code: fault.Unavailable, Message: t.sentence, RetryAfter: 2 * time.Second}
}

// probeEvery is how often Ping may try at most whether storing works again.
const probeEvery = time.Second

// due says whether it is time for a probe, and how many bytes it must write.
func (t *trouble) due(now time.Time) (bytes int64, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if since := now.Sub(t.probed); since >= 0 && since < probeEvery {
		return 0, false
	}
	t.probed = now
	return probeBytes(t.events), true
}

// probeBytes is what a commit of so many events may take in the log, generously.
func probeBytes(events int) int64 { return max(1<<20, int64(events)*2<<10) }

// probeRoom writes, syncs and removes a file of the given size: what a commit
// needs of the disk, quotas included. The bytes are random, so that a file system
// that compresses does not find room where there is none.
func probeRoom(dir string, size int64) (err error) {
	path := filepath.Join(dir, probeFile)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("probe the disk: %w", err)
	}
	defer func() {
		err = errors.Join(err, f.Close(), os.Remove(path))
	}()
	block := make([]byte, 64<<10)
	r := rand.NewChaCha8([32]byte{})
	for at := int64(0); at < size; at += int64(len(block)) {
		_, _ = r.Read(block)
		if _, err := f.Write(block); err != nil {
			return fmt.Errorf("probe the disk: %w", err)
		}
	}
	return f.Sync()
}

const probeFile = "probe"

// isDisk says whether the cause is the disk's and not ours: it may go away by
// itself, and no other way of saying the same would help.
func isDisk(err error) bool {
	var d *duck.Error
	return hasErrno(err) || errors.As(err, &d) && (d.Type == duck.ErrorTypeIO || d.Type == duck.ErrorTypeFatal)
}

// hasErrno says whether the operating system reported the failure, to us or to
// the engine, which repeats the words.
func hasErrno(err error) bool {
	if err == nil {
		return false
	}
	text := strings.ToLower(err.Error())
	for _, e := range diskErrors {
		if errors.Is(err, e) || strings.Contains(text, strings.ToLower(e.Error())) {
			return true
		}
	}
	return false
}

func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || strings.Contains(strings.ToLower(err.Error()), syscall.ENOSPC.Error())
}

// storeTrouble is what people are told of a failure to store.
func storeTrouble(err error) string {
	switch {
	case isFull(err):
		return "the disk of the data directory is full: nothing can be stored until there is room"
	case isDisk(err):
		return "the disk of the data directory reports errors: the last events could not be stored"
	}
	return "the ledger could not store the last events"
}

// probe is the task that ends a trouble: a commit without events.
func (e *Engine) probe(ctx context.Context, w *writer) error {
	if err := w.exec(ctx, `BEGIN TRANSACTION`); err != nil {
		return err
	}
	if err := w.seal(ctx, e.last.Load()+1, 0); err != nil {
		return err
	}
	e.trouble.end()
	return nil
}
