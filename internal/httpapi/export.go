package httpapi

import (
	"context"
	"fmt"
	"io"
	"iter"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/costprof/costprof/internal/analytics"
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
	// totalHeader is how many rows there are to export in all.
	totalHeader = "X-Total-Count"
	// truncatedHeader is up to when events in the range were removed for their age.
	truncatedHeader = "X-Truncated-Before"
)

// What is true of every export.
const (
	exportFile = "A spreadsheet never takes a text for a formula: " +
		"one that begins with = + - @, a tab or a carriage return has a quote in front in CSV, which `costprof import` takes away again. "
	exportEnd = "When more than limit of them match, the trailer X-Next-Cursor has the cursor that continues them, and so has the last member (json) or the last line (ndjson), nextCursor. " +
		"An export that fails on the way breaks the connection: what ends well is whole. A reader that takes less than 128 KiB a second is disconnected in the end."
)

func exportParams(what, formats string, names []string) []param {
	enum := make([]any, len(names))
	for i, name := range names {
		enum[i] = name
	}
	return concat(windowParams, filterParams, []param{
		{name: "format", doc: "The form of the file." + formats, schema: withDefault(text(enum...), names[0])},
		{name: "limit", doc: "The most " + what + ".", schema: wholeNumber(report.MaxExport, 1, report.MaxExport)},
		{name: "cursor", doc: "What continues an export; all other parameters but limit stay as they were.", schema: formed(cursorText)},
		{name: "bom", doc: "Begin a CSV with a byte order mark, by which Excel knows UTF-8.", schema: withDefault(&huma.Schema{Type: huma.TypeBoolean}, false)},
		{name: "header", doc: "false leaves out the names of a CSV's columns, to write one file of several answers.", schema: withDefault(&huma.Schema{Type: huma.TypeBoolean}, true)},
	})
}

// formatNames are the formats of events, or those that every table has.
func formatNames(events bool) []string {
	var names []string
	for _, f := range export.Formats() {
		if events || !f.EventsOnly {
			names = append(names, f.Name)
		}
	}
	return names
}

// exported is what one export writes.
type exported struct {
	from, to time.Time
	// total is how many rows there are in all, -1 when that is not known.
	total int64
	// truncated is up to when events in the range were removed and are not, or not
	// all, in the rows.
	truncated time.Time
	// write puts the rows into the file, and completes it.
	write func(ctx context.Context, w io.Writer) error
	// next is the cursor behind the last row, "" at the end.
	next func() string
}

// exportOf describes the export of one kind of rows.
type exportOf struct {
	// what names the path, the file and the rows.
	what         string
	summary, doc string
	formats      []string
	formatsDoc   string
	csv          string // of the columns of a CSV
	// params are those that no other rows have; whole says that there is no cursor: one
	// answer has all.
	params []param
	whole  bool
	row    *huma.Schema
	errors []int
	ask    func(ctx context.Context, in *exportRequest) (*exported, error)
}

func (s *server) exportRoutes() []*route {
	return []*route{s.exportRoute(s.eventsExport()), s.exportRoute(s.featuresExport()), s.exportRoute(s.promptsExport()), s.exportRoute(s.clustersExport())}
}

func (s *server) exportRoute(x exportOf) *route {
	binary := text()
	binary.Format = "binary"
	media := func(name string) string {
		for _, f := range export.Formats() {
			if f.Name == name {
				return f.Media
			}
		}
		return ""
	}
	params := concat(exportParams(x.what, x.formatsDoc, x.formats), x.params)
	trailers := []param{{name: cursorTrailer, doc: "Trailer: the cursor that continues the file; missing at the end.", schema: text()}}
	if x.whole {
		params = slices.DeleteFunc(params, func(p param) bool { return p.name == "cursor" })
		trailers = nil
	}
	return &route{
		id: "export-" + x.what, method: http.MethodGet, path: "/api/v1/export/" + x.what, alias: "/api/export/" + x.what, tag: "Export", need: auth.Read, pace: paceExport,
		summary: x.summary, doc: x.doc, params: params, status: http.StatusOK, answer: exportSchema(x.row),
		files: []fileAnswer{
			{media("csv"), x.csv, text()},
			{media("ndjson"), "format=ndjson: a row a line.", text()},
			{media("parquet"), "format=parquet: typed columns; money as DECIMAL(38, 12).", binary},
		},
		trailers: trailers,
		errors:   append([]int{http.StatusServiceUnavailable}, x.errors...),
		raw:      func(w http.ResponseWriter, r *http.Request) { s.export(w, r, &x, params) },
	}
}

