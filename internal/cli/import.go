package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
	_ "time/tzdata" // --timezone means the same on every machine
	"unicode/utf8"

	"github.com/costprof/costprof/internal/ingest/csvevents"
)

type importCmd struct {
	Files []string `arg:"" name:"file" help:"Files to load; - is standard input. Gzip and Zstandard are unpacked."`

	Map       []string `short:"m" sep:"none" placeholder:"FIELD=COLUMN" help:"Take an event's field from a column; repeat for more. Fields are those of the API, usage.NAME and tags.NAME."`
	Set       []string `short:"s" sep:"none" placeholder:"FIELD=VALUE" help:"Give every event a field, unless its column has a value; repeat for more."`
	Format    string   `placeholder:"csv|ndjson" help:"Kind of the files (default: by their first character)."`
	Delimiter string   `placeholder:"CHAR" help:"What separates CSV cells, for example ';' or tab (default: a comma)."`
	Time      string   `placeholder:"unix|unixms" help:"Timestamps are seconds or milliseconds since 1970."`
	Timezone  string   `placeholder:"ZONE" help:"Zone of timestamps that name none, for example Europe/Berlin (default: UTC)."`
}

func (*importCmd) Help() string {
	return `Reads what "costprof events --json" writes, and any CSV or NDJSON whose columns are named like an event's
fields or mapped to them with --map and --set.

An import can be repeated: the server recognises every row, so a second import of the same file, or of the file
grown longer, adds only what is new. A row without a trace and span of its own is recognised by what it says and by
how many identical rows stand before it in its file. After Ctrl-C, or an error, run the same command again.

Rows that break a rule are listed as FILE:LINE: REASON and make the exit code 1; all others are stored.

Examples:

  costprof import november.ndjson.zst
  costprof import code.csv --map timestamp=TIMESTAMP --map inputTokens=ContextTokens \
    --map outputTokens=GeneratedTokens --set feature=code --set provider=openai --set model=gpt-4o
  zcat logs/*.gz | costprof import - --format ndjson --set environment=production`
}

func (cmd *importCmd) options() (csvevents.Options, error) {
	o := csvevents.Options{Format: csvevents.Format(cmd.Format), Time: csvevents.TimeFormat(cmd.Time)}
	if cmd.Format != "" && o.Format != csvevents.CSV && o.Format != csvevents.NDJSON {
		return o, usagef("--format must be csv or ndjson")
	}
	if cmd.Time != "" && o.Time != csvevents.UnixSeconds && o.Time != csvevents.UnixMillis {
		return o, usagef("--time must be unix or unixms")
	}
	var err error
	if o.Map, err = pairs("--map", "FIELD=COLUMN", cmd.Map); err != nil {
		return o, err
	}
	if o.Set, err = pairs("--set", "FIELD=VALUE", cmd.Set); err != nil {
		return o, err
	}
	switch cmd.Delimiter {
	case "":
	case "tab", `\t`:
		o.Comma = '\t'
	default:
		r, n := utf8.DecodeRuneInString(cmd.Delimiter)
		if n != len(cmd.Delimiter) {
			return o, usagef("--delimiter must be one character, or tab")
		}
		o.Comma = r
	}
	if cmd.Timezone != "" {
		if o.Location, err = time.LoadLocation(cmd.Timezone); err != nil || cmd.Timezone == "Local" {
			return o, usagef("--timezone %q is not an IANA zone such as Europe/Berlin", cmd.Timezone)
		}
	}
	return o, nil
}

func pairs(flag, form string, list []string) (map[string]string, error) {
	m := make(map[string]string, len(list))
	for _, text := range list {
		field, value, ok := strings.Cut(text, "=")
		if !ok || field == "" {
			return nil, usagef("%s %q must be %s", flag, text, form)
		}
		if _, twice := m[field]; twice {
			return nil, usagef("%s gives %s twice", flag, field)
		}
		m[field] = value
	}
	return m, nil
}

func (cmd *importCmd) Run(s *session) error {
	options, err := cmd.options()
	if err != nil {
		return err
	}
	// A misspelt name must not be found after an hour of the files before it.
	for _, path := range cmd.Files {
		if err := checkFile(path); err != nil {
			return err
		}
	}
	if err := s.reach(); err != nil {
		return err
	}
	progress := newProgress(s.stdio.Err)
	c, err := s.connect(s.patient(progress.say)...)
	if err != nil {
		return err
	}
	l := &load{s: s, options: options, pump: newPump(s.ctx, c), progress: progress}
	for i, path := range cmd.Files {
		if err = l.file(i, path); err != nil {
			break
		}
	}
	if err == nil {
		err = l.pump.flush()
	}
	done, sendErr := l.pump.close()
	progress.clear()
	if sendErr != nil {
		err = sendErr
	}
	return cmd.tell(s, &done, l, err)
}

