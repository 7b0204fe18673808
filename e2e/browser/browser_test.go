// Package browser lets pages of other origins loose on the real server, in a
// real browser: what the rules for Host and Origin are worth is decided there.
package browser

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/costprof/costprof/internal/testserver"
)

//go:embed attack.html attack.js
var pages embed.FS

// secret is stored before the attacks: whatever shows it to a page is a hole.
const secret = "secret-feature-93713"

// browser finds one, or stops the test, which fails where COSTPROF_REQUIRE names it.
func browser(t *testing.T) string {
	t.Helper()
	for _, name := range []string{os.Getenv("COSTPROF_BROWSER"), "chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := exec.LookPath(name); name != "" && err == nil {
			return path
		}
	}
	const missing = "no Chromium here; install it, or name one in COSTPROF_BROWSER"
	if slices.Contains(strings.Split(os.Getenv("COSTPROF_REQUIRE"), ","), "browser") {
		t.Fatal(missing)
	}
	t.Skip(missing)
	return ""
}

// server is the real one, with an event and a price of its own in it.
type server struct{ address string }

func (s *server) url() string { return "http://" + s.address }

func serve(t *testing.T, settings ...string) *server {
	t.Helper()
	s := &server{testserver.Serve(t, testserver.Binary(t), settings...).Address}
	s.send(t, http.MethodPost, "/api/v1/events", fmt.Sprintf(`{"events":[{"traceId":"t","spanId":"s","timestamp":%q,"feature":%q,
		"provider":"openai","model":"gpt-4o","inputTokens":1000,"outputTokens":100,"latencyMs":1}]}`, time.Now().UTC().Format(time.RFC3339), secret))
	s.send(t, http.MethodPut, "/api/v1/prices", `{"provider":"own","model":"kept","prices":{"input":1}}`)
	return s
}

func (s *server) send(t *testing.T, method, path, body string) []byte {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.url()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode > 299 {
		t.Fatalf("%s %s: %d %s %v", method, path, resp.StatusCode, b, err)
	}
	return b
}

// features are those that anything is stored under.
func (s *server) features(t *testing.T) []string {
	t.Helper()
	var answer struct{ Data []struct{ Name string } }
	if err := json.Unmarshal(s.send(t, http.MethodGet, "/api/v1/analytics/features?limit=1000", ""), &answer); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, row := range answer.Data {
		names = append(names, row.Name)
	}
	slices.Sort(names)
	return names
}

type result struct{ Outcome, Text string }

// attacker serves the page and takes its report.
type attacker struct {
	*httptest.Server
	reports chan map[string]result
	// ready is called when a page asks to wait.
	ready func()
}

func newAttacker(t *testing.T) *attacker {
	t.Helper()
	a := &attacker{reports: make(chan map[string]result, 1)}
	mux := http.NewServeMux()
	mux.Handle("GET /", http.FileServerFS(pages))
	mux.HandleFunc("POST /report", func(_ http.ResponseWriter, r *http.Request) {
		var results map[string]result
		if err := json.NewDecoder(r.Body).Decode(&results); err != nil {
			t.Errorf("report: %v", err)
		}
		a.reports <- results
	})
	mux.HandleFunc("GET /wait", func(http.ResponseWriter, *http.Request) { a.ready() })
	a.Server = httptest.NewServer(mux)
	t.Cleanup(a.Close)
	return a
}

// page is the address of the attack from a host name that leads to the attacker.
func page(host, target, report, name string, more ...string) string {
	q := url.Values{"target": {target}, "report": {report + "/report"}, "name": {name}}
	for i := 0; i+1 < len(more); i += 2 {
		q.Set(more[i], more[i+1])
	}
	return "http://" + host + "/attack.html?" + q.Encode()
}

// visit opens a page in a browser of its own and waits for the report.
func (a *attacker) visit(t *testing.T, path, address string) map[string]result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	profile, err := os.MkdirTemp("", "costprof-browser-")
	if err != nil {
		t.Fatal(err)
	}
	// Helpers of the browser may still write while it ends.
	defer os.RemoveAll(profile)
	var log bytes.Buffer
	cmd := exec.CommandContext(ctx, path, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-popup-blocking", "--autoplay-policy=no-user-gesture-required",
		"--remote-debugging-port=0", "--user-data-dir="+profile, "--host-resolver-rules=MAP rebound.test 127.0.0.1", address)
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	var results map[string]result
	select {
	case results = <-a.reports:
	case <-ctx.Done():
	case <-ended:
	}
	cancel()
	<-ended
	if os.Getenv("COSTPROF_BROWSER_LOG") != "" {
		for what, r := range results {
			t.Logf("%s: %s %q", what, r.Outcome, r.Text)
		}
	}
	if results == nil {
		t.Fatalf("the page did not report:\n%s", log.String())
	}
	return results
}

