package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// outcome is what a command line did.
type outcome struct {
	code     int
	out, err string
}

func runWith(ctx context.Context, in io.Reader, args ...string) outcome {
	var out, errOut bytes.Buffer
	code := Run(ctx, args, Stdio{In: in, Out: &out, Err: &errOut})
	return outcome{code: code, out: out.String(), err: errOut.String()}
}

func run(t *testing.T, args ...string) outcome {
	t.Helper()
	return runWith(t.Context(), strings.NewReader(""), args...)
}

// answers starts a server that answers each path with fixed text.
func answers(t *testing.T, paths map[string]string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, ok := paths[r.URL.Path]
		if !ok {
			w.WriteHeader(404)
			io.WriteString(w, `{"error":"Not found","requestId":"r1"}`)
			return
		}
		io.WriteString(w, text)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func TestHelp(t *testing.T) {
	for _, args := range [][]string{{}, {"--help"}, {"import", "--help"}, {"prices", "--help"}, {"prices", "set", "--help"}} {
		if got := run(t, args...); got.code != 0 || !strings.Contains(got.out, "Usage: costprof") || got.err != "" {
			t.Errorf("%v: %+v", args, got)
		}
	}
}

func TestUsageErrors(t *testing.T) {
	for _, args := range [][]string{
		{"brekdown"},
		{"breakdown", "--nope"},
		{"breakdown", "feature", "model", "user"},
		{"breakdown", "--last", "7"},
		{"breakdown", "--last", "0d"},
		{"breakdown", "--last", "9999999999w"},
		{"breakdown", "--last", "7d", "--from", "2026-01-01"},
		{"breakdown", "--tag", "team"},
		{"breakdown", "feature,model,user"},
		{"breakdown", "-n", "0"},
		{"diff", "feature", "model", "user"},
		{"diff", "feature", "--by", "model,user"},
		{"diff", "-n", "0"},
		{"diff", "--baseline-from", "yesterday"},
		{"diff", "--baseline-to", "2026-02-30"},
		{"breakdown", "-n", "1001"},
		{"breakdown", "--from", "yesterday"},
		{"series", "--to", "2026-02-30"},
		{"series", "--series", "0"},
		{"flame", "--max-nodes", "0"},
		{"prompts", "-n", "0"},
		{"prices", "list", "-n", "0"},
		{"prices", "unpriced", "-n", "0"},
		{"demo", "--until", "2999-01-01"},
		{"top", "--interval", "1ms"},
		{"flame", "--min", "101"},
		{"traces", "-n", "0"},
		{"trace"},
		{"trace", "x", "--max-spans", "0"},
		{"trace", "x", "--tz", "Mars"},
		{"demo", "--days", "0"},
		{"demo", "--until", "tomorrow"},
		{"demo", "--live", "--rate", "NaN"},
		{"prices", "set", "p", "m"},
		{"prices", "set", "p", "m", "input"},
		{"prices", "set", "p", "m", "input=1,5"},
		{"prices", "set", "p", "m", "input=1", "input=2"},
		{"prices", "list", "--at", "noon"},
		{"prices", "quote", "p", "m", "--usage", "webSearches"},
		{"import"},
		{"import", "/does/not/exist"},
		{"import", "."},
		{"import", "-", "--map", "x"},
		{"import", "-", "--set", "a=1", "--set", "a=2"},
		{"import", "-", "--delimiter", "ab"},
		{"import", "-", "--timezone", "Mars"},
		{"import", "-", "--format", "xml"},
		{"--server", "ftp://x", "top"},
		{"--server", "http://u:secret@x", "top"},
	} {
		got := run(t, args...)
		if got.code != exitUsage || !strings.HasPrefix(got.err, "costprof: ") || got.out != "" {
			t.Errorf("%v: %+v, want exit code 2 and a sentence", args, got)
		}
		if strings.Contains(got.err, "secret") {
			t.Errorf("%v shows the password: %s", args, got.err)
		}
	}
}

func TestNoServer(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.csv")
	if err := os.WriteFile(file, []byte("timestamp,inputTokens\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"top"},
		{"top", "--watch"},
		{"breakdown", "--json"},
		{"diff"},
		{"flame"},
		{"traces"},
		{"trace", "t1"},
		{"series"},
		{"prompts"},
		{"prompts", "--growth"},
		{"clusters"},
		{"prompts", "--history"},
		{"prompts", "--sessions"},
		{"events"},
		{"events", "x"},
		{"health"},
		{"jobs"},
		{"demo"},
		{"import", file},
		{"prices", "list"},
		{"prices", "quote", "p", "m"},
		{"prices", "explain", "m"},
		{"prices", "unpriced"},
		{"prices", "set", "p", "m", "input=1"},
		{"prices", "delete", "p", "m"},
	} {
		start := time.Now()
		got := run(t, append([]string{"--server", "http://127.0.0.1:1"}, args...)...)
		if got.code != exitFailed || got.out != "" || strings.Count(got.err, "\n") != 1 || !strings.Contains(got.err, "costprof serve") {
			t.Errorf("%v: %+v, want one sentence that names costprof serve", args, got)
		}
		if d := time.Since(start); d > time.Minute {
			t.Errorf("%v took %v to say that no server is there", args, d)
		}
	}
}

func TestHostileNamesAreEscaped(t *testing.T) {
	const evil = `\u001b]0;owned\u0007\u202e`
	server := answers(t, map[string]string{
		"/api/v1/analytics/cost-breakdown":  `{"data":[{"name":"` + evil + `","totalCost":1.00005,"callCount":2}],"meta":{"tz":"` + evil + `"}}`,
		"/api/v1/analytics/flamegraph":      `{"data":{"name":"Project","value":1,"children":[{"name":"` + evil + `","value":1}]}}`,
		"/api/v1/analytics/timeseries":      `{"data":[{"name":"` + evil + `","points":[{"timestamp":"2026-01-01T00:00:00Z","cost":1}]}]}`,
		"/api/v1/traces":                    `{"data":[{"traceId":"` + evil + `","project":"` + evil + `","name":"` + evil + `","totalCost":1}]}`,
		"/api/v1/traces/t1":                 `{"data":{"project":"` + evil + `","name":"` + evil + `","spans":[{"name":"` + evil + `","model":"` + evil + `","cost":1}]}}`,
		"/api/v1/analytics/prompts":         `{"data":[{"feature":"` + evil + `","model":"` + evil + `","eventId":"` + evil + `","suggestions":["` + evil + `"]}]}`,
		"/api/v1/analytics/prompts/growth":  `{"data":[{"feature":"` + evil + `","model":"` + evil + `"}]}`,
		"/api/v1/analytics/prompts/history": `{"data":[{"feature":"` + evil + `","sessionId":"` + evil + `"}]}`,
		"/api/v1/analytics/prompt-clusters": `{"data":[{"feature":"` + evil + `","template":[{"text":"` + evil + `"}]}]}`,
		"/api/v1/events":                    `{"data":[{"feature":"` + evil + `","model":"` + evil + `","isError":true,"errorCode":"` + evil + `"}]}`,
		"/api/v1/events/x":                  `{"data":{"feature":"` + evil + `","tags":{"` + evil + `":"` + evil + `"},"lines":[{"unit":"` + evil + `"}]}}`,
		"/api/v1/prices":                    `{"data":[{"provider":"` + evil + `","model":"` + evil + `","prices":{"` + evil + `":1}}]}`,
		"/api/v1/prices/unpriced":           `{"data":[{"provider":"` + evil + `","model":"` + evil + `"}]}`,
		"/api/v1/prices/explain":            `{"data":{"because":"` + evil + `","tried":[{"name":"` + evil + `","rule":"` + evil + `"}],"candidates":[{"why":"` + evil + `","price":{"region":"` + evil + `"}}]}}`,
		"/api/v1/jobs":                      `{"data":[{"id":"` + evil + `","name":"` + evil + `"}]}`,
		"/api/v1/jobs/x":                    `{"data":{"id":"` + evil + `","error":"` + evil + `","result":{"a":"` + evil + `"}}}`,
		"/health":                           `{"status":"ok","version":"` + evil + `","services":{"` + evil + `":"` + evil + `"}}`,
	})
	for _, args := range [][]string{
		{"top"},
		{"breakdown"},
		{"flame"},
		{"traces"},
		{"trace", "t1"},
		{"series", "--by", "feature"},
		{"prompts"},
		{"prompts", "--growth"},
		{"clusters"},
		{"prompts", "--history"},
		{"prompts", "--sessions"},
		{"events"},
		{"events", "x"},
		{"health"},
		{"jobs"},
		{"jobs", "x"},
		{"prices", "list"},
		{"prices", "unpriced"},
		{"prices", "explain", "m"},
	} {
		got := run(t, append([]string{"--server", server}, args...)...)
		if got.code != 0 {
			t.Errorf("%v: %+v", args, got)
		}
		for _, r := range got.out + got.err {
			if r != '\n' && (r < ' ' || r == 0x7f || r == 0x202e) {
				t.Errorf("%v wrote the control character %q: %q", args, r, got.out)
				break
			}
		}
	}
}

func TestJSONIsPassedOn(t *testing.T) {
	const answer = `{"data":[{"name":"a","totalCost":0.000000000001,"new":"field"}],"meta":{"tz":"UTC"}}`
	server := answers(t, map[string]string{"/api/v1/analytics/cost-breakdown": answer})
	if got := run(t, "--server", server, "--json", "breakdown"); got.code != 0 || got.out != answer+"\n" || got.err != "" {
		t.Errorf("breakdown: %+v", got)
	}
	if got, want := run(t, "--server", server, "top", "--by", "model", "--json").out, `{"model":`+answer+"}\n"; got != want {
		t.Errorf("top: %q, want %q", got, want)
	}
}

func TestServerErrors(t *testing.T) {
	server := answers(t, map[string]string{"/api/v1/analytics/cost-breakdown": `<html>`})
	if got := run(t, "--server", server, "breakdown"); got.code != exitFailed || !strings.Contains(got.err, "is this a costprof server?") {
		t.Errorf("another service: %+v", got)
	}
	if got := run(t, "--server", server, "events", "abc"); got.code != exitFailed || got.err != "costprof: Not found\n" {
		t.Errorf("not found: %+v", got)
	}
	down := answers(t, map[string]string{"/health": `{"status":"down","services":{}}`})
	if got := run(t, "--server", down, "health"); got.code != exitFailed || !strings.Contains(got.out, "down") {
		t.Errorf("health: %+v", got)
	}
}

func TestFilterFlags(t *testing.T) {
	var query string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query = r.URL.Query().Encode()
		io.WriteString(w, `{"data":[]}`)
	}))
	defer s.Close()
	got := run(t, "--server", s.URL, "breakdown", "tag:a,b", "-n", "3", "--feature", "x,y", "--feature=", "--tag", "team=a=b", "--user", "u", "--status", "error",
		"--from", "2026-01-01", "--to", "2026-01-31", "--tz", "Europe/Berlin")
	const want = "feature=x%2Cy&feature=&from=2026-01-01&groupBy=tag%3Aa%2Cb&limit=3&status=error&tag%3Ateam=a%3Db&to=2026-01-31&tz=Europe%2FBerlin&user=u"
	if got.code != 0 || query != want {
		t.Errorf("query = %s\nwant    %s\n%+v", query, want, got)
	}
	if got.out != "" || !strings.Contains(got.err, "No calls match") {
		t.Errorf("an empty answer: %+v", got)
	}
}

