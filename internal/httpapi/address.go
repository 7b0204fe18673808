package httpapi

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// clientAddress is the network that the request comes from, for counting: an
// IPv4 address, or the /64 of an IPv6 one, of which a single client has plenty.
//
// What a forwarding header says counts only where a trusted proxy wrote it: the
// addresses are read from the right, the last one being who connected, and the
// first that is not a trusted proxy's is the client. Anything to the left of it
// was written by the client and may say anything.
func (s *server) clientAddress(r *http.Request) string {
	addr := peer(r.RemoteAddr)
	if !addr.IsValid() {
		return r.RemoteAddr
	}
	if s.trusted(addr) {
		hops := forwarded(r.Header)
		for i := len(hops) - 1; i >= 0; i-- {
			hop := peer(hops[i])
			if !hop.IsValid() {
				break // unreadable: the proxy before it is all that is known
			}
			addr = hop
			if !s.trusted(hop) {
				break
			}
		}
	}
	return network(addr)
}

func (s *server) trusted(a netip.Addr) bool {
	for _, p := range s.limits.TrustedProxies {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// maxHops is how many addresses of the forwarding headers are read, from the
// right.
const maxHops = 32

// forwarded lists the addresses of the forwarding headers from left to right.
// Where both kinds are there, proxies disagree about which they keep: only the
// standard one is read.
func forwarded(h http.Header) []string {
	var hops []string
	if values := h.Values("Forwarded"); len(values) > 0 {
		for _, part := range strings.Split(strings.Join(values, ","), ",") {
			hop := "" // one without an address still stands between the others
			for _, pair := range strings.Split(part, ";") {
				name, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
				if strings.EqualFold(name, "for") {
					hop = strings.Trim(value, `"`)
				}
			}
			hops = append(hops, hop)
		}
	} else {
		hops = strings.Split(strings.Join(h.Values("X-Forwarded-For"), ","), ",")
	}
	if len(hops) > maxHops {
		hops = hops[len(hops)-maxHops:]
	}
	return hops
}

// peer reads an address with or without a port or brackets; the zero Addr is
// none.
func peer(s string) netip.Addr {
	s = strings.TrimSpace(s)
	if host, _, err := net.SplitHostPort(s); err == nil {
		s = host
	}
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	if err != nil {
		return netip.Addr{}
	}
	return a.Unmap().WithZone("")
}

func network(a netip.Addr) string {
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.String()
		}
	}
	return a.String()
}

// secureRequest says whether the browser came over https.
func (s *server) secureRequest(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}
	if a := peer(r.RemoteAddr); !a.IsValid() || !s.trusted(a) {
		return false
	}
	if strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https") {
		return true
	}
	return strings.Contains(strings.ToLower(strings.Join(r.Header.Values("Forwarded"), ";")), "proto=https")
}
