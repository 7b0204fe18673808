// Package client speaks to a costprof server: it sends events exactly once and
// asks every question of the API with typed requests and answers. It owns
// batching, compression and retries; it knows nothing of how the server prices
// or stores.
//
//	c, err := client.New("http://127.0.0.1:3100", client.WithKey(os.Getenv("COSTPROF_KEY")))
//	…
//	result, err := c.Send(ctx, []client.Event{{
//		TraceID: "t1", SpanID: "s1", Feature: "support-chat",
//		Provider: "openai", Model: "gpt-4o",
//		InputTokens: 1200, OutputTokens: 80, Latency: client.Millis(840),
//	}})
//
// Money is text (USD), never a floating-point number. A Client may be used by
// many goroutines.
package client

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Client is a connection to one server.
type Client struct {
	base        *url.URL
	key         string
	userAgent   string
	http        *http.Client
	retry       Retry
	onRetry     func(Waiting)
	compression Compression
	gzips       sync.Pool
	zstd        *zstd.Encoder
	now         func() time.Time
}

// Option changes a Client that New makes.
type Option func(*Client)

// WithKey sends the key as a bearer token. An empty key sends none.
func WithKey(key string) Option { return func(c *Client) { c.key = key } }

// WithHTTPClient replaces the HTTP client, for proxies, TLS settings or tests.
func WithHTTPClient(h *http.Client) Option { return func(c *Client) { c.http = h } }

// WithUserAgent names the calling program to the server.
func WithUserAgent(name string) Option { return func(c *Client) { c.userAgent = name } }

// WithRetry replaces DefaultRetry.
func WithRetry(r Retry) Option { return func(c *Client) { c.retry = r } }

// WithRetryNotice is called before each wait of a retry, from the goroutine that
// waits.
func WithRetryNotice(f func(Waiting)) Option { return func(c *Client) { c.onRetry = f } }

// Compression is how bodies of events are packed.
type Compression uint8

// The compressions. Bodies below a kilobyte are never packed.
const (
	Gzip Compression = iota
	Zstd
	Uncompressed
)

// WithCompression replaces Gzip.
func WithCompression(a Compression) Option { return func(c *Client) { c.compression = a } }

// New makes a client for the server at baseURL, for example
// "http://127.0.0.1:3100"; a missing scheme is http. It does not connect.
func New(baseURL string, options ...Option) (*Client, error) {
	base, err := parseBase(baseURL)
	if err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 32
	transport.ResponseHeaderTimeout = 2 * time.Minute
	c := &Client{
		base:      base,
		userAgent: "costprof-go",
		http:      &http.Client{Transport: transport, CheckRedirect: sameMethod},
		retry:     DefaultRetry(),
		now:       time.Now,
	}
	for _, o := range options {
		o(c)
	}
	if strings.ContainsFunc(c.key, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, errors.New("client: the key contains a character that a header cannot carry")
	}
	switch c.compression {
	case Gzip:
		c.gzips.New = func() any {
			// BestSpeed is a valid level, so there is no error.
			w, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed)
			return w
		}
	case Zstd:
		c.zstd, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest))
		if err != nil {
			return nil, err
		}
	case Uncompressed:
	}
	return c, nil
}

// sameMethod follows a redirect only as what it was. A POST that is sent on as a
// GET, as 301 and 302 have it, would lose its events and be answered with a list.
func sameMethod(next *http.Request, via []*http.Request) error {
	if next.Method != via[0].Method {
		return http.ErrUseLastResponse
	}
	if len(via) >= 10 {
		return errors.New("stopped after 10 redirects")
	}
	return nil
}

// BaseURL is where the server is, without a trailing slash.
func (c *Client) BaseURL() string { return strings.TrimSuffix(c.base.String(), "/") }

func parseBase(s string) (*url.URL, error) {
	s = strings.TrimSpace(s)
	if !strings.Contains(s, "://") {
		s = "http://" + s
	}
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return nil, fmt.Errorf("client: the server's address %q is not a URL", s)
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("client: the server's address %q must start with http:// or https://", u.Redacted())
	case u.Host == "":
		return nil, fmt.Errorf("client: the server's address %q names no host", s)
	case u.User != nil:
		return nil, errors.New("client: the server's address must not contain a password; use the key")
	case u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("client: the server's address %q must not have a query or fragment", s)
	}
	u.Path = strings.TrimRight(u.Path, "/") + "/"
	u.RawPath = ""
	return u, nil
}
