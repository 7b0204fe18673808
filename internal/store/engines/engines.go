// Package engines is the only list of storage engines: it opens the one that
// the options name.
package engines

import (
	"context"
	"log/slog"
	"time"

	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/store/duckdb"
	"github.com/costprof/costprof/internal/store/postgres"
)

// Options name an engine and where its data is.
type Options struct {
	// URL names a PostgreSQL database, ReadURL a replica of it for questions; with
	// no URL the ledger is embedded.
	URL, ReadURL string
	// Connections and StatementTimeout bound the use of the database; 0 is their
	// default.
	Connections      int
	StatementTimeout time.Duration
	// Dir is the data directory of the embedded engine.
	Dir string
	Log *slog.Logger
	// MemoryLimit bounds the engine's memory in bytes; 0 is its default.
	MemoryLimit int64
	// QueueWait is how long an append waits for room; 0 is the default.
	QueueWait time.Duration
	// Exclusive refuses a ledger that a server uses, and keeps servers away; the
	// embedded engine always does.
	Exclusive bool
}

// Open opens the engine, bringing its schema up to date. It fails with
// fault.Conflict when another process holds the data.
func Open(ctx context.Context, o Options) (store.Engine, error) {
	if o.URL != "" {
		return postgres.Open(ctx, postgres.Options{
			URL: o.URL, ReadURL: o.ReadURL, Log: o.Log, QueueWait: o.QueueWait, Connections: o.Connections, StatementTimeout: o.StatementTimeout, Exclusive: o.Exclusive,
		})
	}
	return duckdb.Open(ctx, duckdb.Options{Dir: o.Dir, Log: o.Log, MemoryLimit: o.MemoryLimit, QueueWait: o.QueueWait})
}

// Holds says whether a data directory has a ledger of the embedded engine.
func Holds(dir string) bool { return duckdb.Holds(dir) }

// Load fills the ledger that the options name from a dump, all or nothing. It
// fails with fault.Conflict when another process holds the data, and when there
// is data already and l does not force.
func Load(ctx context.Context, o Options, l store.Load) error {
	if o.URL != "" {
		return postgres.Load(ctx, postgres.Options{URL: o.URL, Log: o.Log}, l)
	}
	return duckdb.Load(ctx, duckdb.Options{Dir: o.Dir, Log: o.Log, MemoryLimit: o.MemoryLimit}, l)
}

// Loss gives the loss that an earlier start reported and nobody accepted yet,
// "" for none. It fails with fault.Conflict while a server holds the directory.
func Loss(dir string) (string, error) { return duckdb.Loss(dir) }

// Examine looks at a data directory that no server holds.
func Examine(dir string) ([]store.Finding, error) { return duckdb.Examine(dir, time.Now()) }

// AcceptLoss forgets a loss that an earlier start reported; it returns the
// sentence that was on record, "" for none.
func AcceptLoss(dir string) (string, error) { return duckdb.AcceptLoss(dir) }
