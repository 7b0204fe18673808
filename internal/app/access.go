package app

import (
	"context"
	"time"

	"github.com/costprof/costprof/internal/auth"
	"github.com/costprof/costprof/internal/httpapi"
	"github.com/costprof/costprof/internal/limit"
	"github.com/costprof/costprof/internal/secrets"
	"github.com/costprof/costprof/internal/store"
)

// openAccess reads who may come in, from the settings and the ledger.
func openAccess(ctx context.Context, p Params, engine store.Engine) (*auth.Service, error) {
	c := p.Config
	static, err := auth.ParseStatic(c.APIKeys)
	if err != nil {
		return nil, err
	}
	keys, err := c.EncryptionKeys()
	if err != nil {
		return nil, err
	}
	keeper := &secrets.Keeper{Settings: engine, Keys: keys, Now: time.Now}
	a := auth.Params{Catalog: engine, Secrets: keeper, Static: static, JWTSecret: []byte(c.JWTSecret), Shared: severalServers(c), Now: time.Now, Log: p.Log}
	if c.OIDCIssuer != "" {
		a.OIDC = &auth.OIDC{Issuer: c.OIDCIssuer, Audience: c.OIDCAudience, RoleClaim: c.OIDCRoleClaim, ProjectClaim: c.OIDCProjectClaim}
	}
	return auth.Open(ctx, a)
}

// limitsOf gives the rules of how often someone may ask.
func limitsOf(p Params, counter limit.Counter) (httpapi.Limits, error) {
	c := p.Config
	proxies, err := c.Proxies()
	return httpapi.Limits{
		Limiter:        &limit.Limiter{Shared: counter, Local: limit.NewMemory(time.Now, 0), Log: p.Log, Now: time.Now},
		Ingest:         limit.Rule{Name: "events", Most: c.RateLimitEvents, Per: time.Hour},
		Other:          limit.Rule{Name: "requests", Most: c.RateLimitRequests, Per: 15 * time.Minute},
		Export:         limit.Rule{Name: "export", Most: c.RateLimitExport, Per: time.Minute},
		TrustedProxies: proxies,
	}, err
}