func TestParseSpan(t *testing.T) {
	for in, want := range map[string]time.Duration{"90m": 90 * time.Minute, "24h": 24 * time.Hour, "7d": 7 * 24 * time.Hour, "4w": 28 * 24 * time.Hour} {
		if got, err := parseSpan(in); err != nil || got != want {
			t.Errorf("parseSpan(%q) = %v, %v, want %v", in, got, err, want)
		}
	}
}

func TestFlameFile(t *testing.T) {
	server := answers(t, map[string]string{"/api/v1/analytics/flamegraph": `{"data":{"name":"Project","value":1.5,"children":[]},"meta":{}}`})
	dir := t.TempDir()
	file := filepath.Join(dir, "flame.json")
	if got := run(t, "--server", server, "flame", "-o", file); got.code != 0 {
		t.Fatalf("%+v", got)
	}
	b, err := os.ReadFile(file)
	if err != nil || string(b) != `{"name":"Project","value":1.5,"children":[]}`+"\n" {
		t.Errorf("the file holds %q, %v", b, err)
	}
	if files, _ := os.ReadDir(dir); len(files) != 1 {
		t.Errorf("%d files are left, want the one", len(files))
	}
	if got := run(t, "--server", server, "flame", "-o", filepath.Join(dir, "no", "x.json")); got.code != exitFailed || got.out != "" {
		t.Errorf("a folder that is not there: %+v", got)
	}
}

