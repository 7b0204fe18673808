package httpapi

import (
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/costprof/costprof/internal/fault"
)

// Access says who may come in while no key protects the server, and whose pages
// may use it at any time.
type Access struct {
	// AllowedHosts are further names, with or without a port, by which the server
	// may be asked.
	AllowedHosts []string
	// CORSOrigins are the origins whose pages may use the API.
	CORSOrigins []string
	// AnyHost lifts the rules for Host and forwarding headers: the owner said that
	// the server is meant to be reached from elsewhere. The rule for pages of
	// other origins stays.
	AnyHost bool
}

// secured puts the security headers on every answer.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "interest-cohort=()")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// local refuses what reaches an open server by a way that its owner did not
// open: another host name (a page that rebinds its own name to 127.0.0.1 sends
// that name), or a proxy in front.
func (s *server) local(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.access.AnyHost || s.auth.Closed() {
			next.ServeHTTP(w, r)
			return
		}
		if name := forwardingHeader(r.Header); name != "" {
			s.fail(w, r, fault.New(fault.Forbidden,
				"This server is open, without any key, and was reached through a proxy (%s). Create a key first: costprof keys create", name))
			return
		}
		if !s.hostAllowed(r.Host) {
			s.fail(w, r, fault.New(fault.Forbidden,
				"This server is open, without any key, and answers only to localhost, 127.0.0.1, [::1] and the names in ALLOWED_HOSTS"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func forwardingHeader(h http.Header) string {
	for name := range h {
		if name == "Forwarded" || strings.HasPrefix(name, "X-Forwarded-") || name == "X-Forwarded" {
			return shorten(name)
		}
	}
	return ""
}

func (s *server) hostAllowed(host string) bool {
	name := host
	if n, port, err := net.SplitHostPort(host); err == nil {
		if !digits(port) {
			return false
		}
		name = n
		if strings.Contains(n, ":") {
			name = "[" + n + "]"
		}
	}
	switch strings.ToLower(name) {
	case "localhost", "127.0.0.1", "[::1]":
		return true
	}
	return slices.ContainsFunc(s.access.AllowedHosts, func(allowed string) bool {
		return strings.EqualFold(allowed, host) || strings.EqualFold(allowed, name) || strings.EqualFold("["+allowed+"]", name)
	})
}

func digits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// crossOrigin answers preflights, lets pages of the configured origins read
// answers, and refuses everything unsafe that any other page sends.
func (s *server) crossOrigin(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Add("Vary", "Origin")
		origins := r.Header.Values("Origin")
		configured := s.configuredOrigin(origins)
		if configured {
			h.Set("Access-Control-Allow-Origin", origins[0])
			if s.auth.Closed() {
				h.Set("Access-Control-Allow-Credentials", "true") // their sessions
			}
			h.Set("Access-Control-Expose-Headers", "X-Request-ID, Retry-After, RateLimit, RateLimit-Policy, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset")
			// The answer may be read by a page of another origin: that is the point.
			h.Set("Cross-Origin-Resource-Policy", "cross-origin")
		}
		if r.Method == http.MethodOptions && len(origins) > 0 && r.Header.Get("Access-Control-Request-Method") != "" {
			if !configured {
				s.fail(w, r, errForeign)
				return
			}
			h.Add("Vary", "Access-Control-Request-Method, Access-Control-Request-Headers")
			h.Set("Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, DELETE")
			h.Set("Access-Control-Allow-Headers", "Authorization, Content-Encoding, Content-Type, Last-Event-ID, X-API-Key, X-Request-ID")
			h.Set("Access-Control-Max-Age", "600")
			w.WriteHeader(http.StatusNoContent)
			return
		}
		if (!safe(r.Method) || upgrades(r)) && !configured && s.foreign(r, origins) {
			s.fail(w, r, errForeign)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// configuredOrigin says whether the request comes from a page that may use the
// API.
func (s *server) configuredOrigin(origins []string) bool {
	return len(origins) == 1 && slices.Contains(s.access.CORSOrigins, origins[0])
}

var errForeign = fault.New(fault.Forbidden, "Pages of another origin may not do this; CORS_ORIGIN names those that may")

func safe(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	return false
}

// upgrades says whether the request asks for another protocol, which is not
// subject to the rules of CORS.
func upgrades(r *http.Request) bool { return r.Header.Get("Upgrade") != "" }

// foreign says whether a page of another origin sent the request. Programs send
// neither of the two headers.
func (s *server) foreign(r *http.Request, origins []string) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
	default:
		return true
	}
	if len(origins) == 0 {
		return false
	}
	if len(origins) > 1 {
		return true
	}
	u, err := url.Parse(origins[0])
	if err != nil || u.Host == "" || !strings.EqualFold(u.Host, r.Host) {
		return true
	}
	// What serves https under this name is another program, unless it is a proxy
	// in front of a server that is meant to be reached from elsewhere.
	return u.Scheme != "http" && !s.access.AnyHost && !s.auth.Closed()
}
