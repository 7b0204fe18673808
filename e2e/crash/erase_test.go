package crash

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/costprof/costprof/internal/testserver"
)

// engine is a way to start the server again on the same ledger.
type engine struct {
	name  string
	start func(t *testing.T) *process
	base  string
	// dir holds the ledger's files where they are ours to read.
	dir string
}

// onBoth runs a test on the embedded engine and on PostgreSQL.
func onBoth(t *testing.T, test func(t *testing.T, e engine)) {
	bin := testserver.Binary(t)
	t.Run("embedded", func(t *testing.T) {
		addr, dir := freeAddress(t), t.TempDir()
		test(t, engine{"embedded", func(t *testing.T) *process { return startServer(t, bin, dir, addr) }, "http://" + addr, dir})
	})
	t.Run("postgres", func(t *testing.T) {
		addr, db := freeAddress(t), testserver.Database(t)
		test(t, engine{"postgres", func(t *testing.T) *process { return startOn(t, bin, db, addr) }, "http://" + addr, ""})
	})
}

func minutesOf(n int) time.Duration { return time.Duration(n) * 20 * time.Minute }

// call is the event of a number; the higher, the older.
func call(begin time.Time, n int, more string) string {
	at := begin.Add(-minutesOf(n))
	return fmt.Sprintf(`{"project":"p%d","traceId":"t","spanId":"s%d","timestamp":%q,"feature":"f%d","provider":"openai","model":"gpt-4o","inputTokens":%d,"outputTokens":7,"latencyMs":1%s}`,
		n%6, n, at.Format(time.RFC3339), n%3, 1000+n%500, more)
}

// sendAll gives how many of the events were new; partial leaves out what is
// refused.
func sendAll(t *testing.T, base string, events []string) (accepted int) {
	t.Helper()
	for len(events) > 0 {
		n := min(500, len(events))
		res, err := http.Post(base+"/api/v1/events?partial=true", "application/x-ndjson", strings.NewReader(strings.Join(events[:n], "\n")))
		if err != nil {
			t.Fatal(err)
		}
		var answer struct{ Accepted *int }
		err = json.NewDecoder(res.Body).Decode(&answer)
		res.Body.Close()
		if err != nil || answer.Accepted == nil && res.StatusCode != http.StatusBadRequest {
			t.Fatalf("%s, %v", res.Status, err)
		}
		if answer.Accepted != nil {
			accepted += *answer.Accepted
		}
		events = events[n:]
	}
	return accepted
}

// dailyTotals is what a chart of the days shows.
func dailyTotals(t *testing.T, base string, begin time.Time) string {
	t.Helper()
	var answer struct{ Data json.RawMessage }
	get(t, base+"/api/v1/analytics/timeseries?granularity=day&groupBy=project&series=10&from="+begin.AddDate(0, 0, -100).Format(time.DateOnly)+"&to="+begin.AddDate(0, 0, 1).Format(time.DateOnly), &answer)
	if len(answer.Data) < 100 {
		t.Fatalf("no totals: %s", answer.Data)
	}
	return string(answer.Data)
}

// change sends a body; it gives status 0 when the server was killed meanwhile.
func change(method, url, body string) (status int, answer string) {
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return 0, err.Error()
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
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

// The totals of the days stay while old events are removed, wherever the server
// is killed; what was removed does not come back; and the removal goes on.
func TestKillDuringPrune(t *testing.T) {
	onBoth(t, func(t *testing.T, e engine) {
		r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 3))
		begin := time.Now().UTC().Truncate(time.Hour)
		events := make([]string, 5400) // 75 days
		for i := range events {
			events[i] = call(begin, i+1, "")
		}
		p := e.start(t)
		defer func() { p.kill() }()
		waitReady(t, e.base, p)
		if n := sendAll(t, e.base, events); n != len(events) {
			t.Fatalf("%d of %d are stored", n, len(events))
		}
		want := dailyTotals(t, e.base, begin)
		// old counts the events that are to go when so many days are kept.
		old := func(days int) (n int) {
			cut := begin.AddDate(0, 0, -days).Truncate(24 * time.Hour)
			for span := range stored(t, e.base) {
				var i int
				if _, err := fmt.Sscanf(span, "s%d", &i); err != nil {
					t.Fatal(err)
				}
				if begin.Add(-minutesOf(i)).Before(cut) {
					n++
				}
			}
			return n
		}
		cutOff := 0
		// A little more each time, so that each life of the server has something to do.
		for _, days := range []int{70, 60, 50, 40, 30, 20, 10, 1} {
			body := fmt.Sprintf(`{"eventDays":%d}`, days)
			if status, answer := change(http.MethodPut, e.base+"/api/v1/admin/retention", body); status != http.StatusOK {
				t.Fatalf("%d %s", status, answer)
			}
			time.Sleep(time.Duration(r.IntN(120)) * time.Millisecond)
			p.kill()
			p = e.start(t)
			waitReady(t, e.base, p)
			if got := dailyTotals(t, e.base, begin); got != want {
				t.Fatalf("after a kill with %d days the totals are\n%s\nand were\n%s", days, got, want)
			}
			if old(days) > 0 {
				cutOff++
			}
		}
		for begin := time.Now(); old(1) > 0; time.Sleep(20 * time.Millisecond) {
			if time.Since(begin) > patience {
				t.Fatalf("%d old events are not removed:\n%s", old(1), p.log.String())
			}
		}
		kept := len(stored(t, e.base))
		if n := sendAll(t, e.base, events); n != 0 {
			t.Errorf("%d removed events came back", n)
		}
		if got := dailyTotals(t, e.base, begin); got != want {
			t.Errorf("the totals are\n%s\nand were\n%s", got, want)
		}
		if n := len(stored(t, e.base)); n != kept || kept == 0 {
			t.Errorf("%d events are stored, were %d", n, kept)
		}
		if status, reason := health(t, e.base); status != "ok" {
			t.Errorf("health is %q: %s", status, reason)
		}
		t.Logf("%d of 8 kills came before the old events were gone", cutOff)
	})
}

