package httpapi

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/costprof/costprof/internal/auth"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/limit"
	"github.com/costprof/costprof/internal/store"
)

// Auth knows who asks.
type Auth interface {
	// Closed says whether whoever asks must show a credential.
	Closed() bool
	Authenticate(ctx context.Context, credential string) (auth.Principal, error)
	SignIn(ctx context.Context, credential string) (auth.Session, error)
	Resume(session string) (auth.Principal, error)
	SignOut(ctx context.Context, session string) error

	List(p auth.Principal) []store.Key
	Create(ctx context.Context, n auth.NewKey, by auth.Principal) (auth.Made, error)
	Rotate(ctx context.Context, id string, grace time.Duration, by auth.Principal) (auth.Made, error)
	Revoke(ctx context.Context, id string, by auth.Principal) error
}

// Limiter judges how often someone asks.
type Limiter interface {
	Take(ctx context.Context, r limit.Rule, key string) limit.Verdict
}

// Limits are the rules of how often someone may ask. They are off while the
// server is open to its own machine only.
type Limits struct {
	Limiter Limiter
	// Ingest, Other and Export are the rules of the three kinds of routes.
	Ingest, Other, Export limit.Rule
	// TrustedProxies are those whose word about the client's address counts.
	TrustedProxies []netip.Prefix
}

// pace says which rule a route counts under.
type pace uint8

const (
	paceOther pace = iota
	paceIngest
	paceExport
	paceExempt
)

func (l *Limits) rule(p pace) limit.Rule {
	switch p {
	case paceIngest:
		return l.Ingest
	case paceExport:
		return l.Export
	case paceExempt:
		return limit.Rule{}
	}
	return l.Other
}

// failures bounds how often one address may guess: beyond it, failed attempts
// are told to wait. Good credentials are never held up by bad ones beside them.
var failures = limit.Rule{Name: "failed-credentials", Most: 30, Per: time.Minute}

// admit decides whether the request may go on: who sends it, how often, and what
// they may do.
func (s *server) admit(w http.ResponseWriter, r *http.Request, rt *route) error {
	x := exchangeOf(r.Context())
	if !s.auth.Closed() {
		x.who = auth.Everyone()
		if !s.access.AnyHost {
			return nil
		}
		return s.pace(w, r, rt, "address "+s.clientAddress(r))
	}
	who, err := s.principal(r)
	x.who = who
	switch {
	case rt.need == auth.Public:
		// Who they are does not matter, how often they ask does.
		return s.pace(w, r, rt, s.paceKey(who, r))
	case err != nil:
		if fault.CodeOf(err) != fault.Unknown {
			return err
		}
		v := s.limits.Limiter.Take(r.Context(), failures, "address "+s.clientAddress(r))
		if !v.Allowed {
			s.metrics.limited.WithLabelValues(failures.Name).Inc()
			return tooMany(w, v)
		}
		w.Header().Set("WWW-Authenticate", `Bearer realm="costprof"`)
		return err
	}
	if err := s.pace(w, r, rt, s.paceKey(who, r)); err != nil {
		return err
	}
	if !who.Role.Can(rt.need) {
		return fault.New(fault.Forbidden, "The role %s may not do this", who.Role)
	}
	if rt.everywhere && who.Project != "" {
		return fault.New(fault.Forbidden, "This needs a key for all projects")
	}
	return nil
}

func (s *server) paceKey(who auth.Principal, r *http.Request) string {
	if who.Limit != "" {
		return who.Limit
	}
	return "address " + s.clientAddress(r)
}

// sessionCookie is the browser's session.
const sessionCookie = "costprof_session"

// principal finds who sends the request.
func (s *server) principal(r *http.Request) (auth.Principal, error) {
	credential, err := credentialOf(r)
	if err != nil {
		return auth.Principal{}, err
	}
	if credential != "" {
		return s.auth.Authenticate(r.Context(), credential)
	}
	if c, err := r.Cookie(sessionCookie); err == nil && s.mayUseCookie(r) {
		return s.auth.Resume(c.Value)
	}
	return auth.Principal{}, fault.New(fault.Unknown, "This needs a key: send it as Authorization: Bearer KEY, or as X-API-Key")
}

// maxCredential is longer than any key or token that is taken.
const maxCredential = 16 << 10

// credentialOf reads the credential from the headers, "" when there is none. One
// in the URL is never accepted: URLs are logged and shared.
func credentialOf(r *http.Request) (string, error) {
	var found []string
	for _, v := range r.Header.Values("Authorization") {
		scheme, rest, _ := strings.Cut(v, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return "", fault.New(fault.Unknown, "Authorization takes the form Bearer KEY")
		}
		found = append(found, strings.TrimSpace(rest))
	}
	found = append(found, r.Header.Values("X-API-Key")...)
	for _, c := range found {
		if c != found[0] {
			return "", fault.New(fault.Unknown, "The request shows two different credentials")
		}
	}
	switch {
	case len(found) == 0:
		return "", nil
	case found[0] == "" || len(found[0]) > maxCredential:
		return "", fault.New(fault.Unknown, "The credential is empty or too long")
	}
	return found[0], nil
}

// mayUseCookie says whether the session counts: browsers send it by themselves,
// so whatever a page of another origin caused is refused, and what changes
// something must say its origin.
func (s *server) mayUseCookie(r *http.Request) bool {
	origins := r.Header.Values("Origin")
	if len(origins) == 0 && (!safe(r.Method) || upgrades(r)) {
		return false
	}
	return s.configuredOrigin(origins) || !s.foreign(r, origins)
}

// pace counts the request, and refuses one too many.
func (s *server) pace(w http.ResponseWriter, r *http.Request, rt *route, key string) error {
	rule := s.limits.rule(rt.pace)
	if rule.Off() {
		return nil
	}
	v := s.limits.Limiter.Take(r.Context(), rule, key)
	h := w.Header()
	reset := strconv.Itoa(seconds(v.Reset))
	h.Set("X-RateLimit-Limit", strconv.Itoa(rule.Most))
	h.Set("X-RateLimit-Remaining", strconv.Itoa(v.Remaining))
	h.Set("X-RateLimit-Reset", reset)
	h.Set("RateLimit-Policy", rule.Policy())
	h.Set("RateLimit", fmt.Sprintf("%q;r=%d;t=%s", rule.Name, v.Remaining, reset))
	if !v.Allowed {
		s.metrics.limited.WithLabelValues(rule.Name).Inc()
		return tooMany(w, v)
	}
	return nil
}

func tooMany(w http.ResponseWriter, v limit.Verdict) error {
	w.Header().Set("Retry-After", strconv.Itoa(seconds(v.Reset)))
	return &fault.Error{Code: fault.Limited, Message: "Rate limit exceeded", RetryAfter: v.Reset}
}

// seconds rounds up: who comes back then is in the next window.
func seconds(d time.Duration) int { return max(1, int(math.Ceil(d.Seconds()))) }

// who is who sends the request; admit found out.
func (c *call) who() auth.Principal { return exchangeOf(c.Context).who }

// noProject is one that cannot exist.
const noProject = "\x00"

// project is the project that a question is about: the asked one, or the only
// one of who asks. One that they may not know of is like one that does not exist.
func (q *query) project(asked string) string {
	switch {
	case q.within == "" || asked == q.within:
		return asked
	case asked == "":
		return q.within
	}
	return noProject
}

var errForeignProject = fault.New(fault.Forbidden, "This key may change its own project only")
