// Command bench measures what the documentation promises: the built server
// under load on this machine, the load generator sharing its cores. Every
// scenario ends by itself and prints rows of a Markdown table; the figures in
// docs/benchmarks.md come from it.
//
//	go run ./bench -server bin/costprof all
//	go run ./bench -server bin/costprof -dir DIR query
//	go run ./bench -server bin/costprof -dir DIR -events 1000000 fill export
//	go run ./bench -server bin/costprof -database "$TEST_DATABASE_URL" ingest fill query
//	REDIS_URL="$TEST_REDIS_URL" go run ./bench -server bin/costprof -database "$TEST_DATABASE_URL" ingest
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"time"
)

type options struct {
	server string // path of the built binary
	// database is the URL of a PostgreSQL server to measure instead of the embedded
	// ledger; schemas are made there and the filled one kept.
	database string
	dir      string // data directory that fill makes and the others read
	events   int    // size of the filled ledger
	ingest   int    // events per ingest run
	runs     int    // repeated runs; medians are shown
	// only leaves out the questions whose name it does not find.
	only *regexp.Regexp
}

func main() {
	var o options
	flag.StringVar(&o.server, "server", "bin/costprof", "the built server")
	flag.StringVar(&o.dir, "dir", os.TempDir()+"/costprof-bench", "data directory of the filled ledger; kept, and reused when it is there")
	flag.StringVar(&o.database, "database", "", "URL of a PostgreSQL database to measure instead of the embedded ledger (REDIS_URL is passed on)")
	flag.IntVar(&o.events, "events", 10_000_000, "events in the filled ledger")
	flag.IntVar(&o.ingest, "ingest", 2_000_000, "events per ingest run")
	flag.IntVar(&o.runs, "runs", 3, "runs of ingest and start; the median is shown")
	only := flag.String("only", "", "regular expression: ask only the questions whose name it matches")
	flag.Parse()
	var err error
	if o.only, err = regexp.Compile(*only); err != nil {
		fmt.Fprintln(os.Stderr, "bench: -only:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()

	scenarios := map[string]func(context.Context, options) error{
		"ingest": benchIngest, "fill": benchFill, "start": benchStart, "query": benchQuery, "loaded": benchLoaded, "sse": benchSSE, "memory": benchMemory, "limit": benchLimit, "export": benchExport, "similar": benchSimilar,
	}
	names := flag.Args()
	if len(names) == 0 || names[0] == "all" {
		names = []string{"ingest", "fill", "start", "query", "loaded", "memory", "sse", "limit", "export", "similar"}
	}
	fmt.Printf("%s/%s, %d CPUs, %s, %s\n", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version(), time.Now().UTC().Format("2006-01-02"))
	about, err := machine(filepath.Dir(o.dir))
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	fmt.Println(about)
	for _, name := range names {
		run, ok := scenarios[name]
		if !ok {
			fmt.Fprintf(os.Stderr, "bench: no scenario %q; there are ingest, fill, start, query, loaded, memory, sse, limit, export, similar\n", name)
			os.Exit(2)
		}
		fmt.Printf("\n## %s\n", name)
		if err := run(ctx, o); err != nil {
			fmt.Fprintf(os.Stderr, "bench %s: %v\n", name, err)
			os.Exit(1)
		}
	}
}
