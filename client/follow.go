package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"
)

// FollowRequest asks for what is being stored.
type FollowRequest struct {
	// Filter chooses calls. A stream is of all times: From, To and TZ stay empty.
	Filter
	// LastEventID goes on behind an event that was seen before, where the server
	// still can; "" begins with a snapshot.
	LastEventID string
}

// CostEvent is one message of a stream.
type CostEvent struct {
	// ID is what LastEventID goes on behind.
	ID string `json:"-"`
	// Type is "snapshot" or "update". A snapshot replaces everything before it; an
	// update says what was stored since.
	Type string `json:"type"`
	// Count and TotalCost are of the newly stored calls; in a snapshot TotalCost
	// is of everything, and CallCount the calls.
	Count     int64 `json:"count"`
	TotalCost USD   `json:"totalCost"`
	CallCount int64 `json:"callCount"`
	// RunningTotal and RunningCount are of everything, with an update's calls.
	RunningTotal USD       `json:"runningTotal"`
	RunningCount int64     `json:"runningCount"`
	Timestamp    time.Time `json:"timestamp"`
	// UnpricedCalls and FallbackCalls are among those that TotalCost is of.
	UnpricedCalls int64 `json:"unpricedCalls"`
	FallbackCalls int64 `json:"fallbackCalls"`
	// Features are the parts of TotalCost by feature, the dearest; the rest is
	// "(other)".
	Features map[string]USD `json:"-"`
	// JSON is the message as the server wrote it.
	JSON json.RawMessage `json:"-"`
}

// Snapshot says whether the event replaces everything before it.
func (e *CostEvent) Snapshot() bool { return e.Type == "snapshot" }

// silence is how long a stream may say nothing, heartbeats included, before it
// is taken for broken.
const silence = 90 * time.Second

// maxMessage bounds one message.
const maxMessage = 4 << 20

// Follow calls take with every event until ctx ends or take gives an error, and
// returns that. A stream that was cut off is opened again, for as long as it
// takes, and goes on behind the last event or with a fresh snapshot: what take
// has seen always sums up. Only the first attempt, and a server that refuses,
// end with the server's error.
func (c *Client) Follow(ctx context.Context, r FollowRequest, take func(CostEvent) error) error {
	retry := c.retry
	if retry.Attempts < 2 {
		retry = DefaultRetry()
	}
	connected := false
	for failures := 0; ; {
		opened, err := c.follow(ctx, &r, take)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var stopped *stoppedError
		if errors.As(err, &stopped) {
			return stopped.err
		}
		if opened {
			connected, failures = true, 0
		}
		failures++
		wait, again := retry.backoff(min(failures, retry.Attempts-1), err, true)
		if !again || !connected && failures >= c.retry.Attempts {
			return err
		}
		if c.onRetry != nil {
			c.onRetry(Waiting{Attempt: failures, Wait: wait, Err: err})
		}
		if pause(ctx, wait, err) != nil {
			return ctx.Err()
		}
	}
}

// stoppedError carries what take returned.
type stoppedError struct{ err error }

func (e *stoppedError) Error() string { return e.err.Error() }

// follow opens the stream once and reads it to its end; r keeps the last id.
func (c *Client) follow(ctx context.Context, r *FollowRequest, take func(CostEvent) error) (opened bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	u, err := c.base.Parse(apiPrefix + "stream/costs")
	if err != nil {
		return false, fmt.Errorf("client: %w", err)
	}
	u.RawQuery = r.Values().Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return false, fmt.Errorf("client: %w", err)
	}
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set("User-Agent", c.userAgent)
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	if r.LastEventID != "" {
		req.Header.Set("Last-Event-ID", r.LastEventID)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return false, c.broken(ctx, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, maxMessage))
		return false, parseError(resp.StatusCode, resp.Header, body, c.now())
	}
	if media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); media != "text/event-stream" {
		return false, fmt.Errorf("client: the answer of %s is not a stream of events; is this a costprof server?", c.BaseURL())
	}
	quiet := time.AfterFunc(silence, cancel)
	defer quiet.Stop()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, maxMessage)
	var data []byte
	var id string
	for lines.Scan() {
		quiet.Reset(silence)
		field, value, _ := bytes.Cut(lines.Bytes(), []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch {
		case len(lines.Bytes()) == 0 && data != nil:
			e, err := parseCostEvent(data)
			if err != nil {
				return true, err
			}
			e.ID = id
			if err := take(e); err != nil {
				return true, &stoppedError{err}
			}
			r.LastEventID, data = id, nil
		case string(field) == "data":
			data = append(data, value...)
		case string(field) == "id":
			id = string(value)
		}
	}
	err = lines.Err()
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	return true, &Unreachable{URL: c.BaseURL(), Err: err}
}

func parseCostEvent(data []byte) (CostEvent, error) {
	e := CostEvent{JSON: data}
	if err := json.Unmarshal(data, &e); err != nil {
		return e, fmt.Errorf("client: reading the stream: %w", err)
	}
	var by struct {
		Features     json.RawMessage `json:"features"`
		FeatureCosts map[string]USD  `json:"featureCosts"`
	}
	err := json.Unmarshal(data, &by)
	e.Features = by.FeatureCosts
	if err == nil && e.Snapshot() {
		err = json.Unmarshal(by.Features, &e.Features)
	}
	if err != nil {
		return e, fmt.Errorf("client: reading the stream: %w", err)
	}
	return e, nil
}
