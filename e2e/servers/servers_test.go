// Package servers runs two real servers on one PostgreSQL and one Redis, takes
// one after the other away under load, and shows that nothing that was acknowledged
// is lost or counted twice, and that streams of both servers sum up to the ledger.
package servers

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/costprof/costprof/client"
	"github.com/costprof/costprof/internal/testserver"
)

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

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// built is the server, which TestMain builds.
var built string

func TestMain(m *testing.M) { os.Exit(testserver.Main(m, &built)) }

// connect opens a connection that goes with the test.
func connect(t *testing.T, db string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// status asks once; 0 is no answer.
func status(u string) int {
	res, err := http.Get(u)
	if err != nil {
		return 0
	}
	res.Body.Close()
	return res.StatusCode
}

// process is a server that the test starts and ends.
type process struct {
	t   *testing.T
	bin string
	arg []string
	env []string
	cmd *exec.Cmd
	log *bytes.Buffer
}

func (p *process) start() {
	p.t.Helper()
	p.cmd = exec.Command(p.bin, p.arg...)
	p.cmd.Dir, p.cmd.Env = p.t.TempDir(), append(os.Environ(), p.env...)
	p.log = &bytes.Buffer{}
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
}

func (p *process) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	_ = p.cmd.Wait()
}

// world is two servers and their Redis, on a database of the given PostgreSQL server.
type world struct {
	t       *testing.T
	db      string
	redis   *process
	servers [2]*process
	urls    [2]string
}

func newWorld(t *testing.T, server string, env ...string) *world {
	t.Helper()
	testserver.Redis(t)
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip("no redis-server is installed that the test could stop and start")
	}
	w := &world{t: t, db: testserver.DatabaseOn(t, server)}
	redis := freeAddress(t)
	_, port, _ := net.SplitHostPort(redis)
	w.redis = &process{t: t, bin: "redis-server", arg: []string{"--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"}}
	w.redis.start()
	t.Cleanup(func() { w.redis.signal(syscall.SIGCONT); w.redis.kill() })
	for i := range w.servers {
		addr := freeAddress(t)
		w.urls[i] = "http://" + addr
		w.servers[i] = &process{t: t, bin: built, arg: []string{"serve"}, env: append([]string{
			"DATABASE_URL=" + w.db, "REDIS_URL=redis://" + redis, "COSTPROF_LISTEN=" + addr,
		}, env...)}
		w.servers[i].start()
		t.Cleanup(w.servers[i].kill)
	}
	for i := range w.servers {
		w.ready(i)
		w.cache(i, "ok")
	}
	return w
}