// A person is erased whole or not at all, wherever the server is killed; no total
// moves, the run ends after the restart, and then no file has the id.
func TestKillDuringErasure(t *testing.T) {
	const person = "person-4711-of-interest"
	onBoth(t, func(t *testing.T, e engine) {
		r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 4))
		begin := time.Now().UTC().Truncate(time.Hour)
		named := fmt.Sprintf(`,"userId":%q,"sessionId":"of-theirs","metadata":{"about":%q},"tags":{"who":%q}`, person, person, person)
		p := e.start(t)
		defer func() { p.kill() }()
		waitReady(t, e.base, p)
		var theirs []string
		outcomes := map[string]int{}
		for round := range 6 {
			events := make([]string, 2000)
			for i := range events {
				n := round*2000 + i
				if events[i] = call(begin, n, ""); i%20 == 7 {
					events[i] = call(begin, n, named)
					theirs = append(theirs, events[i])
				}
			}
			if n := sendAll(t, e.base, events); n != len(events) {
				t.Fatalf("%d of %d are stored", n, len(events))
			}
			if n := callsOf(t, e.base, person); n != 100 {
				t.Fatalf("%d calls are theirs, want 100", n)
			}
			want := dailyTotals(t, e.base, begin)
			done := make(chan int, 1)
			go func() {
				status, _ := change(http.MethodPost, e.base+"/api/v1/admin/erase", fmt.Sprintf(`{"userId":%q}`, person))
				done <- status
			}()
			// In the commit, or while the files are written anew.
			time.Sleep(time.Duration(r.IntN([]int{60, 800}[round%2])) * time.Millisecond)
			p.kill()
			status := <-done
			p = e.start(t)
			waitReady(t, e.base, p)
			if got := dailyTotals(t, e.base, begin); got != want {
				t.Fatalf("after a kill the totals are\n%s\nand were\n%s", got, want)
			}
			left := callsOf(t, e.base, person)
			if left != 0 && (left != 100 || status == http.StatusAccepted) {
				t.Fatalf("%d events have the id after a kill; the answer was %d", left, status)
			}
			for begin := time.Now(); running(t, e.base); time.Sleep(20 * time.Millisecond) {
				if time.Since(begin) > patience {
					t.Fatalf("the run does not end:\n%s", p.log.String())
				}
			}
			outcomes[fmt.Sprintf("answered %d, %d left", status, left)]++
			if left == 0 && e.dir != "" {
				wantInNoFile(t, e.dir, person)
			}
			// Whoever got no answer asks again.
			if status, answer := change(http.MethodPost, e.base+"/api/v1/admin/erase", fmt.Sprintf(`{"userId":%q}`, person)); status != http.StatusAccepted {
				t.Fatalf("%d %s", status, answer)
			}
			for running(t, e.base) {
				time.Sleep(20 * time.Millisecond)
			}
			if e.dir != "" {
				wantInNoFile(t, e.dir, person)
			}
			if n := sendAll(t, e.base, theirs); n != 0 {
				t.Errorf("%d erased events came back", n)
			}
			if n := callsOf(t, e.base, person); n != 0 {
				t.Errorf("%d events have the id again", n)
			}
			if got := dailyTotals(t, e.base, begin); got != want {
				t.Fatalf("the totals are\n%s\nand were\n%s", got, want)
			}
		}
		t.Log(outcomes)
	})
}

// callsOf is how many calls a user has.
func callsOf(t *testing.T, base, user string) (calls int) {
	t.Helper()
	var answer struct {
		Data []struct {
			Name      string
			CallCount int
		}
	}
	get(t, base+"/api/v1/analytics/users?from=2020-01-01&limit=1000", &answer)
	for _, u := range answer.Data {
		if u.Name == user {
			calls += u.CallCount
		}
	}
	return calls
}

func running(t *testing.T, base string) bool {
	t.Helper()
	var answer struct{ Data []json.RawMessage }
	get(t, base+"/api/v1/jobs?state=running", &answer)
	return len(answer.Data) > 0
}

func wantInNoFile(t *testing.T, dir, text string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if bytes.Contains(b, []byte(text)) {
			t.Errorf("%s is in %s", text, filepath.Base(path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
