// Package cli is the command line: one file a command. It speaks to a running
// server through the public client and draws tables for people or passes the
// server's JSON on for programs. Only serve runs anything itself; backup, restore,
// migrate, doctor and keys can open a ledger at rest. It refuses to know engines
// and wire formats, and of prices no more than that pricelist reads lists of them.
package cli

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/costprof/costprof/client"
)

// Stdio is where a command reads and writes.
type Stdio struct {
	In       io.Reader
	Out, Err io.Writer
}

// The exit codes.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitInterrupted = 130 // as a shell reports SIGINT
)

// defaultServer is where serve listens when nothing is set.
const defaultServer = "http://127.0.0.1:3100"

type root struct {
	Server string `env:"COSTPROF_URL" default:"http://127.0.0.1:3100" placeholder:"URL" help:"Address of the server."`
	Key    string `env:"COSTPROF_KEY" placeholder:"KEY" help:"API key to show to the server."`
	JSON   bool   `name:"json" help:"Write JSON for programs: exact amounts, the server's own field names."`

	Serve  serveCmd  `cmd:"" help:"Run the server."`
	Demo   demoCmd   `cmd:"" help:"Fill a running server with realistic traffic."`
	Import importCmd `cmd:"" help:"Load usage from files."`

	Top       topCmd       `cmd:"" help:"Show the dearest features, models and users."`
	Watch     watchCmd     `cmd:"" help:"Follow what is being spent, live."`
	Breakdown breakdownCmd `cmd:"" help:"Show cost by one dimension, or two."`
	Diff      diffCmd      `cmd:"" help:"Show what changed between two periods, and why."`
	Flame     flameCmd     `cmd:"" help:"Show cost as a tree."`
	Series    seriesCmd    `cmd:"" help:"Show cost over time."`
	Traces    tracesCmd    `cmd:"" help:"Show the traces that cost most."`
	Trace     traceCmd     `cmd:"" help:"Show one trace as a tree with the cost of each span."`
	Prompts   promptsCmd   `cmd:"" help:"Show calls with far more input than usual."`
	Similar   similarCmd   `cmd:"" help:"Prompts that are like one."`
	Clusters  clustersCmd  `cmd:"" help:"Groups of the same and nearly the same prompts, and what caches would have saved."`
	Events    eventsCmd    `cmd:"" help:"List calls, or show one with its price lines."`
	Export    exportCmd    `cmd:"" help:"Write events into a file: CSV, JSON, NDJSON, Parquet, FOCUS."`
	Prices    pricesCmd    `cmd:"" help:"Look up, explain and change prices."`
	Jobs      jobsCmd      `cmd:"" help:"Show background work."`

	Keys    keysCmd    `cmd:"" help:"Say who may come in: make, list, rotate and revoke API keys."`
	Audit   auditCmd   `cmd:"" help:"Show what was changed, and by whom."`
	Secrets secretsCmd `cmd:"" help:"Seal what a ledger keeps secret with another key."`

	Retention retentionCmd `cmd:"" help:"Say how long projects keep events."`
	Erase     eraseCmd     `cmd:"" help:"Erase a person from stored events; no total moves."`
	Capture   captureCmd   `cmd:"" help:"Say which projects keep the texts of prompts, and what is redacted."`

	Backup  backupCmd  `cmd:"" help:"Write everything a ledger stores to a file."`
	Restore restoreCmd `cmd:"" help:"Make a ledger of a backup."`
	Migrate migrateCmd `cmd:"" help:"Move a ledger between the engines."`

	Health  healthCmd  `cmd:"" help:"Ask the server how it is."`
	Doctor  doctorCmd  `cmd:"" help:"Look at a data directory after a crash, with the server stopped."`
	Version versionCmd `cmd:"" help:"Print the version."`
}

const description = `Where the money for AI goes: every call priced exactly.

Start with "costprof serve", fill it with "costprof demo" or "costprof import", then ask with
"costprof top --last 30d" and "costprof diff".
Amounts are US dollars. Tables for people round totals half-even to four decimals; --json has every digit.`

// Run performs one command line and returns the exit code. When ctx ends the
// command stops cleanly.
func Run(ctx context.Context, args []string, stdio Stdio) int {
	var grammar root
	s := &session{ctx: ctx, stdio: stdio, root: &grammar}
	s.term = newTerminal(stdio.Out)
	buffered := bufio.NewWriter(stdio.Out)
	s.out = buffered

	// Help and parse errors end in kong's exit; a command must not.
	type exit int
	code := exitOK
	func() {
		defer func() {
			switch v := recover().(type) {
			case nil:
			case exit:
				code = int(v)
			default:
				panic(v)
			}
		}()
		code = s.run(args, func(n int) { panic(exit(n)) })
	}()
	if err := buffered.Flush(); err != nil && code == exitOK {
		fmt.Fprintf(stdio.Err, "costprof: writing the output: %v\n", err)
		return exitFailed
	}
	return code
}

