package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// maxAnswer bounds the memory that one answer may take.
const maxAnswer = 256 << 20

const apiPrefix = "api/v1/"

// call is one request.
type call struct {
	method string
	// path is below the base URL, without a leading slash, escaped.
	path            string
	query           url.Values
	body            []byte
	contentType     string
	contentEncoding string
	// idempotent calls may be sent again when it is not known whether the last
	// attempt arrived.
	idempotent bool
	// also is a status besides 2xx whose body is an answer.
	also int
}

// send performs a call, trying again as c.retry allows, and gives the answer's
// body.
func (c *Client) send(ctx context.Context, in call) ([]byte, error) {
	for attempt := 1; ; attempt++ {
		body, err := c.attempt(ctx, in)
		if err == nil {
			return body, nil
		}
		if ctx.Err() != nil {
			return nil, err
		}
		wait, again := c.retry.backoff(attempt, err, in.idempotent)
		if !again {
			return nil, err
		}
		if c.onRetry != nil {
			c.onRetry(Waiting{Attempt: attempt, Wait: wait, Err: err})
		}
		if err := pause(ctx, wait, err); err != nil {
			return nil, err
		}
	}
}

func (c *Client) attempt(ctx context.Context, in call) ([]byte, error) {
	u, err := c.base.Parse(in.path)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	u.RawQuery = in.query.Encode()
	var reader io.Reader
	if in.body != nil {
		reader = bytes.NewReader(in.body)
	}
	req, err := http.NewRequestWithContext(ctx, in.method, u.String(), reader)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", c.userAgent)
	if in.contentType != "" {
		req.Header.Set("Content-Type", in.contentType)
	}
	if in.contentEncoding != "" {
		req.Header.Set("Content-Encoding", in.contentEncoding)
	}
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.broken(ctx, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, c.broken(ctx, err)
	}
	if len(body) > maxAnswer {
		return nil, fmt.Errorf("client: the answer of %s is larger than %d MiB", in.path, maxAnswer>>20)
	}
	if resp.StatusCode/100 != 2 && (in.also == 0 || resp.StatusCode != in.also) {
		return nil, parseError(resp.StatusCode, resp.Header, body, c.now())
	}
	return body, nil
}

func (c *Client) broken(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("client: %w", context.Cause(ctx))
	}
	// The URL is in Unreachable already; url.Error would repeat it with the query.
	if e, ok := err.(*url.Error); ok { //nolint:errorlint // only the outermost wrapper is dropped
		err = e.Err
	}
	return &Unreachable{URL: c.BaseURL(), Err: err}
}

// Get asks any GET endpoint below /api/v1 and gives the whole JSON answer as the
// server wrote it, for example Get(ctx, "analytics/features", nil).
func (c *Client) Get(ctx context.Context, path string, query url.Values) (json.RawMessage, error) {
	body, err := c.send(ctx, call{method: http.MethodGet, path: apiPrefix + path, query: query, idempotent: true})
	if err != nil {
		return nil, err
	}
	if !json.Valid(body) {
		return nil, c.foreign(path)
	}
	return body, nil
}

func (c *Client) foreign(path string) error {
	return fmt.Errorf("client: the answer of %s/%s%s is not JSON; is this a costprof server?", c.BaseURL(), apiPrefix, path)
}

// Meta says what an answer covers.
type Meta struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
	TZ   string    `json:"tz"`
	// TotalCost and CallCount are sums over the whole answer of a breakdown, also
	// of rows that are on no page yet; other answers leave them out.
	TotalCost USD   `json:"totalCost,omitzero"`
	CallCount int64 `json:"callCount,omitzero"`
}

// Page is one page of a list.
type Page[T any] struct {
	Items []T
	Meta  Meta
	// NextCursor continues the list; "" at its end.
	NextCursor string
}

type envelope[T any] struct {
	Data       T    `json:"data"`
	Meta       Meta `json:"meta"`
	Pagination struct {
		NextCursor *string `json:"nextCursor"`
		HasMore    bool    `json:"hasMore"`
	} `json:"pagination"`
}

func (e *envelope[T]) next() string {
	if e.Pagination.NextCursor == nil {
		return ""
	}
	return *e.Pagination.NextCursor
}

func ask[T any](ctx context.Context, c *Client, path string, query url.Values) (envelope[T], error) {
	body, err := c.send(ctx, call{method: http.MethodGet, path: apiPrefix + path, query: query, idempotent: true})
	if err != nil {
		return envelope[T]{}, err
	}
	return decode[T](c, path, body)
}

func decode[T any](c *Client, path string, body []byte) (envelope[T], error) {
	var e envelope[T]
	if !json.Valid(body) {
		return e, c.foreign(path)
	}
	if err := json.Unmarshal(body, &e); err != nil {
		return e, fmt.Errorf("client: reading the answer of %s: %w", path, err)
	}
	return e, nil
}

func askPage[T any](ctx context.Context, c *Client, path string, query url.Values) (Page[T], error) {
	e, err := ask[[]T](ctx, c, path, query)
	if err != nil {
		return Page[T]{}, err
	}
	return Page[T]{Items: e.Data, Meta: e.Meta, NextCursor: e.next()}, nil
}

// change performs a request with a JSON body that is not repeated blindly.
func change[T any](ctx context.Context, c *Client, in call, payload any) (T, error) {
	var none T
	if payload != nil {
		body, err := json.Marshal(payload)
		if err != nil {
			return none, fmt.Errorf("client: %w", err)
		}
		in.body, in.contentType = body, "application/json"
	}
	path := in.path
	in.path = apiPrefix + path
	body, err := c.send(ctx, in)
	if err != nil {
		return none, err
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return none, nil // 204
	}
	e, err := decode[T](c, path, body)
	return e.Data, err
}
