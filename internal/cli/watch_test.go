package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/costprof/costprof/client"
)

const (
	watchSnapshot = `{"type":"snapshot","totalCost":1.00000000001,"callCount":3,"timestamp":"2026-11-01T12:00:00Z","unpricedCalls":1,"features":{"chat":1,"(other)":0.00000000001}}`
	watchUpdate   = `{"type":"update","count":2,"totalCost":0.5,"runningTotal":1.50000000001,"runningCount":5,"timestamp":"2026-11-01T12:00:01Z","unpricedCalls":1,"features":["chat","rare"],"featureCosts":{"chat":0.25,"rare":0.25}}`
)

func TestWatch(t *testing.T) {
	watch := func(args ...string) outcome {
		ctx, cancel := context.WithCancel(t.Context())
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.RawQuery != "feature=chat&tag%3Ateam=blue" {
				t.Errorf("asked for %s", r.URL)
			}
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprintf(w, "data: %s\nid: 1\n\ndata: %s\nid: 2\n\n", watchSnapshot, watchUpdate)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}))
		defer s.Close()
		out := &endAfter{lines: 2, end: cancel}
		var errOut bytes.Buffer
		code := Run(ctx, append([]string{"--server", s.URL, "watch", "--feature", "chat", "--tag", "team=blue"}, args...), Stdio{In: strings.NewReader(""), Out: out, Err: &errOut})
		return outcome{code, out.String(), errOut.String()}
	}
	if got := watch("--json"); got.code != 0 || got.out != watchSnapshot+"\n"+watchUpdate+"\n" || got.err != "" {
		t.Errorf("--json: %+v", got)
	}
	at := func(sec int) string {
		return time.Date(2026, 11, 1, 12, 0, sec, 0, time.UTC).Local().Format(time.TimeOnly)
	}
	want := at(0) + "  $1.0000 in 3 calls\n" + at(1) + "  $1.5000 in 5 calls, +$0.5000 in 2\n"
	if got := watch(); got.code != 0 || got.out != want || got.err != "" {
		t.Errorf("into a pipe: %+v, want %q", got, want)
	}
	for _, args := range [][]string{{"watch", "--from", "2026-11-01"}, {"watch", "-n", "0"}, {"watch", "--tag", "team"}} {
		if got := run(t, args...); got.code != exitUsage {
			t.Errorf("%v: %+v", args, got)
		}
	}
	if got := run(t, "--server", "http://127.0.0.1:1", "watch"); got.code != exitFailed || !strings.Contains(got.err, "costprof serve") {
		t.Errorf("no server: %+v", got)
	}
}

// endAfter ends a watch, as Ctrl-C does, once it wrote some lines.
type endAfter struct {
	bytes.Buffer
	lines int
	end   func()
}

func (e *endAfter) Write(b []byte) (int, error) {
	n, err := e.Buffer.Write(b)
	if bytes.Count(e.Bytes(), []byte("\n")) >= e.lines {
		e.end()
	}
	return n, err
}

func TestBoard(t *testing.T) {
	b := &board{limit: 2, since: map[string]*big.Rat{}}
	for _, text := range []string{watchSnapshot, watchUpdate} {
		c := followed(t, text)
		b.take(&c)
	}
	var out bytes.Buffer
	b.write(&out, terminal{width: 60})
	for _, want := range []string{"$1.5000 in 5 calls", "+$0.5000 in 2 calls since you look", "chat     $1.2500", "(other)  $0.2500", "+$0.2500", "2 calls have no price"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	// A later snapshot replaces the sums, not what came while watching.
	c := followed(t, `{"type":"snapshot","totalCost":9,"callCount":1,"timestamp":"2026-11-01T12:00:00Z","features":{"\u001b[2J":9}}`)
	b.take(&c)
	out.Reset()
	b.write(&out, terminal{})
	if s := out.String(); !strings.Contains(s, "$9.0000 in 1 call\n") || strings.Contains(s, "\x1b[2J") || !strings.Contains(s, "+$0.5000") {
		t.Errorf("after a snapshot:\n%s", s)
	}
}

// followed is the event that a client makes of a message.
func followed(t *testing.T, text string) (got client.CostEvent) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprintf(w, "data: %s\n\n", text)
	}))
	defer s.Close()
	c, err := client.New(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Follow(t.Context(), client.FollowRequest{}, func(e client.CostEvent) error { got = e; return io.EOF }); err != io.EOF {
		t.Fatal(err)
	}
	return got
}