func (s *server) eventsExport() exportOf {
	return exportOf{
		what: "events", summary: "Events as a file",
		doc:     "Newest first, of one moment: no event comes twice or is left out, whatever is stored meanwhile. " + exportFile + exportEnd,
		formats: formatNames(true), formatsDoc: " focus leaves out spans that only sum their children.",
		csv: "format=csv and focus: RFC 4180, UTF-8. The columns of csv begin with id, timestamp, feature, model, inputTokens, outputTokens, cost, latency. focus has rows of FOCUS 1.2 Cost and Usage, one for each event and class of cost.",
		row: schemaOf[storedEvent](s),
		ask: func(ctx context.Context, in *exportRequest) (*exported, error) {
			in.filter.Aggregates = !in.format.Totals
			e, err := s.reports.Export(ctx, report.ExportRequest{Filter: in.filter, Limit: in.limit, Cursor: in.cursor})
			if err != nil {
				return nil, err
			}
			return &exported{e.From, e.To, e.Total, e.TruncatedBefore, func(ctx context.Context, w io.Writer) error {
				return writeRows(ctx, in.format.Events(w, in.options), e.Rows(ctx), e.NextCursor)
			}, e.NextCursor}, nil
		},
	}
}

// writeRows writes a whole file.
func writeRows[T any](ctx context.Context, file export.Writer[T], rows iter.Seq2[*T, error], next func() string) error {
	for row, err := range rows {
		if err != nil {
			return err
		}
		if err := file.Write(row); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return file.Close(next())
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
	filter  analytics.Filter
	limit   int
	cursor  string
	format  export.Format
	options export.Options
	window  window
	query   *query
}

func (s *server) readExport(r *http.Request, x *exportOf, params []param) (*exportRequest, error) {
	q := queryOf(r, params)
	q.providerID = func(name string) string { return s.prices.Book().ProviderID(name) }
	in := &exportRequest{window: q.window(s.now()), query: q}
	in.filter = q.filter(in.window)
	in.limit = q.whole("limit", report.MaxExport, 1, report.MaxExport)
	in.cursor = q.cursor()
	in.options = export.Options{BOM: q.flag("bom", false), Headless: !q.flag("header", true)}
	wanted := q.oneOf("format", x.formats...)
	if wanted == "" {
		wanted = x.formats[0]
	}
	for _, f := range export.Formats() {
		if f.Name == wanted {
			in.format = f
		}
		if f.EventsOnly && f.Name == q.text("format") && !slices.Contains(x.formats, f.Name) {
			q.bad("format", f.Name+" is for events only")
		}
	}
	return in, q.err()
}

func (s *server) export(w http.ResponseWriter, r *http.Request, x *exportOf, params []param) {
	in, err := s.readExport(r, x, params)
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
	e, err := x.ask(asking, in)
	cancel()
	if err == nil {
		err = in.query.continues(&in.window, e.from, e.to)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", in.format.Media)
	h.Set("Content-Disposition", `attachment; filename="`+in.fileName(x.what)+`"`)
	h.Set("Trailer", cursorTrailer)
	if e.total >= 0 {
		h.Set(totalHeader, strconv.FormatInt(e.total, 10))
	}
	if !e.truncated.IsZero() {
		h.Set(truncatedHeader, e.truncated.UTC().Format(time.RFC3339Nano))
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
	if err := e.write(r.Context(), out); err != nil {
		if !out.begun {
			for _, name := range []string{"Content-Disposition", "Trailer", totalHeader, truncatedHeader} {
				h.Del(name)
			}
			s.fail(w, r, err)
			return
		}
		exchangeOf(r.Context()).cause = fmt.Errorf("export cut off: %w", err)
		panic(http.ErrAbortHandler) // nobody takes what is out for the whole
	}
	if next := e.next(); next != "" {
		h.Set(cursorTrailer, next)
	}
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
