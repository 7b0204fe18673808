package csvevents

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/ingest/jsonevents"
	"github.com/costprof/costprof/internal/usage"
)

var trace = Options{
	Map: map[string]string{"timestamp": "TIMESTAMP", "inputTokens": "ContextTokens", "outputTokens": "GeneratedTokens"},
	Set: map[string]string{"feature": "code", "provider": "openai", "model": "gpt-4o"},
}

// read collects a source as "line: JSON" and "line: ! problem".
func read(t *testing.T, source string, o Options) []string {
	t.Helper()
	var out []string
	for e, err := range open(t, source, o).Events() {
		var bad *RowError
		switch {
		case errors.As(err, &bad):
			out = append(out, fmt.Sprintf("%d: ! %s", bad.Line, bad.Problem))
		case err != nil:
			t.Fatal(err)
		default:
			out = append(out, fmt.Sprintf("%d: %s", e.Line, e.JSON))
		}
	}
	return out
}

func open(t *testing.T, source string, o Options) *Reader {
	t.Helper()
	r, err := Open(strings.NewReader(source), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestTraceGolden(t *testing.T) {
	source, err := os.ReadFile(filepath.Join("testdata", "azure-llm-2023.csv"))
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	for e, err := range open(t, string(source), trace).Events() {
		if err != nil {
			t.Fatal(err)
		}
		got.Write(append(e.JSON, '\n'))
	}
	golden := filepath.Join("testdata", "azure-llm-2023.golden.ndjson")
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// The server takes every one of them.
	batch, err := jsonevents.Decode(got.Bytes(), jsonevents.NDJSON)
	inputs := batch.Events
	if err != nil || len(inputs) != 19 {
		t.Fatalf("decoded %d events, %v", len(inputs), err)
	}
	ids := make(map[usage.ID]bool)
	for _, in := range inputs {
		in.Event.Project = "default"
		if bad := append(in.Problems, in.Event.Validate(time.Now())...); len(bad) > 0 {
			t.Errorf("problems: %v", bad)
		}
		ids[in.Event.Identity()] = true
	}
	if len(ids) != 19 {
		t.Errorf("%d identities for 19 rows", len(ids))
	}
}

const head = "timestamp,feature,provider,model,inputTokens,outputTokens,userId\n"

func ids(t *testing.T, source string) []string {
	t.Helper()
	var out []string
	for _, line := range read(t, source, Options{}) {
		_, event, _ := strings.Cut(line, ": ")
		out = append(out, event)
	}
	return out
}

// Importing a file again adds only what is new, also when it has grown.
func TestIdenticalRows(t *testing.T) {
	const a, b = "2026-01-01T00:00:00Z,f,p,m,1,2,u\n", "2026-01-01T00:00:00Z,f,p,m,1,2,v\n"
	first := ids(t, head+a+b+a)
	if first[0] == first[2] || first[0] == first[1] {
		t.Errorf("different calls have one identity: %q", first)
	}
	grown := ids(t, head+a+b+a+a+b)
	if diff := cmp.Diff(first, grown[:3]); diff != "" {
		t.Errorf("a grown file changes its first rows (-before +after):\n%s", diff)
	}
	seen := make(map[string]bool)
	for _, id := range grown {
		seen[id] = true
	}
	if len(seen) != 5 {
		t.Errorf("5 rows have %d identities", len(seen))
	}
	// Another order of rows or columns and another spelling is the same set.
	other := ids(t, "userId,model,provider,feature,timestamp,outputTokens,inputTokens\r\n"+
		"v,m,p,f,2026-01-01 00:00:00,2.0,+1\r\nu,m,p,f,2026-01-01T01:00:00+01:00,2,01\r\nu,m,p,f,2026-01-01T00:00:00.0000001Z,2,1")
	for _, id := range other {
		if !seen[id] {
			t.Errorf("the same rows written otherwise are new: %s", id)
		}
	}
}

func TestOwnIDsAreKept(t *testing.T) {
	got := read(t, "traceId,spanId,eventId,timestamp,feature,provider,model,inputTokens,outputTokens\n"+
		"t,s,,2026-01-01T00:00:00Z,f,p,m,1,2\nt,s,,2026-01-01T00:00:00Z,f,p,m,1,2\n"+
		",,e,2026-01-01T00:00:00Z,f,p,m,1,2\n,,e,2026-01-01T00:00:00Z,f,p,m,1,2\nt,,,2026-01-01T00:00:00Z,f,p,m,1,2\n", Options{})
	for i, line := range got {
		_, got[i], _ = strings.Cut(line, ": ")
	}
	if got[0] != got[1] || !strings.HasPrefix(got[0], `{"traceId":"t","spanId":"s",`) {
		t.Errorf("ids of their own: %s, %s", got[0], got[1])
	}
	if got[2] != got[3] {
		t.Errorf("one eventId became two events: %s, %s", got[2], got[3])
	}
	if !strings.HasPrefix(got[4], `{"traceId":"t","spanId":"`) {
		t.Errorf("a span of a known trace: %s", got[4])
	}
}

func TestEveryField(t *testing.T) {
	var columns, cells []string
	for column, cell := range map[string]string{
		"traceId": "t", "spanId": "s", "parentSpanId": "q", "name": "n", "timestamp": "2026-01-01T00:00:00.5Z", "feature": `a "b", c`,
		"provider": "p", "model": "m", "inputTokens": "1000", "outputTokens": "2e2", "cachedTokens": "3", "cacheWriteTokens": "4",
		"cacheWrite1hTokens": "5", "reasoningTokens": "6", "serviceTier": "flex", "region": "eu", "latency": "1.50",
		"timeToFirstTokenMs": ".5", "billedCostUsd": "1e-6", "estimatedCostUsd": "0", "userId": "u", "sessionId": "x",
		"department": "d", "environment": "e", "operation": "o", "isStreaming": "TRUE", "isError": "0", "aggregate": "no",
		"errorCode": "429", "retryCount": "1", "prompt": "line 1\nline 2", "metadata": `{"a": 1}`, "project": "pr", "eventId": "ev",
		"usage.webSearches": "2", "tags.team": "a", "tag:b.c": "ü",
		"id": "ignored", "cost": "1", "costSource": "catalog", "extra": "x",
	} {
		columns = append(columns, column)
		cells = append(cells, `"`+strings.ReplaceAll(cell, `"`, `""`)+`"`)
	}
	r := open(t, strings.Join(columns, ",")+"\n"+strings.Join(cells, ","), Options{})
	if diff := cmp.Diff([]string{"extra"}, r.Ignored()); diff != "" {
		t.Errorf("ignored (-want +got):\n%s", diff)
	}
	const want = `{"traceId":"t","spanId":"s","parentSpanId":"q","name":"n","timestamp":"2026-01-01T00:00:00.5Z","feature":"a \"b\", c","provider":"p","model":"m","inputTokens":1000,"outputTokens":200,"cachedTokens":3,"cacheWriteTokens":4,"cacheWrite1hTokens":5,"reasoningTokens":6,"serviceTier":"flex","region":"eu","latencyMs":1.50,"timeToFirstTokenMs":0.5,"billedCostUsd":1e-6,"estimatedCostUsd":0,"userId":"u","sessionId":"x","department":"d","environment":"e","operation":"o","isStreaming":true,"isError":false,"aggregate":false,"errorCode":"429","retryCount":1,"prompt":"line 1\nline 2","metadata":{"a": 1},"project":"pr","eventId":"ev","usage":{"webSearches":2},"tags":{"b.c":"ü","team":"a"}}`
	for e, err := range r.Events() {
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, string(e.JSON)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		batch, err := jsonevents.Decode(e.JSON, jsonevents.NDJSON)
		inputs := batch.Events
		if err != nil || len(inputs[0].Problems)+len(inputs[0].Unknown) > 0 {
			t.Errorf("the server sees %+v, %v", inputs, err)
		}
	}
}

func TestMapAndSet(t *testing.T) {
	o := Options{
		Comma: ';',
		Map:   map[string]string{"model": "engine", "tags.team": "team", "usage.images": "pics", "inputTokens": "in", "outputTokens": "in"},
		Set:   map[string]string{"model": "fallback", "feature": "constant", "provider": "p", "tags.src": "csv", "timestamp": "2026-01-01T00:00:00Z"},
	}
	got := read(t, "engine;team;pics;in;feature\ngpt;a;1;5;from column\n;;;6;\n", o)
	for i := range got {
		got[i] = got[i][strings.Index(got[i], `"timestamp"`):]
	}
	want := []string{
		`"timestamp":"2026-01-01T00:00:00Z","feature":"constant","provider":"p","model":"gpt","inputTokens":5,"outputTokens":5,"latencyMs":0,"usage":{"images":1},"tags":{"src":"csv","team":"a"}}`,
		`"timestamp":"2026-01-01T00:00:00Z","feature":"constant","provider":"p","model":"fallback","inputTokens":6,"outputTokens":6,"latencyMs":0,"tags":{"src":"csv"}}`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestBrokenRowsDoNotStopTheRest(t *testing.T) {
	const good = "2026-01-01T00:00:00Z,f,p,m,1,2,u\n"
	got := read(t, head+good+
		"2026-01-01T00:00:00Z,f,p,m,1\n"+
		"yesterday,,p,m,1.5,x,u\n"+
		"2026-01-01T00:00:00Z,\"f\"x,p,m,1,2,u\n"+
		"\n"+
		"2026-01-01T00:00:00Z,f,p,m,1,2,\xff\n"+
		"2026-01-01T00:00:00Z,f,p,m,1,2,\"two\nlines\"\n"+
		"2026-01-01T00:00:00Z,f,p,m,1,2,\"never closed\n"+
		good, Options{})
	for i, line := range got {
		if number, event, _ := strings.Cut(line, ": "); !strings.HasPrefix(event, "!") {
			got[i] = number + ": ok"
		}
	}
	want := []string{
		"2: ok",
		"3: ! has 5 cells, the header has 7",
		`4: ! timestamp must be a time such as 2026-01-31T12:00:00Z or 2026-01-31 12:00:00, not "yesterday"; inputTokens must be a whole number, not "1.5"; outputTokens must be a whole number, not "x"; feature is missing`,
		"5: ! a quoted cell goes on after its closing quote",
		"7: ! userId is not valid UTF-8",
		"8: ok",
		"10: ! a quoted cell is never closed",
		"11: ok",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestOpenErrors(t *testing.T) {
	ok := Options{}
	for _, tt := range []struct {
		source  string
		options Options
		want    string
	}{
		{"", ok, "The file is empty"},
		{"\n\n", ok, "The file is empty"},
		{"\xff\xfet\x00", ok, "UTF-16"},
		{"\"a\n", ok, "The header is broken: a quoted cell is never closed"},
		{"a,b\n", ok, "Nothing gives timestamp, feature, provider, model, inputTokens, outputTokens: map"},
		{"timestamp,feature,aggregate\n", ok, ""},
		{head, Options{Map: map[string]string{"inputToken": "x"}}, `There is no field "inputToken"`},
		{head, Options{Map: map[string]string{"usage.inputTokens": "x"}}, `There is no field "usage.inputTokens"`},
		{head, Options{Map: map[string]string{"inputTokens": "x"}}, `There is no column "x"; the columns are timestamp, feature`},
		{head, Options{Set: map[string]string{"inputTokens": "many"}}, `The constant for inputTokens must be a whole number`},
		{head, Options{Map: map[string]string{"tags.a": "model", "tag:a": "feature"}}, "The field tags.a is mapped twice"},
		{head, Options{Comma: '"'}, "The delimiter cannot be"},
		{head, Options{Format: "xml"}, `Unknown format "xml"`},
		{head, Options{Time: "iso"}, `Unknown time format "iso"`},
		{"model," + head, ok, `The column "model" is there twice`},
		{"x,x," + head, ok, ""},
	} {
		_, err := Open(strings.NewReader(tt.source), tt.options)
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("Open(%q): %v", tt.source, err)
		case tt.want != "" && (err == nil || fault.CodeOf(err) != fault.Invalid || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("Open(%q) = %v, want %q", tt.source, err, tt.want)
		}
	}
	if _, err := Open(iotest.ErrReader(errors.New("disk")), ok); err == nil || err.Error() != "disk" {
		t.Errorf("a failing source: %v", err)
	}
}

func TestReadErrorEndsTheSequence(t *testing.T) {
	source := iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader(head)))
	_, err := Open(source, Options{})
	if !errors.Is(err, iotest.ErrTimeout) {
		t.Errorf("got %v, want a timeout", err)
	}
}

// A source that is cut off, as a broken archive is, says so; the rows before
// that count.
func TestACutSourceIsNoEnd(t *testing.T) {
	row := "2026-01-01T00:00:00Z,f,p,m,1,2,u\n"
	for _, failure := range []error{io.ErrUnexpectedEOF, fmt.Errorf("gzip: %w", io.EOF), errors.New("disk")} {
		for _, rows := range []int{1, 5000} { // less and more than is read at once
			whole := strings.NewReader(head + strings.Repeat(row, rows) + row[:10])
			r, err := Open(io.MultiReader(whole, iotest.ErrReader(failure)), Options{})
			if err != nil {
				t.Fatal(err)
			}
			good := 0
			var last error
			for _, err := range r.Events() {
				if last = err; err == nil {
					good++
				}
			}
			if good != rows || last != failure {
				t.Errorf("%v behind %d rows: %d rows and %v", failure, rows, good, last)
			}
		}
	}
	// An error that a source tells once, together with its last bytes.
	r, err := Open(&lastWords{text: head + row}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for e, err := range r.Events() {
		got = append(got, fmt.Sprint(e.Line, " ", err))
	}
	if want := []string{"2 <nil>", "0 unexpected EOF"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

type lastWords struct {
	text string
	told bool
}

func (l *lastWords) Read(b []byte) (int, error) {
	if l.told {
		return 0, io.EOF
	}
	l.told = true
	return copy(b, l.text), io.ErrUnexpectedEOF
}

// The source's chunks must not matter.
func TestSmallReads(t *testing.T) {
	source := "\xef\xbb\xbf" + head + "2026-01-01T00:00:00Z,\"a\r\n\"\"b\"\"\",p,m,1,2,u\r\n" + "2026-01-01T00:00:00Z,f,p,m,3,4,\n"
	want := read(t, source, Options{})
	r, err := Open(iotest.OneByteReader(strings.NewReader(source)), Options{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	var offset int64
	for e, err := range r.Events() {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%d: %s", e.Line, e.JSON))
		offset = e.Offset
	}
	if diff := cmp.Diff(want, got); diff != "" || len(got) != 2 || !strings.Contains(got[0], `"feature":"a\r\n\"b\""`) {
		t.Errorf("got %q (-whole +byte by byte):\n%s", got, diff)
	}
	if offset != int64(len(source)) {
		t.Errorf("offset %d at the end of %d bytes", offset, len(source))
	}
}
