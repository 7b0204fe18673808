// Package probe attacks the real, closed server over its socket: hostile values
// in every parameter it declares, requests that are not quite HTTP, connections
// that say nothing, and a key that asks for another project's things everywhere.
package probe

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/costprof/costprof/internal/testserver"
)

const (
	adminKey  = "admin-key-of-the-probe-0001"
	viewerKey = "viewer-key-of-the-probe-001"
	ingestKey = "ingest-key-of-the-probe-001"
	// secret is in everything of the project that the viewer must not see.
	secret = "kept-secret-93713"
)

// serve starts a closed server; address is where it listens.
func serve(t *testing.T, settings ...string) (address string) {
	t.Helper()
	bin := testserver.Binary(t)
	var s *testserver.Server
	t.Cleanup(func() { // when it ended
		if s == nil {
			return
		}
		for _, word := range []string{adminKey, viewerKey, ingestKey, "panic", "goroutine "} {
			if log := s.Log(); len(log) == 0 || bytes.Contains(log, []byte(word)) {
				t.Errorf("the log of %d bytes holds %q", len(log), word)
			}
		}
	})
	s = testserver.Serve(t, bin, append([]string{
		"RATE_LIMIT_MAX_REQUESTS=0", "RATE_LIMIT_EXPORT=0", "COSTPROF_HEADER_TIMEOUT=3s",
		"API_KEYS=" + adminKey + "," + viewerKey + ":viewer:mine," + ingestKey + ":ingest",
	}, settings...)...)
	return s.Address
}

func get(t *testing.T, address, key, path string) (int, http.Header, string) {
	t.Helper()
	return ask(t, address, key, http.MethodGet, path, "")
}

func ask(t *testing.T, address, key, method, path, body string) (int, http.Header, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+address+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-API-Key", key)
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return answer.StatusCode, answer.Header, string(text)
}

// question is a GET that the server declares, with its query parameters.
type question struct {
	path       string
	parameters []string
}

func questions(t *testing.T, address string) []question {
	t.Helper()
	var document struct {
		Paths map[string]map[string]struct {
			Parameters []struct{ Name, In string }
		}
	}
	_, _, text := get(t, address, adminKey, "/openapi.json")
	if err := json.Unmarshal([]byte(text), &document); err != nil {
		t.Fatal(err)
	}
	var list []question
	for path, methods := range document.Paths {
		operation, ok := methods["get"]
		// A stream does not end, and paths without a version are served by the same code.
		if !ok || strings.Contains(path, "stream") || strings.HasPrefix(path, "/api/") && !strings.HasPrefix(path, "/api/v1/") {
			continue
		}
		q := question{path: path}
		for _, p := range operation.Parameters {
			if p.In == "query" {
				q.parameters = append(q.parameters, p.Name)
			}
		}
		list = append(list, q)
	}
	if len(list) < 15 {
		t.Fatalf("only %d questions are declared", len(list))
	}
	return list
}

var inPath = regexp.MustCompile(`\{[^}]+\}`)

// fill puts a value where the path names one.
func (q question) fill(value string) string {
	return inPath.ReplaceAllLiteralString(q.path, url.PathEscape(value))
}

func store(t *testing.T, address, project, word, cost string) (id string) {
	t.Helper()
	now := time.Now().UTC().Add(-time.Hour).Format(time.RFC3339)
	event := fmt.Sprintf(`{"traceId":%[1]q,"spanId":%[1]q,"timestamp":%[2]q,"feature":%[1]q,"provider":%[1]q,"model":%[1]q,"userId":%[1]q,"department":%[1]q,
		"inputTokens":10,"outputTokens":1,"latencyMs":1,"tags":{%[1]q:%[1]q},"eventId":%[1]q,"project":%[3]q,"billedCostUsd":%[4]s}`, word, now, project, cost)
	if status, _, text := ask(t, address, ingestKey, http.MethodPost, "/api/v1/events", `{"events":[`+event+`]}`); status != http.StatusAccepted {
		t.Fatalf("storing: %d %s", status, text)
	}
	_, _, text := get(t, address, adminKey, "/api/v1/events?project="+project)
	var list struct{ Data []struct{ ID string } }
	if err := json.Unmarshal([]byte(text), &list); err != nil || len(list.Data) != 1 {
		t.Fatalf("%v: %s", err, text)
	}
	return list.Data[0].ID
}

