package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// Retry says how long a Client keeps trying what is safe to repeat: questions,
// and events, which the server recognises when they arrive again. After 429 and
// 503 anything is safe, because nothing was done.
type Retry struct {
	// Attempts is how often a request is sent at most; below 2 it is sent once.
	Attempts int
	// First is the wait before the second attempt. Each further one doubles, up
	// to Max; a random part of up to half is taken off, so that many clients do
	// not come back together.
	First, Max time.Duration
	// MaxWait is the longest Retry-After that is obeyed; a longer one ends the
	// request with the server's answer.
	MaxWait time.Duration
}

// DefaultRetry tries for about half a minute.
func DefaultRetry() Retry {
	return Retry{Attempts: 8, First: 250 * time.Millisecond, Max: 10 * time.Second, MaxWait: time.Minute}
}

// NoRetry sends every request once.
func NoRetry() Retry { return Retry{Attempts: 1} }

// Waiting describes a wait before another attempt.
type Waiting struct {
	// Attempt counts the failed attempts, from 1.
	Attempt int
	Wait    time.Duration
	// Err is why the last one failed.
	Err error
}

// backoff gives the wait after the failed attempt, and whether to try again.
func (r Retry) backoff(attempt int, err error, idempotent bool) (time.Duration, bool) {
	if attempt >= r.Attempts {
		return 0, false
	}
	wait := r.First
	for range attempt - 1 {
		if wait >= r.Max {
			break
		}
		wait *= 2
	}
	wait = min(wait, r.Max)
	if half := int64(wait / 2); half > 0 {
		wait -= time.Duration(rand.Int64N(half + 1))
	}

	var answer *Error
	if errors.As(err, &answer) {
		switch answer.Status {
		case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		case http.StatusRequestTimeout, http.StatusBadGateway, http.StatusGatewayTimeout:
			if !idempotent {
				return 0, false
			}
		default:
			return 0, false
		}
		if answer.RetryAfter > r.MaxWait {
			return 0, false
		}
		if answer.RetryAfter > 0 {
			// Not before the server wants, and not all at the same moment.
			wait = answer.RetryAfter + min(wait, answer.RetryAfter/10)
		}
		return wait, true
	}
	var certificate *tls.CertificateVerificationError
	var unreachable *Unreachable
	if !idempotent || errors.As(err, &certificate) || !errors.As(err, &unreachable) {
		return 0, false
	}
	return wait, true
}

// pause waits, or returns early with the context's error and why it waited.
func pause(ctx context.Context, wait time.Duration, why error) error {
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w while waiting to try again: %w", ctx.Err(), why)
	}
}

// parseRetryAfter reads seconds or an HTTP date; anything else is 0.
func parseRetryAfter(s string, now time.Time) time.Duration {
	if s == "" {
		return 0
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		if n < 0 {
			return 0
		}
		return time.Duration(min(n, 1<<32)) * time.Second
	}
	at, err := http.ParseTime(s)
	if err != nil {
		return 0
	}
	return max(0, at.Sub(now))
}