func (w *world) ready(i int) {
	w.t.Helper()
	until(w.t, "a server is ready", func() bool {
		res, err := http.Get(w.urls[i] + "/health/ready")
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
}

// cache waits until a server says this of Redis.
func (w *world) cache(i int, want string) {
	w.t.Helper()
	until(w.t, "services.cache is "+want, func() bool {
		res, err := http.Get(w.urls[i] + "/health")
		if err != nil {
			return false
		}
		defer res.Body.Close()
		var h struct {
			Status   string
			Services struct{ Cache string }
		}
		return json.NewDecoder(res.Body).Decode(&h) == nil && h.Services.Cache == want && (h.Status == "ok") == (want == "ok")
	})
}

const size = 20 // events in a batch

// batch has calls that cost 1 picodollar each.
func batch(n int) []byte {
	var b bytes.Buffer
	b.WriteString(`{"events":[`)
	for i := range size {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"traceId":"t%d","spanId":"s%d","timestamp":"2026-06-01T00:00:00Z","feature":"f%d","provider":"acme","model":"m","inputTokens":1,"outputTokens":1,"latencyMs":1,"billedCostUsd":0.000000000001}`,
			n, n*size+i, i%3)
	}
	b.WriteString(`]}`)
	return b.Bytes()
}

func post(ctx context.Context, base string, body []byte) int {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/api/v1/events", bytes.NewReader(body))
	if err != nil {
		return 0
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return 0
	}
	return res.StatusCode
}

// follower is a client of a stream, and what it heard last.
type follower struct {
	count   atomic.Int64
	updates atomic.Int64
	broken  atomic.Pointer[string]
}

func follow(t *testing.T, ctx context.Context, base string, done *sync.WaitGroup) *follower {
	t.Helper()
	c, err := client.New(base)
	if err != nil {
		t.Fatal(err)
	}
	f := &follower{}
	done.Go(func() {
		sum := int64(-1)
		_ = c.Follow(ctx, client.FollowRequest{}, func(e client.CostEvent) error {
			switch {
			case e.Snapshot():
				sum = e.CallCount
			case sum < 0:
				s := "an update before a snapshot"
				f.broken.Store(&s)
			default:
				f.updates.Add(1)
				if sum += e.Count; sum != e.RunningCount {
					s := fmt.Sprintf("updates sum up to %d calls, the stream says %d", sum, e.RunningCount)
					f.broken.Store(&s)
				}
			}
			f.count.Store(sum)
			return nil
		})
	})
	return f
}

func TestServersUnderFaults(t *testing.T) {
	postgres := testserver.NewOwn(t, "servers")
	w := newWorld(t, postgres.URL)
	ctx, stop := context.WithCancel(t.Context())
	var following, loading sync.WaitGroup
	var followers []*follower
	for i := range 4 {
		followers = append(followers, follow(t, ctx, w.urls[i%2], &following))
	}
	load, unload := context.WithCancel(ctx)
	var next, acked atomic.Int64
	for i := range 3 {
		loading.Go(func() {
			for turn := i; load.Err() == nil; turn++ {
				body := batch(int(next.Add(1)))
				// Until somebody acknowledges it, so that the number of events is known.
				for at := turn; post(ctx, w.urls[at%2], body) != http.StatusAccepted; at++ {
					if ctx.Err() != nil {
						return
					}
					time.Sleep(5 * time.Millisecond)
				}
				acked.Add(1)
				time.Sleep(5 * time.Millisecond)
			}
		})
	}
	more := func() {
		t.Helper()
		before := acked.Load()
		until(t, "batches are acknowledged", func() bool { return acked.Load() >= before+10 })
	}
	// degraded waits until both servers say that Redis is away, which the interface
	// promises within 5 seconds.
	degraded := func() {
		t.Helper()
		begin := time.Now()
		w.cache(0, "degraded")
		w.cache(1, "degraded")
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("it took %s until both servers said that Redis is away", took)
		}
	}
	for round := range 3 {
		more()
		w.servers[round%2].kill()
		more()
		w.servers[round%2].start()
		w.ready(round % 2)
		more()
		w.redis.kill() // it has nothing on disk
		degraded()
		more()
		w.redis.start()
		w.cache(0, "ok")
		w.cache(1, "ok")
		more()
		w.redis.signal(syscall.SIGSTOP)
		degraded()
		more()
		w.redis.signal(syscall.SIGCONT)
		w.cache(0, "ok")
		w.cache(1, "ok")
		more()
		// The database ends all connections, and later stops as in a crash and restarts.
		admin := connect(t, w.db)
		if _, err := admin.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`); err != nil {
			t.Fatal(err)
		}
		more()
		postgres.Halt()
		for i := range w.servers {
			until(t, "a server says that its database is away", func() bool { return status(w.urls[i]+"/health/ready") == http.StatusServiceUnavailable })
		}
		postgres.Start()
		w.ready(0)
		w.ready(1)
		more()
	}
	unload()
	loading.Wait()
	want := acked.Load() * size
	for i, f := range followers {
		until(t, fmt.Sprintf("stream %d of server %d has all %d calls", i, i%2, want), func() bool { return f.count.Load() == want })
		if s := f.broken.Load(); s != nil {
			t.Errorf("stream %d: %s", i, *s)
		}
		if f.updates.Load() == 0 {
			t.Errorf("stream %d had no updates", i)
		}
	}
	stop()
	following.Wait()
	conn := connect(t, w.db)
	for _, text := range []string{`SELECT count(*), sum(cost)::BIGINT FROM events`, `SELECT sum(calls)::BIGINT, sum(c_unsplit)::BIGINT FROM hours`} {
		var n, cost int64
		if err := conn.QueryRow(t.Context(), text).Scan(&n, &cost); err != nil {
			t.Fatal(err)
		}
		if n != want || cost != want {
			t.Errorf("%s: %d calls of %d picodollars, acknowledged were %d", text, n, cost, want)
		}
	}
	for _, p := range w.servers {
		if n := strings.Count(p.log.String(), "Redis is away"); n > 3 || strings.Contains(p.log.String(), "panic") {
			t.Errorf("%d lines that Redis is away:\n%s", n, p.log.String())
		}
	}
	t.Logf("%d events", want)
}

