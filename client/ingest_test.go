package client

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/klauspost/compress/zstd"
	"pgregory.net/rapid"
)

type wireBatch struct {
	Events []json.RawMessage `json:"events"`
}

func readBatch(r *http.Request) (wireBatch, int, error) {
	var body io.Reader = r.Body
	switch r.Header.Get("Content-Encoding") {
	case "gzip":
		z, err := gzip.NewReader(body)
		if err != nil {
			return wireBatch{}, 0, err
		}
		body = z
	case "zstd":
		z, err := zstd.NewReader(body)
		if err != nil {
			return wireBatch{}, 0, err
		}
		defer z.Close()
		body = z
	}
	b, err := io.ReadAll(body)
	if err != nil {
		return wireBatch{}, 0, err
	}
	var w wireBatch
	err = json.Unmarshal(b, &w)
	return w, len(b), err
}

func TestSendSplits(t *testing.T) {
	for _, compression := range []Compression{Gzip, Zstd, Uncompressed} {
		var got []string
		c := serve(t, func(w http.ResponseWriter, r *http.Request) {
			b, size, err := readBatch(r)
			if err != nil {
				t.Error(err)
			}
			if len(b.Events) == 0 || len(b.Events) > MaxBatchEvents || size > MaxBatchBytes {
				t.Errorf("a batch of %d events and %d bytes", len(b.Events), size)
			}
			for _, raw := range b.Events {
				var e struct{ SpanID string }
				if err := json.Unmarshal(raw, &e); err != nil {
					t.Error(err)
				}
				got = append(got, e.SpanID)
			}
			fmt.Fprintf(w, `{"accepted":%d,"duplicates":0}`, len(b.Events))
		}, WithCompression(compression))

		var events []Event
		var want []string
		for i := range 1203 {
			e := Event{TraceID: "t", SpanID: fmt.Sprint(i), Feature: "f"}
			if i < 200 {
				e.Prompt = strings.Repeat("p", 100<<10)
			}
			events = append(events, e)
			want = append(want, e.SpanID)
		}
		r, err := c.Send(t.Context(), events)
		if err != nil || r.Accepted != len(events) {
			t.Errorf("Send = %+v, %v, want %d accepted", r, err, len(events))
		}
		if !slices.Equal(got, want) {
			t.Errorf("compression %d: arrived %d events, not those that were sent in order", compression, len(got))
		}
	}
}

// Whatever the sizes, no body is over a limit and nothing is lost.
func TestSplitProperty(t *testing.T) {
	var sent []string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		b, size, err := readBatch(r)
		if err != nil || size > MaxBatchBytes || len(b.Events) > MaxBatchEvents {
			t.Errorf("a batch of %d events and %d bytes: %v", len(b.Events), size, err)
		}
		for _, e := range b.Events {
			sent = append(sent, string(e))
		}
		fmt.Fprintf(w, `{"accepted":%d}`, len(b.Events))
	}, WithCompression(Uncompressed))
	rapid.Check(t, func(rt *rapid.T) {
		sent = nil
		var want []string
		var raw []json.RawMessage
		n := rapid.IntRange(0, 6).Draw(rt, "events")
		for i := range n {
			size := rapid.SampledFrom([]int{2, 1 << 10, MaxBatchBytes / 2, MaxBatchBytes - 13 - 1, MaxBatchBytes - 13, MaxBatchBytes - 13 + 1}).Draw(rt, "size")
			e := fmt.Sprintf("%*s", size, fmt.Sprint(i))
			e = `"` + e[min(2, len(e)):] + `"`
			raw = append(raw, json.RawMessage(e))
			if len(e) <= MaxBatchBytes-13 {
				want = append(want, e)
			}
		}
		r, err := c.SendRaw(context.Background(), raw, Partial())
		if err != nil || r.Accepted+len(r.Rejected) != n || !slices.Equal(sent, want) {
			rt.Fatalf("%d events: accepted %d, rejected %d, arrived %d, want %d: %v", n, r.Accepted, len(r.Rejected), len(sent), len(want), err)
		}
	})
}

func TestSendIndexesAreTheCallers(t *testing.T) {
	batches := 0
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		batches++
		if batches == 1 {
			io.WriteString(w, `{"accepted":500,"duplicates":0}`)
			return
		}
		if r.URL.Query().Get("partial") == "true" {
			io.WriteString(w, `{"accepted":7,"duplicates":1,"conflicts":[{"index":9,"id":"x"}],"rejected":[{"index":3,"errors":{"feature":["is required"]}}],"warnings":["w"]}`)
			return
		}
		w.WriteHeader(400)
		io.WriteString(w, `{"error":"Validation failed","details":{"events[3].feature":["is required"],"events[400].x":["y"]}}`)
	})
	events := make([]Event, 510)
	r, err := c.Send(t.Context(), events)
	var e *Error
	if !errors.As(err, &e) || e.Details["events[503].feature"] == nil {
		t.Errorf("err = %#v, want a detail of events[503]", err)
	}
	if r.Accepted != 500 {
		t.Errorf("Accepted = %d, want the 500 of the first batch", r.Accepted)
	}
	batches = 0
	r, err = c.Send(t.Context(), events, Partial())
	if err != nil || r.Accepted != 507 || r.Rejected[0].Index != 503 || r.Conflicts[0].Index != 509 {
		t.Errorf("partial = %+v, %v", r, err)
	}
}