func TestProbe(t *testing.T) {
	address := serve(t)
	store(t, address, "mine", "visible", "7")
	t.Run("hostile bodies", func(t *testing.T) { hostileBodies(t, address) })
	t.Run("hostile values", func(t *testing.T) { hostileValues(t, address, hostileTexts()) })
	t.Run("other project", func(t *testing.T) { otherProject(t, address) })
	t.Run("not quite HTTP", func(t *testing.T) { notQuiteHTTP(t, address) })
	t.Run("silent connections", func(t *testing.T) { silentConnections(t, address) })
}

// leaks is what no error of ours holds.
var leaks = regexp.MustCompile(`(?i)root:|goroutine|duckdb|sqlstate|syntax error|select |\.go:\d`)

// hostileTexts are what injections are made of.
func hostileTexts() []string {
	return []string{
		`' OR '1'='1`, `'; DROP TABLE events; --`, `" OR ""="`, `$$;SELECT 1;$$`, `\'; --`, `a' UNION SELECT * FROM information_schema.tables--`,
		`{{7*7}}`, `${jndi:ldap://x}`, `../../../../etc/passwd`, "\r\nSet-Cookie: a=b", "1e309", "-1", "x\x00y", "\xff\xfe",
		strings.Repeat("𝕏", 500), `tag:a'b`, `tag:a"b`, `tag:a\`, `feature,(SELECT 1)`,
	}
}

func hostileValues(t *testing.T, address string, values []string) {
	asked := 0
	for _, q := range questions(t, address) {
		for _, value := range values {
			paths := []string{}
			if strings.Contains(q.path, "{") {
				paths = append(paths, q.fill(value))
			}
			for _, name := range append(q.parameters, "tag:"+value, value) {
				paths = append(paths, q.fill("x")+"?"+url.Values{name: {value}}.Encode())
			}
			for _, path := range paths {
				asked++
				status, header, text := get(t, address, adminKey, path)
				// What was asked for comes back in messages; the rest is ours.
				said := strings.ReplaceAll(text, value, "")
				// A filter by what nothing has leaves nothing.
				if status == http.StatusOK && strings.Contains(text, "visible") {
					t.Errorf("%s is answered with what it does not ask for: %.300s", path, text)
				}
				if status >= 500 || header.Get("Set-Cookie") != "" || status >= 400 && leaks.MatchString(said) {
					t.Errorf("%s: %d %.300s", path, status, text)
				}
			}
		}
	}
	if _, _, text := get(t, address, adminKey, "/api/v1/analytics/cost-breakdown"); !strings.Contains(text, `"totalCost":7`) {
		t.Errorf("afterwards: %s", text)
	}
	t.Logf("%d requests", asked)
}

// Whatever a key of one project asks for, nothing says that another's things are there.
func otherProject(t *testing.T, address string) {
	const cost = "8.0625"
	id := store(t, address, "theirs", secret, cost)
	body := fmt.Sprintf(`{"provider":%[1]q,"model":%[1]q,"project":"theirs","prices":{"input":1}}`, secret)
	if status, _, text := ask(t, address, adminKey, http.MethodPut, "/api/v1/prices", body); status != http.StatusOK {
		t.Fatalf("%d %s", status, text)
	}
	seen, asked := false, 0
	for _, q := range questions(t, address) {
		if q.path == "/openapi.json" || q.path == "/docs" { // the same for everyone
			continue
		}
		for _, value := range []string{id, secret, "theirs"} {
			queries := []url.Values{{}, {"groupBy": {"project"}}, {"groupBy": {"tag:" + secret}}, {"levels": {"project,user"}}, {"levels": {"trace"}}}
			for _, name := range append(q.parameters, "tag:"+secret) {
				queries = append(queries, url.Values{name: {value}}, url.Values{name: {value}, "project": {"theirs"}}, url.Values{name: {value}, "project": {"theirs", "mine"}})
			}
			for _, query := range queries {
				asked++
				path := q.fill(value) + "?" + query.Encode()
				if !seen {
					_, _, text := get(t, address, adminKey, path)
					seen = strings.Contains(text, cost)
				}
				status, _, text := get(t, address, viewerKey, path)
				asking, _ := url.QueryUnescape(path)
				for _, word := range []string{id, secret, "theirs", cost} {
					// What the question says, the answer may repeat.
					if strings.Contains(text, word) && !strings.Contains(asking, word) {
						t.Errorf("%s: %d %.300s", path, status, text)
					}
				}
			}
		}
	}
	if !seen {
		t.Error("not even the key of all projects sees the other project: this tests nothing")
	}
	t.Logf("%d requests", asked)
}

func notQuiteHTTP(t *testing.T, address string) {
	many := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "X%d: a\r\n", i)
		}
		return b.String()
	}
	for _, tc := range []struct{ name, request, want string }{
		{"encoded line break in the id", "GET /health HTTP/1.1\r\nHost: a\r\nX-Request-ID: a%0d%0aX-Evil: 1\r\n\r\n", "200"},
		{"bare CR in the id", "GET /health HTTP/1.1\r\nHost: a\r\nX-Request-ID: a\rX-Evil: 1\r\n\r\n", "400"},
		{"folded header", "GET /health HTTP/1.1\r\nHost: a\r\nX-Request-ID: a\r\n X-Evil: 1\r\n\r\n", "200"},
		{"line break in the origin", "OPTIONS /api/v1/events HTTP/1.1\r\nHost: a\r\nOrigin: http://a%0d%0aX-Evil: 1\r\nAccess-Control-Request-Method: POST\r\n\r\n", "403"},
		{"large header", "GET /health HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("a", 80_000) + "\r\n\r\n", "431"},
		{"many headers", "GET /health HTTP/1.1\r\nHost: a\r\n" + many(20_000) + "\r\n", "431"},
		{"long path", "GET /" + strings.Repeat("a", 100_000) + " HTTP/1.1\r\nHost: a\r\n\r\n", "431"},
		{"climbing path", "GET /docs/../../../etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n", "404"},
		{"encoded climbing path", "GET /docs/%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n", "404"},
		{"zero byte", "GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n", "400"},
		{"two lengths", "POST /api/v1/events HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef", "400"},
		{"negative length", "POST /api/v1/events HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n", "400"},
		{"unknown coding", "POST /api/v1/events HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", "501"},
		{"two hosts", "GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400"},
		{"no host", "GET /health HTTP/1.1\r\n\r\n", "400"},
		{"tunnel", "CONNECT b.example:443 HTTP/1.1\r\nHost: b.example:443\r\n\r\n", "404"},
		{"noise", strings.Repeat("\x00\xff", 100) + "\r\n\r\n", "400"},
		{"two credentials", "GET /api/v1/events HTTP/1.1\r\nHost: a\r\nX-API-Key: " + viewerKey + "\r\nAuthorization: Bearer " + adminKey + "\r\n\r\n", "401"},
		{"credential in the address", "GET /api/v1/events?key=" + adminKey + " HTTP/1.1\r\nHost: a\r\n\r\n", "401"},
	} {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
		go func() { _, _ = io.WriteString(conn, tc.request) }() // it may be refused before it is all there
		answer := make([]byte, 64<<10)
		n, err := io.ReadAtLeast(conn, answer, len("HTTP/1.1 200"))
		conn.Close()
		head, _, _ := strings.Cut(string(answer[:n]), "\r\n\r\n")
		if err != nil || !strings.HasPrefix(head, "HTTP/1.1 "+tc.want) || strings.Contains(head, "\nX-Evil") {
			t.Errorf("%s: got %v %.300q, want %s", tc.name, err, head, tc.want)
		}
	}
}

// Connections that say nothing, or begin and never end, keep nobody out, and go.
func silentConnections(t *testing.T, address string) {
	const connections = 2000
	var all []net.Conn
	for i := range connections {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		defer conn.Close()
		if i%10 == 0 {
			fmt.Fprintf(conn, "GET /health HTTP/1.1\r\nHost: a\r\nX-Slow:")
		}
		all = append(all, conn)
	}
	if status, _, text := get(t, address, viewerKey, "/api/v1/analytics/features"); status != http.StatusOK {
		t.Errorf("beside them: %d %s", status, text)
	}
	for i, conn := range all {
		_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := io.Copy(io.Discard, conn); err != nil && os.IsTimeout(err) {
			t.Fatalf("connection %d stays open", i)
		}
	}
}
