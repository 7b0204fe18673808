//go:build linux

package faults

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// smallDisk is a disk of so many bytes; grow changes that.
func smallDisk(t *testing.T, bytes int) (dir string, grow func(bytes int)) {
	t.Helper()
	dir = t.TempDir()
	need(t, "mount", syscall.Mount("faults", dir, "tmpfs", 0, fmt.Sprint("size=", bytes)))
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir, func(bytes int) {
		t.Helper()
		if err := syscall.Mount("faults", dir, "tmpfs", syscall.MS_REMOUNT, fmt.Sprint("size=", bytes)); err != nil {
			t.Fatal(err)
		}
	}
}

// A server whose disk fills up refuses events with 503 and says so in /health
// as long as it cannot store a batch like those it had to refuse, answers
// questions, and is healthy again by itself when there is room; also when it was
// killed and started anew in between.
func TestFullDisk(t *testing.T) {
	const disk = 6 << 20
	dir, grow := smallDisk(t, disk)
	data := filepath.Join(dir, "data")
	b := newBook(100)
	b.pad = strings.Repeat("x", 1000)
	s := start(t, data)
	s.healthy(t)
	n := 0
	for ; b.deliver(t, s, n, 1); n++ {
		if n > 1000 {
			t.Fatal("the disk does not fill up")
		}
	}
	// A small commit still fits, so a probe that is one proves nothing.
	for range 3 {
		if status, what := s.health(t, 5*time.Second, http.StatusServiceUnavailable); status != http.StatusServiceUnavailable || !strings.Contains(what, "full") {
			t.Fatalf("health on a full disk: %d %s", status, what)
		}
		time.Sleep(1100 * time.Millisecond)
		if b.deliver(t, s, n, 1) {
			t.Skip("the disk had room after all")
		}
	}
	b.check(t, s)

	grow(2 * disk)
	s.healthy(t)
	b.whole(t, s)

	// Full again, and nobody sends: killed, it starts, answers and refuses.
	for n++; b.deliver(t, s, n, 1); n++ {
	}
	before := b.check(t, s)
	s.kill()
	s = start(t, data)
	status, what := s.health(t, 20*time.Second, http.StatusOK, http.StatusServiceUnavailable)
	if status != http.StatusServiceUnavailable || !strings.Contains(what, "full") {
		t.Fatalf("health after a start on a full disk: %d %s\n%s", status, what, s.log)
	}
	if after := b.check(t, s); after < before {
		t.Fatalf("%d events before the start, %d after", before, after)
	}
	if status, answer := s.send(http.MethodPost, "/api/v1/events", b.batch(n)); status != http.StatusServiceUnavailable || !strings.Contains(answer, "full") {
		t.Fatalf("events on a full disk: %d %s", status, answer)
	}
	grow(4 * disk)
	s.healthy(t)
	b.whole(t, s)
	s.stop(t)
	s = start(t, data)
	s.healthy(t)
	b.whole(t, s)
	if left, err := filepath.Glob(filepath.Join(data, "quarantine-*")); err != nil || len(left) > 0 {
		t.Errorf("something was put aside: %v %v", left, err)
	}
	for _, gone := range []string{"probe", "recovery"} {
		if _, err := os.Stat(filepath.Join(data, gone)); err == nil {
			t.Errorf("%s was left behind", gone)
		}
	}
}
