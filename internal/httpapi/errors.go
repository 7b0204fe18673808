package httpapi

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/costprof/costprof/internal/fault"
)

// statusOf is the one table from fault codes to HTTP statuses.
var statusOf = map[fault.Code]int{
	fault.Invalid:     http.StatusBadRequest,
	fault.NotFound:    http.StatusNotFound,
	fault.Conflict:    http.StatusConflict,
	fault.Unknown:     http.StatusUnauthorized,
	fault.Forbidden:   http.StatusForbidden,
	fault.Limited:     http.StatusTooManyRequests,
	fault.Gone:        http.StatusGone,
	fault.TooLarge:    http.StatusRequestEntityTooLarge,
	fault.Unsupported: http.StatusUnsupportedMediaType,
	fault.Unavailable: http.StatusServiceUnavailable,
	fault.Internal:    http.StatusInternalServerError,
}

// errorBody is the one shape of every error.
type errorBody struct {
	Error   string              `json:"error" doc:"A sentence for the person who caused it or must mend it."`
	Details map[string][]string `json:"details,omitempty" doc:"The broken rules by field or parameter."`
	// RetryAfter is set when someone asks too often.
	RetryAfter int    `json:"retryAfter,omitempty" doc:"Seconds to wait, when the rate limit is exceeded."`
	RequestID  string `json:"requestId" doc:"Names this request in the server's log."`
}

// refusal is an error whose status no fault code stands for.
type refusal struct {
	status int
	cause  *fault.Error
}

func (r *refusal) Error() string { return r.cause.Error() }
func (r *refusal) Unwrap() error { return r.cause }

// fail answers with an error. What is the server's fault is logged with its
// cause, which never leaves.
func (s *server) fail(w http.ResponseWriter, r *http.Request, err error) {
	x := exchangeOf(r.Context())
	body := errorBody{RequestID: x.id}
	status := http.StatusInternalServerError

	var ref *refusal
	var f *fault.Error
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &ref):
		status, f = ref.status, ref.cause
	case errors.As(err, &f) && f.Code != fault.Internal && f.Code != fault.Unavailable:
		// Who half-closed the connection still reads why.
		status = statusOf[f.Code]
	case errors.Is(r.Context().Err(), context.Canceled):
		// Who asked is gone; the status is for the log.
		status, f = statusClientGone, fault.New(fault.Unavailable, "The request was cancelled")
	case errors.As(err, &f):
		status = statusOf[f.Code]
	case errors.As(err, &tooLarge):
		status, f = http.StatusRequestEntityTooLarge, errTooLarge(tooLarge.Limit)
	case errors.Is(err, context.DeadlineExceeded):
		status, f = http.StatusServiceUnavailable, &fault.Error{
			Code: fault.Unavailable, Message: "The answer took too long; ask for a shorter range or try again", RetryAfter: 5 * time.Second, Err: err,
		}
	}
	if status == 0 || f == nil || f.Code == fault.Internal {
		status = http.StatusInternalServerError
		body.Error = "Something went wrong in the server; its log has the details under this requestId"
	} else {
		body.Error, body.Details = sentence(f.Message), f.Details
	}
	if status == http.StatusTooManyRequests {
		body.RetryAfter = seconds(f.RetryAfter)
	}
	if status == http.StatusServiceUnavailable {
		wait := time.Second
		if f != nil && f.RetryAfter > wait {
			wait = f.RetryAfter
		}
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	}
	if status >= http.StatusInternalServerError {
		x.cause = err
	}
	s.write(w, r, status, body)
	if x.finish != nil {
		x.finish()
	}
}

// maxSentence is the most bytes of an error's sentence. What is wrong with a body
// may repeat a part of it, and a part of it may be all of it.
const maxSentence = 2000

func sentence(s string) string {
	if len(s) > maxSentence {
		s = strings.ToValidUTF8(s[:maxSentence], "") + "…"
	}
	return s
}

// statusClientGone is what proxies log for a client that left.
const statusClientGone = 499

func errTooLarge(limit int64) *fault.Error {
	return fault.New(fault.TooLarge, "The body is larger than %s", sizeText(limit))
}

func sizeText(n int64) string {
	if n >= 1<<20 {
		return strconv.FormatInt(n>>20, 10) + " MiB"
	}
	return strconv.FormatInt(n>>10, 10) + " KiB"
}

// recovered turns a handler's panic into a 500 that says nothing about it.
func (s *server) recovered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			if p == http.ErrAbortHandler { //nolint:errorlint // the value that net/http names
				panic(p)
			}
			x := exchangeOf(r.Context())
			s.log.LogAttrs(r.Context(), slog.LevelError, "panic", slog.String("requestId", x.id), slog.Any("panic", p), slog.String("stack", stack()))
			if x.status != 0 {
				// Part of an answer is out: break the connection, so that nobody takes
				// it for the whole.
				panic(http.ErrAbortHandler)
			}
			s.fail(w, r, fault.New(fault.Internal, "panic"))
		}()
		next.ServeHTTP(w, r)
	})
}
