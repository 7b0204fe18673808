package httpapi

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/costprof/costprof/internal/report"
	"github.com/costprof/costprof/internal/usage"
)

// reports counts the questions that are worked out at once.
type reports struct {
	Reports
	events func(context.Context, report.EventsRequest) (report.Events, error)
	chart  func(context.Context) error
}

func (r reports) Events(ctx context.Context, q report.EventsRequest) (report.Events, error) {
	return r.events(ctx, q)
}

func (r reports) Breakdown(ctx context.Context, q report.BreakdownRequest) (report.Breakdown, error) {
	if err := r.chart(ctx); err != nil {
		return report.Breakdown{}, err
	}
	return r.Reports.Breakdown(ctx, q)
}

// Lists wait for each other and end in 503, charts go on beside them.
func TestListsAreBounded(t *testing.T) {
	release := make(chan struct{})
	f := setup(t, func(p *Params) {
		p.RequestTimeout = 200 * time.Millisecond
		p.Reports = reports{Reports: p.Reports, chart: func(context.Context) error { return nil },
			events: func(_ context.Context, q report.EventsRequest) (report.Events, error) {
				<-release
				return report.Events{From: q.Filter.From, To: q.Filter.To}, nil
			}}
	})
	var held sync.WaitGroup
	const most = listMemory / (1000 * eventMemory)
	for range most {
		held.Go(func() { f.get("/api/v1/events?limit=1000").want(200) })
	}
	for f.api.server.answers.lists.taken(listMemory) < most*1000*eventMemory {
		time.Sleep(time.Millisecond)
	}
	if a := f.get("/api/v1/events?limit=1000").want(503).says("busy"); a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	f.get("/api/v1/analytics/cost-breakdown").want(200)
	f.post("/api/v1/events", batch(event(1))).want(202)
	close(release)
	held.Wait()
	if taken := f.api.server.answers.lists.taken(listMemory); taken != 0 {
		t.Errorf("%d bytes are still taken", taken)
	}
}

// Whoever reads a large answer slowly holds what it is large, no more, and for a
// while; whoever leaves holds nothing.
func TestSlowReader(t *testing.T) {
	record := usage.Record{Event: usage.Event{Metadata: []byte(`{"k":"` + strings.Repeat("x", 16_000) + `"}`)}}
	rows := make([]usage.Record, 1000)
	for i := range rows {
		rows[i] = record
	}
	f := setup(t, func(p *Params) {
		p.Reports = reports{Reports: p.Reports, events: func(_ context.Context, q report.EventsRequest) (report.Events, error) {
			return report.Events{Rows: rows, From: q.Filter.From, To: q.Filter.To}, nil
		}}
	})
	server := httptest.NewServer(f.api)
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("GET /api/v1/events?limit=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	taken := func() int64 { return f.api.server.answers.lists.taken(listMemory) }
	if got := taken(); got < 16_000_000 || got > 17_000_000 {
		t.Errorf("a slow reader of 16 MB holds %d", got)
	}
	conn.Close()
	for range 1000 {
		if taken() == 0 {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Errorf("a reader that left holds %d", taken())
}

// The deadline of a large answer is on the connection.
func TestHurry(t *testing.T) {
	for size, want := range map[int]time.Duration{
		smallAnswer: 0, 1 << 20: readerStart + 8*time.Second, 1 << 30: longestAnswer,
	} {
		w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
		hurry(w, size)
		if got := time.Until(w.at); want == 0 && !w.at.IsZero() || want > 0 && (got > want || got < want-time.Second) {
			t.Errorf("%d bytes: %v, want %v", size, got, want)
		}
	}
}

type deadlines struct {
	*httptest.ResponseRecorder
	at time.Time
}

func (d *deadlines) SetWriteDeadline(at time.Time) error {
	d.at = at
	return nil
}

var _ http.ResponseWriter = (*deadlines)(nil)
