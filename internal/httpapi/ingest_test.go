package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/ingest"
	"github.com/costprof/costprof/internal/store"
)

func gzipped(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write(b)
	_ = w.Close()
	return out.Bytes()
}

func zstded(b []byte) []byte {
	w, err := zstd.NewWriter(nil)
	if err != nil {
		panic(err)
	}
	return w.EncodeAll(b, nil)
}

func TestIngest(t *testing.T) {
	f := setup(t)
	var got struct {
		Accepted, Duplicates int
		Conflicts            []struct {
			Index int
			ID    string
		}
	}
	f.post("/api/v1/events", batch(event(1), event(2))).want(202).into(&got)
	if got.Accepted != 2 || got.Duplicates != 0 {
		t.Errorf("first: %+v", got)
	}
	f.post("/api/events", batch(event(2), event(3))).want(202).into(&got)
	if got.Accepted != 1 || got.Duplicates != 1 {
		t.Errorf("second: %+v", got)
	}
	f.post("/api/v1/events", event(4)+"\n\n"+event(5)+"\n", func(r *http.Request) {
		r.Header.Set("Content-Type", "application/x-ndjson; charset=UTF-8")
	}).want(202).into(&got)
	if got.Accepted != 2 {
		t.Errorf("NDJSON: %+v", got)
	}
	f.post("/api/v1/events", batch(event(6, `{"eventId":"mine"}`))).want(202)
	conflict := f.post("/api/v1/events", batch(event(7, `{"eventId":"mine"}`))).want(202).into(&got)
	if got.Accepted != 0 || len(got.Conflicts) != 1 || got.Conflicts[0].Index != 0 || len(got.Conflicts[0].ID) != 32 {
		t.Errorf("conflict: %s", conflict.body)
	}
	if n := f.stored(); n != 6 {
		t.Errorf("%d stored, want 6", n)
	}
}

// A span that turns out to be the sum of others leaves the totals when it is told
// again, and its history says so.
func TestIngestMarks(t *testing.T) {
	f := setup(t)
	first := event(1, `{"eventId":"run"}`)
	f.post("/api/v1/events", batch(first, event(2))).want(202)
	spent := func() (calls int, cost json.Number) {
		var got struct {
			TotalCost json.Number
			Data      []struct{ CallCount int }
		}
		f.get("/api/v1/analytics/cost-breakdown?groupBy=feature&" + november).want(200).into(&got)
		for _, row := range got.Data {
			calls += row.CallCount
		}
		return calls, got.TotalCost
	}
	if calls, _ := spent(); calls != 2 {
		t.Fatalf("%d calls, want 2", calls)
	}
	var got struct{ Accepted, Duplicates, Marked int }
	a := f.post("/api/v1/events", batch(event(1, `{"eventId":"run","aggregate":true}`), event(2))).want(202).into(&got)
	if got.Accepted != 0 || got.Duplicates != 2 || got.Marked != 1 {
		t.Fatalf("marked: %s", a.body)
	}
	calls, cost := spent()
	if calls != 1 {
		t.Fatalf("%d calls, want 1", calls)
	}
	a = f.post("/api/v1/events", batch(first)).want(202)
	if strings.Contains(string(a.body), "marked") {
		t.Fatalf("again, without the mark: %s", a.body)
	}
	if calls, now := spent(); calls != 1 || now != cost {
		t.Fatalf("%d calls of %s after a retry, want 1 of %s", calls, now, cost)
	}
	id := ""
	for r, err := range f.ledger.Events(t.Context(), store.EventQuery{Filter: analytics.Filter{Aggregates: true}}) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Aggregate {
			id = r.ID.String()
		}
	}
	var answer struct {
		Data struct {
			Aggregate bool
			Cost      json.Number
			History   []struct {
				Marked        bool
				Reason        string
				Cost, NewCost json.Number
			}
		}
	}
	a = f.get("/api/v1/events/" + id).want(200).into(&answer)
	one := answer.Data
	if !one.Aggregate || len(one.History) != 1 || !one.History[0].Marked || one.History[0].Reason != "aggregate" || one.History[0].Cost != one.Cost || one.History[0].NewCost != one.Cost {
		t.Fatalf("the event: %s", a.body)
	}
}