// tell says what became of the rows; cause is what ended the import early.
func (cmd *importCmd) tell(s *session, done *tally, l *load, cause error) error {
	for _, r := range done.rejects {
		s.note("%s:%d: %s", printable(cmd.Files[r.file]), r.line, printable(r.reason))
	}
	if more := done.Rejected - len(done.rejects); more > 0 {
		s.note("… and %d more rejected rows.", more)
	}
	for _, w := range done.warnings {
		s.note("Warning: %s", printable(w))
	}
	if s.root.JSON {
		type rejection struct {
			File  string `json:"file"`
			Line  int    `json:"line"`
			Error string `json:"error"`
		}
		list := []rejection{}
		for _, r := range done.rejects {
			list = append(list, rejection{cmd.Files[r.file], r.line, r.reason})
		}
		if err := s.writeValue(map[string]any{
			"rows": done.rows(), "accepted": done.New, "duplicates": done.Duplicates, "conflicts": done.Conflicts,
			"rejected": done.Rejected, "rejections": list, "complete": cause == nil && l.failed == 0,
		}); err != nil {
			return err
		}
	} else {
		line := fmt.Sprintf("%d rows: %d new, %d already there, %d rejected", done.rows(), done.New, done.Duplicates, done.Rejected)
		if done.Conflicts > 0 {
			line += fmt.Sprintf(", %d whose eventId belongs to another event (that one is kept)", done.Conflicts)
		}
		fmt.Fprintln(s.out, line)
	}
	switch {
	case errors.Is(cause, context.Canceled):
		s.note("Stopped. Run the same command again to go on: what is stored is recognised and not counted twice.")
		return cause
	case cause != nil:
		s.note("The import is not complete. Run the same command again to go on: what is stored is recognised and not counted twice.")
		return cause
	}
	if done.New > 0 && l.old(time.Now()) {
		s.note("These calls are older than the 30 days that questions are about by default; try: costprof breakdown --from %s --to %s", l.first, l.last)
	}
	if done.Rejected > 0 || l.failed > 0 {
		return errSilent
	}
	return nil
}

// load is one import on its way.
type load struct {
	s        *session
	options  csvevents.Options
	pump     *pump
	progress *progress
	// failed counts files that could not be read to their end.
	failed int
	// first and last are the UTC days of the earliest and the latest row.
	first, last string
}

// seen notes the day of a row. The reader writes timestamps in one form, before
// anything that could hold a member of that name.
func (l *load) seen(event []byte) {
	_, text, ok := bytes.Cut(event, []byte(`"timestamp":"`))
	if !ok || len(text) < len(time.DateOnly) {
		return
	}
	day := text[:len(time.DateOnly)]
	if l.first == "" || string(day) < l.first {
		l.first = string(day)
	}
	if string(day) > l.last {
		l.last = string(day)
	}
}

// old says that a question without a time would not be about the rows.
func (l *load) old(now time.Time) bool {
	return l.last != "" && l.last < now.UTC().AddDate(0, 0, -30).Format(time.DateOnly)
}

// file sends one file's rows. Its error ends the import; a file that cannot be
// read is said and counted.
func (l *load) file(index int, path string) error {
	err := l.read(index, path)
	var broken *sourceError
	if !errors.As(err, &broken) || l.s.ctx.Err() != nil {
		return err
	}
	l.failed++
	l.progress.say(fmt.Sprintf("%s: %s", printable(path), printable(broken.Error())))
	return nil
}

// sourceError is a file's fault, not the server's.
type sourceError struct{ error }

func (e *sourceError) Unwrap() error { return e.error }

func (l *load) read(index int, path string) error {
	src, err := openSource(l.s.ctx, path, l.s.stdio.In)
	if err != nil {
		return &sourceError{withoutPath(err)}
	}
	defer func() { _ = src.Close() }() // what was only read loses nothing
	reader, err := csvevents.Open(src, l.options)
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
			l.seen(event.JSON)
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

func checkFile(path string) error {
	if path == "-" {
		return nil
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return usagef("%s: %v", path, withoutPath(err))
	case info.IsDir():
		return usagef("%s is a directory; name the files in it", path)
	}
	return nil
}
