package cli

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
)

// recogniser is a server that stores events once, by trace and span.
type recogniser struct {
	mu     sync.Mutex
	events map[string]json.RawMessage
	// after is called with each batch before it is stored; a status other than 0
	// is answered instead.
	after func(batch int) int
	count int
	URL   string
}

func newRecogniser(t *testing.T) *recogniser {
	t.Helper()
	r := &recogniser{events: map[string]json.RawMessage{}}
	s := httptest.NewServer(r)
	t.Cleanup(s.Close)
	r.URL = s.URL
	return r
}

func (r *recogniser) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if req.URL.Path == "/health" {
		io.WriteString(w, `{"status":"ok"}`)
		return
	}
	if req.URL.Path == "/api/v1/admin/capture" { // for an admin's key
		w.WriteHeader(http.StatusForbidden)
		io.WriteString(w, `{"error":"no"}`)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count++
	if r.after != nil {
		if status := r.after(r.count); status != 0 {
			w.WriteHeader(status)
			io.WriteString(w, `{"error":"no"}`)
			return
		}
	}
	body := io.Reader(req.Body)
	if req.Header.Get("Content-Encoding") == "zstd" {
		z, err := zstd.NewReader(body)
		if err != nil {
			panic(err)
		}
		defer z.Close()
		body = z
	}
	var batch struct{ Events []json.RawMessage }
	if err := json.NewDecoder(body).Decode(&batch); err != nil || req.URL.Query().Get("partial") != "true" {
		w.WriteHeader(400)
		fmt.Fprintf(w, `{"error":"%v"}`, err)
		return
	}
	accepted, duplicates := 0, 0
	var rejected []map[string]any
	for i, raw := range batch.Events {
		var e struct{ TraceID, SpanID, Feature string }
		if err := json.Unmarshal(raw, &e); err != nil {
			panic(err)
		}
		id := e.TraceID + "/" + e.SpanID
		switch _, known := r.events[id]; {
		case e.Feature == "bad":
			rejected = append(rejected, map[string]any{"index": i, "errors": map[string][]string{"feature": {"is bad"}}})
		case known:
			duplicates++
		default:
			r.events[id] = raw
			accepted++
		}
	}
	w.WriteHeader(202)
	_ = json.NewEncoder(w).Encode(map[string]any{"accepted": accepted, "duplicates": duplicates, "rejected": rejected})
}

// trace is rows in the shape of the public trace of production calls.
func trace(rows int) string {
	var b strings.Builder
	b.WriteString("TIMESTAMP,ContextTokens,GeneratedTokens\n")
	at := time.Date(2023, 11, 16, 18, 17, 3, 979_960_000, time.UTC)
	for i := range rows {
		fmt.Fprintf(&b, "%s,%d,%d\n", at.Add(time.Duration(i/3)*time.Second).Format("2006-01-02 15:04:05.0000000"), 100+i/3%5, 10)
	}
	return b.String()
}

func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

var traceFlags = []string{
	"--map", "timestamp=TIMESTAMP", "--map", "inputTokens=ContextTokens", "--map", "outputTokens=GeneratedTokens",
	"--set", "feature=code", "--set", "provider=openai", "--set", "model=gpt-4o",
}

func importArgs(server string, files ...string) []string {
	return append(append([]string{"--server", server, "import"}, files...), traceFlags...)
}

// oldTrace is what is said when trace is new: nobody finds it in the last 30 days.
const oldTrace = "These calls are older than the 30 days that questions are about by default; " +
	"try: costprof breakdown --from 2023-11-16 --to 2023-11-16\n"

func TestImportIsIdempotent(t *testing.T) {
	server := newRecogniser(t)
	// Each row stands there three times: three calls, not one.
	file := write(t, "code.csv", trace(3000))
	if got, want := run(t, importArgs(server.URL, file)...), (outcome{out: "3000 rows: 3000 new, 0 already there, 0 rejected\n", err: oldTrace}); got != want {
		t.Fatalf("first: %+v", got)
	}
	if got, want := run(t, importArgs(server.URL, file)...), (outcome{out: "3000 rows: 0 new, 3000 already there, 0 rejected\n"}); got != want {
		t.Errorf("again: %+v", got)
	}
	grown := write(t, "renamed.csv", trace(3100))
	if got, want := run(t, importArgs(server.URL, grown)...), (outcome{out: "3100 rows: 100 new, 3000 already there, 0 rejected\n", err: oldTrace}); got != want {
		t.Errorf("grown and renamed: %+v", got)
	}
	for _, raw := range server.events {
		if !strings.Contains(string(raw), `"feature":"code"`) || !strings.Contains(string(raw), `"timestamp":"2023-11-16T18:`) {
			t.Errorf("stored %s", raw)
		}
		break
	}
}