func (s *session) run(args []string, exit func(int)) int {
	parser, err := kong.New(s.root,
		kong.Name("costprof"),
		kong.Description(description),
		kong.Exit(exit),
		kong.Writers(s.out, s.stdio.Err),
		kong.Help(printHelp),
		kong.ValueFormatter(describeValue),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true, FlagsLast: true, WrapUpperBound: 100}),
		kong.ShortUsageOnError(),
		kong.Bind(s),
	)
	if err != nil {
		fmt.Fprintf(s.stdio.Err, "costprof: %v\n", err)
		return exitFailed
	}
	switch {
	case len(args) == 0:
		args = []string{"--help"}
	case args[0] == "help":
		args = append(args[1:len(args):len(args)], "--help")
	}
	command, err := parser.Parse(args)
	if err != nil {
		return s.report(err)
	}
	return s.report(command.Run(s))
}

// session is what a command works with.
type session struct {
	ctx   context.Context
	stdio Stdio
	root  *root
	term  terminal
	out   flusher
}

type flusher interface {
	io.Writer
	Flush() error
}

// connect makes the client of the server that was named.
func (s *session) connect(options ...client.Option) (*client.Client, error) {
	options = append([]client.Option{
		client.WithKey(s.root.Key),
		client.WithUserAgent("costprof-cli/" + buildVersion()),
		client.WithRetry(client.NoRetry()),
	}, options...)
	// An empty variable is one that is not set, as compose files write it.
	c, err := client.New(cmp.Or(s.root.Server, defaultServer), options...)
	if err != nil {
		return nil, usageError{strings.TrimPrefix(err.Error(), "client: ")}
	}
	return c, nil
}

// note writes a line for the person, not part of the answer. What was written
// before it comes first.
func (s *session) note(format string, args ...any) {
	_ = s.out.Flush() // a failure is reported at the end
	fmt.Fprintf(s.stdio.Err, format+"\n", args...)
}

// usageError is a mistake in the command line that kong cannot see.
type usageError struct{ message string }

func (e usageError) Error() string { return e.message }

func usagef(format string, args ...any) error { return usageError{fmt.Sprintf(format, args...)} }

// errSilent ends a command with exitFailed; what went wrong was said already.
var errSilent = errors.New("failed")

// report says what went wrong in one sentence and gives the exit code.
func (s *session) report(err error) int {
	if err == nil {
		return exitOK
	}
	var parse *kong.ParseError
	var usage usageError
	var answer *client.Error
	var gone *client.Unreachable
	// What was written before the error comes first.
	_ = s.out.Flush()
	say := func(text string) { fmt.Fprintf(s.stdio.Err, "costprof: %s\n", printable(text)) }
	switch {
	case errors.Is(err, errSilent):
	case errors.Is(err, context.Canceled):
		say("interrupted")
		return exitInterrupted
	case errors.As(err, &parse):
		say(misparsed(parse))
		return exitUsage
	case errors.As(err, &usage):
		say(usage.Error())
		return exitUsage
	case errors.As(err, &gone):
		say(unreachable(gone))
	case errors.As(err, &answer) && answer.Status == http.StatusBadRequest && len(answer.Details) > 0:
		say(argumentRules(answer.Details))
		return exitUsage
	case errors.As(err, &answer):
		say(refused(answer, s.root.Server))
	default:
		say(strings.TrimPrefix(err.Error(), "client: "))
	}
	return exitFailed
}

func unreachable(e *client.Unreachable) string {
	var op *net.OpError
	if errors.As(e.Err, &op) && op.Op == "dial" {
		return fmt.Sprintf("no server answers at %s (%v); start one with `costprof serve`, or name another with --server or COSTPROF_URL", e.URL, op.Err)
	}
	return fmt.Sprintf("no answer from %s: %v; is `costprof serve` running there?", e.URL, e.Err)
}

func refused(e *client.Error, server string) string {
	text := e.Error()
	if e.Foreign {
		text += fmt.Sprintf("; is %s the address of a costprof server?", server)
	}
	switch e.Status {
	case http.StatusUnauthorized:
		text += "; give a key with --key or COSTPROF_KEY"
	case http.StatusGone:
		text += "; run the command again"
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		if e.RetryAfter > 0 {
			text += fmt.Sprintf("; try again in %s", e.RetryAfter)
		}
	}
	if e.RequestID != "" && e.Status >= 500 {
		text += " (request " + e.RequestID + ")"
	}
	return text
}
