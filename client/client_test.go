package client

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// serve starts a server for one test and a client of it.
func serve(t *testing.T, handler http.HandlerFunc, options ...Option) *Client {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	options = append([]Option{WithRetry(Retry{Attempts: 3, First: time.Microsecond, Max: time.Microsecond, MaxWait: time.Minute})}, options...)
	c, err := New(s.URL, options...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestNewAddress(t *testing.T) {
	for in, want := range map[string]string{
		"localhost:3100":            "http://localhost:3100",
		"http://localhost:3100/":    "http://localhost:3100",
		" https://a.example/cost ":  "https://a.example/cost",
		"https://a.example/cost///": "https://a.example/cost",
	} {
		c, err := New(in)
		if err != nil {
			t.Errorf("New(%q): %v", in, err)
		} else if got := c.BaseURL(); got != want {
			t.Errorf("New(%q).BaseURL() = %q, want %q", in, got, want)
		}
	}
	for _, in := range []string{"", "http://", "ftp://a", "http://a:b@c", "http://a/?x=1", "http://a/#x", "http://[::1"} {
		if c, err := New(in); err == nil {
			t.Errorf("New(%q) = %s, want an error", in, c.BaseURL())
		} else if strings.Contains(err.Error(), "a:b") {
			t.Errorf("New(%q) shows the password: %v", in, err)
		}
	}
	if _, err := New("a", WithKey("secret\nX: y")); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("New with a broken key: %v, want an error that does not show it", err)
	}
}

func TestRequest(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if got, want := r.Header.Get("Authorization"), "Bearer k1"; got != want {
			t.Errorf("Authorization = %q, want %q", got, want)
		}
		const want = "/api/v1/analytics/cost-breakdown?feature=a%26b&feature=&from=2026-01-01&groupBy=model%2Ctag%3Ateam&limit=5&tag%3Ateam=x&tz=Asia%2FKolkata"
		if got := r.URL.String(); got != want {
			t.Errorf("URL = %s\nwant  %s", got, want)
		}
		io.WriteString(w, `{"data":[{"names":["m","x"],"totalCost":123456789012345678901234567890.000000000001,"share":0.5}],
			"meta":{"from":"2026-01-01T00:00:00+05:30","to":"2026-01-31T00:00:00+05:30","tz":"Asia/Kolkata"},
			"pagination":{"nextCursor":"c2","hasMore":true}}`)
	}, WithKey("k1"))
	page, err := c.Breakdown(t.Context(), BreakdownRequest{
		Filter:  Filter{From: "2026-01-01", TZ: "Asia/Kolkata", Feature: []string{"a&b", ""}, Tags: map[string][]string{"team": {"x"}}},
		GroupBy: []string{"model", "tag:team"}, Limit: 5,
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := page.Items[0].TotalCost, USD("123456789012345678901234567890.000000000001"); got != want {
		t.Errorf("TotalCost = %s, want every digit of %s", got, want)
	}
	if got, want := page.NextCursor, "c2"; got != want {
		t.Errorf("NextCursor = %q, want %q", got, want)
	}
	if got, want := page.Meta.From.UTC().Format(time.RFC3339), "2025-12-31T18:30:00Z"; got != want {
		t.Errorf("Meta.From = %s, want %s", got, want)
	}
}

func TestErrors(t *testing.T) {
	answer := func(status int, header, body string) error {
		c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Request-ID", "r1")
			if header != "" {
				w.Header().Set("Retry-After", header)
			}
			w.WriteHeader(status)
			io.WriteString(w, body)
		}, WithRetry(NoRetry()))
		_, err := c.GetEvent(t.Context(), "x/y")
		return err
	}
	var e *Error

	err := answer(400, "", `{"error":"Validation failed","details":{"from":["a","b"],"to":"c","x":{"y":1}},"requestId":"r2"}`)
	if !errors.As(err, &e) || e.Status != 400 || e.RequestID != "r2" || len(e.Details) != 3 || e.Details["to"][0] != "c" || e.Details["x"][0] != `{"y":1}` {
		t.Errorf("validation: %#v", err)
	}
	if got, want := err.Error(), `Validation failed: from a, b; to c; x {"y":1}`; got != want {
		t.Errorf("Error() = %q, want %q", got, want)
	}
	if err := answer(502, "", "<html>proxy</html>"); !errors.As(err, &e) || e.Status != 502 || e.RequestID != "r1" || e.Message != "the server answered 502 Bad Gateway" {
		t.Errorf("foreign page: %#v", err)
	}
	if err := answer(429, "7", `{"error":"Rate limit exceeded","retryAfter":7}`); !errors.As(err, &e) || e.RetryAfter != 7*time.Second {
		t.Errorf("Retry-After: %#v", err)
	}
	if err := answer(200, "", "<html>another service</html>"); err == nil || !strings.Contains(err.Error(), "is this a costprof server?") {
		t.Errorf("another service: %v", err)
	}
	if err := answer(200, "", ""); err == nil {
		t.Error("empty answer: no error")
	}
	if got := StatusOf(answer(404, "", `{"error":"no"}`)); got != 404 {
		t.Errorf("StatusOf = %d, want 404", got)
	}

	c, _ := New("http://127.0.0.1:1", WithRetry(NoRetry()))
	var gone *Unreachable
	if _, err := c.Health(t.Context()); !errors.As(err, &gone) || gone.URL != "http://127.0.0.1:1" {
		t.Errorf("no server: %#v, want Unreachable", err)
	}
}