// With the limit that a server has unless told otherwise, the 10,001st request of
// an hour is refused, whichever server it comes to.
func TestOneRateLimit(t *testing.T) {
	const most, more, clients = 10_000, 80, 16
	w := newWorld(t, testserver.Postgres(t), "API_KEYS=a-key-of-sixteen-characters")
	if left := time.Hour - time.Duration(time.Now().UnixNano())%time.Hour; left < time.Minute {
		time.Sleep(left + time.Second) // not over the edge of a window
	}
	var allowed, refused atomic.Int64
	var asking sync.WaitGroup
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}}
	defer client.CloseIdleConnections()
	for range clients {
		asking.Go(func() {
			for range (most + more) / clients {
				// Nothing to store: it counts all the same.
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.urls[rand.IntN(2)]+"/api/v1/events", strings.NewReader(`{"events":[]}`))
				if err != nil {
					t.Error(err)
					return
				}
				req.Header.Set("X-API-Key", "a-key-of-sixteen-characters")
				req.Header.Set("Content-Type", "application/json")
				res, err := client.Do(req)
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, res.Body)
				res.Body.Close()
				switch res.StatusCode {
				case http.StatusBadRequest:
					allowed.Add(1)
				case http.StatusTooManyRequests:
					refused.Add(1)
				default:
					t.Error(res.Status)
					return
				}
			}
		})
	}
	asking.Wait()
	if allowed.Load() != most || refused.Load() != more {
		t.Errorf("%d requests were allowed and %d refused, want %d and %d", allowed.Load(), refused.Load(), most, more)
	}
}

// A price that one server was told prices the other's calls, and the run that it
// started goes on when its server is killed.
func TestPricesOnBothServers(t *testing.T) {
	w := newWorld(t, testserver.Postgres(t))
	ask := func(method, path, body string) (int, []byte) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, _ := io.ReadAll(res.Body)
		return res.StatusCode, text
	}
	var b bytes.Buffer
	for n := range 40 {
		b.Reset()
		b.WriteString(`{"events":[`)
		for i := range 250 {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `{"traceId":"p","spanId":"p%d","timestamp":"2026-06-01T00:00:00Z","feature":"f","provider":"acme","model":"nova","inputTokens":1000,"outputTokens":1,"latencyMs":1}`, n*250+i)
		}
		b.WriteString(`]}`)
		if status := post(t.Context(), w.urls[n%2], b.Bytes()); status != http.StatusAccepted {
			t.Fatal(status)
		}
	}
	status, text := ask(http.MethodPut, w.urls[0]+"/api/v1/prices", `{"provider":"acme","model":"nova","prices":{"input":1,"output":0}}`)
	if status != http.StatusOK {
		t.Fatalf("%d %s", status, text)
	}
	w.servers[0].kill()
	until(t, "the other server quotes the price", func() bool {
		_, text := ask(http.MethodPost, w.urls[1]+"/api/v1/prices/quote", `{"provider":"acme","model":"nova","inputTokens":1000,"outputTokens":1}`)
		return strings.Contains(string(text), `"cost":0.001`)
	})
	until(t, "the other server ends the run", func() bool {
		_, text := ask(http.MethodGet, w.urls[1]+"/api/v1/analytics/cost-breakdown?from=2026-05-01&to=2026-07-01", "")
		return strings.Contains(string(text), `"totalCost":10,`) || strings.Contains(string(text), `"totalCost":10}`)
	})
	_, text = ask(http.MethodGet, w.urls[1]+"/api/v1/jobs", "")
	if s := string(text); !strings.Contains(s, `"calls":10000`) || !strings.Contains(s, `"newCost":10`) {
		t.Errorf("the run's sums: %s", s)
	}
}
