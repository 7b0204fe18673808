package crash

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/costprof/costprof/internal/testserver"
)

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func startOn(t *testing.T, bin, database, addr string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(bin, "serve")}
	p.cmd.Dir = t.TempDir()
	p.cmd.Env = append(os.Environ(), "DATABASE_URL="+database, "COSTPROF_LISTEN="+addr)
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return p
}

// count asks the database itself.
func count(t *testing.T, database, text string) (n int64) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if err := conn.QueryRow(t.Context(), text).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// Two servers on one database, started at once on an empty one, store the same
// events and different ones at the same time while one or the other is killed, and
// what one did not acknowledge is sent to the other: each event is there once.
func TestTwoServersOneDatabase(t *testing.T) {
	bin, db := testserver.Binary(t), testserver.Database(t)
	addrs := []string{freeAddress(t), freeAddress(t)}
	servers := make([]*process, len(addrs))
	for i, addr := range addrs {
		servers[i] = startOn(t, bin, db, addr)
	}
	for i, addr := range addrs {
		waitReady(t, "http://"+addr, servers[i])
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var next atomic.Int64
	var mu sync.Mutex
	acked := map[int]bool{}
	var wg sync.WaitGroup
	for client := range clients {
		wg.Go(func() {
			for turn := client; ctx.Err() == nil; turn++ {
				n := int(next.Add(1)) - 1
				body := batch(n)
				if n%3 == 0 { // both servers get it in the same moment
					other := addrs[(turn+1)%2]
					wg.Go(func() { post(ctx, "http://"+other, body) })
				}
				for at := turn; ctx.Err() == nil; at++ {
					if post(ctx, "http://"+addrs[at%2], body) {
						mu.Lock()
						acked[n] = true
						mu.Unlock()
						break
					}
					time.Sleep(5 * time.Millisecond)
				}
			}
		})
	}
	acknowledged := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(acked)
	}
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 2))
	for round := range kills {
		for begin, before := time.Now(), acknowledged(); acknowledged() < before+20; time.Sleep(time.Millisecond) {
			if time.Since(begin) > patience {
				t.Fatalf("no batches are acknowledged:\n%s\n%s", servers[0].log.String(), servers[1].log.String())
			}
		}
		time.Sleep(time.Duration(r.IntN(200)) * time.Millisecond)
		i := round % 2
		servers[i].kill()
		servers[i] = startOn(t, bin, db, addrs[i])
	}
	stop()
	wg.Wait()
	for i, addr := range addrs {
		waitReady(t, "http://"+addr, servers[i])
		defer servers[i].kill()
	}
	// Both servers have the same answer.
	for _, addr := range addrs {
		seen := stored(t, "http://"+addr)
		for n := range acked {
			for i := range size {
				if k := fmt.Sprint("s", n*size+i); seen[k] != 1 {
					t.Fatalf("event %s was acknowledged and is there %d times", k, seen[k])
				}
			}
		}
		for span, times := range seen {
			if times != 1 {
				t.Fatalf("event %s is there %d times", span, times)
			}
		}
	}
	events := count(t, db, `SELECT count(*) FROM events`)
	for what, n := range map[string]int64{
		"calls in the sums of hours": count(t, db, `SELECT sum(calls)::BIGINT FROM hours`),
		"calls in the sums of days":  count(t, db, `SELECT sum(calls)::BIGINT FROM days`),
		"events by the ledger":       count(t, db, `SELECT events FROM ledger`),
	} {
		if n != events {
			t.Errorf("%d %s, %d events are stored", n, what, events)
		}
	}
	if n := count(t, db, `SELECT (SELECT sum(cost) FROM hours) - (SELECT sum(cost) FROM events)`); n != 0 {
		t.Errorf("the sums of hours are %d picodollars off", n)
	}
	t.Logf("%d events acknowledged by two servers over %d kills", len(acked)*size, kills)
}

// While the database is away nothing is acknowledged: the answers are 503 with
// Retry-After. When it is back the server goes on by itself.
func TestDatabaseOutage(t *testing.T) {
	own := testserver.NewOwn(t, "outage")
	bin := testserver.Binary(t)
	db, addr := own.URL, freeAddress(t)
	base := "http://" + addr
	p := startOn(t, bin, db, addr)
	defer p.kill()
	waitReady(t, base, p)
	acked := map[int]bool{}
	n := 0
	send := func(want int) *http.Response {
		t.Helper()
		res, err := http.Post(base+"/api/v1/events", "application/json", strings.NewReader(string(batch(n))))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Fatalf("batch %d: %s, want %d\n%s", n, res.Status, want, p.log.String())
		}
		if want == http.StatusAccepted {
			acked[n] = true
		}
		return res
	}
	for range 2 {
		for range 5 {
			send(http.StatusAccepted)
			n++
		}
		own.Halt()
		for range 3 {
			if res := send(http.StatusServiceUnavailable); res.Header.Get("Retry-After") == "" {
				t.Error("503 without Retry-After")
			}
			n++
		}
		for _, path := range []string{"/health", "/health/ready", "/api/v1/analytics/cost-breakdown", "/api/v1/events"} {
			res, err := http.Get(base + path)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if res.StatusCode != http.StatusServiceUnavailable {
				t.Errorf("%s while the database is away: %s, want 503", path, res.Status)
			}
		}
		own.Start()
		waitReady(t, base, p)
	}
	send(http.StatusAccepted)
	seen := stored(t, base)
	for k := range n + 1 {
		for i := range size {
			want := 0
			if acked[k] {
				want = 1
			}
			if span := fmt.Sprint("s", k*size+i); seen[span] != want {
				t.Fatalf("event %s is there %d times, want %d", span, seen[span], want)
			}
		}
	}
	if strings.Contains(p.log.String(), "panic") {
		t.Error(p.log.String())
	}
}
