package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Error is what the server answered instead of success.
type Error struct {
	// Status is the HTTP status.
	Status int
	// Message is the server's sentence.
	Message string
	// Details lists broken rules by field. Fields of events sent with Send are
	// "events[N].…" with N an index into the caller's slice.
	Details map[string][]string
	// Foreign says that the answer has not the form of costprof's errors: it comes
	// from a proxy in between, or from another program.
	Foreign bool
	// RequestID finds the request in the server's log.
	RequestID string
	// RetryAfter is when the server suggests trying again; 0 when it does not.
	RetryAfter time.Duration
}

// Error gives the message and at most three details.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Message)
	for i, field := range slices.Sorted(maps.Keys(e.Details)) {
		if i == 3 {
			fmt.Fprintf(&b, "; and %d more", len(e.Details)-i)
			break
		}
		sep := "; "
		if i == 0 {
			sep = ": "
		}
		b.WriteString(sep + field + " " + strings.Join(e.Details[field], ", "))
	}
	return b.String()
}

// Unreachable reports that no answer came: nothing listens, the connection
// broke, or the name does not resolve.
type Unreachable struct {
	// URL is the server's base address.
	URL string
	Err error
}

func (e *Unreachable) Error() string { return "no answer from " + e.URL + ": " + e.Err.Error() }

func (e *Unreachable) Unwrap() error { return e.Err }

// StatusOf gives the HTTP status of an *Error, or 0 for any other error.
func StatusOf(err error) int {
	var e *Error
	if errors.As(err, &e) {
		return e.Status
	}
	return 0
}

func parseError(status int, header http.Header, body []byte, now time.Time) *Error {
	e := &Error{
		Status:     status,
		RequestID:  header.Get("X-Request-ID"),
		RetryAfter: parseRetryAfter(header.Get("Retry-After"), now),
	}
	var wire struct {
		Error     string                     `json:"error"`
		Details   map[string]json.RawMessage `json:"details"`
		RequestID string                     `json:"requestId"`
	}
	// A proxy in between answers with a page of its own, and details may take
	// another shape than rules by field; neither may hide the status.
	if err := json.Unmarshal(body, &wire); err != nil && wire.Error == "" {
		wire.Details = nil
	}
	e.Message = wire.Error
	if e.Message == "" {
		e.Foreign = true
		e.Message = fmt.Sprintf("the server answered %d %s", status, http.StatusText(status))
	}
	if wire.RequestID != "" {
		e.RequestID = wire.RequestID
	}
	for field, raw := range wire.Details {
		if e.Details == nil {
			e.Details = make(map[string][]string, len(wire.Details))
		}
		var rules []string
		var rule string
		switch {
		case json.Unmarshal(raw, &rules) == nil:
		case json.Unmarshal(raw, &rule) == nil:
			rules = []string{rule}
		default:
			rules = []string{string(raw)}
		}
		e.Details[field] = rules
	}
	return e
}
