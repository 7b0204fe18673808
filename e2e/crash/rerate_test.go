package crash

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/costprof/costprof/internal/testserver"
)

// A rerate that is killed again and again, while calls keep arriving, changes each
// call once and ends by itself; its sums and the audit log's are those of an
// independent reckoning, and so is the ledger's total.
func TestKillDuringRerate(t *testing.T) {
	t.Run("embedded", func(t *testing.T) {
		dir, addr, bin := t.TempDir(), freeAddress(t), testserver.Binary(t)
		killDuringRerate(t, addr, func() *process { return startServer(t, bin, dir, addr) })
	})
	t.Run("postgres", func(t *testing.T) {
		db, addr, bin := testserver.Database(t), freeAddress(t), testserver.Binary(t)
		killDuringRerate(t, addr, func() *process { return startOn(t, bin, db, addr) })
	})
}

// The prices in picodollars per million tokens: at first, and put for the past.
const (
	firstInput, firstOutput = 2_000_000_000_001, 8_000_000_000_003
	newInput, newOutput     = 123_456_789_012, 5_000_000_000_001
)

// tally is what calls come to, reckoned here, at the first prices and at the new
// ones.
type tally struct {
	calls, aggregates int
	old, new          big.Int
}

func killDuringRerate(t *testing.T, addr string, start func() *process) {
	base := "http://" + addr
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 3))
	p := start()
	defer func() { p.kill() }()
	waitReady(t, base, p)
	for m := range 2 { // two models, so that a preview tells them apart
		putPrice(t, base, fmt.Sprintf("m%d", m), "2.000000000001", "8.000000000003")
	}
	stored, billed := &tally{}, new(big.Int)
	const before = 12_000
	for n := 0; n < before; n += 500 {
		calls(t, base, n, stored, billed)
	}
	want := new(big.Int).Add(&stored.old, billed)
	if got := total(t, base); got.Cmp(want) != 0 {
		t.Fatalf("at first all cost %v, want %v", got, want)
	}
	for m := range 2 {
		putPrice(t, base, fmt.Sprintf("m%d", m), "0.123456789012", "5.000000000001")
	}
	preview := waitRerate(t, base, p, rerate(t, base, ""))
	if got := preview.Result; got.Calls != stored.calls || got.Aggregates != stored.aggregates ||
		pico(got.OldCost).Cmp(&stored.old) != 0 || pico(got.NewCost).Cmp(&stored.new) != 0 {
		t.Fatalf("the preview says %+v, want %+v", got, stored)
	}

	job := rerate(t, base, preview.Result.Token)
	late := &tally{}
	kills := 0
	for n := before; kills < 12; n += 500 {
		time.Sleep(time.Duration(r.IntN(30)) * time.Millisecond)
		// It goes on as soon as it starts, so it is mostly killed before it answers.
		for range 3 {
			p.kill()
			p = start()
			time.Sleep(time.Duration(50+r.IntN(400)) * time.Millisecond)
		}
		p.kill()
		kills += 4
		p = start()
		waitReady(t, base, p)
		calls(t, base, n, late, billed) // while it goes on
		if rerateOf(t, base, job).State == "done" {
			break
		}
	}
	done := waitRerate(t, base, p, job)
	if got := done.Result; done.State != "done" || got.Calls != stored.calls || got.Aggregates != stored.aggregates ||
		pico(got.OldCost).Cmp(&stored.old) != 0 || pico(got.NewCost).Cmp(&stored.new) != 0 {
		t.Errorf("after %d kills the run says %+v, want %+v", kills, done, stored)
	}
	want.Add(&stored.new, billed)
	want.Add(want, &late.new)
	if got := total(t, base); got.Cmp(want) != 0 {
		t.Errorf("after %d kills all cost %v, want %v", kills, got, want)
	}
	audited(t, base, job, stored)
	for _, n := range []int{0, 1, 2, before / 2, before - 1} {
		changedOnce(t, base, n)
	}
	if again := waitRerate(t, base, p, rerate(t, base, "")); again.Result.Calls != 0 || again.Result.Aggregates != 0 {
		t.Errorf("something is left: %+v", again)
	}
	t.Logf("%d kills", kills)
}

// calls stores 500 calls from number n on.
func calls(t *testing.T, base string, n int, sum *tally, billed *big.Int) {
	t.Helper()
	var b bytes.Buffer
	for i := n; i < n+500; i++ {
		input, output, more := int64(i*7919%1_000_003+1), int64(i*104_729%100_003), ""
		switch {
		case i%20 == 7:
			more = `,"billedCostUsd":0.5`
			billed.Add(billed, big.NewInt(500_000_000_000))
		case i%50 == 0:
			more = `,"aggregate":true`
			sum.aggregates++
		default:
			sum.calls++
			sum.old.Add(&sum.old, line(input, firstInput)).Add(&sum.old, line(output, firstOutput))
			sum.new.Add(&sum.new, line(input, newInput)).Add(&sum.new, line(output, newOutput))
		}
		fmt.Fprintf(&b, `{"traceId":"t","spanId":"r%d","timestamp":%q,"feature":"f","provider":"self","model":"m%d","inputTokens":%d,"outputTokens":%d,"latencyMs":1%s}`+"\n",
			i, callTime(i).Format(time.RFC3339), i%2, input, output, more)
	}
	var answer struct{ Accepted int }
	if status := ask(t, http.MethodPost, base+"/api/v1/events", "application/x-ndjson", b.String(), &answer); answer.Accepted != 500 {
		t.Fatalf("%d: %+v", status, answer)
	}
}

