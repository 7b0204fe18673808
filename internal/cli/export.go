package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/costprof/costprof/client"
)

type exportCmd struct {
	Events   exportEventsCmd   `cmd:"" help:"Write events into a file."`
	Features exportFeaturesCmd `cmd:"" help:"Write spend by feature into a file."`
	Prompts  exportPromptsCmd  `cmd:"" help:"Write calls with far more input than their like into a file."`
	Clusters exportClustersCmd `cmd:"" help:"Write groups of the same and nearly the same prompts into a file."`
}

// exportFlags say which file of which rows.
type exportFlags struct {
	Output string `short:"o" required:"" placeholder:"FILE" help:"The file to write, - for standard output."`
	Format string `placeholder:"FORMAT" help:"csv, json, ndjson, parquet, or of events focus. Default: by the file's ending (.csv, .json, .ndjson, .jsonl, .parquet, .focus.csv), csv for standard output."`
	Limit  int64  `short:"n" placeholder:"N" help:"Most rows, the first ones; 0 for all."`
	BOM    bool   `name:"bom" help:"Begin a CSV with a byte order mark, by which Excel knows UTF-8."`
	filterFlags
}

type exportEventsCmd struct {
	exportFlags
	Resume bool `help:"Go on with a file that was cut off, with what the first run asked for."`
}

type (
	exportFeaturesCmd struct{ exportFlags }
	exportPromptsCmd  struct{ exportFlags }
	exportClustersCmd struct{ exportFlags }
)

func (*exportFeaturesCmd) Help() string {
	return `All columns of "costprof breakdown feature", every row of it, dearest first.

Examples:

  costprof export features -o features.csv --from 2026-11-01 --to 2026-11-30
  costprof export features -o features.parquet --last 90d --environment production`
}

func (*exportPromptsCmd) Help() string {
	return `The calls of "costprof prompts", all of them, the most wasteful first: those whose input is at least twice the median of
their feature and model.

Examples:

  costprof export prompts -o prompts.csv --last 7d
  costprof export prompts -o - --format ndjson --feature support-chat | jq .wastedCost`
}

func (*exportClustersCmd) Help() string {
	return `The groups of "costprof clusters", all of them, each a row with what caches would have saved.

Examples:

  costprof export clusters -o clusters.csv --last 7d
  costprof export clusters -o - --format ndjson | jq .template`
}

func (*exportEventsCmd) Help() string {
	return `Newest first, all of one moment, whatever is stored meanwhile. "costprof import" reads csv and ndjson: the same
events come of them. focus has rows of FOCUS 1.2, one for each call and class of cost.

Until it is whole the file is called FILE.partial. Of json and parquet a file has at most a million events;
further ones go to FILE-2, FILE-3 and so on.

Examples:

  costprof export events -o november.csv --from 2026-11-01 --to 2026-11-30
  costprof export events -o calls.parquet --last 90d
  costprof export events -o calls.csv --resume
  costprof export events -o - --format ndjson --feature support-chat | jq .cost`
}

// exportEndings are tried in this order.
var exportEndings = []struct{ ending, format string }{
	{".focus.csv", "focus"},
	{".csv", "csv"},
	{".ndjson", "ndjson"},
	{".jsonl", "ndjson"},
	{".json", "json"},
	{".parquet", "parquet"},
}

func (e *exportFlags) format(what client.Exported) (string, error) {
	format, err := e.anyFormat()
	if err == nil && format == "focus" && what != client.ExportedEvents {
		return "", usagef("focus is for events only, not for %s", what)
	}
	return format, err
}

func (e *exportFlags) anyFormat() (string, error) {
	switch e.Format {
	case "csv", "json", "ndjson", "parquet", "focus":
		return e.Format, nil
	case "":
	default:
		return "", usagef("--format %q must be csv, json, ndjson, parquet or focus", e.Format)
	}
	if e.Output == "-" {
		return "csv", nil
	}
	for _, ending := range exportEndings {
		if strings.HasSuffix(strings.ToLower(e.Output), ending.ending) {
			return ending.format, nil
		}
	}
	return "", usagef("the ending of %q says no format: .csv, .json, .ndjson, .parquet or .focus.csv do, or give --format", e.Output)
}

// exportPart is how many events are asked for at a time where a file can be
// continued: so many have to be read again when it is cut off.
const exportPart = 250_000

func (e *exportEventsCmd) Run(s *session) error {
	return e.run(s, client.ExportedEvents, e.Resume)
}

// Run implements kong's command. There is no going on with a ranking: it ends
// after ten minutes.
func (e *exportFeaturesCmd) Run(s *session) error {
	return e.run(s, client.ExportedFeatures, false)
}

// Run implements kong's command.
func (e *exportPromptsCmd) Run(s *session) error { return e.run(s, client.ExportedPrompts, false) }

