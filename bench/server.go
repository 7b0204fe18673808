package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// server is a running costprof on a port of its own.
type server struct {
	cmd   *exec.Cmd
	url   string
	ready time.Duration // from start to the first good answer
	log   *os.File
}

// start runs the server on a ledger, with further settings, and waits until it is
// ready.
func start(ctx context.Context, o options, at place, env ...string) (*server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	addr := l.Addr().String()
	l.Close()
	log, err := os.CreateTemp("", "costprof-bench-*.log")
	if err != nil {
		return nil, err
	}
	s := &server{url: "http://" + addr, log: log}
	s.cmd = exec.CommandContext(ctx, o.server, "serve")
	s.cmd.Env = append(append(os.Environ(), at.env(), "COSTPROF_LISTEN="+addr, "LOG_LEVEL=warn"), env...)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	s.cmd.Cancel = func() error { return s.cmd.Process.Signal(syscall.SIGTERM) }
	s.cmd.WaitDelay = 30 * time.Second
	begin := time.Now()
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	for time.Since(begin) < 60*time.Second {
		res, err := http.Get(s.url + "/health/ready")
		if err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				s.ready = time.Since(begin)
				return s, nil
			}
		}
		time.Sleep(2 * time.Millisecond)
	}
	s.stop()
	return nil, fmt.Errorf("the server was not ready within a minute; its log is %s", log.Name())
}

// stop ends the server cleanly.
func (s *server) stop() error {
	if s.cmd.Process == nil {
		return nil
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	err := s.cmd.Wait()
	s.log.Close()
	if err == nil {
		os.Remove(s.log.Name())
	}
	return err
}

// kill ends it as a crash would.
func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	s.log.Close()
	os.Remove(s.log.Name())
}

// memory reads the resident and the highest resident size, in MB.
func (s *server) memory() (rss, peak int) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0, 0
	}
	defer f.Close()
	sc := bufio.NewScanner(f)
	for sc.Scan() {
		fields := strings.Fields(sc.Text())
		if len(fields) < 2 {
			continue
		}
		kb, _ := strconv.Atoi(fields[1])
		switch fields[0] {
		case "VmRSS:":
			rss = kb / 1024
		case "VmHWM:":
			peak = kb / 1024
		}
	}
	return rss, peak
}

// get asks and reads the whole answer.
func (s *server) get(ctx context.Context, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+path, nil)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %.300s", path, res.Status, b)
	}
	return b, err
}
