package redis

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/costprof/costprof/internal/testserver"
)

// server is a Redis of the test's own, which it may stop and start.
type server struct {
	t    *testing.T
	port int
	args []string
	cmd  *exec.Cmd
}

func newServer(t *testing.T, args ...string) *server {
	t.Helper()
	testserver.Redis(t)
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip("no redis-server is installed that the test could start and stop")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := &server{t: t, port: l.Addr().(*net.TCPAddr).Port, args: args}
	t.Cleanup(func() { s.stop() })
	return s
}

func (s *server) addr() string { return fmt.Sprint("127.0.0.1:", s.port) }

func (s *server) start() {
	s.t.Helper()
	args := append([]string{"--port", fmt.Sprint(s.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", s.t.TempDir()}, s.args...)
	s.cmd = exec.Command("redis-server", args...)
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.until("redis-server listens", func() bool {
		c, err := net.Dial("tcp", s.addr())
		if err != nil {
			return false
		}
		c.Close()
		return true
	})
}

func (s *server) stop() {
	if s.cmd != nil {
		_ = s.cmd.Process.Signal(syscall.SIGCONT)
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
		s.cmd = nil
	}
}

func (s *server) until(what string, done func() bool) {
	s.t.Helper()
	for begin := time.Now(); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Since(begin) > time.Minute {
			s.t.Fatalf("%s: not after a minute", what)
		}
	}
}

type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func open(t *testing.T, url string) (*Conn, *lines) {
	t.Helper()
	log := &lines{}
	c, err := Open(t.Context(), Params{URL: url, Prefix: fmt.Sprint("test", time.Now().UnixNano()), Now: time.Now, Log: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan struct{})
	go func() { defer close(ran); _ = c.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ran })
	return c, log
}

// heard is a Listener.
type heard struct {
	mu    sync.Mutex
	began int
	texts []string
}

func (h *heard) Began() { h.mu.Lock(); defer h.mu.Unlock(); h.began++ }
func (h *heard) Heard(text []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.texts = append(h.texts, string(text))
}

func (h *heard) state() (int, string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.began, strings.Join(h.texts, " ")
}

// Each form of URL leads to a Redis that runs scripts and carries messages, with a
// password where it wants one.
func TestForms(t *testing.T) {
	const password = "hunter2-hunter2"
	alone := newServer(t, "--requirepass", password)
	alone.start()
	one := newServer(t, "--cluster-enabled", "yes")
	one.start()
	if out, err := exec.Command("redis-cli", "-p", fmt.Sprint(one.port), "cluster", "addslotsrange", "0", "16383").CombinedOutput(); err != nil {
		t.Skipf("no cluster can be made here: %v %s", err, out)
	}
	one.until("the cluster", func() bool {
		out, _ := exec.Command("redis-cli", "-p", fmt.Sprint(one.port), "cluster", "info").Output()
		return strings.Contains(string(out), "cluster_state:ok")
	})
	master := newServer(t)
	master.start()
	conf := filepath.Join(t.TempDir(), "sentinel.conf")
	if err := writeFile(conf, fmt.Sprintf("sentinel monitor mymaster 127.0.0.1 %d 1\n", master.port)); err != nil {
		t.Fatal(err)
	}
	watch := newServer(t)
	watch.cmd = exec.Command("redis-server", conf, "--sentinel", "--port", fmt.Sprint(watch.port), "--bind", "127.0.0.1")
	if err := watch.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(t.TempDir(), "r.sock")
	local := newServer(t, "--unixsocket", socket)
	local.start()
	for _, url := range []string{
		fmt.Sprintf("redis://:%s@%s/1", password, alone.addr()),
		"redis+cluster://" + one.addr(),
		"redis+sentinel://" + watch.addr() + "/mymaster",
		"unix://" + socket,
	} {
		t.Run(strings.SplitN(url, ":", 2)[0], func(t *testing.T) {
			c, log := open(t, url)
			alone.until("it answers", c.Up)
			script := NewScript(`return {redis.call('INCR', KEYS[1]), 7}`)
			for i := range int64(3) {
				got, err := c.Integers(t.Context(), script, "n")
				if err != nil || len(got) != 2 || got[0] != i+1 || got[1] != 7 {
					t.Fatalf("script: %v, %v", got, err)
				}
			}
			var h heard
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() { defer close(done); c.Listen(ctx, "c", 10*time.Second, &h) }()
			alone.until("listening", func() bool { n, _ := h.state(); return n == 1 })
			for _, text := range []string{"a", "b"} {
				if err := c.Publish(t.Context(), "c", []byte(text)); err != nil {
					t.Fatal(err)
				}
			}
			alone.until("hearing", func() bool { _, s := h.state(); return s == "a b" })
			cancel()
			<-done
			if strings.Contains(log.String()+c.String(), password) {
				t.Error("the password is in the log or the name")
			}
		})
	}
}

// Redis goes away and comes back: calls fail at once meanwhile, the log says so
// once, and who listens begins anew.
func TestAway(t *testing.T) {
	s := newServer(t)
	c, log := open(t, "redis://"+s.addr()) // it is not there yet
	if c.Up() {
		t.Fatal("up without a server")
	}
	var h heard
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); c.Listen(ctx, "c", 2*time.Second, &h) }()
	defer func() { cancel(); <-done }()
	script := NewScript(`return {1}`)
	began := 0
	for round := range 2 {
		if _, err := c.Integers(t.Context(), script, "n"); !errors.Is(err, ErrAway) {
			t.Errorf("round %d: a call while it is away: %v", round, err)
		}
		s.start()
		s.until("up", c.Up)
		s.until("a new beginning", func() bool { n, _ := h.state(); return n > began })
		began, _ = h.state()
		if _, err := c.Integers(t.Context(), script, "n"); err != nil {
			t.Errorf("round %d: %v", round, err)
		}
		if round == 0 {
			s.stop()
		} else {
			_ = s.cmd.Process.Signal(syscall.SIGSTOP) // it is there and says nothing
		}
		s.until("away", func() bool { return !c.Up() })
	}
	_ = s.cmd.Process.Signal(syscall.SIGCONT)
	s.until("back", c.Up)
	s.until("a last beginning", func() bool { n, _ := h.state(); return n > began })
	if n := strings.Count(log.String(), "is away"); n != 1 {
		t.Errorf("%d lines that it is away within a minute, want 1:\n%s", n, log.String())
	}
}

func writeFile(name, text string) error { return os.WriteFile(name, []byte(text), 0o600) }