// Run implements kong's command.
func (e *exportClustersCmd) Run(s *session) error { return e.run(s, client.ExportedClusters, false) }

func (e *exportFlags) run(s *session, what client.Exported, resume bool) error {
	format, err := e.format(what)
	if err != nil {
		return err
	}
	filter, err := e.filter(time.Now())
	if err != nil {
		return err
	}
	switch {
	case e.Limit < 0:
		return usagef("--limit must be 0 or more")
	case e.BOM && format != "csv" && format != "focus":
		return usagef("--bom is for csv and focus")
	case resume && (e.Output == "-" || format == "json" || format == "parquet"):
		return usagef("--resume is for files of csv, ndjson and focus")
	case e.Output == "-" && format == "parquet" && s.term.tty:
		return usagef("parquet is not for a terminal: give -o FILE.parquet, or send it into another program")
	}
	// An export outlasts a busy moment of the server.
	if err := s.reach(); err != nil {
		return err
	}
	c, err := s.connect(client.WithRetry(client.DefaultRetry()))
	if err != nil {
		return err
	}
	x := &exporter{session: s, client: c, what: what, path: e.Output, progress: newProgress(s.stdio.Err), total: -1, span: span(filter, time.Now()), state: exportState{
		Request: client.ExportRequest{Filter: filter, Format: format, Limit: e.Limit, BOM: e.BOM},
	}}
	defer x.progress.clear()
	switch {
	case e.Output == "-":
		_, err := c.Export(s.ctx, what, x.state.Request, s.out)
		return err
	case format == "json" || format == "parquet":
		return x.documents()
	}
	return x.continued(resume)
}

// exportState is what a file that was cut off goes on with; it stands beside it.
type exportState struct {
	Request client.ExportRequest `json:"request"`
	// Bytes are those of whole parts, Total is how many events there will be.
	Bytes int64 `json:"bytes"`
	Total int64 `json:"total"`
}

type exporter struct {
	*session
	client   *client.Client
	what     client.Exported
	path     string
	progress *progress
	state    exportState
	lines    atomic.Int64
	// span says of which time the rows are; total is how many there will be in all
	// files, -1 when the server does not say.
	span  string
	total int64
}

func (x *exporter) partial() string { return x.path + ".partial" }
func (x *exporter) memo() string    { return x.path + ".partial.json" }

// continued writes a file of as many answers as it takes.
func (x *exporter) continued(resume bool) (err error) {
	flags := os.O_CREATE | os.O_WRONLY | os.O_TRUNC
	if resume {
		if err := x.recall(); err != nil {
			return err
		}
		flags = os.O_WRONLY
	} else if err := os.Remove(x.memo()); err != nil && !os.IsNotExist(err) {
		return err
	}
	f, err := os.OpenFile(x.partial(), flags, 0o644)
	if err != nil {
		return fmt.Errorf("writing %s: %w", x.partial(), withoutPath(err))
	}
	defer f.Close()
	if err := f.Truncate(x.state.Bytes); err != nil {
		return fmt.Errorf("writing %s: %w", x.partial(), withoutPath(err))
	}
	if _, err := f.Seek(x.state.Bytes, io.SeekStart); err != nil {
		return err
	}
	request := x.state.Request
	events := x.what == client.ExportedEvents
	if events {
		request.PartSize = exportPart
	}
	request.OnPart = func(part client.ExportPart) error { return x.keep(f, part) }
	if _, err = x.client.Export(x.ctx, x.what, request, io.MultiWriter(f, x)); err != nil {
		x.progress.clear()
		if events && x.state.Bytes > 0 {
			x.note("What is whole stays in %s; the same command with --resume goes on.", printable(x.partial()))
		} else {
			_ = os.Remove(x.partial())
		}
		return err
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("writing %s: %w", x.partial(), withoutPath(err))
	}
	if err := os.Rename(x.partial(), x.path); err != nil {
		return err
	}
	_ = os.Remove(x.memo()) // it only tells of a file that is no longer there
	if resume {
		x.total, x.span = x.state.Total, span(x.state.Request.Filter, time.Time{})
	}
	x.wrote(x.path, x.total)
	return nil
}

// keep remembers that a part is whole.
func (x *exporter) keep(f *os.File, part client.ExportPart) error {
	if part.Total >= 0 {
		x.state.Total = part.Total
		if x.state.Request.Limit > 0 {
			x.state.Total = min(part.Total, x.state.Request.Limit)
		}
		x.total = x.state.Total
	}
	if part.NextCursor == "" || x.what != client.ExportedEvents {
		return nil
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("writing %s: %w", x.partial(), withoutPath(err))
	}
	at, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	x.state.Bytes = at
	r := &x.state.Request
	r.Cursor, r.NoHeader, r.BOM = part.NextCursor, true, false
	if r.Limit > 0 {
		r.Limit -= exportPart
		if r.Limit <= 0 {
			return nil // this was the last one
		}
	}
	text, err := json.Marshal(x.state)
	if err != nil {
		return err
	}
	return writeFile(x.memo(), text)
}

