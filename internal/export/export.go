// Package export writes events, and rows of tables, as files for other programs:
// CSV, JSON, NDJSON, Parquet, and events as rows of FOCUS. It takes one row at a
// time and holds no more than a buffer, or a row group of Parquet. It knows
// neither where rows come from nor who asked.
package export

import (
	"io"

	"github.com/costprof/costprof/internal/usage"
)

// Writer writes one file of rows.
type Writer[T any] interface {
	// Write adds a row; it keeps nothing of it.
	Write(row *T) error
	// Close completes the file; next is the cursor that continues it, "" at the
	// end. Formats without a place for it leave it out.
	Close(next string) error
}

// Options are how a file is written.
type Options struct {
	// BOM begins a CSV with the mark by which Excel knows UTF-8.
	BOM bool
	// Headless leaves out the names of a CSV's columns: it continues another one.
	Headless bool
}

// Format is one form of file.
type Format struct {
	Name, Media, Ending string
	// Totals says that events which only sum their children are left out, so that
	// the sums of the file are those of the ledger.
	Totals bool
	// EventsOnly says that it has a form for events alone.
	EventsOnly bool
	// Events begins a file of events.
	Events func(w io.Writer, o Options) Writer[usage.Record]
}

// Formats lists them all.
func Formats() []Format {
	return []Format{
		{"csv", "text/csv; charset=utf-8", "csv", false, false, newCSV},
		{"json", "application/json", "json", false, false, newJSON},
		{"ndjson", "application/x-ndjson", "ndjson", false, false, newNDJSON},
		{"parquet", "application/vnd.apache.parquet", "parquet", false, false, newParquet},
		{"focus", "text/csv; charset=utf-8", "focus.csv", true, true, newFocus},
	}
}

// bufferSize is how much is written at a time.
const bufferSize = 64 << 10

// buffer gathers what is written; encoders append to b.
type buffer struct {
	w io.Writer
	b []byte
}

func (f *buffer) spill() error {
	if len(f.b) < bufferSize {
		return nil
	}
	return f.flush()
}

func (f *buffer) flush() error {
	_, err := f.w.Write(f.b)
	f.b = f.b[:0]
	return err
}
