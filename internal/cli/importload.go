package cli

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"os"
	"strings"
	"time"

	"github.com/costprof/costprof/internal/ingest/calllog"
	"github.com/costprof/costprof/internal/ingest/csvevents"
)

// load is one import on its way.
type load struct {
	s        *session
	options  csvevents.Options
	kinds    *kinds
	inputs   []input
	pump     *pump
	progress *progress
	// unfinished loads calls that are told in part.
	unfinished bool
	now        func() time.Time
	// failed counts files that could not be read to their end, strange those of
	// folders that are of no format.
	failed, strange int
	// first and last are the UTC days of the earliest and the latest row.
	first, last string
	// tallies are what became of the records of logs, by file.
	tallies map[int]calllog.Tally
	// met are the calls of logs so far, some 20 bytes each, so that the sums of
	// files hold a call once that forks have copied.
	met  map[uint64]struct{}
	seed maphash.Seed
	// peeked is used for one file after another: it is large.
	peeked *bufio.Reader
}

// seen notes the day of a row.
func (l *load) seen(day string) {
	if day == "" {
		return
	}
	if l.first == "" || day < l.first {
		l.first = day
	}
	if day > l.last {
		l.last = day
	}
}

// dayOf finds a row's day. The reader writes timestamps in one form, before
// anything that could hold a member of that name.
func dayOf(event []byte) string {
	_, text, ok := bytes.Cut(event, []byte(`"timestamp":"`))
	if !ok || len(text) < len(time.DateOnly) {
		return ""
	}
	return string(text[:len(time.DateOnly)])
}

// old says that a question without a time would not be about the rows.
func (l *load) old(now time.Time) bool {
	return l.last != "" && l.last < now.UTC().AddDate(0, 0, -30).Format(time.DateOnly)
}

// close removes what was put aside.
func (l *load) close() {
	for _, in := range l.inputs {
		if in.spooled != "" {
			_ = os.Remove(in.spooled) // a temporary file
		}
	}
}

// file sends one file's rows. Its error ends the import; a file that cannot be
// read is said and counted.
func (l *load) file(index int) error {
	return l.unbroken(index, l.read(index))
}

// unbroken counts an error that is the file's, and lets others through.
func (l *load) unbroken(index int, err error) error {
	var broken *sourceError
	if !errors.As(err, &broken) || l.s.ctx.Err() != nil {
		return err
	}
	l.failed++
	l.progress.say(fmt.Sprintf("%s: %s", printable(l.inputs[index].path), printable(broken.Error())))
	return nil
}

// sourceError is a file's fault, not the server's.
type sourceError struct{ error }

func (e *sourceError) Unwrap() error { return e.error }

// open opens an input and finds out what it is.
func (l *load) open(index int) (*source, io.Reader, format, error) {
	in := &l.inputs[index]
	path := in.path
	if in.spooled != "" {
		path = in.spooled
	}
	src, err := openSource(l.s.ctx, path, l.s.stdio.In)
	if err != nil {
		return nil, nil, format{}, &sourceError{withoutPath(err)}
	}
	if l.peeked == nil {
		l.peeked = bufio.NewReaderSize(src, maxHead)
	}
	l.peeked.Reset(src)
	kind, err := l.kinds.find(l.peeked)
	if err != nil {
		_ = src.Close() // the first error counts
		return nil, nil, format{}, &sourceError{err}
	}
	return src, l.peeked, kind, nil
}

// survey shows the files to the formats that want to see all records first.
func (l *load) survey() error {
	if !l.kinds.surveys() {
		return nil
	}
	for i := range l.inputs {
		if err := l.unbroken(i, l.surveyFile(i)); err != nil {
			return err
		}
	}
	return nil
}

func (l *load) surveyFile(index int) error {
	in := &l.inputs[index]
	src, reader, kind, err := l.open(index)
	if err != nil {
		if in.path == "-" {
			return err
		}
		return nil //nolint:nilerr // reading it says so
	}
	defer func() { _ = src.Close() }() // what was only read loses nothing
	survey := kind.log != nil && kind.log.Survey != nil
	if in.path == "-" {
		// Standard input cannot be read twice.
		if !survey {
			in.waiting = &opened{src, reader, kind}
			src = &source{}
			return nil
		}
		if in.spooled, err = spool(reader); err != nil {
			return &sourceError{err}
		}
		_ = src.Close() // read to its end
		if src, reader, kind, err = l.open(index); err != nil {
			return err
		}
	}
	if !survey {
		return nil
	}
	l.progress.show("looking at "+printable(in.path), 0, 0, l.pump.seen)
	err = calllog.Survey(reader, calllog.Options{Kind: *kind.log, Head: kind.head, Location: l.options.Location})
	if err != nil && l.s.ctx.Err() != nil {
		return err
	}
	return nil // reading it says what is wrong
}