func TestImportUnpacks(t *testing.T) {
	server := newRecogniser(t)
	var gz bytes.Buffer
	w := gzip.NewWriter(&gz)
	io.WriteString(w, trace(500))
	w.Close()
	encoder, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	// The bytes tell how a file is packed, not its name.
	files := []string{write(t, "a.csv", trace(500)), write(t, "b.bin", gz.String()), write(t, "c", string(encoder.EncodeAll([]byte(trace(500)), nil)))}
	if got, want := run(t, importArgs(server.URL, files...)...), (outcome{out: "1500 rows: 500 new, 1000 already there, 0 rejected\n", err: oldTrace}); got != want {
		t.Errorf("%+v", got)
	}
	got := runWith(t.Context(), bytes.NewReader(gz.Bytes()), importArgs(server.URL, "-")...)
	if want := (outcome{out: "500 rows: 0 new, 500 already there, 0 rejected\n"}); got != want {
		t.Errorf("standard input: %+v", got)
	}
	// A file cut short is said; what it holds is stored.
	cut := write(t, "cut.csv.gz", gz.String()[:gz.Len()-200])
	got = run(t, importArgs(server.URL, cut, files[0])...)
	if got.code != exitFailed || !strings.Contains(got.err, "cut.csv.gz") || !strings.Contains(got.err, "cut short") || !strings.Contains(got.out, " 0 new") {
		t.Errorf("cut short: %+v", got)
	}
}

func TestImportReportsBadRows(t *testing.T) {
	server := newRecogniser(t)
	var b strings.Builder
	b.WriteString("timestamp,feature,provider,model,inputTokens,outputTokens\n")
	for i := range 2000 {
		switch {
		case i%40 == 0: // the server's judgement
			fmt.Fprintf(&b, "2026-01-01T00:00:00Z,bad,p,m,%d,1\n", i)
		case i%40 == 1: // cannot even be read
			fmt.Fprintf(&b, "2026-01-01T00:00:00Z,f,p,m,many,%d\n", i)
		default:
			fmt.Fprintf(&b, "2026-01-01T00:00:00Z,f,p,m,%d,1\n", i)
		}
	}
	file := write(t, "rows.csv", b.String())
	got := run(t, "--server", server.URL, "import", file)
	if got.code != exitFailed || got.out != "2000 rows: 1900 new, 0 already there, 100 rejected\n" {
		t.Errorf("code %d, %q", got.code, got.out)
	}
	lines := strings.Split(strings.TrimSuffix(got.err, "\n"), "\n")
	if len(lines) != listed+2 || lines[listed] != "… and 80 more rejected rows." || !strings.HasSuffix(lines[listed+1], "--from 2026-01-01 --to 2026-01-01") {
		t.Fatalf("%d lines: %s", len(lines), got.err)
	}
	for i, line := range lines[:listed] {
		// The first twenty of the file, whatever the order of the answers.
		want := fmt.Sprintf("%s:%d: ", file, 2+i/2*40+i%2)
		if !strings.HasPrefix(line, want) || len(line) < len(want)+5 || line[len(want)] == ':' {
			t.Errorf("line %d is %q, want %s…", i, line, want)
		}
	}
	var summary struct {
		Rows, Accepted, Rejected int
		Complete                 bool
		Rejections               []struct {
			File  string
			Line  int
			Error string
		}
	}
	got = run(t, "--server", server.URL, "--json", "import", file)
	if err := json.Unmarshal([]byte(got.out), &summary); err != nil || summary.Rows != 2000 || summary.Rejected != 100 || !summary.Complete ||
		len(summary.Rejections) != listed || summary.Rejections[0].Line != 2 {
		t.Errorf("--json: %s, %v", got.out, err)
	}
}

