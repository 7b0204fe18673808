package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"github.com/costprof/costprof/internal/auth"
	"github.com/costprof/costprof/internal/secrets"
)

// minJWTSecret is the least length of JWT_SECRET: that of the hash it is used
// with (RFC 7518, 3.2).
const minJWTSecret = 32

func (c *Config) validateAccess() error {
	if _, err := auth.ParseStatic(c.APIKeys); err != nil {
		return bad("api-keys", "API_KEYS", err.Error())
	}
	if c.JWTSecret != "" && len(c.JWTSecret) < minJWTSecret {
		return bad("jwt-secret", "JWT_SECRET", fmt.Sprintf("must be at least %d bytes", minJWTSecret))
	}
	if _, err := c.EncryptionKeys(); err != nil {
		return err
	}
	switch u, err := url.Parse(c.OIDCIssuer); {
	case c.OIDCIssuer == "" && c.OIDCAudience != "":
		return bad("oidc-audience", "OIDC_AUDIENCE", "goes with OIDC_ISSUER")
	case c.OIDCIssuer == "":
	case err != nil, u.Host == "", u.RawQuery != "", u.Fragment != "", u.User != nil,
		u.Scheme != "https" && (u.Scheme != "http" || !Loopback(hostPort(u))):
		return bad("oidc-issuer", "OIDC_ISSUER", "must be an https URL (http on this machine only)")
	case c.OIDCAudience == "":
		return bad("oidc-audience", "OIDC_AUDIENCE", "must name the audience that tokens are for, with OIDC_ISSUER")
	case c.OIDCRoleClaim == "" || c.OIDCProjectClaim == "":
		return bad("oidc-role-claim", "OIDC_ROLE_CLAIM", "and OIDC_PROJECT_CLAIM must not be empty")
	}
	for _, l := range []struct {
		flag, env string
		value     int
	}{
		{"rate-limit-events", "RATE_LIMIT_EVENTS", c.RateLimitEvents},
		{"rate-limit-max-requests", "RATE_LIMIT_MAX_REQUESTS", c.RateLimitRequests},
		{"rate-limit-export", "RATE_LIMIT_EXPORT", c.RateLimitExport},
	} {
		if l.value < 0 || l.value > maxRate {
			return bad(l.flag, l.env, fmt.Sprintf("must be between 0 and %d", maxRate))
		}
	}
	_, err := c.Proxies()
	return err
}

const maxRate = 1_000_000_000

func hostPort(u *url.URL) string {
	if u.Port() != "" {
		return u.Host
	}
	return u.Host + ":80"
}

// Proxies are the networks of TrustedProxies.
func (c *Config) Proxies() ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, text := range c.TrustedProxies {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			a, single := netip.ParseAddr(text)
			if single != nil || strings.Contains(text, "%") {
				return nil, bad("trusted-proxies", "TRUSTED_PROXIES", fmt.Sprintf("%q is not a network such as 10.0.0.0/8, nor an address", text))
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		if a := p.Addr(); a.Is4In6() {
			return nil, bad("trusted-proxies", "TRUSTED_PROXIES", fmt.Sprintf("%q: write IPv4 networks as such", text))
		}
		out = append(out, p.Masked())
	}
	return out, nil
}

// EncryptionKeys are the keys of EncryptionKey, the one that seals first.
func (c *Config) EncryptionKeys() (secrets.Keys, error) {
	k, err := secrets.ParseKeys(c.EncryptionKey)
	if err != nil {
		return k, bad("encryption-key", "ENCRYPTION_KEY", err.Error())
	}
	return k, nil
}

// Protected says whether the settings ask whoever comes for a credential.
func (c *Config) Protected() bool {
	return len(c.APIKeys) > 0 || c.JWTSecret != "" || c.OIDCIssuer != ""
}