func TestIngestCompressed(t *testing.T) {
	f := setup(t)
	n := 0
	for encoding, pack := range map[string]func([]byte) []byte{
		"gzip": gzipped, "GZIP": gzipped, "x-gzip": gzipped, "zstd": zstded, "identity": func(b []byte) []byte { return b },
		"gzip ": gzipped,
	} {
		for range 3 { // decompressors are used again
			n++
			a := f.post("/api/v1/events", string(pack([]byte(batch(event(n))))), header("Content-Encoding", strings.TrimSpace(encoding))).want(202)
			if !bytes.Contains(a.body, []byte(`"accepted":1`)) {
				t.Errorf("%s: %s", encoding, a.body)
			}
		}
	}
	// Two gzip members are one body.
	text := batch(event(100))
	two := append(gzipped([]byte(text[:20])), gzipped([]byte(text[20:]))...)
	f.post("/api/v1/events", string(two), header("Content-Encoding", "gzip")).want(202)
}

func TestIngestRefusals(t *testing.T) {
	good := batch(event(1))
	packed, squeezed := gzipped([]byte(good)), zstded([]byte(good))
	big := `{"events":[` + strings.Repeat(" ", maxBody) + `]}`
	encoded := func(e string) option { return header("Content-Encoding", e) }
	kind := func(k string) option { return func(r *http.Request) { r.Header.Set("Content-Type", k) } }
	chunked := func(r *http.Request) { r.ContentLength = -1 }
	for _, tc := range []struct {
		name    string
		target  string
		body    string
		options []option
		status  int
		says    string
	}{
		{"no events", "", `{"events":[]}`, nil, 400, "500"},
		{"501 events", "", batch(strings.Split(strings.Repeat(event(1)+"\x00", 501), "\x00")[:501]...), nil, 400, "500"},
		{"empty body", "", " ", nil, 400, "empty"},
		{"not JSON", "", `{"events":`, nil, 400, "JSON"},
		{"two documents", "", good + good, nil, 400, ""},
		{"bad UTF-8", "", batch(strings.Replace(event(1), `"chat"`, "\"\xff\"", 1)), nil, 400, ""},
		{"NUL", "", batch(event(1, `{"feature":"a\u0000b"}`)), nil, 400, "U+0000"},
		{"broken rule", "", batch(event(1), event(2, `{"inputTokens":-1}`)), nil, 400, "events[1].inputTokens"},
		{"partial word", "?partial=yes", good, nil, 400, "partial"},
		{"partial twice", "?partial=true&partial=true", good, nil, 400, "partial"},
		{"partial empty", "?partial=", good, nil, 400, "partial"},
		{"unknown parameter", "?dry-run=true", good, nil, 400, "dry-run"},
		{"no type", "", good, []option{func(r *http.Request) { r.Header.Del("Content-Type") }}, 415, "application/json"},
		{"two types", "", good, []option{header("Content-Type", "text/plain")}, 415, "application/json"},
		{"broken type", "", good, []option{kind("application/json; x")}, 415, "application/json"},
		{"latin-1", "", good, []option{kind("application/json; charset=iso-8859-1")}, 415, "UTF-8"},
		{"xml", "", good, []option{kind("application/xml")}, 415, "application/x-ndjson"},
		{"unknown encoding", "", good, []option{encoded("br")}, 415, "gzip"},
		{"two encodings", "", string(gzipped(packed)), []option{encoded("gzip, gzip")}, 415, "gzip"},
		{"two encoding headers", "", string(gzipped(packed)), []option{encoded("gzip"), encoded("gzip")}, 415, "gzip"},
		{"too large", "", big, nil, 413, "5 MiB"},
		{"too large, chunked", "", big, []option{chunked}, 413, "5 MiB"},
		{"too large, gzip", "", string(gzipped([]byte(big))), []option{encoded("gzip")}, 413, "5 MiB"},
		{"too large, zstd", "", string(zstded([]byte(big))), []option{encoded("zstd")}, 413, "5 MiB"},
		{"too large, two members", "", string(append(gzipped([]byte(big[:maxBody-10])), gzipped([]byte(big))...)), []option{encoded("gzip")}, 413, "5 MiB"},
		{"truncated gzip", "", string(packed[:len(packed)-9]), []option{encoded("gzip")}, 400, "truncated"},
		{"gzip without its checksum", "", string(packed[:len(packed)-4]), []option{encoded("gzip")}, 400, "truncated"},
		{"gzip of another checksum", "", string(packed[:len(packed)-8]) + "\x00\x00\x00\x00" + string(packed[len(packed)-4:]), []option{encoded("gzip")}, 400, "corrupt"},
		{"gzip with rubbish behind", "", string(packed) + "rubbish", []option{encoded("gzip")}, 400, "corrupt"},
		{"not gzip", "", good, []option{encoded("gzip")}, 400, "corrupt"},
		{"truncated zstd", "", string(squeezed[:len(squeezed)-5]), []option{encoded("zstd")}, 400, "truncated"},
		{"not zstd", "", good, []option{encoded("zstd")}, 400, "corrupt"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := setup(t)
			f.post("/api/v1/events"+tc.target, tc.body, tc.options...).want(tc.status).says(tc.says)
			if n := f.stored(); n != 0 {
				t.Errorf("%d events were stored", n)
			}
			if free := f.api.server.bodies.budget.free; free != 64<<20 {
				t.Errorf("%d bytes of the budget are free, want all", free)
			}
		})
	}
}

