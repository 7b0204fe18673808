package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/costprof/costprof/internal/config"
)

// output is a writer that a test can read while the server runs.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// running is a server that a test started.
type running struct {
	url  string
	out  *output
	log  *output
	stop context.CancelFunc
	done chan error
}

func settings(t *testing.T, change ...func(*config.Config)) *config.Config {
	t.Helper()
	t.Chdir(t.TempDir())
	c, err := config.Load([]string{"--port=0", "--data=" + t.TempDir(), "--memory-limit=128MiB"})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range change {
		f(c)
	}
	return c
}

var address = regexp.MustCompile(`listens on (http://\S+),`)

func start(t *testing.T, c *config.Config) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r := &running{out: &output{}, log: &output{}, stop: cancel, done: make(chan error, 1)}
	log := slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	go func() {
		r.done <- Run(ctx, Params{Config: c, Version: "test", Out: r.out, Log: log, Level: new(slog.LevelVar)})
	}()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-r.done:
			r.done <- err
		case <-time.After(30 * time.Second):
			t.Error("the server does not stop")
		}
	})
	for range 3000 {
		if m := address.FindStringSubmatch(r.out.String()); m != nil {
			r.url = m[1]
			return r
		}
		select {
		case err := <-r.done:
			r.done <- err
			t.Fatalf("the server ended: %v", err)
		case <-time.After(10 * time.Millisecond):
		}
	}
	t.Fatal("the server does not start")
	return nil
}

func (r *running) wait(t *testing.T) error {
	t.Helper()
	select {
	case err := <-r.done:
		r.done <- err
		return err
	case <-time.After(30 * time.Second):
		t.Fatal("the server does not stop")
		return nil
	}
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return do(t, req)
}