func TestCancelIsNotUnreachable(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := serve(t, func(http.ResponseWriter, *http.Request) {
		cancel()
		<-ctx.Done()
		time.Sleep(10 * time.Millisecond)
	})
	_, err := c.Health(ctx)
	var gone *Unreachable
	if !errors.Is(err, context.Canceled) || errors.As(err, &gone) {
		t.Errorf("err = %v, want context.Canceled alone", err)
	}
}

func TestHealthDown(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if got, want := r.URL.Path, "/health"; got != want {
			t.Errorf("path = %s, want %s", got, want)
		}
		w.WriteHeader(503)
		io.WriteString(w, `{"status":"down","version":"1","services":{"database":{"status":"down"}}}`)
	})
	h, err := c.Health(t.Context())
	if err != nil || h.Status != "down" {
		t.Errorf("Health = %+v, %v, want the answer of a 503", h, err)
	}
}

func TestEventsFollowsCursors(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Query().Get("cursor") {
		case "":
			io.WriteString(w, `{"data":[{"id":"1","latencyMs":0.5},{"id":"2"}],"pagination":{"nextCursor":"n","hasMore":true}}`)
		case "n":
			io.WriteString(w, `{"data":[{"id":"3","cost":0.0004125}],"pagination":{"nextCursor":null,"hasMore":false}}`)
		}
	})
	var got []string
	for e, err := range c.Events(t.Context(), EventsRequest{}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e.ID)
		if e.ID == "1" && e.Latency != Duration(500*time.Microsecond) {
			t.Errorf("Latency = %v, want 500µs", e.Latency)
		}
	}
	if strings.Join(got, "") != "123" {
		t.Errorf("ids = %v, want 1 2 3", got)
	}
}

func TestTimeseriesShapes(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("groupBy") == "" {
			io.WriteString(w, `{"data":[{"timestamp":"2026-03-29T00:00:00+01:00","cost":1}]}`)
			return
		}
		io.WriteString(w, `{"data":[{"name":"a","points":[{"timestamp":"2026-03-29T00:00:00+01:00","cost":1}]}]}`)
	})
	for _, group := range []string{"", "feature"} {
		got, err := c.Timeseries(t.Context(), TimeseriesRequest{GroupBy: group})
		if err != nil || len(got.Series) != 1 || len(got.Series[0].Points) != 1 || got.Series[0].Points[0].Cost != "1" {
			t.Errorf("groupBy %q: %+v, %v", group, got, err)
		}
	}
}

