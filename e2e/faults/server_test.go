//go:build linux

// Package faults lets the real server's disk fail in every way that could be
// thought of, and shows that every acknowledged event is there once and none
// twice, that the server says what is wrong, and that it recovers by itself.
package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/costprof/costprof/internal/testserver"
)

var built string

func TestMain(m *testing.M) { os.Exit(testserver.Main(m, &built)) }

// need skips a test whose means are missing, unless COSTPROF_REQUIRE names them.
func need(t *testing.T, means string, err error) {
	t.Helper()
	if err == nil {
		return
	}
	if slices.Contains(strings.Split(os.Getenv("COSTPROF_REQUIRE"), ","), means) {
		t.Fatalf("COSTPROF_REQUIRE names %s: %v", means, err)
	}
	t.Skipf("%s cannot be used here: %v", means, err)
}

// server is one life of the program.
type server struct {
	base string
	cmd  *exec.Cmd
	log  *bytes.Buffer
	gone chan struct{}
}

// start runs the program on a data directory; it does not wait for it.
func start(t *testing.T, dir string) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	s := &server{base: "http://" + addr, cmd: exec.Command(built, "serve"), log: &bytes.Buffer{}, gone: make(chan struct{})}
	s.cmd.Env = append(os.Environ(), "COSTPROF_DATA="+dir, "COSTPROF_LISTEN="+addr, "COSTPROF_MEMORY_LIMIT=200MB", "LOG_LEVEL=error")
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = s.cmd.Wait()
		close(s.gone)
	}()
	t.Cleanup(s.kill)
	return s
}

func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	<-s.gone
}

// stop ends the program as an interrupt does.
func (s *server) stop(t *testing.T) {
	t.Helper()
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.gone:
	case <-time.After(40 * time.Second):
		s.kill()
		t.Errorf("not stopped after 40 s:\n%s", s.log)
	}
}

func (s *server) ended() bool {
	select {
	case <-s.gone:
		return true
	default:
		return false
	}
}

// health asks until the status is one of those wanted, or the process ended.
// It returns the last status, 0 for none.
func (s *server) health(t *testing.T, wait time.Duration, want ...int) (status int, what string) {
	t.Helper()
	for end := time.Now().Add(wait); time.Now().Before(end) && !s.ended(); time.Sleep(10 * time.Millisecond) {
		var h struct{ Status, Reason, Error string }
		if status = s.get("/health", &h); status == 0 {
			continue
		}
		what = strings.Join([]string{h.Status, h.Reason, h.Error}, " ")
		if slices.Contains(want, status) {
			break
		}
	}
	return status, what
}

func (s *server) healthy(t *testing.T) {
	t.Helper()
	if status, what := s.health(t, 30*time.Second, http.StatusOK); status != http.StatusOK {
		t.Fatalf("not healthy: %d %s\n%s", status, what, s.log)
	}
}

// ask is get for questions: while the ledger is opened anew after a failure they
// are refused, and asked again.
func (s *server) ask(t *testing.T, path string, into any) {
	t.Helper()
	status := 0
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end) && !s.ended(); time.Sleep(20 * time.Millisecond) {
		if status = s.get(path, into); status != http.StatusServiceUnavailable {
			break
		}
	}
	if status != http.StatusOK {
		t.Fatalf("%s: %d\n%s", path, status, s.log)
	}
}

var web = &http.Client{Timeout: 30 * time.Second}

// get asks and decodes; 0 means that nobody answered.
func (s *server) get(path string, into any) int {
	res, err := web.Get(s.base + path)
	if err != nil {
		return 0
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(into); err != nil {
		return 0
	}
	return res.StatusCode
}

// send posts a body and returns the status and the answer; 0 means that nobody
// answered.
func (s *server) send(method, path, body string) (int, string) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, s.base+path, strings.NewReader(body))
	if err != nil {
		return 0, err.Error()
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := web.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err.Error()
	}
	return res.StatusCode, string(b)
}

// book is what the clients were told, and what they still have to send.
type book struct {
	size  int // events in a batch
	sent  int // batches ever tried: the numbers below it
	acked map[int]bool
	since time.Time
	pad   string
}

func newBook(size int) *book {
	return &book{size: size, acked: map[int]bool{}, since: time.Now().UTC().Add(-50 * time.Hour).Truncate(time.Hour)}
}

// batch is the body of batch n, always the same. Several batches fall into one
// hour; some events have identities of their own.
func (b *book) batch(n int) string {
	var w strings.Builder
	w.WriteString(`{"events":[`)
	for i := range b.size {
		k := n*b.size + i
		if i > 0 {
			w.WriteByte(',')
		}
		own, model := "", "gpt-4o"
		if k%4 == 0 {
			own = fmt.Sprintf(`"eventId":"e%d",`, k)
		}
		if k%5 == 0 {
			model = "faulty-1"
		}
		at := b.since.Add(time.Duration(n%7)*time.Hour + time.Duration(k)*time.Millisecond)
		fmt.Fprintf(&w, `{%s"traceId":"t%d","spanId":"s%d","timestamp":%q,"feature":"f","provider":"openai","model":%q,"inputTokens":%d,"outputTokens":7,"latencyMs":12.5,"tags":{"k":"v%d"},"metadata":{"pad":%q}}`,
			own, n, k, at.Format(time.RFC3339Nano), model, 1000+k%50, n%3, b.pad)
	}
	w.WriteString(`]}`)
	return w.String()
}

