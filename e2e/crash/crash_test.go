// Package crash kills the real server with SIGKILL at random moments, also
// while it recovers from the last kill, and shows that every acknowledged event
// is there once and none twice.
package crash

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/costprof/costprof/internal/testserver"
)

const (
	kills   = 10
	clients = 8
	size    = 50 // events in a batch
	// patience is how long something may take before it counts as hanging. How
	// long a start takes is measured by bench.
	patience = 5 * time.Minute
)

// binary builds the server once.
type process struct {
	cmd *exec.Cmd
	log bytes.Buffer
}

func startServer(t *testing.T, bin, dir, addr string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(bin, "serve")}
	p.cmd.Env = append(os.Environ(), "COSTPROF_DATA="+dir, "COSTPROF_LISTEN="+addr)
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return p
}

// kill ends the process at once and waits until it is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// waitReady returns how long the server took to be ready.
func waitReady(t *testing.T, base string, p *process) time.Duration {
	t.Helper()
	begin := time.Now()
	for time.Since(begin) < patience {
		if res, err := http.Get(base + "/health/ready"); err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return time.Since(begin)
			}
		}
		time.Sleep(3 * time.Millisecond)
	}
	p.kill()
	t.Fatalf("not ready after %s:\n%s", patience, p.log.String())
	return 0
}

// batch is one request body; it is sent until it is acknowledged.
func batch(n int) []byte {
	var b bytes.Buffer
	b.WriteString(`{"events":[`)
	for i := range size {
		k := n*size + i
		if i > 0 {
			b.WriteByte(',')
		}
		ts := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(k%3_989) * 37 * time.Minute)
		own := ""
		if k%4 == 0 {
			own = fmt.Sprintf(`"eventId":"e%d",`, k)
		}
		fmt.Fprintf(&b, `{%s"traceId":"t%d","spanId":"s%d","timestamp":%q,"feature":"f%d","provider":"openai","model":"gpt-4o","inputTokens":%d,"outputTokens":7,"latencyMs":12.5,"tags":{"k":"v%d"}}`,
			own, k/5, k, ts.Format(time.RFC3339), k%7, 1000+k%500, k%50)
	}
	b.WriteString(`]}`)
	return b.Bytes()
}

func post(ctx context.Context, base string, body []byte) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/api/v1/events", bytes.NewReader(body))
	if err != nil {
		return false
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return err == nil && res.StatusCode == http.StatusAccepted
}

func TestKillLosesNothing(t *testing.T) {
	bin, dir := testserver.Binary(t), t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	base := "http://" + addr
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var next atomic.Int64
	var mu sync.Mutex
	acked := map[int]bool{}
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			// A client repeats a batch until it is acknowledged, whichever life of
			// the server answers, and now and then repeats one that was.
			for ctx.Err() == nil {
				n := int(next.Add(1)) - 1
				body := batch(n)
				for ctx.Err() == nil && !post(ctx, base, body) {
					time.Sleep(10 * time.Millisecond)
				}
				if ctx.Err() != nil {
					return
				}
				mu.Lock()
				acked[n] = true
				mu.Unlock()
				if n%9 == 0 {
					post(ctx, base, body)
				}
			}
		})
	}

	p := startServer(t, bin, dir, addr)
	waitReady(t, base, p)
	slowest := time.Duration(0)
	acknowledged := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(acked)
	}
	for range kills {
		// Some time under load, however slow the machine is.
		for begin, before := time.Now(), acknowledged(); acknowledged() < before+20; time.Sleep(time.Millisecond) {
			if time.Since(begin) > patience {
				p.kill()
				t.Fatalf("no batches are acknowledged:\n%s", p.log.String())
			}
		}
		time.Sleep(time.Duration(r.IntN(900)) * time.Millisecond)
		p.kill()
		if r.IntN(2) == 0 { // and again while it recovers
			p = startServer(t, bin, dir, addr)
			time.Sleep(time.Duration(r.IntN(150)) * time.Millisecond)
			p.kill()
		}
		p = startServer(t, bin, dir, addr)
		slowest = max(slowest, waitReady(t, base, p))
	}
	stop()
	wg.Wait()
	p.kill()
	p = startServer(t, bin, dir, addr)
	defer p.kill()
	waitReady(t, base, p)

	mu.Lock()
	defer mu.Unlock()
	seen := stored(t, base)
	for n := range acked {
		for i := range size {
			if k := fmt.Sprint("s", n*size+i); seen[k] != 1 {
				t.Fatalf("event %s was acknowledged and is there %d times\n%s", k, seen[k], p.log.String())
			}
		}
	}
	for span, times := range seen {
		if times != 1 {
			t.Fatalf("event %s is there %d times", span, times)
		}
	}
	if status, reason := health(t, base); status != "ok" {
		t.Errorf("health is %q after the kills: %s", status, reason)
	}
	t.Logf("%d events acknowledged over %d kills; slowest start %s", len(acked)*size, kills, slowest.Round(time.Millisecond))
}

// stored reads every event back, page by page, and counts each span.
func stored(t *testing.T, base string) map[string]int {
	t.Helper()
	seen := map[string]int{}
	path := "/api/v1/events?limit=1000&from=2020-01-01"
	for path != "" {
		var page struct {
			Data []struct {
				SpanID string `json:"spanId"`
			}
			Pagination struct {
				NextCursor string
				HasMore    bool
			}
		}
		get(t, base+path, &page)
		for _, e := range page.Data {
			seen[e.SpanID]++
		}
		path = ""
		if page.Pagination.HasMore {
			path = "/api/v1/events?limit=1000&cursor=" + url.QueryEscape(page.Pagination.NextCursor)
		}
	}
	return seen
}

func health(t *testing.T, base string) (status, reason string) {
	var h struct{ Status, Reason string }
	get(t, base+"/health", &h)
	return h.Status, h.Reason
}

func get(t *testing.T, url string, into any) {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(res.Body)
		t.Fatalf("%s: %s %s", url, res.Status, b)
	}
	if err := json.NewDecoder(res.Body).Decode(into); err != nil {
		t.Fatal(err)
	}
}
