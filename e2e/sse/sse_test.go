// Package sse follows the real server with an EventSource client that we did
// not write, while the server is killed, started again and stopped.
package sse

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/costprof/costprof/internal/testserver"
)

// need stops the test where the package is not installed, unless it must be.
func need(t *testing.T) {
	t.Helper()
	missing := func(what string) {
		if slices.Contains(strings.Split(os.Getenv("COSTPROF_REQUIRE"), ","), "eventsource") {
			t.Fatalf("%s is missing: npm install --prefix e2e/sse", what)
		}
		t.Skipf("%s is missing; install it with npm install --prefix e2e/sse", what)
	}
	if _, err := exec.LookPath("node"); err != nil {
		missing("node")
	}
	if _, err := os.Stat(filepath.FromSlash("node_modules/eventsource/package.json")); err != nil {
		missing("the eventsource package")
	}
}

type server struct {
	*testing.T
	bin, dir, addr string
	cmd            *exec.Cmd
	log            bytes.Buffer
	events         int
}

func (s *server) start() {
	s.Helper()
	s.cmd = exec.Command(s.bin, "serve")
	s.cmd.Env = append(os.Environ(), "COSTPROF_DATA="+s.dir, "COSTPROF_LISTEN="+s.addr)
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	if err := s.cmd.Start(); err != nil {
		s.Fatal(err)
	}
	for range 3000 {
		if res, err := http.Get(s.url() + "/health/ready"); err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.end(syscall.SIGKILL)
	s.Fatalf("not ready:\n%s", s.log.String())
}

func (s *server) end(signal os.Signal) {
	_ = s.cmd.Process.Signal(signal)
	_ = s.cmd.Wait()
}

func (s *server) url() string { return "http://" + s.addr }

// ingest stores n calls of half a cent each.
func (s *server) ingest(n int) {
	s.Helper()
	var b strings.Builder
	b.WriteString(`{"events":[`)
	for i := range n {
		s.events++
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"traceId":"t","spanId":"s%d","timestamp":"2026-06-01T00:00:00Z","feature":"f%d","provider":"openai","model":"gpt-4o","inputTokens":2000,"outputTokens":0,"latencyMs":1}`, s.events, s.events%3)
	}
	b.WriteString(`]}`)
	res, err := http.Post(s.url()+"/api/v1/events", "application/json", strings.NewReader(b.String()))
	if err != nil {
		s.Fatal(err)
	}
	defer res.Body.Close()
	if body, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusAccepted {
		s.Fatalf("%s: %s", res.Status, body)
	}
}

// total is what the server's own question says.
func (s *server) total() *big.Rat {
	s.Helper()
	res, err := http.Get(s.url() + "/api/v1/analytics/realtime-totals")
	if err != nil {
		s.Fatal(err)
	}
	defer res.Body.Close()
	var answer struct {
		Data struct{ TotalCost json.Number }
	}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		s.Fatal(err)
	}
	return rat(s.T, answer.Data.TotalCost)
}

func rat(t *testing.T, n json.Number) *big.Rat {
	t.Helper()
	r, ok := new(big.Rat).SetString(string(n))
	if !ok {
		t.Fatalf("%q is no number", n)
	}
	return r
}

// follower is the library's client and what it saw.
type follower struct {
	*testing.T
	lines     *bufio.Scanner
	sum       *big.Rat
	calls     int64
	snapshots int
	updates   int
	broken    bool
}

func follow(t *testing.T, url string) *follower {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "node", "follow.mjs", url)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stdin.Close(); _ = cmd.Wait() })
	return &follower{T: t, lines: bufio.NewScanner(out), sum: new(big.Rat)}
}

// until reads what the client sees until done.
func (f *follower) until(what string, done func() bool) {
	f.Helper()
	for !done() {
		if !f.lines.Scan() {
			f.Fatalf("the client ended before %s: %v", what, f.lines.Err())
		}
		var line struct {
			ID, Data       string
			Opened, Broken bool
		}
		if err := json.Unmarshal(f.lines.Bytes(), &line); err != nil {
			f.Fatal(err)
		}
		f.broken = line.Broken || f.broken && !line.Opened
		if line.Data == "" {
			continue
		}
		var m struct {
			Type                    string
			TotalCost, RunningTotal json.Number
			Count, CallCount        int64
		}
		if err := json.Unmarshal([]byte(line.Data), &m); err != nil || line.ID == "" {
			f.Fatalf("%v: %s", err, f.lines.Text())
		}
		switch m.Type {
		case "snapshot":
			f.snapshots++
			f.sum, f.calls = rat(f.T, m.TotalCost), m.CallCount
		case "update":
			f.updates++
			f.sum.Add(f.sum, rat(f.T, m.TotalCost))
			f.calls += m.Count
			if f.sum.Cmp(rat(f.T, m.RunningTotal)) != 0 {
				f.Fatalf("running total %s, the sum is %s", m.RunningTotal, f.sum.RatString())
			}
		}
	}
}

func TestEventSource(t *testing.T) {
	need(t)
	bin := testserver.Binary(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{T: t, bin: bin, dir: t.TempDir(), addr: l.Addr().String()}
	l.Close()
	s.start()
	defer func() { s.end(syscall.SIGKILL) }()
	s.ingest(5)
	f := follow(t, s.url()+"/api/v1/stream/costs")
	agree := func() {
		t.Helper()
		f.until("it saw every call", func() bool { return f.snapshots > 0 && f.calls >= int64(s.events) && !f.broken })
		if want := s.total(); f.sum.Cmp(want) != 0 || f.calls != int64(s.events) {
			t.Fatalf("the stream sums up to %s in %d calls, the server says %s, %d were sent", f.sum.RatString(), f.calls, want.RatString(), s.events)
		}
	}
	agree()
	for range 20 {
		s.ingest(10)
	}
	agree()
	if f.snapshots != 1 || f.updates == 0 {
		t.Errorf("%d snapshots and %d updates of an unbroken stream", f.snapshots, f.updates)
	}

	// Killed and started again: the client comes back by itself with its last id,
	// which the new process does not know.
	s.end(syscall.SIGKILL)
	f.until("the stream broke", func() bool { return f.broken })
	s.start()
	s.ingest(7)
	agree()
	if f.snapshots != 2 {
		t.Errorf("%d snapshots after a kill, want a second one", f.snapshots)
	}
	s.ingest(3)
	agree()

	// An interrupt ends server and stream though the client would stay.
	stopped := make(chan struct{})
	go func() { s.end(os.Interrupt); close(stopped) }()
	f.until("the stream broke", func() bool { return f.broken })
	<-stopped
	if code := s.cmd.ProcessState.ExitCode(); code != 0 || strings.Contains(s.log.String(), "cut off") {
		t.Errorf("the server ended with %d:\n%s", code, s.log.String())
	}
	s.start()
	s.ingest(2)
	agree()
}
