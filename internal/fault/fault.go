// Package fault is the one error shape: a code that each edge maps to its own
// status, a sentence for the person, and the cause for the log.
package fault

import (
	"errors"
	"fmt"
	"time"
)

// Code is what kind of failure it is. Each edge has one table from codes to its
// statuses.
type Code string

// The codes.
const (
	Invalid     Code = "invalid"     // the input breaks a rule
	NotFound    Code = "not_found"   // there is no such thing, or it is not yours
	Conflict    Code = "conflict"    // the state does not allow it
	Unknown     Code = "unknown"     // nobody knows who asks: no credential, or a wrong one
	Forbidden   Code = "forbidden"   // who asks may not
	Limited     Code = "limited"     // too often; try again later
	Gone        Code = "gone"        // it was there; start again
	TooLarge    Code = "too_large"   // the input is beyond a size limit
	Unsupported Code = "unsupported" // wrong content type
	Unavailable Code = "unavailable" // try again later; nothing was stored
	Internal    Code = "internal"    // our bug; the message never leaves
)

// Error is an error with a code. Message is a sentence for the person who
// caused it or must mend it; Err is the cause and is only ever logged.
type Error struct {
	Code    Code
	Message string
	// Details lists the broken rules by field, for Invalid.
	Details map[string][]string
	// RetryAfter is a hint for Unavailable and Limited.
	RetryAfter time.Duration
	Err        error
}

func (e *Error) Error() string {
	if e.Err != nil {
		return e.Message + ": " + e.Err.Error()
	}
	return e.Message
}

func (e *Error) Unwrap() error { return e.Err }

// New makes an error with a code and a sentence.
func New(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Field makes an Invalid error about one field.
func Field(field, rule string) *Error {
	return &Error{Code: Invalid, Message: "Validation failed", Details: map[string][]string{field: {rule}}}
}

// CodeOf finds the code of err; an error without one is Internal, and no error
// has none ("").
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return Internal
}