func TestIngestPartial(t *testing.T) {
	f := setup(t)
	var got ingest.Result
	f.post("/api/v1/events?partial=true", batch(event(1), event(2, `{"inputTokens":-1,"feature":""}`), event(3))).want(202).into(&got)
	if got.Accepted != 2 || len(got.Rejected) != 1 || got.Rejected[0].Index != 1 || len(got.Rejected[0].Errors) != 2 {
		t.Errorf("got %+v", got)
	}
	f.post("/api/v1/events?partial=false", batch(event(4), event(5, `{"inputTokens":-1}`))).want(400)
	if n := f.stored(); n != 2 {
		t.Errorf("%d stored, want 2", n)
	}
}

// What each event costs is answered in the order of the batch, for what is there
// already too, and exactly.
func TestIngestCosts(t *testing.T) {
	f := setup(t)
	two := batch(event(1), event(2, `{"inputTokens":-1}`), event(3, `{"provider":"nobody","model":"knows"}`), event(4, `{"billedCostUsd":0.000000000001}`))
	for range 2 {
		a := f.post("/api/v1/events?partial=true&costs=true", two).want(202)
		var got struct {
			Costs []struct {
				Index      int
				Cost       json.Number
				CostSource string
			}
		}
		a.into(&got)
		if c := got.Costs; len(c) != 3 || c[1].Index != 2 || c[1].CostSource != "unpriced" || c[1].Cost != "0" || c[2].Index != 3 || c[2].CostSource != "billed" || c[2].Cost != "0.000000000001" {
			t.Fatalf("%s", a.body)
		}
		if got.Costs[0].CostSource != "catalog" || got.Costs[0].Cost == "0" {
			t.Errorf("%s", a.body)
		}
	}
	if a := f.post("/api/v1/events", batch(event(1))).want(202); bytes.Contains(a.body, []byte("costs")) {
		t.Errorf("nobody asked: %s", a.body)
	}
	f.post("/api/v1/events?costs=maybe", two).want(400).says("costs")
}

// A body of the largest size is read whole; a small one that unpacks to
// gigabytes costs no more than a large one.
func TestIngestLargestBodyAndBomb(t *testing.T) {
	f := setup(t)
	text := batch(event(1))
	f.post("/api/v1/events", text+strings.Repeat(" ", maxBody-len(text))).want(202)

	var bomb bytes.Buffer
	w, err := gzip.NewWriterLevel(&bomb, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	chunk := bytes.Repeat([]byte{' '}, 1<<20)
	for range 128 {
		if _, err := w.Write(chunk); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f.post("/api/v1/events", bomb.String(), header("Content-Encoding", "gzip")).want(413)
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 40<<20 {
		t.Errorf("a bomb of %d bytes allocated %d", bomb.Len(), grown)
	}
	// A frame that asks for a window of 256 MiB gets none.
	window := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x90, 0x01, 0x00, 0x00}
	f.post("/api/v1/events", string(window), header("Content-Encoding", "zstd")).want(413).says("8 MiB")
}

// Nothing that was not stored is acknowledged.
func TestIngestStoreAway(t *testing.T) {
	var failure error
	f := setup(t)
	f.api.server.ingest = ingest.New(ingest.Params{
		Ledger: &appender{f.ledger, func() error { return failure }},
		Book:   func() ingest.Book { return f.prices.Book() }, Versions: f.catalog, Now: func() time.Time { return f.now }, Log: f.api.server.log,
	})
	failure = &fault.Error{Code: fault.Unavailable, Message: "The ledger is behind", RetryAfter: 7 * time.Second}
	if a := f.post("/api/v1/events", batch(event(1))).want(503).says("behind"); a.header.Get("Retry-After") != "7" {
		t.Errorf("Retry-After %q", a.header.Get("Retry-After"))
	}
	failure = errors.New("disk on fire")
	f.post("/api/v1/events", batch(event(1))).want(500)
	if n := f.stored(); n != 0 {
		t.Errorf("%d stored", n)
	}
	failure = nil
	f.post("/api/v1/events", batch(event(1))).want(202).says(`"accepted":1`)
}

// When the budget is spent a batch waits, then gets 503, and the ones before it
// are unharmed.
func TestIngestBusy(t *testing.T) {
	release := make(chan struct{})
	var held sync.WaitGroup
	f := setup(t, func(p *Params) {
		p.IngestMemory, p.IngestWait = maxBody, 50*time.Millisecond
		p.Ingest = ingester(func(ctx context.Context) (ingest.Result, error) {
			<-release
			return ingest.Result{Accepted: 1}, nil
		})
	})
	body := batch(event(1)) + strings.Repeat(" ", 3<<20) // holds more than half
	held.Go(func() { f.post("/api/v1/events", body).want(202) })
	for f.api.server.bodies.budget.taken(maxBody) < 3<<20 {
		time.Sleep(time.Millisecond)
	}
	if a := f.post("/api/v1/events", body).want(503).says("nothing of this one was stored"); a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	close(release)
	held.Wait()
	f.post("/api/v1/events", body).want(202)
	if taken := f.api.server.bodies.budget.taken(maxBody); taken != 0 {
		t.Errorf("%d bytes are still taken", taken)
	}
}

func (b *budget) taken(of int64) int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return of - b.free
}