func TestCompareReadsBothPeriods(t *testing.T) {
	var asked string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked = r.URL.String()
		io.WriteString(w, `{"data":[{"name":"a","cost":3,"baseline":1,"delta":2,"terms":{"volume":2.5,"price":-0.5},"mainTerm":"volume","callCount":5,"baselines":{"callCount":2}}],
			"meta":{"from":"2026-11-02T00:00:00Z","baselineFrom":"2026-11-01T00:00:00Z","total":{"delta":2}},"pagination":{"nextCursor":"n","hasMore":true}}`)
	})
	got, err := c.Compare(t.Context(), CompareRequest{
		Filter: Filter{From: "2026-11-02", Feature: []string{"a"}}, BaselineFrom: "2026-11-01", BaselineTo: "2026-11-01", GroupBy: []string{"feature", "model"}, Limit: 3,
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := "/api/v1/analytics/compare?baselineFrom=2026-11-01&baselineTo=2026-11-01&feature=a&from=2026-11-02&groupBy=feature%2Cmodel&limit=3"; asked != want {
		t.Errorf("asked %s, want %s", asked, want)
	}
	row := got.Items[0]
	if row.Delta != "2" || row.Terms.Price != "-0.5" || row.CallCount != 5 || row.Baselines.CallCount != 2 || got.NextCursor != "n" ||
		got.Meta.BaselineFrom.Day() != 1 || got.Meta.From.Day() != 2 || got.Meta.Total.Delta != "2" || !got.Meta.LastCall.IsZero() {
		t.Errorf("read %+v", got)
	}
}

func TestPutPriceIsNotRepeatedBlindly(t *testing.T) {
	calls := 0
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		calls++
		b, _ := io.ReadAll(r.Body)
		if got, want := string(b), `{"provider":"p","model":"m","prices":{"input":0.25}}`; got != want {
			t.Errorf("body = %s, want %s", got, want)
		}
		w.WriteHeader(502)
	})
	_, err := c.PutPrice(t.Context(), PutPrice{Provider: "p", Model: "m", Prices: map[string]USD{"input": "0.25"}})
	if StatusOf(err) != 502 || calls != 1 {
		t.Errorf("err = %v after %d requests, want 502 after 1", err, calls)
	}
}

func TestUSD(t *testing.T) {
	for _, s := range []string{"0", "-1.5", "0.000000000001", "1e-7", "170141183460469231731687303715884105727"} {
		var u USD
		if err := json.Unmarshal([]byte(s), &u); err != nil || string(u) != s {
			t.Errorf("Unmarshal(%s) = %q, %v", s, u, err)
		}
		if b, err := json.Marshal(u); err != nil || string(b) != s {
			t.Errorf("Marshal(%s) = %s, %v", s, b, err)
		}
	}
	var u USD
	if err := json.Unmarshal([]byte("null"), &u); err != nil || u != "" {
		t.Errorf("null = %q, %v, want no amount", u, err)
	}
	for _, s := range []string{"NaN", ".5", "01", "1.", "+1", "1e", `{"a":1}`, "-"} {
		if b, err := json.Marshal(USD(s)); err == nil {
			t.Errorf("Marshal(%q) = %s, want an error", s, b)
		}
	}
	if _, err := USD("1e999999999").Rat(); !errors.Is(err, ErrUSD) {
		t.Errorf("huge exponent: %v, want ErrUSD", err)
	}
}

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0:                        "0",
		1500 * time.Microsecond:  "1.5",
		time.Microsecond:         "0.001",
		time.Second:              "1000",
		1999:                     "0.001",
		-1500 * time.Microsecond: "-1.5",
	} {
		b, err := json.Marshal(Duration(d))
		if err != nil || string(b) != want {
			t.Errorf("Marshal(%v) = %s, %v, want %s", d, b, err, want)
		}
		var back Duration
		if err := json.Unmarshal(b, &back); err != nil || time.Duration(back) != d.Truncate(time.Microsecond) {
			t.Errorf("Unmarshal(%s) = %v, %v", b, back, err)
		}
	}
	var d Duration
	if err := json.Unmarshal([]byte("1e300"), &d); err == nil {
		t.Errorf("1e300 ms = %v, want an error", d)
	}
}
