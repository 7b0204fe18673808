// Package export runs the real server on each engine, and holds the files it
// writes against its own answers by other programs: DuckDB reads them, costprof
// imports them, and another project's key must find nothing in them.
package export

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/costprof/costprof/internal/testserver"
)

// built is the program, which TestMain builds.
var built string

func TestMain(m *testing.M) { os.Exit(testserver.Main(m, &built)) }

// patience is how long something may take before it counts as hanging.
const patience = 2 * time.Minute

func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for begin := time.Now(); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Since(begin) > patience {
			t.Fatalf("%s: not after %s", what, patience)
		}
	}
}

const (
	adminKey  = "admin-key-of-this-test"
	viewerKey = "viewer-key-of-project-a"
)

// server is a closed server of the test.
type server struct {
	*testing.T
	cmd      *exec.Cmd
	url      string
	database string // "" is the embedded engine
}

// onEach runs a test on each engine.
func onEach(t *testing.T, test func(s *server)) {
	t.Run("embedded", func(t *testing.T) { test(serve(t, "")) })
	t.Run("postgres", func(t *testing.T) { test(serve(t, testserver.Database(t))) })
}

func serve(t *testing.T, database string) *server {
	t.Helper()
	run := testserver.Serve(t, built, "DATABASE_URL="+database, "API_KEYS="+adminKey+","+viewerKey+":viewer:a",
		"RATE_LIMIT_EVENTS=0", "RATE_LIMIT_MAX_REQUESTS=0", "RATE_LIMIT_EXPORT=0")
	return &server{T: t, cmd: run.Cmd, url: run.URL, database: database}
}

// open asks; whoever calls closes the answer.
func (s *server) open(ctx context.Context, key, path string) *http.Response {
	s.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+path, nil)
	if err != nil {
		s.Fatal(err)
	}
	r.Header.Set("X-API-Key", key)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		s.Fatal(err)
	}
	if res.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(res.Body)
		s.Fatalf("%s: %s: %s", path, res.Status, b)
	}
	return res
}

// get takes a whole answer; next is the cursor that follows it.
func (s *server) get(key, path string) (body []byte, next string) {
	s.Helper()
	res := s.open(s.Context(), key, path)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		s.Fatalf("%s: %v", path, err)
	}
	return body, res.Trailer.Get("X-Next-Cursor")
}

// decode gets JSON, numbers as they are written.
func (s *server) decode(key, path string, v any) {
	s.Helper()
	body, _ := s.get(key, path)
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if err := d.Decode(v); err != nil {
		s.Fatal(err)
	}
}

func (s *server) post(events []map[string]any) {
	s.Helper()
	for len(events) > 0 {
		n := min(500, len(events))
		body, err := json.Marshal(map[string]any{"events": events[:n]})
		if err != nil {
			s.Fatal(err)
		}
		events = events[n:]
		r, err := http.NewRequestWithContext(s.Context(), http.MethodPost, s.url+"/api/v1/events", bytes.NewReader(body))
		if err != nil {
			s.Fatal(err)
		}
		r.Header.Set("X-API-Key", adminKey)
		r.Header.Set("Content-Type", "application/json")
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			s.Fatal(err)
		}
		answer, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != http.StatusAccepted || !strings.Contains(string(answer), fmt.Sprintf(`"accepted":%d`, n)) {
			s.Fatalf("%d events: %s: %.500s", n, res.Status, answer)
		}
	}
}

// exporting is how many exports the server says it writes.
func (s *server) exporting() string {
	s.Helper()
	body, _ := s.get(adminKey, "/metrics")
	_, rest, _ := strings.Cut(string(body), "\ncostprof_exports_active ")
	n, _, _ := strings.Cut(rest, "\n")
	return n
}

// run runs the program against the server.
func (s *server) run(args ...string) string {
	s.Helper()
	cmd := exec.CommandContext(s.Context(), built, args...)
	cmd.Dir = s.TempDir()
	cmd.Env = append(os.Environ(), "COSTPROF_URL="+s.url, "COSTPROF_KEY="+adminKey)
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.Fatalf("costprof %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

const (
	noon = "2026-11-20T12:00:00Z"
	// secret stands in every text of project b.
	secret = "only-for-project-b"
	span   = "from=2026-11-01&to=2026-11-30"
)

// sample makes n calls of project a, and some of b. They are of more than one
// page of the engine, at few moments, with every kind of cost.
func sample(n int) []map[string]any {
	at, err := time.Parse(time.RFC3339, noon)
	if err != nil {
		panic(err)
	}
	hostile := []string{"=1+2", "+x", "-1", "@cmd", "'=x", "''x", "plain", "a\r\nb", `q"uo"te`, ",", "\ttab", "é\u2028ü", "𝄞"}
	models := [][2]string{{"openai", "gpt-4o"}, {"anthropic", "claude-sonnet-4-5"}, {"nobody", "unknown"}, {"google", "gemini-2.5-flash"}, {"openai", "gpt-4o-mini"}}
	var events []map[string]any
	for i := range n {
		m := models[i%len(models)]
		e := map[string]any{
			"project": "a", "traceId": fmt.Sprint("t", i/7), "spanId": fmt.Sprint("s", i), "timestamp": at.Add(time.Duration(i/40) * 999_001 * time.Microsecond).Format(time.RFC3339Nano),
			"feature": hostile[i%len(hostile)], "provider": m[0], "model": m[1], "inputTokens": 1000 + i%977, "outputTokens": i % 311, "cachedTokens": i % 500,
			"latencyMs": json.Number(fmt.Sprintf("%d.%03d", i%900, i%1000)), "userId": hostile[(i+3)%len(hostile)],
			"tags": map[string]string{"team": hostile[(i+5)%len(hostile)], "n": fmt.Sprint(i % 50)},
		}
		switch i % 11 {
		case 1:
			e["billedCostUsd"] = json.Number("0.000000000001")
		case 2:
			e["estimatedCostUsd"] = json.Number("0.123456789012")
		case 3:
			e["cacheWriteTokens"] = 400 // its saving is negative
			e["usage"] = map[string]int{"webSearches": 2}
		case 4:
			e["aggregate"] = true
		case 5:
			e["inputTokens"] = 50_000 // far above the median
		}
		events = append(events, e)
		if i%20 == 0 {
			events = append(events, map[string]any{
				"project": "b", "traceId": secret, "spanId": fmt.Sprint(secret, i), "name": secret, "timestamp": e["timestamp"], "feature": secret, "provider": "openai", "model": "gpt-4o",
				"inputTokens": 1000 + i%100/80*50_000, "outputTokens": 1, "latencyMs": 1, "userId": secret, "sessionId": secret, "tags": map[string]string{secret: secret}, "metadata": map[string]string{"x": secret},
			})
		}
	}
	return events
}