func do(t *testing.T, req *http.Request) (int, string) {
	t.Helper()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func event(n int) string {
	return fmt.Sprintf(`{"traceId":"t%d","spanId":"s","timestamp":%q,"feature":"chat","provider":"openai","model":"gpt-4o","inputTokens":1000,"outputTokens":100,"latencyMs":1}`,
		n, time.Now().UTC().Format(time.RFC3339Nano))
}

func post(t *testing.T, url, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	return do(t, req)
}

// The whole way: stored, priced, answered, stopped, and there after a restart.
func TestServe(t *testing.T) {
	c := settings(t)
	r := start(t, c)
	if status, body := get(t, r.url+"/health"); status != 200 || !strings.Contains(body, `"status":"ok"`) {
		t.Errorf("health %d %s", status, body)
	}
	if status, body := post(t, r.url+"/api/v1/events", `{"events":[`+event(1)+`,`+event(2)+`]}`); status != 202 || !strings.Contains(body, `"accepted":2`) {
		t.Errorf("ingest %d %s", status, body)
	}
	if status, body := get(t, r.url+"/metrics"); status != 200 || !strings.Contains(body, `costprof_events_stored_total{cost_source="catalog"} 2`) {
		t.Errorf("metrics %d %s", status, body)
	}
	if strings.Count(r.out.String(), "\n") != 1 {
		t.Errorf("printed %q, want one line", r.out)
	}
	r.stop()
	if err := r.wait(t); err != nil {
		t.Fatal(err)
	}
	again := start(t, c)
	var got struct {
		Data []struct {
			Name      string
			TotalCost json.Number
			CallCount int
		}
	}
	_, body := get(t, again.url+"/api/v1/analytics/features")
	if err := json.Unmarshal([]byte(body), &got); err != nil || len(got.Data) != 1 || got.Data[0].TotalCost != "0.007" || got.Data[0].CallCount != 2 {
		t.Errorf("after a restart: %v %s", err, body)
	}
}

// A price that is put is applied in the background.
func TestBackfillRuns(t *testing.T) {
	r := start(t, settings(t))
	unpriced := strings.ReplaceAll(event(1), "gpt-4o", "own-model")
	if status, body := post(t, r.url+"/api/v1/events", `{"events":[`+unpriced+`]}`); status != 202 {
		t.Fatalf("%d %s", status, body)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, r.url+"/api/v1/prices",
		strings.NewReader(`{"provider":"openai","model":"own-model","prices":{"input":1,"output":2}}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	status, body := do(t, req)
	var put struct{ Data struct{ JobID string } }
	if err := json.Unmarshal([]byte(body), &put); err != nil || status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	for range 1000 {
		if _, body = get(t, r.url+"/api/v1/jobs/"+put.Data.JobID); strings.Contains(body, `"state":"done"`) {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if !strings.Contains(body, `"newCost":0.0012`) {
		t.Errorf("job %s", body)
	}
	if _, body := get(t, r.url+"/api/v1/analytics/models"); !strings.Contains(body, `"totalCost":0.0012`) {
		t.Errorf("models %s", body)
	}
}

// What was accepted finishes; no new work is taken.
func TestShutdownLetsRequestsFinish(t *testing.T) {
	r := start(t, settings(t))
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	body := `{"events":[` + event(1) + `]}`
	fmt.Fprintf(conn, "POST /api/v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body[:20])
	for range 500 { // until the handler has the request
		if strings.Contains(fetch(r.url+"/metrics"), "costprof_http_requests_in_flight 2") {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	r.stop()
	for range 500 {
		if strings.Contains(r.log.String(), "stopping") {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	// While that request is there, new ones are told, for as long as it takes.
	time.Sleep(2 * drainLeast)
	if status, body := get(t, r.url+"/health/ready"); status != 503 {
		t.Errorf("ready %d %s", status, body)
	}
	if status, answer := post(t, r.url+"/api/v1/events", `{"events":[`+event(2)+`]}`); status != 503 || !strings.Contains(answer, "shutting down") {
		t.Errorf("new work %d %s", status, answer)
	}
	fmt.Fprint(conn, body[20:])
	answer, err := io.ReadAll(conn)
	if err != nil || !bytes.Contains(answer, []byte("202 Accepted")) || !bytes.Contains(answer, []byte(`"accepted":1`)) {
		t.Errorf("%v %s", err, answer)
	}
	if err := r.wait(t); err != nil {
		t.Error(err)
	}
}

func fetch(url string) string {
	resp, err := http.Get(url) //nolint:noctx // a test's poll
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return string(b)
}

// Whoever does not finish within the grace is cut off.
func TestShutdownGraceEnds(t *testing.T) {
	r := start(t, settings(t, func(c *config.Config) { c.ShutdownGrace = 100 * time.Millisecond }))
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /api/v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{")
	time.Sleep(50 * time.Millisecond)
	started := time.Now()
	r.stop()
	if err := r.wait(t); err != nil {
		t.Error(err)
	}
	// Without the end of the grace it waits for the body until the server gives up.
	if took := time.Since(started); took > time.Minute {
		t.Errorf("stopping took %v", took)
	}
}

// Every way in which a start fails is one sentence, and leaves nothing open.
func TestFailedStarts(t *testing.T) {
	first := settings(t)
	r := start(t, first)
	port := r.url[strings.LastIndex(r.url, ":")+1:]
	for _, tc := range []struct {
		name   string
		change func(*config.Config)
		says   []string
	}{
		{"busy port", func(c *config.Config) { c.Listen, c.Port = "127.0.0.1:"+port, 3100 }, []string{"in use", "--port", port}},
		{"data in use", func(c *config.Config) { c.Data = first.Data }, []string{first.Data}},
		{"reachable", func(c *config.Config) { c.Listen = "0.0.0.0:0" }, []string{"costprof keys create", "--insecure"}},
		{"reachable by empty host", func(c *config.Config) { c.Listen = ":0" }, []string{"--insecure"}},
		{"reachable IPv6", func(c *config.Config) { c.Listen = "[::]:0" }, []string{"--insecure"}},
		{"no such address", func(c *config.Config) { c.Listen = "192.0.2.1:0"; c.Insecure = true }, []string{"192.0.2.1"}},
		{"data is a file", func(c *config.Config) { c.Data = "/dev/null" }, []string{"/dev/null"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := settings(t, tc.change)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			err := Run(ctx, Params{Config: c, Out: io.Discard, Log: slog.New(slog.DiscardHandler)})
			if err == nil || errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("got %v", err)
			}
			for _, w := range tc.says {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q does not say %q", err, w)
				}
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("%q is not one line", err)
			}
		})
	}
	if status, _ := get(t, r.url+"/health"); status != 200 {
		t.Errorf("the first server answers %d", status)
	}
}

// Nobody is asked who may come in before OPTIONS * unless we are.
func TestOptionsOfTheServer(t *testing.T) {
	r := start(t, settings(t))
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "OPTIONS * HTTP/1.1\r\nHost: rebound.example.com\r\nConnection: close\r\n\r\n")
	answer, err := io.ReadAll(conn)
	if err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.1 403 ")) {
		t.Errorf("%v %s", err, answer)
	}
}

// A client that still sends reads why it was refused, although the body was not
// read: net/http half-closes the connection, through the limit on connections.
func TestRefusalIsRead(t *testing.T) {
	r := start(t, settings(t))
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "POST /api/v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9000000\r\n\r\n")
	chunk := bytes.Repeat([]byte(" "), 64<<10)
	for range 20 {
		if _, err := conn.Write(chunk); err != nil {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 4096)
	n, err := conn.Read(answer)
	if err != nil || !bytes.HasPrefix(answer[:n], []byte("HTTP/1.1 413 ")) {
		t.Errorf("%v %s", err, answer[:n])
	}
}

func TestURL(t *testing.T) {
	for _, tc := range []struct{ address, want string }{
		{"127.0.0.1:3100", "http://127.0.0.1:3100"},
		{"127.0.0.2:3100", "http://127.0.0.2:3100"},
		{"0.0.0.0:80", "http://127.0.0.1:80"},
		{"[::]:80", "http://127.0.0.1:80"},
		{"[::1]:80", "http://[::1]:80"},
	} {
		a, err := net.ResolveTCPAddr("tcp", tc.address)
		if err != nil {
			t.Fatal(err)
		}
		if got := url(a); got != tc.want {
			t.Errorf("%s: got %s, want %s", tc.address, got, tc.want)
		}
	}
}

type closer func() error

func (c closer) Close() error { return c() }

// An engine that cannot give up its work does not keep the process.
func TestCloseWithin(t *testing.T) {
	if err := closeWithin(closer(func() error { return io.ErrShortWrite }), time.Minute); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("got %v", err)
	}
	stuck := make(chan struct{})
	defer close(stuck)
	err := closeWithin(closer(func() error { <-stuck; return nil }), 10*time.Millisecond)
	if err == nil || !strings.Contains(err.Error(), "next start recovers it") {
		t.Errorf("got %v", err)
	}
}

func TestInsecureMayBeReached(t *testing.T) {
	r := start(t, settings(t, func(c *config.Config) { c.Listen, c.Insecure = "0.0.0.0:0", true }))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.url+"/health", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "costs.example.com"
	if status, body := do(t, req); status != 200 {
		t.Errorf("%d %s", status, body)
	}
	if !strings.Contains(r.log.String(), "open to everyone") {
		t.Error("the log does not warn")
	}
}

func TestOpenServerRefusesOtherNames(t *testing.T) {
	r := start(t, settings(t))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.url+"/api/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "rebound.example.com"
	if status, body := do(t, req); status != 403 || strings.Contains(body, "data") {
		t.Errorf("%d %s", status, body)
	}
}

func TestNewLog(t *testing.T) {
	var b bytes.Buffer
	log, level := NewLog(&config.Config{LogLevel: "warn", LogFormat: "json"}, &b)
	log.Info("hidden")
	log.Warn("shown", "n", 1)
	if got := b.String(); !strings.HasPrefix(got, "{") || strings.Contains(got, "hidden") || !strings.Contains(got, `"n":1`) {
		t.Errorf("got %s", got)
	}
	level.Set(slog.LevelInfo)
	log.Info("found")
	if got := b.String(); !strings.Contains(got, "found") {
		t.Errorf("after the level was set: %s", got)
	}
	b.Reset()
	log, _ = NewLog(&config.Config{LogLevel: "debug", LogFormat: "text"}, &b)
	log.Debug("shown")
	if got := b.String(); !strings.Contains(got, "level=DEBUG") {
		t.Errorf("got %s", got)
	}
}
