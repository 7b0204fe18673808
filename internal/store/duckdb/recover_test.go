package duckdb

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
)

// crash leaves dir as kill -9 would: it copies the files of a running engine.
func crash(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	for _, name := range []string{ledgerFile, walFile, "acknowledged"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

func fill(t *testing.T, commits int) (*Engine, string) {
	t.Helper()
	dir := t.TempDir()
	e, err := Open(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	for i := range commits {
		if _, err := e.Append(t.Context(), sample(i*10, 10)); err != nil {
			t.Fatal(err)
		}
	}
	return e, dir
}

func calls(t *testing.T, dir string) (int64, string) {
	t.Helper()
	e, err := Open(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	got, err := e.Query(t.Context(), analytics.Query{})
	if err != nil {
		t.Fatal(err)
	}
	h, err := e.Ping(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return got.Rows[0].Calls, h.Degraded
}

func TestCrashLosesNothing(t *testing.T) {
	_, dir := fill(t, 12)
	n, degraded := calls(t, crash(t, dir))
	if n != 120 || degraded != "" {
		t.Fatalf("after a crash: %d calls, %q", n, degraded)
	}
}

func TestTornLogIsReported(t *testing.T) {
	_, dir := fill(t, 12)
	whole := crash(t, dir)
	wal := filepath.Join(whole, walFile)
	b, err := os.ReadFile(wal)
	if err != nil {
		t.Fatal(err)
	}
	for _, keep := range []int{len(b) - 1, len(b) / 2, len(b) / 5} {
		to := crash(t, dir)
		if err := os.WriteFile(filepath.Join(to, walFile), b[:keep], 0o600); err != nil {
			t.Fatal(err)
		}
		n, degraded := calls(t, to)
		if n >= 120 || n%10 != 0 {
			t.Fatalf("log cut at %d of %d: %d calls", keep, len(b), n)
		}
		if !strings.Contains(degraded, "12 was acknowledged") && !strings.Contains(degraded, "did not replay") {
			t.Fatalf("log cut at %d: nothing reported: %q", keep, degraded)
		}
		kept, err := filepath.Glob(filepath.Join(to, "quarantine-*", walFile))
		if err != nil || len(kept) != 1 {
			t.Fatalf("log not kept: %v %v", kept, err)
		}
		if got, _ := os.ReadFile(kept[0]); string(got) != string(b[:keep]) {
			t.Fatal("the kept log is not the one found")
		}
		// The report stays until it is accepted.
		if _, again := calls(t, to); again != degraded {
			t.Fatalf("after another start: %q", again)
		}
		if s, err := AcceptLoss(to); err != nil || s != degraded {
			t.Fatalf("AcceptLoss: %q, %v", s, err)
		}
		if _, again := calls(t, to); again != "" {
			t.Fatalf("after accepting: %q", again)
		}
	}
}

// A commit cut off while it was written was never acknowledged: no loss.
func TestUnfinishedCommitIsNoLoss(t *testing.T) {
	_, dir := fill(t, 12)
	to := crash(t, dir)
	wal := filepath.Join(to, walFile)
	b, err := os.ReadFile(wal)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(wal, b[:len(b)-1], 0o600); err != nil {
		t.Fatal(err)
	}
	acks, err := openAcks(to)
	if err != nil {
		t.Fatal(err)
	}
	if err := acks.write(11); err != nil {
		t.Fatal(err)
	}
	acks.close()
	if n, degraded := calls(t, to); n != 110 || degraded != "" {
		t.Fatalf("%d calls, %q", n, degraded)
	}
}

func TestDamagedLogIsQuarantined(t *testing.T) {
	_, dir := fill(t, 12)
	to := crash(t, dir)
	wal := filepath.Join(to, walFile)
	b, err := os.ReadFile(wal)
	if err != nil {
		t.Fatal(err)
	}
	for i := len(b) / 3; i < len(b)/3+64; i++ {
		b[i] ^= 0x5a
	}
	if err := os.WriteFile(wal, b, 0o600); err != nil {
		t.Fatal(err)
	}
	n, degraded := calls(t, to)
	if n >= 120 || degraded == "" {
		t.Fatalf("damaged log: %d calls, %q", n, degraded)
	}
	// It serves and stores.
	e, err := Open(t.Context(), Options{Dir: to})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if _, err := e.Append(t.Context(), sample(0, 120)); err != nil {
		t.Fatal(err)
	}
	got, err := e.Query(t.Context(), analytics.Query{})
	if err != nil || got.Calls != 120 {
		t.Fatalf("after sending again: %d, %v", got.Calls, err)
	}
}

func TestDirectoryInUse(t *testing.T) {
	_, dir := fill(t, 1)
	_, err := Open(t.Context(), Options{Dir: dir})
	if fault.CodeOf(err) != fault.Conflict || !strings.Contains(err.Error(), "in use") {
		t.Fatalf("second Open: %v", err)
	}
}

// With almost no memory for identities the answers are the same.
func TestIdentitiesInLittleMemory(t *testing.T) {
	dir := t.TempDir()
	e, err := Open(t.Context(), Options{Dir: dir, IdentityMemory: 4 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	recs := sample(0, 3000)
	for i := range recs {
		if i%3 == 0 {
			recs[i].EventID = recs[i].SpanID
			recs[i].ID = recs[i].Identity()
		}
	}
	for range 3 {
		for at := 0; at < len(recs); at += 250 {
			if _, err := e.Append(t.Context(), recs[at:at+250]); err != nil {
				t.Fatal(err)
			}
		}
	}
	got, err := e.Query(t.Context(), analytics.Query{})
	if err != nil || got.Calls != int64(len(recs)) {
		t.Fatalf("%d calls, %v", got.Calls, err)
	}
}
