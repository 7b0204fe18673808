package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const (
	snapshotText = `{"type":"snapshot","totalCost":1.5,"callCount":3,"features":{"a":1,"b":0.5}}`
	updateText   = `{"type":"update","count":1,"totalCost":0.25,"runningTotal":1.75,"runningCount":4,"features":["a"],"featureCosts":{"a":0.25}}`
)

var quick = WithRetry(Retry{Attempts: 3, First: time.Millisecond, Max: time.Millisecond, MaxWait: time.Second})

// A stream that breaks, or is refused for a while, goes on behind its last event.
func TestFollowComesBack(t *testing.T) {
	var calls atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		last := r.Header.Get("Last-Event-ID")
		if r.URL.Path != "/api/v1/stream/costs" || r.URL.Query().Get("feature") != "a" || r.Header.Get("Authorization") != "Bearer k" {
			t.Errorf("asked for %s with %v", r.URL, r.Header)
		}
		send := func(text string) {
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprint(w, text)
			_ = http.NewResponseController(w).Flush()
		}
		switch n := calls.Add(1); {
		case n == 1 && last == "":
			send(": heartbeat\n\ndata: " + snapshotText + "\nid: x-1\n\ndata: " + updateText + "\nid: x-2\n\n")
			send("data: {\"type\":\"upd") // cut in the middle: never happened
			panic(http.ErrAbortHandler)
		case n >= 2 && n <= 5 && last == "x-2": // more often than a request is tried
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, `{"error":"stopping","requestId":"r"}`)
		case n == 6 && last == "x-2":
			send("id: x-3\ndata: " + updateText + "\n\n")
			<-r.Context().Done()
		default:
			t.Errorf("call %d with Last-Event-ID %q", n, last)
		}
	}))
	defer s.Close()
	c, err := New(s.URL, quick, WithKey("k"))
	if err != nil {
		t.Fatal(err)
	}
	enough := errors.New("enough")
	var got []string
	err = c.Follow(t.Context(), FollowRequest{Filter: Filter{Feature: []string{"a"}}}, func(e CostEvent) error {
		got = append(got, fmt.Sprint(e.ID, " ", e.Snapshot(), " ", e.TotalCost, " ", e.Features["a"], " ", e.RunningTotal))
		if len(got) == 3 {
			return enough
		}
		return nil
	})
	if want := "x-1 true 1.5 1 |x-2 false 0.25 0.25 1.75|x-3 false 0.25 0.25 1.75"; strings.Join(got, "|") != want || err != enough {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestFollowEnds(t *testing.T) {
	answer := func(status int, media, body string) *Client {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", media)
			w.WriteHeader(status)
			fmt.Fprint(w, body)
			if status == 200 {
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done()
			}
		}))
		t.Cleanup(s.Close)
		c, err := New(s.URL, quick)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	never := func(CostEvent) error { t.Error("an event"); return nil }
	if err := answer(400, "application/json", `{"error":"Validation failed"}`).Follow(t.Context(), FollowRequest{}, never); StatusOf(err) != 400 {
		t.Errorf("refused: %v", err)
	}
	if err := answer(503, "application/json", `{"error":"full"}`).Follow(t.Context(), FollowRequest{}, never); StatusOf(err) != 503 {
		t.Errorf("never let in: %v", err)
	}
	if err := answer(204, "text/html", "").Follow(t.Context(), FollowRequest{}, never); err == nil {
		t.Error("another program's answer was followed")
	}
	gone, err := New("http://127.0.0.1:1", WithRetry(NoRetry()))
	if err != nil {
		t.Fatal(err)
	}
	var unreachable *Unreachable
	if err := gone.Follow(t.Context(), FollowRequest{}, never); !errors.As(err, &unreachable) {
		t.Errorf("no server: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err = answer(200, "text/event-stream", "data: "+snapshotText+"\nid: 1\n\n").Follow(ctx, FollowRequest{}, func(CostEvent) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("ended: %v", err)
	}
	if err := answer(200, "text/event-stream", "data: nonsense\n\n").Follow(t.Context(), FollowRequest{}, never); err == nil {
		t.Error("nonsense was followed")
	}
}
