package crash

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"math/rand/v2"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/costprof/costprof/internal/testserver"
)

// A price that is put is applied to each stored call once and summed up exactly,
// wherever the server is killed. What arrives meanwhile has it already.
func TestKillDuringBackfill(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	bin, dir, base := testserver.Binary(t), t.TempDir(), "http://"+addr
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 2))
	p := startServer(t, bin, dir, addr)
	defer func() { p.kill() }()
	waitReady(t, base, p)

	waiting, all := &sums{}, &sums{}
	const stored = 20_000
	for n := 0; n < stored; n += 500 {
		send(t, base, n, waiting, all)
	}
	if got := total(t, base); got.Cmp(&all.before) != 0 {
		t.Fatalf("before there is a price all cost %v, want %v", got, &all.before)
	}

	job := put(t, base)
	kills := 0
	for n := stored; ; n += 500 {
		time.Sleep(time.Duration(r.IntN(40)) * time.Millisecond)
		p.kill()
		kills++
		p = startServer(t, bin, dir, addr)
		waitReady(t, base, p)
		send(t, base, n, &sums{}, all)
		if kills == 8 || jobOf(t, base, job).State == "done" {
			break
		}
	}
	for began := time.Now(); jobOf(t, base, job).State != "done"; time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > 5*time.Minute {
			t.Fatalf("the run does not end: %+v\n%s", jobOf(t, base, job), p.log.String())
		}
	}
	if got := total(t, base); got.Cmp(&all.after) != 0 {
		t.Errorf("after %d kills all cost %v, want %v", kills, got, &all.after)
	}
	got := jobOf(t, base, job).Result
	if got.Calls != waiting.calls || got.Aggregates != waiting.aggregates || pico(got.OldCost).Cmp(&waiting.old) != 0 || pico(got.NewCost).Cmp(&waiting.new) != 0 {
		t.Errorf("after %d kills the run says %+v, want %+v", kills, got, waiting)
	}
}

// sums are what must come out, in picodollars: before and after the price is
// applied, and what the run says about the calls that it changed.
type sums struct {
	before, after, old, new big.Int
	calls, aggregates       int
}

// send stores 500 calls of a model that the book does not know: some with an
// estimate, some billed, some only sums of others.
func send(t *testing.T, base string, n int, waiting, all *sums) {
	t.Helper()
	var b bytes.Buffer
	for i := n; i < n+500; i++ {
		input, output, more := int64(i*7919%1_000_003), int64(i*104_729%100_003), ""
		cost := new(big.Int).Add(line(input, 123_456_789_012), line(output, 5_000_000_000_001))
		estimate := new(big.Int)
		if i%3 == 0 {
			estimate.SetInt64(int64(i) * 1_000_000)
			more = fmt.Sprintf(`,"estimatedCostUsd":%de-6`, i)
		}
		switch {
		case i%20 == 7:
			more += `,"billedCostUsd":0.5`
			all.before.Add(&all.before, big.NewInt(500_000_000_000))
			all.after.Add(&all.after, big.NewInt(500_000_000_000))
		case i%50 == 0:
			more += `,"aggregate":true`
			waiting.aggregates++
		default:
			waiting.calls++
			waiting.old.Add(&waiting.old, estimate)
			waiting.new.Add(&waiting.new, cost)
			all.before.Add(&all.before, estimate)
			all.after.Add(&all.after, cost)
		}
		at := time.Date(2026, 6, 1, 0, 0, i*37%2_600_000, 0, time.UTC)
		fmt.Fprintf(&b, `{"traceId":"t","spanId":"s%d","timestamp":%q,"feature":"f","provider":"self","model":"m","inputTokens":%d,"outputTokens":%d,"latencyMs":1%s}`+"\n",
			i, at.Format(time.RFC3339), input, output, more)
	}
	res, err := http.Post(base+"/api/v1/events", "application/x-ndjson", &b)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var answer struct{ Accepted int }
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil || answer.Accepted != 500 {
		t.Fatalf("%s: %+v, %v", res.Status, answer, err)
	}
}

// line is tokens × price ÷ 10⁶, rounded half-even.
func line(tokens, price int64) *big.Int {
	million := big.NewInt(1_000_000)
	q, rest := new(big.Int).QuoRem(new(big.Int).Mul(big.NewInt(tokens), big.NewInt(price)), million, new(big.Int))
	if c := rest.Cmp(big.NewInt(500_000)); c > 0 || c == 0 && q.Bit(0) == 1 {
		q.Add(q, big.NewInt(1))
	}
	return q
}

func put(t *testing.T, base string) (job string) {
	t.Helper()
	body := `{"provider":"self","model":"m","prices":{"input":0.123456789012,"output":5.000000000001}}`
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, base+"/api/v1/prices", bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var answer struct{ Data struct{ JobID string } }
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %v", res.Status, err)
	}
	return answer.Data.JobID
}

type run struct {
	State  string
	Result struct {
		Calls, Aggregates int
		OldCost, NewCost  json.Number
	}
}

func jobOf(t *testing.T, base, id string) run {
	t.Helper()
	var answer struct{ Data run }
	get(t, base+"/api/v1/jobs/"+id, &answer)
	return answer.Data
}

func total(t *testing.T, base string) *big.Int {
	t.Helper()
	var answer struct {
		Meta struct{ TotalCost json.Number }
	}
	get(t, base+"/api/v1/analytics/cost-breakdown?from=2026-01-01&to=2026-12-31", &answer)
	return pico(answer.Meta.TotalCost)
}

// pico reads dollars exactly; what is finer than a picodollar is no amount.
func pico(n json.Number) *big.Int {
	r, ok := new(big.Rat).SetString(n.String())
	if !ok || !r.Mul(r, big.NewRat(1_000_000_000_000, 1)).IsInt() {
		return big.NewInt(-1)
	}
	return r.Num()
}
