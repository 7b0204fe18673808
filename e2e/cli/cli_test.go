// Package cli runs the real binary against the real server, as people do: each
// script in testdata is one story.
package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/costprof/costprof/internal/testserver"
)

var binary string

func TestMain(m *testing.M) { os.Exit(testserver.Main(m, &binary)) }

func TestScripts(t *testing.T) { testscript.Run(t, params("testdata", nil)) }

// Stories that need a PostgreSQL server find a schema of their own in DATABASE.
func TestScriptsWithPostgres(t *testing.T) {
	base := testserver.Postgres(t)
	testscript.Run(t, params(filepath.Join("testdata", "postgres"), func(env *testscript.Env) error {
		schema := fmt.Sprintf("cli_%d", time.Now().UnixNano())
		conn, err := pgx.Connect(t.Context(), base)
		if err != nil {
			return err
		}
		if _, err := conn.Exec(t.Context(), `CREATE SCHEMA `+schema); err != nil {
			return err
		}
		env.Defer(func() {
			ctx := context.Background()
			_, _ = conn.Exec(ctx, `DROP SCHEMA `+schema+` CASCADE`)
			conn.Close(ctx)
		})
		u, err := url.Parse(base)
		if err != nil {
			return err
		}
		q := u.Query()
		q.Set("search_path", schema)
		u.RawQuery = q.Encode()
		env.Setenv("DATABASE", u.String())
		return nil
	}))
}

func params(dir string, further func(*testscript.Env) error) testscript.Params {
	return testscript.Params{
		Dir: dir,
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", filepath.Dir(binary)+string(os.PathListSeparator)+env.Getenv("PATH"))
			// Nobody listens there: a script that forgets to serve fails at once.
			env.Setenv("COSTPROF_URL", "http://127.0.0.1:1")
			env.Setenv("TZ", "America/New_York")
			env.Values[running] = &server{}
			if further != nil {
				if err := further(env); err != nil {
					return err
				}
			}
			env.Defer(func() { _ = env.Values[running].(*server).end(os.Kill) })
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"serve": serve,
			"end":   end,
			"keyfrom": func(ts *testscript.TestScript, _ bool, args []string) {
				ts.Setenv("COSTPROF_KEY", strings.TrimSpace(ts.ReadFile(args[0])))
			},
		},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	}
}

type key struct{}

var running key

// server is a server that a script has started.
type server struct {
	process *exec.Cmd
	ended   chan error
	log     *os.File
}

var listening = regexp.MustCompile(`listens on (http://\S+),`)

// serve starts a server with the script's data directory and the flags given,
// waits until it listens, and points the command line to it.
func serve(ts *testscript.TestScript, neg bool, flags []string) {
	if neg {
		ts.Fatalf("serve cannot be negated; use: ! exec costprof serve")
	}
	s := ts.Value(running).(*server)
	if s.process != nil {
		ts.Fatalf("a server runs already")
	}
	log, err := os.OpenFile(ts.MkAbs("serve.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	ts.Check(err)
	s.log = log
	s.process = exec.Command(binary, append([]string{"serve", "--data", ts.MkAbs("data"), "--port", "0"}, flags...)...)
	s.process.Dir = ts.MkAbs(".")
	s.process.Env = []string{"HOME=" + ts.MkAbs("."), "TZ=" + ts.Getenv("TZ")}
	s.process.Stderr = log
	out, err := s.process.StdoutPipe()
	ts.Check(err)
	ts.Check(s.process.Start())
	s.ended = make(chan error, 1)
	address := make(chan string, 1)
	go func() {
		scanner := bufio.NewScanner(out)
		for scanner.Scan() {
			fmt.Fprintln(log, scanner.Text())
			if m := listening.FindStringSubmatch(scanner.Text()); m != nil {
				address <- m[1]
			}
		}
		s.ended <- s.process.Wait()
	}()
	select {
	case url := <-address:
		ts.Setenv("COSTPROF_URL", url)
	case err := <-s.ended:
		s.ended <- err
		ts.Fatalf("the server ended at once: %v\n%s", err, ts.ReadFile("serve.log"))
	case <-time.After(30 * time.Second):
		ts.Fatalf("the server does not listen after 30 s\n%s", ts.ReadFile("serve.log"))
	}
}

// end stops the server: "end" as Ctrl-C does, "end kill" without a warning.
func end(ts *testscript.TestScript, neg bool, args []string) {
	signal := os.Interrupt
	if len(args) == 1 && args[0] == "kill" {
		signal = os.Kill
	} else if len(args) > 0 || neg {
		ts.Fatalf("usage: end [kill]")
	}
	s := ts.Value(running).(*server)
	if s.process == nil {
		ts.Fatalf("no server runs")
	}
	if err := s.end(signal); err != nil {
		ts.Fatalf("the server ended with %v\n%s", err, ts.ReadFile("serve.log"))
	}
}

func (s *server) end(signal os.Signal) error {
	if s.process == nil {
		return nil
	}
	defer func() { s.process = nil; s.log.Close() }()
	if err := s.process.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	select {
	case err := <-s.ended:
		var exit *exec.ExitError
		if signal == os.Kill && errors.As(err, &exit) && strings.Contains(exit.String(), syscall.SIGKILL.String()) {
			return nil
		}
		return err
	case <-ctx.Done():
		_ = s.process.Process.Kill()
		return errors.New("no answer to the signal within 30 s")
	}
}
