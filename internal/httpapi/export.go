package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/costprof/costprof/internal/auth"
	"github.com/costprof/costprof/internal/export"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/report"
)

const (
	// maxExports is how many exports are written at once.
	maxExports    = 4
	busyExporting = "The server is writing other exports; try again"
	// cursorTrailer is where the cursor stands that continues a file.
	cursorTrailer = "X-Next-Cursor"
	// totalHeader is how many events there are to export in all.
	totalHeader = "X-Total-Count"
)

const exportDoc = "Newest first, of one moment: no event comes twice or is left out, whatever is stored meanwhile. A spreadsheet never takes a text for a formula: " +
	"one that begins with = + - @, a tab or a carriage return has a quote in front in CSV, which `costprof import` takes away again. " +
	"When more than limit events match, the trailer X-Next-Cursor has the cursor that continues them, and so has the last member (json) or the last line (ndjson), nextCursor. " +
	"An export that fails on the way breaks the connection: what ends well is whole. A reader that takes less than 128 KiB a second is disconnected in the end."

var exportParams = concat(windowParams, filterParams, []param{
	{name: "format", doc: "The form of the file. focus leaves out spans that only sum their children.", schema: withDefault(text(formatNames()...), "csv")},
	{name: "limit", doc: "The most events.", schema: wholeNumber(report.MaxExport, 1, report.MaxExport)},
	{name: "cursor", doc: "What continues an export; all other parameters but limit stay as they were.", schema: formed(cursorText)},
	{name: "bom", doc: "Begin a CSV with a byte order mark, by which Excel knows UTF-8.", schema: withDefault(&huma.Schema{Type: huma.TypeBoolean}, false)},
	{name: "header", doc: "false leaves out the names of a CSV's columns, to write one file of several answers.", schema: withDefault(&huma.Schema{Type: huma.TypeBoolean}, true)},
})

func formatNames() []any {
	var names []any
	for _, f := range export.Formats() {
		names = append(names, f.Name)
	}
	return names
}

func (s *server) exportRoutes() []*route {
	var files []fileAnswer
	for _, f := range export.Formats() {
		if f.Name == "json" || f.Name == "focus" {
			continue
		}
		schema := text()
		doc := "format=" + f.Name
		switch f.Name {
		case "csv":
			doc += " and focus: RFC 4180, UTF-8. The columns of csv begin with id, timestamp, feature, model, inputTokens, outputTokens, cost, latency. focus has rows of FOCUS 1.2 Cost and Usage, one for each event and class of cost."
		case "ndjson":
			doc += ": an event a line."
		case "parquet":
			doc += ": typed columns; money as DECIMAL(38, 12)."
			schema.Format = "binary"
		}
		files = append(files, fileAnswer{media: f.Media, doc: doc, schema: schema})
	}
	return []*route{{
		id: "export-events", method: http.MethodGet, path: "/api/v1/export/events", alias: "/api/export/events", tag: "Export", need: auth.Read, pace: paceExport,
		summary: "Events as a file", doc: exportDoc,
		params: exportParams,
		status: http.StatusOK, answer: exportSchema(schemaOf[storedEvent](s)), files: files,
		trailers: []param{{name: cursorTrailer, doc: "Trailer: the cursor that continues the file; missing at the end.", schema: text()}},
		errors:   []int{http.StatusServiceUnavailable}, raw: s.exportEvents,
	}}
}

func exportSchema(event *huma.Schema) *huma.Schema {
	next := text()
	next.Nullable = true
	return &huma.Schema{
		Type: huma.TypeObject, Required: []string{"data", "nextCursor"}, AdditionalProperties: false,
		Properties:  map[string]*huma.Schema{"data": arrayOf(event), "nextCursor": next},
		Description: "format=json: one document.",
	}
}

// flag reads true or false.
func (q *query) flag(name string, fallback bool) bool {
	if !q.has(name) {
		return fallback
	}
	v, err := strconv.ParseBool(q.text(name))
	if err != nil || q.text(name) != strconv.FormatBool(v) {
		q.bad(name, "must be true or false")
	}
	return v
}

// exportRequest is what is asked for.
type exportRequest struct {
	report.ExportRequest
	format  export.Format
	options export.Options
	window  window
	query   *query
}