// A sender that trickles its body is cut off and holds nothing afterwards.
func TestIngestSlowBody(t *testing.T) {
	f := setup(t)
	server := httptest.NewUnstartedServer(f.api)
	server.Config.ReadTimeout = 200 * time.Millisecond
	server.Config.ReadHeaderTimeout = 100 * time.Millisecond
	server.Start()
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /api/v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"events\":[")
	answer, err := io.ReadAll(conn)
	if err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.1 408 ")) || !bytes.Contains(answer, []byte(`"requestId"`)) {
		t.Errorf("slow body: %v %s", err, answer)
	}
	// The same with headers that never end.
	idle, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	fmt.Fprintf(idle, "GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow:")
	_ = idle.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.ReadAll(idle); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("a connection with unfinished headers stays open")
	}
	if taken := f.api.server.bodies.budget.taken(64 << 20); taken != 0 {
		t.Errorf("%d bytes are still taken", taken)
	}
}

// A client that reads nothing before it sent everything is told that it sent too
// much, declared or not; one that asks first need not send it.
func TestIngestTooLargeIsAnswered(t *testing.T) {
	server := httptest.NewServer(setup(t).api)
	defer server.Close()
	body := bytes.Repeat([]byte{' '}, 2*maxBody)
	for _, tc := range []struct{ name, headers, body string }{
		{"declared", fmt.Sprintf("Content-Length: %d\r\n", len(body)), string(body)},
		{"chunked", "Transfer-Encoding: chunked\r\n", fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body)},
		{"asked first", fmt.Sprintf("Expect: 100-continue\r\nContent-Length: %d\r\n", len(body)), ""},
	} {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "POST /api/v1/events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n%s\r\n", tc.headers)
		if _, err := io.WriteString(conn, tc.body); err != nil {
			t.Errorf("%s: sending: %v", tc.name, err)
			continue
		}
		answer, err := io.ReadAll(conn)
		if err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.1 413 ")) {
			t.Errorf("%s: got %v %.200s, want 413", tc.name, err, answer)
		}
	}
}

// However many send slowly, and whatever their bytes would decompress to, they
// hold little until the whole body is there.
func TestIngestSlowBodiesHoldLittle(t *testing.T) {
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	if _, err := w.Write(bytes.Repeat([]byte{' '}, maxBody-1)); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	const budget = 4 << 20
	f := setup(t, func(p *Params) { p.IngestMemory, p.IngestWait = budget+maxBody, 50*time.Millisecond })
	server := httptest.NewServer(f.api)
	defer server.Close()
	const senders = 100
	for i := range senders {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		encoding, sent := "identity", []byte(`{"events":[`)
		if i%2 == 0 {
			encoding, sent = "gzip", z.Bytes()
		}
		fmt.Fprintf(conn, "POST /api/v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Encoding: %s\r\nContent-Length: %d\r\n\r\n%s",
			encoding, len(sent)+10, sent)
	}
	for f.api.Accepted() < senders {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(50 * time.Millisecond)
	if taken := f.api.server.bodies.budget.taken(budget + maxBody); taken > senders*keptSizes[1] {
		t.Errorf("%d slow senders hold %d bytes", senders, taken)
	}
	f.post("/api/v1/events", batch(event(1))).want(202)
}

// A client that half-closes its connection too early still reads why.
func TestIngestHalfClosed(t *testing.T) {
	f := setup(t)
	server := httptest.NewServer(f.api)
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "POST /api/v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"events\":[")
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.1 400 ")) || !bytes.Contains(answer, []byte("could not be read to its end")) {
		t.Errorf("%v %s", err, answer)
	}
}