// Success without an account of every event is no success: something else than a
// costprof server may have taken, and dropped, what was sent.
func TestSendTrustsOnlyAFullAccount(t *testing.T) {
	for _, answer := range []string{`{}`, `{"data":[]}`, `{"accepted":1}`, `{"accepted":3}`, `[]`} {
		c := serve(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, answer) })
		r, err := c.Send(t.Context(), make([]Event, 2))
		if err == nil || r.Accepted != 0 || !strings.Contains(err.Error(), "a costprof server?") {
			t.Errorf("%s: %+v, %v", answer, r, err)
		}
	}
}

func TestSendIsNotRedirectedIntoAQuestion(t *testing.T) {
	asked := 0
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/v1/events" {
			status := http.StatusMovedPermanently
			if asked == 1 {
				status = http.StatusPermanentRedirect
			}
			asked++
			http.Redirect(w, r, "/elsewhere", status)
			return
		}
		if r.Method != http.MethodPost {
			t.Errorf("the redirect was followed by %s", r.Method)
		}
		io.WriteString(w, `{"accepted":1}`)
	})
	events := make([]Event, 1)
	if r, err := c.Send(t.Context(), events); StatusOf(err) != http.StatusMovedPermanently || r.Accepted != 0 {
		t.Errorf("301: %+v, %v", r, err)
	}
	if r, err := c.Send(t.Context(), events); err != nil || r.Accepted != 1 {
		t.Errorf("308: %+v, %v", r, err)
	}
}

func TestSendFillsTimestampsOnce(t *testing.T) {
	var bodies []wireBatch
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		b, _, err := readBatch(r)
		if err != nil {
			t.Error(err)
		}
		bodies = append(bodies, b)
		if len(bodies) < 3 {
			w.WriteHeader(503)
			return
		}
		io.WriteString(w, `{"accepted":2,"duplicates":1}`)
	})
	given := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	events := []Event{{SpanID: "a"}, {SpanID: "a"}, {SpanID: "b", Timestamp: given}}
	if _, err := c.Send(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	if events[0].Timestamp.IsZero() || events[0].Timestamp.Equal(events[1].Timestamp) || !events[2].Timestamp.Equal(given) {
		t.Errorf("timestamps = %v, %v, %v", events[0].Timestamp, events[1].Timestamp, events[2].Timestamp)
	}
	if ns := events[0].Timestamp.Nanosecond() % 1000; ns != 0 {
		t.Errorf("a timestamp with %d ns beyond microseconds", ns)
	}
	for i := 1; i < len(bodies); i++ {
		for j := range bodies[i].Events {
			if string(bodies[i].Events[j]) != string(bodies[0].Events[j]) {
				t.Errorf("attempt %d sent %s, the first %s", i+1, bodies[i].Events[j], bodies[0].Events[j])
			}
		}
	}
}

func TestSendRefusesBrokenText(t *testing.T) {
	c := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("a request was sent") })
	if _, err := c.Send(t.Context(), []Event{{Feature: "a\xff"}}); err == nil || !strings.Contains(err.Error(), "events[0]") {
		t.Errorf("err = %v, want one that names events[0]", err)
	}
	if _, err := c.Send(t.Context(), []Event{{BilledCostUSD: "1,5"}}); err == nil {
		t.Error("a broken amount was sent")
	}
	if r, err := c.Send(t.Context(), nil); err != nil || r.Accepted != 0 {
		t.Errorf("no events: %+v, %v", r, err)
	}
}

func TestEventWireForm(t *testing.T) {
	first := Duration(0)
	e := Event{
		TraceID: "t", SpanID: "s", Feature: "f", Provider: "p", Model: "m", InputTokens: 3, Latency: Duration(1500 * time.Microsecond),
		TimeToFirstToken: &first, BilledCostUSD: "0", Timestamp: time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC),
		Tags: map[string]string{"a": "b"}, Usage: map[string]int64{"webSearches": 1}, Metadata: json.RawMessage(`{"x":1}`),
	}
	var got string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		b, _, _ := readBatch(r)
		got = string(b.Events[0])
		io.WriteString(w, `{"accepted":1}`)
	})
	if _, err := c.Send(t.Context(), []Event{e}); err != nil {
		t.Fatal(err)
	}
	const want = `{"traceId":"t","spanId":"s","timestamp":"2026-01-02T03:04:05.000000678Z","feature":"f","provider":"p","model":"m",` +
		`"inputTokens":3,"outputTokens":0,"usage":{"webSearches":1},"latencyMs":1.5,"timeToFirstTokenMs":0,"billedCostUsd":0,"tags":{"a":"b"},"metadata":{"x":1}}`
	if got != want {
		t.Errorf("wire form\n got %s\nwant %s", got, want)
	}
}

