// Package csvevents turns files of usage into wire events: any CSV by a mapping
// of columns, and the CSV and NDJSON that the program itself exports. It runs in
// the client, so its rules of validation are only those that concern reading;
// the server judges the events.
//
// A row that has no trace and span of its own gets them from what it says and
// from how many identical rows stood before it in the same source. So importing
// a file again, renamed or grown longer, adds only what is new; for the same
// reason a row that also stands in another file counts once. What a row says is
// all of its event: read through another mapping, or with another constant, it is
// another call. Counting costs some 40 bytes of memory for each distinct row.
package csvevents

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/ingest/textrows"
	"github.com/costprof/costprof/internal/usage"
)

// Format is how a source is laid out.
type Format string

// The formats; the zero value tells them apart by the first character.
const (
	Auto   Format = ""
	CSV    Format = "csv"
	NDJSON Format = "ndjson"
)

// TimeFormat is how timestamps are written.
type TimeFormat string

// The time formats. Calendar is RFC 3339, also with a blank for the T, and with
// Options.Location for times without a zone.
const (
	Calendar    TimeFormat = ""
	UnixSeconds TimeFormat = "unix"
	UnixMillis  TimeFormat = "unixms"
)

// Options say how a source's columns become an event's fields. A field is a name
// of the wire form, usage.NAME or tags.NAME; a column is a name of the CSV header
// or a member of the NDJSON objects, the members of members joined by dots.
//
// A field takes the column that Map gives it; where that is empty, or without
// Map, the constant of Set; and without either the column of its own name. A
// latency that is nowhere is 0.
type Options struct {
	Format Format
	// Comma separates the cells of a CSV; 0 is a comma.
	Comma    rune
	Map, Set map[string]string
	Time     TimeFormat
	// Location is the zone of times that name none; nil is UTC.
	Location *time.Location
}

// Event is one row as a wire event.
type Event struct {
	// Line is where the row starts, counted from 1; Offset is how many bytes of
	// the source are read when it ends.
	Line   int
	Offset int64
	// JSON is the wire form. It belongs to the receiver.
	JSON json.RawMessage
}

// RowError is a row that is not an event. The rows behind it still are.
type RowError = textrows.Error

// maxRow bounds a row in bytes.
const maxRow = 1 << 20

// Reader reads one source.
type Reader struct {
	rows     *textrows.Reader
	mapping  mapping
	format   Format
	own      bool // the source is a CSV that the program exported
	ordinals map[[16]byte]uint32
	ignored  []string
}

// Open reads as much of a source as tells its format and columns. Its errors are
// fault.Invalid where the options do not fit the source.
func Open(source io.Reader, o Options) (*Reader, error) {
	m, err := newMapping(o)
	if err != nil {
		return nil, err
	}
	r := &Reader{mapping: m, format: o.Format, ordinals: make(map[[16]byte]uint32)}
	r.rows = textrows.New(source, maxRow)
	if o.Comma != 0 {
		if !utf8.ValidRune(o.Comma) || strings.ContainsRune("\"\r\n", o.Comma) || o.Comma == utf8.RuneError {
			return nil, fault.New(fault.Invalid, "The delimiter cannot be %q", o.Comma)
		}
		r.rows.Comma = []byte(string(o.Comma))
	}
	start, err := r.rows.Peek()
	if err != nil {
		return nil, err
	}
	if bytes.HasPrefix(start, []byte("\xff\xfe")) || bytes.HasPrefix(start, []byte("\xfe\xff")) {
		return nil, fault.New(fault.Invalid, "The file is UTF-16; convert it to UTF-8 first")
	}
	start = r.rows.SkipBOM()
	if r.format == Auto {
		r.format = CSV
		if bytes.HasPrefix(bytes.TrimLeft(start, " \t\r\n"), []byte("{")) {
			r.format = NDJSON
		}
	}
	switch r.format {
	case NDJSON:
		return r, nil
	case CSV:
		return r, r.header()
	}
	return nil, fault.New(fault.Invalid, "Unknown format %q; it must be csv or ndjson", string(r.format))
}

// exportHeader is how the program's own CSV of events begins.
var exportHeader = []string{"id", "timestamp", "feature", "model", "inputTokens", "outputTokens", "cost", "latency"}

func (r *Reader) header() error {
	_, err := r.rows.Next()
	var bad *RowError
	switch {
	case errors.Is(err, textrows.ErrEnd):
		return fault.New(fault.Invalid, "The file is empty; its first line must name the columns")
	case errors.As(err, &bad):
		return fault.New(fault.Invalid, "The header is broken: %s", bad.Problem)
	case err != nil:
		return err
	}
	columns := make([]string, len(r.rows.Cells()))
	for i, cell := range r.rows.Cells() {
		columns[i] = strings.TrimSpace(string(cell))
	}
	r.own = len(columns) >= len(exportHeader) && slices.Equal(columns[:len(exportHeader)], exportHeader)
	r.ignored, err = r.mapping.bind(columns, r.own)
	return err
}

// Ignored lists columns that no field took, at most 100. With NDJSON that is
// known only at the end.
func (r *Reader) Ignored() []string { return r.ignored }

// Events yields the rows in order, once. A *RowError is about one row; after
// any other error the sequence ends.
func (r *Reader) Events() iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		for {
			e, err := r.next()
			var bad *RowError
			switch {
			case errors.Is(err, textrows.ErrEnd):
				return
			case errors.Is(err, errNoEvent):
				continue
			case err != nil && !errors.As(err, &bad):
				yield(Event{}, err)
				return
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

// errNoEvent is a line that holds something else on purpose.
var errNoEvent = errors.New("csvevents: not an event")

func (r *Reader) next() (Event, error) {
	row := newRow(&r.mapping)
	var line int
	var err error
	if r.format == NDJSON {
		if line, err = r.rows.NextLine(); err != nil {
			return Event{}, err
		}
		if err = r.object(row); errors.Is(err, errNoEvent) {
			return Event{}, err
		}
	} else {
		if line, err = r.rows.Next(); err != nil {
			return Event{}, err
		}
		err = r.cells(row)
	}
	if err != nil {
		return Event{}, &RowError{Line: line, Problem: err.Error()}
	}
	if problems := row.problems(); problems != "" {
		return Event{}, &RowError{Line: line, Problem: problems}
	}
	return Event{Line: line, Offset: r.rows.Offset(), JSON: r.identify(row)}, nil
}

// cells gives a CSV row's cells to their fields.
func (r *Reader) cells(row *row) error {
	if got, want := len(r.rows.Cells()), r.mapping.width; got != want {
		return fmt.Errorf("has %d cells, the header has %d", got, want)
	}
	for _, b := range r.mapping.bound {
		cell := r.rows.Cells()[b.column]
		if !utf8.Valid(cell) {
			return fmt.Errorf("%s is not valid UTF-8", usage.Shorten(b.target.String()))
		}
		if r.own && len(cell) > 1 && cell[0] == '\'' && strings.IndexByte("=+-@\t\r'", cell[1]) >= 0 {
			cell = cell[1:] // an export's guard against formulas
		}
		row.set(b.target, cell)
	}
	for _, o := range r.mapping.objects {
		row.spread(o.prefix, r.rows.Cells()[o.column])
	}
	return nil
}
