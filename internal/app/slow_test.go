package app

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/costprof/costprof/internal/config"
)

// Senders that never finish are cut off by the settings, however steadily they
// send: one that trickles headers, and one that trickles a body. The other
// deadline is an hour, so that each ends by its own.
func TestSlowSendersAreCutOff(t *testing.T) {
	const most = 10 * time.Second
	for _, tc := range []struct {
		name         string
		header, body time.Duration
		begins, then string
		answer       string
	}{
		{"headers", 300 * time.Millisecond, time.Hour, "GET /health HTTP/1.1\r\nHost: localhost\r\n", "X: a\r\n", ""},
		{"body", 300 * time.Millisecond, 300 * time.Millisecond, "POST /api/v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n", " ", "408"},
		{"chunks", 300 * time.Millisecond, 300 * time.Millisecond, "POST /api/v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\n \r\n", "408"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := start(t, settings(t, func(c *config.Config) {
				c.HeaderTimeout, c.BodyTimeout, c.RequestTimeout = tc.header, tc.body, time.Hour
			}))
			conn, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(most))
			go func() {
				for _, err := io.WriteString(conn, tc.begins); err == nil; time.Sleep(20 * time.Millisecond) {
					_, err = io.WriteString(conn, tc.then)
				}
			}()
			answer := make([]byte, 1<<10)
			n, err := io.ReadFull(conn, answer)
			if ne, ok := err.(net.Error); ok && ne.Timeout() { //nolint:errorlint // as it comes from the connection
				t.Fatalf("it is still listened to after %v, and was answered %q", most, answer[:n])
			}
			if tc.answer != "" && !strings.HasPrefix(string(answer[:n]), "HTTP/1.1 "+tc.answer) {
				t.Errorf("got %.300q, want %s", answer[:n], tc.answer)
			}
		})
	}
}

// Headers are bounded together, many small ones, one large one and the address
// alike.
func TestHeaderFloods(t *testing.T) {
	r := start(t, settings(t))
	var many strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&many, "X%d: a\r\n", i)
	}
	for name, request := range map[string]string{
		"many":  "GET /health HTTP/1.1\r\nHost: localhost\r\n" + many.String() + "\r\n",
		"large": "GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + strings.Repeat("a", 80<<10) + "\r\n\r\n",
		"path":  "GET /" + strings.Repeat("a", 80<<10) + " HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"query": "GET /health?" + strings.Repeat("a", 80<<10) + " HTTP/1.1\r\nHost: localhost\r\n\r\n",
	} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		go func() { _, _ = io.WriteString(conn, request) }() // it may be refused before it is all there
		answer := make([]byte, len("HTTP/1.1 431"))
		n, err := io.ReadFull(conn, answer)
		conn.Close()
		if err != nil || string(answer[:n]) != "HTTP/1.1 431" {
			t.Errorf("%s: %v, %q, want 431", name, err, answer[:n])
		}
	}
}
