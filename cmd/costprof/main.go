// Command costprof is the profiler for AI spend: its server and its command
// line.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/costprof/costprof/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal asks to stop; from then on another one kills.
	context.AfterFunc(ctx, stop)
	os.Exit(cli.Run(ctx, os.Args[1:], cli.Stdio{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}