func TestFlameSumsUpSmallBranches(t *testing.T) {
	server := answers(t, map[string]string{"/api/v1/analytics/flamegraph": `{"data":{"name":"Project","value":10,"callCount":6,"children":[
		{"name":"a","value":9.99,"callCount":1,"children":[{"name":"m","value":9.99,"callCount":1}]},
		{"name":"b","value":0.0075,"callCount":2},{"name":"c","value":0.0025,"callCount":3}]}}`})
	got := run(t, "--server", server, "flame", "--min", "1")
	const want = "" +
		"NAME                COST   SHARE  CALLS  TOKENS\n" +
		"all calls       $10.0000  100.0%      6       0  ████████████████████\n" +
		"├─ a             $9.9900   99.9%      1       0  ████████████████████\n" +
		"│  └─ m          $9.9900   99.9%      1       0  ████████████████████\n" +
		"└─ (2 smaller)   $0.0100    0.1%      5       0  ▏\n"
	if got.out != want {
		t.Errorf("got\n%swant\n%s", got.out, want)
	}
}

func TestFlameFormats(t *testing.T) {
	server := answers(t, map[string]string{"/api/v1/analytics/flamegraph": "what the server wrote"})
	dir := t.TempDir()
	for _, file := range []string{"a.pb.gz", "A.PB.GZ", "a.prof", "a.speedscope.json", "a.folded", "a.collapsed"} {
		file = filepath.Join(dir, file)
		if got := run(t, "--server", server, "flame", "-o", file); got.code != 0 {
			t.Errorf("%s: %+v", file, got)
		}
		if b, err := os.ReadFile(file); err != nil || string(b) != "what the server wrote" {
			t.Errorf("%s holds %q, %v", file, b, err)
		}
	}
	if got := run(t, "--server", server, "flame", "--format", "folded"); got.out != "what the server wrote" {
		t.Errorf("%+v", got)
	}
	for _, args := range [][]string{{"-o", "cost.svg"}, {"-o", "cost"}, {"--format", "svg"}} {
		if got := run(t, append([]string{"--server", server, "flame"}, args...)...); got.code != exitUsage {
			t.Errorf("%v: %+v", args, got)
		}
	}
}