// spool puts a stream into a temporary file.
func spool(r io.Reader) (path string, err error) {
	f, err := os.CreateTemp("", "costprof-import-*")
	if err != nil {
		return "", err
	}
	_, err = io.Copy(f, r)
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		_ = os.Remove(f.Name()) // the first error counts
		return "", err
	}
	return f.Name(), nil
}

func (l *load) read(index int) error {
	in := &l.inputs[index]
	var src *source
	var reader io.Reader
	var kind format
	if w := in.waiting; w != nil {
		src, reader, kind = w.src, w.reader, w.kind
		in.waiting = nil
	} else {
		var err error
		if src, reader, kind, err = l.open(index); err != nil {
			return err
		}
	}
	defer func() { _ = src.Close() }() // what was only read loses nothing
	switch {
	case kind.log != nil:
		return l.log(index, src, reader, kind)
	case !kind.known && in.found:
		l.strange++
		return nil
	}
	return l.rows(index, src, reader)
}

// log sends the calls of somebody else's log.
func (l *load) log(index int, src *source, reader io.Reader, kind format) error {
	in := l.inputs[index]
	changed := src.changed
	if changed.IsZero() {
		changed = l.now()
	}
	calls := calllog.Open(reader, calllog.Options{
		Kind: *kind.log, Set: l.kinds.set, Changed: changed, Location: l.options.Location, Head: kind.head,
		Growing: !l.unfinished && l.now().Sub(changed) < stillWritten,
	})
	for event, err := range calls.Events() {
		var bad *calllog.RecordError
		switch {
		case errors.As(err, &bad):
			l.pump.reject(reject{file: index, line: bad.Line, reason: bad.Problem})
		case err != nil:
			l.note(index, calls.Tally())
			return &sourceError{err}
		default:
			l.seen(event.Day)
			r := row{event: event.JSON, file: index, line: event.Line, logged: &logged{
				aggregate: event.Aggregate, copy: l.meet(event.ID), input: event.Input, output: event.Output,
			}}
			if err := l.pump.add(r); err != nil {
				return err
			}
		}
		l.progress.show(printable(in.path), src.read(), src.size, l.pump.seen)
	}
	l.note(index, calls.Tally())
	return l.s.ctx.Err()
}

// meet notes a call and says whether it was met before.
func (l *load) meet(id string) bool {
	if l.met == nil {
		l.met, l.seed = map[uint64]struct{}{}, maphash.MakeSeed()
	}
	key := maphash.String(l.seed, id)
	_, before := l.met[key]
	l.met[key] = struct{}{}
	return before
}

func (l *load) note(index int, t calllog.Tally) {
	if l.tallies == nil {
		l.tallies = map[int]calllog.Tally{}
	}
	l.tallies[index] = t
}

// rows sends rows that are events, or mapped to them.
func (l *load) rows(index int, src *source, from io.Reader) error {
	path := l.inputs[index].path
	reader, err := csvevents.Open(from, l.options)
	if err != nil {
		return &sourceError{err}
	}
	for event, err := range reader.Events() {
		var bad *csvevents.RowError
		switch {
		case errors.As(err, &bad):
			l.pump.reject(reject{file: index, line: bad.Line, reason: bad.Problem})
		case err != nil:
			return &sourceError{err}
		default:
			l.seen(dayOf(event.JSON))
			if err := l.pump.add(row{event: event.JSON, file: index, line: event.Line}); err != nil {
				return err
			}
		}
		l.progress.show(printable(path), src.read(), src.size, l.pump.seen)
	}
	if ignored := reader.Ignored(); len(ignored) > 0 {
		l.progress.say(fmt.Sprintf("%s: not used: %s", printable(path), printable(strings.Join(ignored, ", "))))
	}
	return l.s.ctx.Err()
}