func callTime(i int) time.Time {
	return time.Date(2026, 6, 1, 0, 0, i*37%2_600_000, 0, time.UTC)
}

func putPrice(t *testing.T, base, model, input, output string) {
	t.Helper()
	body := fmt.Sprintf(`{"provider":"self","model":%q,"effectiveFrom":"2026-01-01","prices":{"input":%s,"output":%s}}`, model, input, output)
	if status := ask(t, http.MethodPut, base+"/api/v1/prices", "application/json", body, &struct{}{}); status != http.StatusOK {
		t.Fatalf("putting a price: %d", status)
	}
}

type rerated struct {
	State, Error string
	Result       struct {
		Calls, Aggregates int
		OldCost, NewCost  json.Number
		Token             string
	}
}

// rerate starts a preview, or with its token what applies it.
func rerate(t *testing.T, base, token string) (job string) {
	t.Helper()
	body := `{"from":"2026-01-01","to":"2026-12-31"}`
	if token != "" {
		body = fmt.Sprintf(`{"from":"2026-01-01","to":"2026-12-31","apply":true,"token":%q}`, token)
	}
	var answer struct{ Data struct{ JobID string } }
	if status := ask(t, http.MethodPost, base+"/api/v1/prices/rerate", "application/json", body, &answer); answer.Data.JobID == "" {
		t.Fatalf("rerate: %d", status)
	}
	return answer.Data.JobID
}

func rerateOf(t *testing.T, base, id string) rerated {
	t.Helper()
	var answer struct{ Data rerated }
	get(t, base+"/api/v1/jobs/"+id, &answer)
	return answer.Data
}

func waitRerate(t *testing.T, base string, p *process, id string) rerated {
	t.Helper()
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		r := rerateOf(t, base, id)
		if r.State != "running" {
			return r
		}
		if time.Since(began) > 5*time.Minute {
			t.Fatalf("the run does not end: %+v\n%s", r, p.log.String())
		}
	}
}

// audited makes sure that one entry tells of the job, with the right sums.
func audited(t *testing.T, base, job string, want *tally) {
	t.Helper()
	var answer struct {
		Data []struct {
			Action string
			Detail struct {
				JobID  string
				Result struct {
					Calls            int
					OldCost, NewCost json.Number
				}
			}
		}
	}
	get(t, base+"/api/v1/admin/audit?limit=100", &answer)
	found := 0
	for _, e := range answer.Data {
		if e.Action != "prices.rerate" || e.Detail.JobID != job {
			continue
		}
		found++
		if r := e.Detail.Result; r.Calls != want.calls || pico(r.OldCost).Cmp(&want.old) != 0 || pico(r.NewCost).Cmp(&want.new) != 0 {
			t.Errorf("the audit log says %+v, want %+v", r, want)
		}
	}
	if found != 1 {
		t.Errorf("%d entries of the audit log tell of the run, want 1", found)
	}
}

// changedOnce looks at one call: its history has the first price, once.
func changedOnce(t *testing.T, base string, n int) {
	t.Helper()
	at := callTime(n)
	var list struct {
		Data []struct{ ID, SpanID string }
	}
	get(t, fmt.Sprintf("%s/api/v1/events?from=%s&to=%s&limit=500", base, at.Format(time.RFC3339), at.Add(time.Second).Format(time.RFC3339)), &list)
	for _, e := range list.Data {
		if e.SpanID != fmt.Sprintf("r%d", n) {
			continue
		}
		var one struct {
			Data struct {
				CostSource string
				History    []struct{ Cost json.Number }
			}
		}
		get(t, base+"/api/v1/events/"+e.ID, &one)
		want := 1
		if n%20 == 7 {
			want = 0
		}
		if len(one.Data.History) != want {
			t.Errorf("call %d was changed %d times: %+v", n, len(one.Data.History), one)
			return
		}
		i := int64(n)
		old := new(big.Int).Add(line(i*7919%1_000_003+1, firstInput), line(i*104_729%100_003, firstOutput))
		if want == 1 && pico(one.Data.History[0].Cost).Cmp(old) != 0 {
			t.Errorf("call %d cost %s before, want %v picodollars", n, one.Data.History[0].Cost, old)
		}
		return
	}
	if n%50 != 0 {
		t.Errorf("call %d is not listed", n)
	}
}

func ask(t *testing.T, method, url, contentType, body string, into any) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(into); err != nil {
		t.Fatalf("%s %s: %s: %v", method, url, res.Status, err)
	}
	return res.StatusCode
}
