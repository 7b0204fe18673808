//go:build linux

package faults

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/costprof/costprof/e2e/faults/faultfs"
)

// crashed makes a data directory as a kill leaves it: a checkpoint, and a log
// with several commits after it.
func crashed(t *testing.T) (string, *book) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	b := newBook(20)
	s := start(t, dir)
	s.healthy(t)
	for n := range 4 {
		b.deliver(t, s, n, 5)
	}
	s.stop(t)
	s = start(t, dir)
	s.healthy(t)
	for n := 4; n < 10; n++ {
		b.deliver(t, s, n, 5)
	}
	s.kill()
	return dir, b
}

// A log that was cut, changed or overwritten with zeros at its end: the server
// starts, serves what replays, says what is lost unless nothing is, keeps what it
// found, and takes the lost batches again.
func TestDamagedLog(t *testing.T) {
	dir, b := crashed(t)
	r := rand.New(rand.NewPCG(3, 3))
	for i := range 12 {
		kind := []string{"cut", "flip", "zeros"}[i%3]
		t.Run(fmt.Sprint(kind, i), func(t *testing.T) {
			to := filepath.Join(t.TempDir(), "data")
			if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			wal := filepath.Join(to, "ledger.duckdb.wal")
			log, err := os.ReadFile(wal)
			if err != nil {
				t.Fatal(err)
			}
			at := len(log) - 1 - r.IntN(min(len(log)-1, 12<<10))
			damaged := append([]byte{}, log...)
			switch kind {
			case "cut":
				damaged = damaged[:at]
			case "flip":
				damaged[at] ^= 1 << r.IntN(8)
			case "zeros":
				clear(damaged[at:])
			}
			if err := os.WriteFile(wal, damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			s := start(t, to)
			s.healthy(t)
			_, what := s.health(t, time.Second, http.StatusOK)
			whole := *b
			whole.acked = map[int]bool{} // what was damaged may be gone, but no more than that
			there := whole.check(t, s)
			if there < 4*b.size || there%b.size != 0 {
				t.Fatalf("%d events are left", there)
			}
			if lost := there < b.sent*b.size; lost != strings.Contains(what, "degraded") {
				t.Fatalf("%d of %d events are there, health says %q", there, b.sent*b.size, what)
			}
			if there < b.sent*b.size {
				kept, err := filepath.Glob(filepath.Join(to, "quarantine-*", "ledger.duckdb.wal"))
				if err != nil || len(kept) != 1 {
					t.Fatalf("the log is not kept: %v %v", kept, err)
				}
				if got, _ := os.ReadFile(kept[0]); string(got) != string(damaged) {
					t.Fatal("the kept log is not the one found")
				}
			}
			whole.whole(t, s)
		})
	}
}

// Without the file that notes acknowledgements nothing is lost, and nothing is
// reported.
func TestAcknowledgedIsMissing(t *testing.T) {
	dir, b := crashed(t)
	if err := os.Remove(filepath.Join(dir, "acknowledged")); err != nil {
		t.Fatal(err)
	}
	s := start(t, dir)
	s.healthy(t)
	if _, what := s.health(t, time.Second, http.StatusOK); strings.Contains(what, "degraded") {
		t.Fatal(what)
	}
	b.whole(t, s)
}

// A second process on the directory ends with one sentence and harms nothing.
func TestTwoProcesses(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	b := newBook(20)
	s := start(t, dir)
	s.healthy(t)
	b.deliver(t, s, 0, 5)
	other := start(t, dir)
	select {
	case <-other.gone:
	case <-time.After(20 * time.Second):
		t.Fatal("the second process runs on")
	}
	if text := strings.TrimSpace(other.log.String()); !strings.Contains(text, "in use by another") || strings.Count(text, "\n") != 0 {
		t.Fatalf("it said: %s", text)
	}
	b.deliver(t, s, 1, 5)
	b.whole(t, s)
}

// A process that stands still for a while goes on as if nothing had been.
func TestStopped(t *testing.T) {
	b := newBook(20)
	s := start(t, filepath.Join(t.TempDir(), "data"))
	s.healthy(t)
	b.deliver(t, s, 0, 5)
	answered := make(chan bool)
	if err := s.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	go func() { answered <- b.deliver(t, s, 1, 1) }()
	time.Sleep(3 * time.Second)
	if err := s.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if !<-answered {
		t.Error("the batch sent meanwhile is not taken")
	}
	s.healthy(t)
	b.whole(t, s)
}

// A read-only directory ends the start with a sentence.
func TestReadOnly(t *testing.T) {
	dir, grow := smallDisk(t, 32<<20)
	grow(32 << 20)
	data := filepath.Join(dir, "data")
	b := newBook(20)
	s := start(t, data)
	s.healthy(t)
	b.deliver(t, s, 0, 5)
	s.kill()
	need(t, "mount", syscall.Mount("faults", dir, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
	s = start(t, data)
	select {
	case <-s.gone:
	case <-time.After(20 * time.Second):
		t.Fatal("it runs on")
	}
	if text := strings.TrimSpace(s.log.String()); !strings.Contains(text, "read-only file system") || strings.Count(text, "\n") != 0 {
		t.Fatalf("it said: %s", text)
	}
	need(t, "mount", syscall.Mount("faults", dir, "tmpfs", syscall.MS_REMOUNT, ""))
	s = start(t, data)
	s.healthy(t)
	b.whole(t, s)
}

// The disk fails in the middle of every write of a checkpoint, and the process
// is killed there: the ledger opens, and nothing is lost.
func TestKilledInCheckpoint(t *testing.T) {
	for at := int64(1); ; at += 7 {
		d := mount(t)
		b := newBook(20)
		s := start(t, d.data)
		s.healthy(t)
		for n := range 3 {
			b.deliver(t, s, n, 5)
		}
		s.stop(t) // the first checkpoint
		s = start(t, d.data)
		s.healthy(t)
		for n := 3; n < 6; n++ {
			b.deliver(t, s, n, 5)
		}
		d.Set(fault(at))
		_ = s.cmd.Process.Signal(syscall.SIGTERM)
		struck := false
		for end := time.Now().Add(20 * time.Second); !s.ended() && time.Now().Before(end); time.Sleep(time.Millisecond) {
			if n, _ := d.Hit(); n > 0 {
				struck = true
				break
			}
		}
		s.kill()
		d.Set(fault(0))
		afterwards(t, d.data, b, &outcome{})
		if !struck {
			if at < 10 {
				t.Fatalf("a checkpoint has only %d writes", at)
			}
			return
		}
	}
}

func fault(at int64) faultfs.Fault {
	return faultfs.Fault{At: at, Kind: "write", Errno: syscall.EIO, Torn: true, Forever: true}
}