// Bodies of every size around those of the buffers arrive whole.
func TestBodySizes(t *testing.T) {
	f := setup(t)
	for _, size := range []int64{0, 1, keptSizes[0] - 1, keptSizes[0], keptSizes[0] + 1, keptSizes[2], keptSizes[3], keptSizes[3] + 1, 1 << 20, 1<<20 + 1, maxBody} {
		for _, encode := range []struct {
			name string
			of   func([]byte) []byte
		}{{"", func(b []byte) []byte { return b }}, {"gzip", gzipped}, {"zstd", zstded}} {
			want := make([]byte, size)
			for i := range want {
				want[i] = byte(i * 7 / 3)
			}
			r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(encode.of(want)))
			r.Header.Set("Content-Encoding", encode.name)
			b, err := f.api.server.bodies.read(t.Context(), httptest.NewRecorder(), r, maxBody)
			if err != nil {
				t.Fatalf("%d bytes, %s: %v", size, encode.name, err)
			}
			if !bytes.Equal(b.bytes, want) {
				t.Errorf("%d bytes, %s: %d arrived", size, encode.name, len(b.bytes))
			}
			b.release()
		}
	}
	if taken := f.api.server.bodies.budget.taken(64 << 20); taken != 0 {
		t.Errorf("%d bytes are still taken", taken)
	}
}

// A client that leaves while its batch is stored leaves nothing behind here.
func TestIngestClientGone(t *testing.T) {
	started, ended := make(chan struct{}), make(chan error, 1)
	f := setup(t, func(p *Params) {
		p.Ingest = ingester(func(ctx context.Context) (ingest.Result, error) {
			close(started)
			<-ctx.Done()
			ended <- ctx.Err()
			return ingest.Result{}, ctx.Err()
		})
	})
	server := httptest.NewServer(f.api)
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL+"/api/v1/events", strings.NewReader(batch(event(1))))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		if resp, err := http.DefaultClient.Do(r); err == nil {
			resp.Body.Close()
			t.Error("an answer arrived")
		}
	}()
	<-started
	cancel()
	<-gone
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the work ended with %v", err)
	}
	for range 500 {
		if f.api.server.bodies.budget.taken(64<<20) == 0 {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Error("the batch still holds memory")
}

func TestHugeHeaders(t *testing.T) {
	f := setup(t)
	server := httptest.NewUnstartedServer(f.api)
	server.Config.MaxHeaderBytes = 64 << 10
	server.Start()
	defer server.Close()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/health", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Big", strings.Repeat("x", 100<<10))
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("status %d", resp.StatusCode)
	}
}

// Many senders at once: every batch is whole, nothing is counted twice.
func TestIngestConcurrently(t *testing.T) {
	f := setup(t)
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			for j := range 8 {
				body := []byte(batch(event(1000*i+2*j), event(1000*i+2*j+1)))
				encoding := "identity"
				switch j % 3 {
				case 1:
					body, encoding = gzipped(body), "gzip"
				case 2:
					body, encoding = zstded(body), "zstd"
				}
				r := httptest.NewRequest(http.MethodPost, "http://localhost/api/v1/events", bytes.NewReader(body))
				r.Header.Set("Content-Type", "application/json")
				r.Header.Set("Content-Encoding", encoding)
				w := httptest.NewRecorder()
				f.api.ServeHTTP(w, r)
				if w.Code != 202 || !strings.Contains(w.Body.String(), `"accepted":2`) {
					t.Errorf("%d: %s", w.Code, w.Body)
				}
			}
		})
	}
	all.Wait()
	if n := f.stored(); n != 16*8*2 {
		t.Errorf("%d stored, want %d", n, 16*8*2)
	}
}

func TestUnknownFieldsAreNamed(t *testing.T) {
	f := setup(t)
	body := strings.Replace(batch(event(1, `{"cachedToken":5}`)), "{", `{"partial":true,`, 1)
	f.post("/api/v1/events", body).want(202).says(`"accepted":1`, `"warnings":["partial: unknown field, ignored","events[0].cachedToken: unknown field, ignored"]`)
}