func (s *server) readExport(r *http.Request) (exportRequest, error) {
	q := queryOf(r, exportParams)
	q.providerID = func(name string) string { return s.prices.Book().ProviderID(name) }
	in := exportRequest{window: q.window(s.now()), query: q}
	in.Filter = q.filter(in.window)
	in.Limit = q.whole("limit", report.MaxExport, 1, report.MaxExport)
	in.Cursor = q.cursor()
	in.options = export.Options{BOM: q.flag("bom", false), Headless: !q.flag("header", true)}
	formats := export.Formats()
	names := make([]string, len(formats))
	for i, f := range formats {
		names[i] = f.Name
	}
	wanted := q.oneOf("format", names...)
	for i, f := range formats {
		if f.Name == wanted || wanted == "" && i == 0 {
			in.format = f
		}
	}
	in.Aggregates = !in.format.Totals
	return in, q.err()
}

func (s *server) exportEvents(w http.ResponseWriter, r *http.Request) {
	in, err := s.readExport(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if err := s.exports.take(r.Context(), 1); err != nil {
		s.fail(w, r, err)
		return
	}
	defer s.exports.give(1)
	asking, cancel := context.WithTimeout(r.Context(), s.timeout)
	e, err := s.reports.Export(asking, in.ExportRequest)
	cancel()
	if err == nil {
		err = in.query.continues(&in.window, e.From, e.To)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", in.format.Media)
	h.Set("Content-Disposition", `attachment; filename="`+in.fileName("events")+`"`)
	h.Set("Trailer", cursorTrailer)
	if e.Total >= 0 {
		h.Set(totalHeader, strconv.FormatInt(e.Total, 10))
	}
	h.Set("X-Accel-Buffering", "no") // nginx would hold the file back
	if r.Method == http.MethodHead {
		w.WriteHeader(http.StatusOK)
		return
	}
	out := &paced{w: w, rc: http.NewResponseController(w)}
	// The server's deadlines are for short answers. Reading on is how a reader that
	// leaves is noticed.
	_ = out.rc.SetReadDeadline(time.Time{}) // a recorder in a test has none
	if err := s.writeExport(r.Context(), out, &in, e); err != nil {
		if !out.begun {
			for _, name := range []string{"Content-Disposition", "Trailer", totalHeader} {
				h.Del(name)
			}
			s.fail(w, r, err)
			return
		}
		exchangeOf(r.Context()).cause = fmt.Errorf("export cut off: %w", err)
		panic(http.ErrAbortHandler) // nobody takes what is out for the whole
	}
	if next := e.NextCursor(); next != "" {
		h.Set(cursorTrailer, next)
	}
}

func (s *server) writeExport(ctx context.Context, out *paced, in *exportRequest, e *report.Export) error {
	file := in.format.New(out, in.options)
	for record, err := range e.Rows(ctx) {
		if err != nil {
			return err
		}
		if err := file.Write(record); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return file.Close(e.NextCursor())
}

// fileName names what is in the file.
func (in *exportRequest) fileName(what string) string {
	day := func(t time.Time) string { return t.In(in.window.loc).Format(time.DateOnly) }
	return strings.Join([]string{"costprof", what, day(in.window.from), day(in.window.to.Add(-time.Microsecond))}, "-") + "." + in.format.Ending
}

// paced writes to a reader who may be slow, but not for ever: the time spent
// waiting for them must not exceed a start and what the slowest pace allows.
type paced struct {
	w      http.ResponseWriter
	rc     *http.ResponseController
	begun  bool
	sent   int64
	waited time.Duration
}

func (p *paced) Write(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	allowed := readerStart + time.Duration((p.sent+int64(len(b)))/slowestReader)*time.Second - p.waited
	begin := time.Now()
	p.begun = true
	_ = p.rc.SetWriteDeadline(begin.Add(min(allowed, longestAnswer))) // a recorder in a test has none
	n, err := p.w.Write(b)
	p.waited += time.Since(begin)
	p.sent += int64(n)
	if err != nil {
		return n, &fault.Error{Code: fault.Unavailable, Message: "The reader is gone or too slow", Err: err}
	}
	return n, nil
}