// harmless holds what a page got against what it may get: nothing.
func harmless(t *testing.T, s *server, results map[string]result, mayRead func(string) bool) {
	t.Helper()
	for what, r := range results {
		if r.Text != "" && (mayRead == nil || !mayRead(r.Text)) {
			t.Errorf("%s: %s, and the page reads %q", what, r.Outcome, r.Text)
		}
		if strings.Contains(r.Text, secret) {
			t.Errorf("%s shows what is stored: %q", what, r.Text)
		}
	}
	if len(results) < 40 {
		t.Errorf("only %d attempts reported", len(results))
	}
	if got := s.features(t); !slices.Equal(got, []string{secret}) {
		t.Errorf("stored: %q", got)
	}
	if got := s.send(t, http.MethodGet, "/api/v1/prices?provider=stolen", ""); !bytes.Contains(got, []byte(`"data":[]`)) {
		t.Errorf("prices were put: %s", got)
	}
	if got := s.send(t, http.MethodGet, "/api/v1/prices?provider=own&model=kept", ""); !bytes.Contains(got, []byte(`"kept"`)) {
		t.Errorf("prices were deleted: %s", got)
	}
}

// TestOtherOrigins: pages of other ports (another origin of the same site) and
// of other names (another site) read nothing and store nothing.
func TestOtherOrigins(t *testing.T) {
	path := browser(t)
	a, s := newAttacker(t), serve(t)
	port := a.URL[strings.LastIndex(a.URL, ":"):]
	own := s.address[strings.LastIndex(s.address, ":"):]
	for name, address := range map[string]string{
		"another port":        page("127.0.0.1"+port, s.url(), a.URL, "a"),
		"another name":        page("localhost"+port, s.url(), a.URL, "b"),
		"a name of elsewhere": page("rebound.test"+port, s.url(), a.URL, "c"),
		"localhost to itself": page("localhost"+port, "http://localhost"+own, a.URL, "d"),
		"a rebound target":    page("127.0.0.1"+port, "http://rebound.test"+own, a.URL, "e"),
	} {
		t.Run(name, func(t *testing.T) { harmless(t, s, a.visit(t, path, address), ownWords) })
	}
}

// A worker that may not load a script says so in words of its own.
func ownWords(text string) bool {
	return strings.Contains(text, "Failed to execute 'importScripts'")
}

// TestConfiguredOrigin shows that the attempts work where they may: a page whose
// origin is configured reads and writes, by JSON only.
func TestConfiguredOrigin(t *testing.T) {
	path := browser(t)
	a := newAttacker(t)
	s := serve(t, "CORS_ORIGIN="+a.URL)
	results := a.visit(t, path, page(strings.TrimPrefix(a.URL, "http://"), s.url(), a.URL, "ours"))
	for _, what := range []string{"read", "read events", "read metrics", "read health", "read the document"} {
		if r := results[what]; !strings.HasPrefix(r.Outcome, "cors 200") || r.Text == "" {
			t.Errorf("%s: %+v", what, r)
		}
	}
	if r := results["read"]; !strings.Contains(r.Text, secret) {
		t.Errorf("read: %+v", r)
	}
	if got := s.features(t); !slices.Contains(got, "ours-json") || slices.ContainsFunc(got, func(f string) bool {
		return f != secret && f != "ours-json" && f != "ours-beacon-json"
	}) {
		t.Errorf("stored: %q", got)
	}
	if got := s.send(t, http.MethodGet, "/api/v1/prices?provider=stolen", ""); !bytes.Contains(got, []byte(`"ours"`)) {
		t.Errorf("no price was put: %s", got)
	}
}

// TestRebinding: a page whose own name leads to the attacker first and to the
// server then is of the server's origin, for the browser. The server knows by the
// Host that it is not: every answer is the refusal.
func TestRebinding(t *testing.T) {
	path := browser(t)
	a, s := newAttacker(t), serve(t)
	rebound := newRebinding(t, strings.TrimPrefix(a.URL, "http://"), s.address)
	host := "rebound.test" + rebound.address[strings.LastIndex(rebound.address, ":"):]
	a.ready = rebound.turn
	results := a.visit(t, path, page(host, "http://"+host, a.URL, "rebound", "wait", a.URL+"/wait"))
	if !rebound.turned.Load() {
		t.Fatal("the name never led to the server")
	}
	harmless(t, s, results, func(text string) bool {
		return ownWords(text) || strings.Contains(text, `{"error":"This server is open, without any key, and `)
	})
	if r := results["read"]; !strings.HasPrefix(r.Outcome, "basic 403") {
		t.Errorf("read: %+v", r)
	}
}

// rebinding relays connections to one address first, to another after turn.
type rebinding struct {
	address string
	turned  atomic.Bool
	mu      sync.Mutex
	open    map[net.Conn]bool
}

func newRebinding(t *testing.T, before, after string) *rebinding {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &rebinding{address: l.Addr().String(), open: map[net.Conn]bool{}}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			to := before
			if r.turned.Load() {
				to = after
			}
			go r.relay(c, to)
		}
	}()
	return r
}

func (r *rebinding) relay(c net.Conn, to string) {
	defer c.Close()
	d, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer d.Close()
	r.mu.Lock()
	r.open[c] = true
	r.mu.Unlock()
	go func() {
		_, _ = io.Copy(d, c)
		d.Close()
	}()
	_, _ = io.Copy(c, d)
}

// turn makes the name lead to the other address, connections that are open included.
func (r *rebinding) turn() {
	r.turned.Store(true)
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.open {
		c.Close()
	}
}
