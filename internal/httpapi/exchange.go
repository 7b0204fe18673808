package httpapi

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/costprof/costprof/internal/auth"
)

// exchange is what is known about one request and its answer, for the log, the
// metrics and the error body.
type exchange struct {
	id     string
	route  string // the pattern of the route; "" when none matched
	status int
	bytes  int64
	cause  error // why the status is 5xx
	share  *share
	finish func()         // once an error was answered; nil is nothing
	who    auth.Principal // who asks; zero before admit
}

type exchangeKey struct{}

func exchangeOf(ctx context.Context) *exchange {
	if x, ok := ctx.Value(exchangeKey{}).(*exchange); ok {
		return x
	}
	return &exchange{}
}

// identified begins the exchange and gives it the caller's request id, or a new
// one, which the answer repeats.
func (s *server) identified(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := &exchange{id: requestID(r.Header.Get("X-Request-ID"))}
		w.Header().Set("X-Request-ID", x.id)
		next.ServeHTTP(&observed{ResponseWriter: w, exchange: x}, r.WithContext(context.WithValue(r.Context(), exchangeKey{}, x)))
	})
}

// requestID keeps an id that is at most 128 printable characters and replaces
// any other.
func requestID(sent string) string {
	if sent != "" && utf8.ValidString(sent) && utf8.RuneCountInString(sent) <= 128 &&
		strings.IndexFunc(sent, func(r rune) bool { return !unicode.IsPrint(r) }) < 0 {
		return sent
	}
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// logged writes one line for each request: never a query's values, a header or a
// body, any of which may hold a secret.
func (s *server) logged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		s.metrics.inFlight.Inc()
		defer func() {
			s.metrics.inFlight.Dec()
			x, took := exchangeOf(r.Context()), time.Since(start)
			s.metrics.observe(r.Method, x, took)
			level := slog.LevelDebug
			attrs := []slog.Attr{
				slog.String("requestId", x.id), slog.String("method", shorten(r.Method)), slog.String("path", shorten(r.URL.Path)),
				slog.Int("status", x.status), slog.Int64("bytes", x.bytes), slog.Duration("took", took), slog.String("from", r.RemoteAddr),
			}
			switch {
			case s.closing.Load() && x.status == http.StatusServiceUnavailable:
				// Everyone who is told that the server stops.
			case x.status == http.StatusUnauthorized, x.status == http.StatusForbidden, x.status == http.StatusServiceUnavailable:
				level = slog.LevelWarn
			case x.status >= 500:
				level = slog.LevelError
			}
			if x.who.Role != "" && s.auth.Closed() {
				attrs = append(attrs, slog.String("who", x.who.Actor))
			}
			if x.cause != nil {
				attrs = append(attrs, slog.String("error", x.cause.Error()))
			}
			s.log.LogAttrs(r.Context(), level, "request", attrs...)
		}()
		next.ServeHTTP(w, r)
	})
}

// observed notes what is answered.
type observed struct {
	http.ResponseWriter
	*exchange
}

func (o *observed) WriteHeader(status int) {
	if o.status == 0 && status >= 200 {
		o.status = status
	}
	o.ResponseWriter.WriteHeader(status)
}

func (o *observed) Write(b []byte) (int, error) {
	if o.status == 0 {
		o.status = http.StatusOK
	}
	n, err := o.ResponseWriter.Write(b)
	o.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (o *observed) Unwrap() http.ResponseWriter { return o.ResponseWriter }

func shorten(s string) string {
	if len(s) > 200 {
		return s[:200] + "…"
	}
	return s
}

func stack() string { return string(debug.Stack()) }