// roundTrip is a transport that needs no network, for tests in fake time.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func response(status int, retryAfter, body string) *http.Response {
	h := http.Header{}
	if retryAfter != "" {
		h.Set("Retry-After", retryAfter)
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}
}

func offline(t *testing.T, f roundTrip, options ...Option) *Client {
	t.Helper()
	c, err := New("http://x", append([]Option{WithHTTPClient(&http.Client{Transport: f})}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestRetryWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Duration
		start := time.Now()
		notices := 0
		c := offline(t, func(*http.Request) (*http.Response, error) {
			at = append(at, time.Since(start))
			switch len(at) {
			case 1:
				return nil, errors.New("connection reset")
			case 2:
				return response(429, "20", `{"error":"Rate limit exceeded"}`), nil
			case 3:
				return response(503, start.Add(40*time.Second).UTC().Format(http.TimeFormat), ""), nil
			}
			return response(202, "", `{"accepted":1}`), nil
		}, WithRetryNotice(func(w Waiting) {
			notices++
			if w.Attempt != notices || w.Err == nil || w.Wait <= 0 {
				t.Errorf("notice %d: %+v", notices, w)
			}
		}))
		r, err := c.Send(t.Context(), []Event{{}})
		if err != nil || r.Accepted != 1 || len(at) != 4 || notices != 3 {
			t.Fatalf("Send = %+v, %v after %d attempts and %d notices", r, err, len(at), notices)
		}
		if d := at[1]; d < 125*time.Millisecond || d > 250*time.Millisecond {
			t.Errorf("first wait %v, want 125 to 250 ms", d)
		}
		if d := at[2] - at[1]; d < 20*time.Second || d > 22*time.Second {
			t.Errorf("wait after Retry-After: 20 was %v", d)
		}
		if at[3] < 39*time.Second {
			t.Errorf("came back %v after the start, before the date of Retry-After", at[3])
		}
	})
}

func TestRetryEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, tc := range map[string]struct {
			answer *http.Response
			want   int
		}{
			"validation is final":          {response(400, "", `{"error":"no"}`), 1},
			"no permission is final":       {response(403, "", `{"error":"no"}`), 1},
			"our bug is final":             {response(500, "", `{"error":"no"}`), 1},
			"a Retry-After beyond MaxWait": {response(429, "3600", `{"error":"no"}`), 1},
			"a proxy without its server":   {response(502, "", ""), 8},
			"a broken Retry-After":         {response(503, "soon", ""), 8},
		} {
			attempts := 0
			c := offline(t, func(*http.Request) (*http.Response, error) {
				attempts++
				answer := *tc.answer
				answer.Body = io.NopCloser(strings.NewReader(`{"error":"no"}`))
				return &answer, nil
			})
			_, err := c.Send(t.Context(), []Event{{}})
			if StatusOf(err) != tc.answer.StatusCode || attempts != tc.want {
				t.Errorf("%s: %v after %d attempts, want %d", name, err, attempts, tc.want)
			}
		}
	})
}

func TestRetryStopsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		c := offline(t, func(*http.Request) (*http.Response, error) { return response(503, "30", `{"error":"busy"}`), nil })
		start := time.Now()
		_, err := c.Send(ctx, []Event{{}})
		if !errors.Is(err, context.DeadlineExceeded) || StatusOf(err) != 503 || time.Since(start) != 3*time.Second {
			t.Errorf("err = %v after %v, want the deadline and the reason after 3s", err, time.Since(start))
		}
	})
}

// Costs come back at the events' own places, over several requests.
func TestSendCosts(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		b, _, err := readBatch(r)
		if err != nil || r.URL.Query().Get("costs") != "true" {
			t.Errorf("%s, %v", r.URL, err)
		}
		costs := []any{}
		rejected := []any{}
		for i, e := range b.Events {
			var in struct{ SpanID string }
			if err := json.Unmarshal(e, &in); err != nil {
				t.Error(err)
			}
			if strings.HasSuffix(in.SpanID, "7") {
				rejected = append(rejected, map[string]any{"index": i, "errors": map[string]any{}})
				continue
			}
			costs = append(costs, map[string]any{"index": i, "cost": json.Number("0." + "1" + in.SpanID), "costSource": "catalog"})
		}
		w.WriteHeader(http.StatusAccepted)
		_ = json.NewEncoder(w).Encode(map[string]any{"accepted": len(b.Events) - len(rejected), "rejected": rejected, "costs": costs})
	})
	events := make([]Event, 1203)
	for i := range events {
		events[i] = Event{TraceID: "t", SpanID: fmt.Sprint(i), Feature: "f", Provider: "p", Model: "m"}
	}
	r, err := c.Send(t.Context(), events, Partial(), Costs())
	if err != nil || len(r.Costs)+len(r.Rejected) != len(events) || len(r.Rejected) != 120 {
		t.Fatalf("%d costs, %d rejected, %v", len(r.Costs), len(r.Rejected), err)
	}
	for _, cost := range r.Costs {
		if cost.Cost != USD(fmt.Sprintf("0.1%d", cost.Index)) || cost.CostSource != "catalog" {
			t.Fatalf("%+v", cost)
		}
	}
}