// deliver sends batch n up to `tries` times and notes whether it was
// acknowledged. Any answer but 202 and 503 is wrong: it is our disk that fails,
// not the sender.
func (b *book) deliver(t *testing.T, s *server, n, tries int) bool {
	t.Helper()
	b.sent = max(b.sent, n+1)
	for try := range tries {
		if try > 0 {
			time.Sleep(30 * time.Millisecond)
		}
		switch status, answer := s.send(http.MethodPost, "/api/v1/events", b.batch(n)); status {
		case http.StatusAccepted:
			b.acked[n] = true
			return true
		case http.StatusServiceUnavailable, 0:
			if s.ended() {
				return false
			}
		default:
			t.Errorf("batch %d: %d %s", n, status, answer)
			return false
		}
	}
	return false
}

// check reads everything back: what was acknowledged is there, nothing is there
// twice, and the totals are those of the events. It returns how many there are.
func (b *book) check(t *testing.T, s *server) int {
	t.Helper()
	s.idle(t)
	seen, cost := map[string]int{}, 0.0
	for path := "/api/v1/events?limit=1000&from=2020-01-01"; path != ""; {
		var page struct {
			Data []struct {
				SpanID string  `json:"spanId"`
				Cost   float64 `json:"cost"`
			}
			Pagination struct {
				NextCursor string
				HasMore    bool
			}
		}
		s.ask(t, path, &page)
		for _, e := range page.Data {
			seen[e.SpanID]++
			cost += e.Cost
		}
		path = ""
		if page.Pagination.HasMore {
			path = "/api/v1/events?limit=1000&cursor=" + url.QueryEscape(page.Pagination.NextCursor)
		}
	}
	for n := range b.acked {
		for i := range b.size {
			if span := fmt.Sprint("s", n*b.size+i); seen[span] != 1 {
				t.Fatalf("event %s was acknowledged and is there %d times\n%s", span, seen[span], s.log)
			}
		}
	}
	for span, times := range seen {
		if times != 1 {
			t.Fatalf("event %s is there %d times\n%s", span, times, s.log)
		}
	}
	var rows struct {
		Data []struct {
			TotalCost float64
			CallCount int
		}
	}
	s.ask(t, "/api/v1/analytics/cost-breakdown?groupBy=feature&from=2020-01-01", &rows)
	calls, total := 0, 0.0
	for _, r := range rows.Data {
		calls, total = calls+r.CallCount, total+r.TotalCost
	}
	if calls != len(seen) || total-cost > 1e-9 || cost-total > 1e-9 {
		t.Fatalf("totals say %d calls for %v, the events are %d for %v\n%s", calls, total, len(seen), cost, s.log)
	}
	return len(seen)
}

// idle waits until no price is being applied to stored calls: a total would be
// of another moment than the events.
func (s *server) idle(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end) && !s.ended(); time.Sleep(20 * time.Millisecond) {
		var runs struct{ Data []struct{ State string } }
		if s.get("/api/v1/jobs?limit=100", &runs) != http.StatusOK {
			return
		}
		if !slices.ContainsFunc(runs.Data, func(r struct{ State string }) bool { return r.State == "running" }) {
			return
		}
	}
}

// whole sends again what was not acknowledged; then everything is there once.
func (b *book) whole(t *testing.T, s *server) {
	t.Helper()
	for n := range b.sent {
		if !b.deliver(t, s, n, 5) {
			t.Fatalf("batch %d is not taken by a server that is healthy\n%s", n, s.log)
		}
	}
	if n := b.check(t, s); n != b.sent*b.size {
		t.Fatalf("%d events are stored, %d were sent", n, b.sent*b.size)
	}
}

// dead is the log of a process that ended, "" while it runs.
func (s *server) dead() string {
	if !s.ended() {
		return ""
	}
	return s.log.String()
}

// sentence says whether a program that ended said why in one line, and did not
// crash.
func (s *server) sentence() error {
	text := s.log.String()
	if engineAborts(text) {
		return nil
	}
	if strings.Contains(text, "panic:") || strings.Contains(text, "SIGABRT") || strings.Contains(text, "terminate called") || strings.Contains(text, "goroutine ") {
		return errors.New("it crashed")
	}
	if !strings.Contains(text, "costprof: ") {
		return errors.New("it ended without a sentence")
	}
	return nil
}

// engineAborts says whether the engine ended the process: a log that it can
// neither write nor cut makes it throw where nothing catches. Nothing is lost,
// and the next start recovers; we cannot make a sentence of it.
func engineAborts(text string) bool {
	return strings.Contains(text, "terminate called after throwing an instance of 'duckdb::IOException'") && strings.Contains(text, "Could not truncate file")
}
