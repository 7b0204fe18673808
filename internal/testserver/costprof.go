package testserver

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// Binary builds the program and gives its path, which all tests share: one that is
// up to date is not built again.
func Binary(t testing.TB) string {
	t.Helper()
	bin, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

// build puts it beside what make builds. The package at hand lies two directories
// below the module's.
func build() (string, error) {
	bin, err := filepath.Abs("../../bin/test/costprof")
	if err != nil {
		return "", err
	}
	if runtime.GOOS == "windows" {
		bin += ".exe"
	}
	out, err := exec.CommandContext(context.Background(), "go", "build", "-o", bin, "../../cmd/costprof").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return bin, nil
}

// Main builds it for all tests of a package, sets bin to its path, and runs them;
// TestMain exits with what it returns.
func Main(m *testing.M, bin *string) int {
	var err error
	if *bin, err = build(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// Server is a running program.
type Server struct {
	Cmd *exec.Cmd
	// Address is where it listens, URL the same with http://.
	Address, URL string
	log          string
	last         []byte // the log, once the server ended with its test
}

// Log is what the server wrote until now. The file may be gone when the test ends.
func (s *Server) Log() []byte {
	if s.last != nil {
		return s.last
	}
	b, _ := os.ReadFile(s.log)
	return b
}

var listening = regexp.MustCompile(`listens on http://(\S+),`)

// Serve runs the program as a server on a free port, with a data directory of its
// own and the given settings (NAME=value), and waits until it listens. It is
// ended cleanly with the test.
func Serve(t testing.TB, bin string, settings ...string) *Server {
	t.Helper()
	dir := t.TempDir()
	logs, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	// Not bound to the test's context: it is asked to end, not killed.
	s := &Server{Cmd: exec.CommandContext(context.WithoutCancel(t.Context()), bin, "serve"), log: logs.Name()}
	s.Cmd.Dir, s.Cmd.Stdout, s.Cmd.Stderr = dir, logs, logs
	s.Cmd.Env = append(append(os.Environ(), "COSTPROF_DATA="+filepath.Join(dir, "data"), "PORT=0"), settings...)
	if err := s.Cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = s.Cmd.Process.Signal(syscall.SIGTERM)
		_ = s.Cmd.Wait()
		s.last = s.Log()
		_ = logs.Close()
	})
	for begin := time.Now(); time.Since(begin) < time.Minute; time.Sleep(10 * time.Millisecond) {
		if m := listening.FindSubmatch(s.Log()); m != nil {
			s.Address = string(m[1])
			s.URL = "http://" + s.Address
			return s
		}
	}
	t.Fatalf("the server does not listen after a minute:\n%s", s.Log())
	return nil
}