func TestFlameDifference(t *testing.T) {
	server := answers(t, map[string]string{"/api/v1/analytics/flamegraph": `{"data":{"name":"Project","value":10,"baseline":4,"delta":6,"callCount":6,"baselineCallCount":3,"children":[
		{"name":"a","value":10,"baseline":1.5,"delta":8.5,"callCount":6,"baselineCallCount":1},{"name":"b","value":0,"baseline":2.5,"delta":-2.5,"callCount":0,"baselineCallCount":2}]}}`})
	got := run(t, "--server", server, "flame", "--baseline", "2026-01-01,2026-01-31")
	const want = "" +
		"NAME           COST   BEFORE    CHANGE  CALLS  BEFORE\n" +
		"all calls  $10.0000  $4.0000  +$6.0000      6       3\n" +
		"├─ a       $10.0000  $1.5000  +$8.5000      6       1\n" +
		"└─ b        $0.0000  $2.5000  -$2.5000      0       2\n"
	if got.out != want {
		t.Errorf("got\n%swant\n%s", got.out, want)
	}
}

func TestTraceTree(t *testing.T) {
	server := answers(t, map[string]string{"/api/v1/traces/t1": `{"data":{"traceId":"t1","project":"default","name":"agent","totalCost":0.75,"callCount":3,"start":"2026-11-20T10:00:00Z","durationMs":9000,
		"spanCount":9,"readSpans":8,"spans":[{"name":"agent","cost":0.5,"totalCost":0.5,"aggregate":true,"latencyMs":9000,"children":[
		{"name":"plan","cost":0.25,"totalCost":0.5,"model":"gpt-4o","offsetMs":1000,"latencyMs":2000,"hidden":{"spanCount":4,"cost":0.125},"children":[{"name":"tool","cost":0.125,"totalCost":0.125,"isError":true}]}]},
		{"name":"","cost":0.25,"totalCost":0.25,"orphan":true}]}}`})
	got := run(t, "--server", server, "trace", "t1")
	const want = "agent: $0.75 in 3 calls   2026-11-20 10:00, 9,000 ms, project default\n" +
		"SPAN                   COST   TOTAL  MODEL   INPUT  OUTPUT         AT      TOOK\n" +
		"agent (sum)            $0.5    $0.5              0       0      +0 ms  9,000 ms\n" +
		"└─ plan               $0.25    $0.5  gpt-4o      0       0  +1,000 ms  2,000 ms\n" +
		"   ├─ tool (error)   $0.125  $0.125              0       0      +0 ms      0 ms\n" +
		"   └─ (4 not shown)          $0.125\n" +
		"(none) (orphan)       $0.25   $0.25              0       0      +0 ms      0 ms\n"
	if got.out != want {
		t.Errorf("got\n%swant\n%s", got.out, want)
	}
	if !strings.Contains(got.err, "newest 8") {
		t.Errorf("%+v", got)
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestUnwritableOutputIsAnError(t *testing.T) {
	var errOut bytes.Buffer
	code := Run(t.Context(), []string{"version"}, Stdio{Out: brokenWriter{}, Err: &errOut})
	if code != exitFailed || !strings.Contains(errOut.String(), "disk full") {
		t.Errorf("code %d, %q", code, errOut.String())
	}
}

func TestWatchEndsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		cancel()
		io.WriteString(w, `{"data":[]}`)
	}))
	defer s.Close()
	if got := runWith(ctx, nil, "--server", s.URL, "top", "--watch", "--json"); got.code != 0 || got.err != "" {
		t.Errorf("%+v, want a clean end", got)
	}
}
