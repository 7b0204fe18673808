// Package outbound makes calls to places that a user can aim, and refuses those
// that only the server's own network can reach. An address is judged when the
// connection is made, so neither a name that resolves to another one by then nor
// a redirect leads around it. It refuses to know what is sent.
package outbound

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"github.com/costprof/costprof/internal/fault"
)

// Guard says where such calls may go: anywhere public, and where the operator
// allowed. The zero value allows nothing else.
type Guard struct {
	networks []netip.Prefix
	hosts    map[string]bool
}

// ParseGuard reads the hosts, addresses and networks that are allowed although they
// are not public.
func ParseGuard(allowed []string) (Guard, error) {
	g := Guard{hosts: map[string]bool{}}
	for _, text := range allowed {
		text = strings.TrimSpace(text)
		if p, err := netip.ParsePrefix(text); err == nil {
			g.networks = append(g.networks, p.Masked())
			continue
		}
		if a, err := netip.ParseAddr(text); err == nil {
			g.networks = append(g.networks, netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()))
			continue
		}
		if text == "" || strings.ContainsAny(text, "/:*?@# ") {
			return Guard{}, fmt.Errorf("%q is not a host name, an address or a network such as 10.0.0.0/8", text)
		}
		g.hosts[strings.ToLower(strings.TrimSuffix(text, "."))] = true
	}
	return g, nil
}

// closed are networks that are nobody's public ones, beside those that netip
// knows, and the address under which a cloud tells its machines secrets.
func closed() []netip.Prefix {
	var out []netip.Prefix
	for _, text := range []string{
		"0.0.0.0/8", "100.64.0.0/10", "168.63.129.16/32", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
		"::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "3fff::/20", "5f00::/16", "fec0::/10",
	} {
		out = append(out, netip.MustParsePrefix(text))
	}
	return out
}

// Check says whether a connection to the address may be made: fault.Forbidden
// names it when not.
func (g Guard) Check(a netip.Addr) error {
	plain := a.WithZone("").Unmap()
	for _, p := range g.networks {
		if p.Contains(plain) {
			return nil
		}
	}
	if !public(plain) {
		return fault.New(fault.Forbidden, "The address %s is not a public one; ALLOW_PRIVATE_TARGETS can allow it", plain)
	}
	return nil
}

func public(a netip.Addr) bool {
	if !a.IsGlobalUnicast() || a.IsPrivate() || a.IsLinkLocalUnicast() || a.IsLoopback() {
		return false
	}
	for _, p := range closed() {
		if p.Contains(a) {
			return false
		}
	}
	if inner, ok := embedded(a); ok {
		return public(inner)
	}
	return true
}

// embedded is the IPv4 address that gateways make of one of IPv6: NAT64 and 6to4.
func embedded(a netip.Addr) (netip.Addr, bool) {
	b := a.As16()
	switch {
	case !a.Is6():
	case netip.MustParsePrefix("64:ff9b::/96").Contains(a):
		return netip.AddrFrom4([4]byte(b[12:16])), true
	case netip.MustParsePrefix("2002::/16").Contains(a):
		return netip.AddrFrom4([4]byte(b[2:6])), true
	}
	return netip.Addr{}, false
}

// Client makes requests, each of which may take so long. No proxy of the
// environment stands between, which would make the connections itself.
func (g Guard) Client(most time.Duration) *http.Client {
	return &http.Client{
		Timeout: most,
		Transport: &http.Transport{
			Proxy: nil, DialContext: g.dial, ForceAttemptHTTP2: true, TLSHandshakeTimeout: 10 * time.Second, MaxResponseHeaderBytes: 64 << 10,
			MaxIdleConns: 16, IdleConnTimeout: time.Minute,
		},
	}
}

func (g Guard) dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: 10 * time.Second}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if !g.hosts[strings.ToLower(strings.TrimSuffix(host, "."))] {
		d.Control = func(_, address string, _ syscall.RawConn) error {
			at, err := netip.ParseAddrPort(address)
			if err != nil {
				return err
			}
			return g.Check(at.Addr())
		}
	}
	return d.DialContext(ctx, network, address)
}