func TestImportBrokenFiles(t *testing.T) {
	server := newRecogniser(t)
	empty, good := write(t, "empty.csv", ""), write(t, "good.csv", trace(10))
	got := run(t, importArgs(server.URL, empty, good)...)
	if got.code != exitFailed || !strings.Contains(got.err, "empty.csv: ") || got.out != "10 rows: 10 new, 0 already there, 0 rejected\n" {
		t.Errorf("%+v, want the empty file named and the other stored", got)
	}
	got = run(t, "--server", server.URL, "import", good, "--map", "inputTokens=Missing")
	if got.code != exitFailed || !strings.Contains(got.err, "Missing") {
		t.Errorf("a column that is not there: %+v", got)
	}
}

func TestImportEndsWithTheServersRefusal(t *testing.T) {
	server := newRecogniser(t)
	server.after = func(batch int) int {
		if batch > 2 {
			return 403
		}
		return 0
	}
	file := write(t, "code.csv", trace(10_000))
	got := run(t, importArgs(server.URL, file)...)
	if got.code != exitFailed || !strings.Contains(got.out, "1000 new") || !strings.Contains(got.err, "costprof: no\n") || !strings.Contains(got.err, "again to go on") {
		t.Errorf("%+v", got)
	}
	if server.count > 2+senders {
		t.Errorf("%d requests after a refusal", server.count)
	}
}

func TestImportOutlastsABusyServer(t *testing.T) {
	server := newRecogniser(t)
	server.after = func(batch int) int {
		if batch%2 == 1 {
			return 503
		}
		return 0
	}
	got := run(t, importArgs(server.URL, write(t, "code.csv", trace(1500)))...)
	if got.code != 0 || got.out != "1500 rows: 1500 new, 0 already there, 0 rejected\n" {
		t.Errorf("%+v", got)
	}
}

func TestImportStopsAndGoesOn(t *testing.T) {
	server := newRecogniser(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	server.after = func(batch int) int {
		if batch == 3 {
			cancel()
		}
		return 0
	}
	file := write(t, "code.csv", trace(20_000))
	got := runWith(ctx, nil, importArgs(server.URL, file)...)
	if got.code != exitInterrupted || !strings.Contains(got.err, "Run the same command again") {
		t.Fatalf("%+v", got)
	}
	stored := len(server.events)
	if stored == 0 || stored == 20_000 || !strings.HasPrefix(got.out, fmt.Sprintf("%d rows: %d new", stored, stored)) {
		t.Errorf("said %q, stored %d", got.out, stored)
	}
	server.after = nil
	want := fmt.Sprintf("20000 rows: %d new, %d already there, 0 rejected\n", 20_000-stored, stored)
	if got := run(t, importArgs(server.URL, file)...); got.out != want || got.code != 0 {
		t.Errorf("going on: %+v, want %q", got, want)
	}
}

// A pipe that says nothing must not keep a stopped import alive.
func TestImportStopsWhileWaitingForInput(t *testing.T) {
	server := newRecogniser(t)
	ctx, cancel := context.WithCancel(t.Context())
	in, w := io.Pipe()
	defer w.Close()
	done := make(chan outcome)
	go func() { done <- runWith(ctx, in, importArgs(server.URL, "-")...) }()
	io.WriteString(w, trace(10))
	cancel()
	select {
	case got := <-done:
		if got.code != exitInterrupted {
			t.Errorf("%+v", got)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the import waits for its input for ever")
	}
}

func TestDemoTwiceAddsNothing(t *testing.T) {
	server := newRecogniser(t)
	args := []string{"--server", server.URL, "demo", "--events", "1200", "--days", "3", "--until", "2026-11-01"}
	got := run(t, args...)
	if got.code != 0 || !strings.HasPrefix(got.out, "1,200 events, 2026-10-29 to 2026-10-31 UTC, project demo: 1,200 new, 0 already there.\n") {
		t.Errorf("first: %+v", got)
	}
	// What it proposes to try must show what it made, whenever that was.
	if want := "  costprof prompts --from 2026-10-29 --to 2026-10-31 --project demo\n"; !strings.Contains(got.out, want) {
		t.Errorf("%s\nlacks %s", got.out, want)
	}
	got = run(t, append(args, "--json")...)
	var summary struct{ Accepted, Duplicates int }
	if err := json.Unmarshal([]byte(got.out), &summary); err != nil || summary.Accepted != 0 || summary.Duplicates != 1200 {
		t.Errorf("again: %+v, %v", got, err)
	}
}