// recall reads what a file that was cut off goes on with.
func (x *exporter) recall() error {
	text, err := os.ReadFile(x.memo())
	if os.IsNotExist(err) {
		return usagef("there is no export of %q to go on with", x.path)
	}
	if err != nil {
		return fmt.Errorf("reading %s: %w", x.memo(), withoutPath(err))
	}
	asked := x.state.Request.Format
	if err := json.Unmarshal(text, &x.state); err != nil {
		return fmt.Errorf("reading %s: %w", x.memo(), err)
	}
	if x.state.Request.Format != asked {
		return usagef("the file that was cut off is %s, not %s", x.state.Request.Format, asked)
	}
	info, err := os.Stat(x.partial())
	if err != nil {
		return fmt.Errorf("reading %s: %w", x.partial(), withoutPath(err))
	}
	if info.Size() < x.state.Bytes {
		return fmt.Errorf("%s is shorter than what was written: begin again without --resume", x.partial())
	}
	return nil
}

// mostInDocument is how many rows the server puts into one file of json or
// parquet.
const mostInDocument = 1_000_000

// documents writes a file for each answer.
func (x *exporter) documents() error {
	left := x.state.Request.Limit
	for n := 1; ; n++ {
		path := x.path
		if n > 1 {
			ending := filepath.Ext(path)
			path = fmt.Sprintf("%s-%d%s", strings.TrimSuffix(path, ending), n, ending)
		}
		request := x.state.Request
		request.Limit = left
		var next string
		request.OnPart = func(part client.ExportPart) error {
			next = part.NextCursor
			if part.Total >= 0 {
				x.state.Total = part.Total
				x.total = part.Total
				if left > 0 {
					x.total = min(part.Total, left)
				}
			}
			return nil
		}
		f, err := os.OpenFile(path+".partial", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
		if err != nil {
			return fmt.Errorf("writing %s: %w", path, withoutPath(err))
		}
		_, err = x.client.Export(x.ctx, x.what, request, io.MultiWriter(f, x))
		if errors.Is(err, client.ErrOneDocument) {
			err = nil
		}
		err = errors.Join(err, f.Close())
		if err != nil {
			_ = os.Remove(f.Name())
			return err
		}
		if err := os.Rename(f.Name(), path); err != nil {
			return err
		}
		rows := x.total
		if rows >= 0 {
			rows = min(rows, mostInDocument)
			x.total -= rows
		}
		x.wrote(path, rows)
		if left > 0 {
			if left -= mostInDocument; left <= 0 {
				return nil
			}
		}
		if next == "" {
			return nil
		}
		x.state.Request.Cursor = next
	}
}

// Write counts what is written, for the progress bar.
func (x *exporter) Write(p []byte) (int, error) {
	n := x.lines.Add(int64(bytes.Count(p, []byte("\n"))))
	all := int64(0)
	if x.state.Total > 0 && x.state.Request.Format != "focus" {
		all = x.state.Total
	}
	x.progress.show("Exporting", n, all, func() int { return int(n) })
	return len(p), nil
}

// wrote says what is in a file of so many rows; -1 are as many as there were.
func (x *exporter) wrote(path string, rows int64) {
	x.progress.clear()
	size := ""
	if info, err := os.Stat(path); err == nil {
		size = fmt.Sprintf(" (%s bytes)", count(info.Size()))
	}
	what := string(x.what)
	if rows >= 0 {
		what = several(rows, strings.TrimSuffix(what, "s"))
	}
	if x.span != "" {
		what += ", " + x.span + ","
	}
	x.note("Wrote %s to %s%s.", what, printable(path), size)
}

// span says of which time a filter's calls are, "" when a bound depends on a now
// that is not known.
func span(f client.Filter, now time.Time) string {
	zone := f.TZ
	if zone == "" {
		zone = "UTC"
	}
	loc, err := time.LoadLocation(zone)
	if err != nil {
		return ""
	}
	if (f.From == "" || f.To == "") && now.IsZero() {
		return ""
	}
	shown := func(bound string, absent time.Time) string {
		switch t, err := parseInstant("", bound); {
		case bound == "":
			return absent.In(loc).Format("2006-01-02 15:04")
		case isDate(bound) || err != nil:
			return bound
		default:
			return t.In(loc).Format("2006-01-02 15:04")
		}
	}
	if f.From == "" && f.To != "" {
		return "the 30 days to " + shown(f.To, now) + " " + zone
	}
	return shown(f.From, now.AddDate(0, 0, -30)) + " to " + shown(f.To, now) + " " + zone
}
