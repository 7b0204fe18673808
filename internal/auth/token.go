package auth

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/golang-jwt/jwt/v5"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/usage"
)

// leeway is how far the clock of a token's issuer may be off.
const leeway = 60 * time.Second

// maxToken is the longest token that is looked at.
const maxToken = 16 << 10

// verifier proves that a token is somebody's and gives what it claims.
type verifier interface {
	// takes says whether this verifier is for such a token, by its algorithm.
	takes(token string) bool
	verify(ctx context.Context, token string) (map[string]any, error)
	// claims names the claims of role and project.
	claims() (role, project string)
}

// algorithm is what the token says it is signed with.
func algorithm(token string) string {
	head, _, _ := strings.Cut(token, ".")
	var h struct {
		Alg string `json:"alg"`
	}
	b, err := base64.RawURLEncoding.DecodeString(head)
	if err != nil || json.Unmarshal(b, &h) != nil {
		return ""
	}
	return h.Alg
}

// shared verifies tokens signed with a secret that the issuer and this server
// know.
type shared struct {
	secret []byte
	now    func() time.Time
}

func (s *shared) takes(token string) bool        { return algorithm(token) == "HS256" }
func (s *shared) claims() (role, project string) { return "role", "project" }

func (s *shared) verify(_ context.Context, token string) (map[string]any, error) {
	claims := jwt.MapClaims{}
	_, err := jwt.ParseWithClaims(token, claims, func(*jwt.Token) (any, error) { return s.secret, nil },
		jwt.WithValidMethods([]string{"HS256"}), jwt.WithExpirationRequired(), jwt.WithLeeway(leeway), jwt.WithTimeFunc(s.now))
	return claims, err
}

// OIDC is an issuer of tokens that are taken.
type OIDC struct {
	Issuer, Audience        string
	RoleClaim, ProjectClaim string
}

// issuer verifies tokens of an OpenID Connect issuer, whose keys it finds by
// discovery and follows when they change.
type issuer struct {
	OIDC
	ctx context.Context //nolint:containedctx // the keys are fetched for as long as the service lives
	now func() time.Time

	mu       sync.Mutex
	verifier *oidc.IDTokenVerifier
	failed   error
	retry    time.Time
}

func (i *issuer) takes(token string) bool {
	alg := algorithm(token)
	return alg != "" && alg != "none" && !strings.HasPrefix(alg, "HS")
}

func (i *issuer) claims() (role, project string) { return i.RoleClaim, i.ProjectClaim }

// How long an issuer may take, and how soon one that failed is asked again.
const (
	issuerTimeout = 10 * time.Second
	issuerRetry   = 5 * time.Second
)

func (i *issuer) discover() (*oidc.IDTokenVerifier, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.verifier != nil {
		return i.verifier, nil
	}
	now := i.now()
	if i.failed != nil && now.Before(i.retry) {
		return nil, i.failed
	}
	ctx := oidc.ClientContext(i.ctx, &http.Client{Timeout: issuerTimeout})
	provider, err := oidc.NewProvider(ctx, i.Issuer)
	if err != nil {
		i.failed = &fault.Error{
			Code: fault.Unavailable, Message: "The issuer of tokens (OIDC_ISSUER) cannot be asked now", RetryAfter: issuerRetry, Err: err,
		}
		i.retry = now.Add(issuerRetry)
		return nil, i.failed
	}
	// Times are checked with our leeway.
	i.verifier = provider.Verifier(&oidc.Config{ClientID: i.Audience, SkipExpiryCheck: true, Now: i.now})
	return i.verifier, nil
}

func (i *issuer) verify(ctx context.Context, token string) (map[string]any, error) {
	v, err := i.discover()
	if err != nil {
		return nil, err
	}
	t, err := v.Verify(ctx, token)
	if err != nil {
		return nil, err
	}
	claims := jwt.MapClaims{}
	if err := t.Claims(&claims); err != nil {
		return nil, err
	}
	check := jwt.NewValidator(jwt.WithExpirationRequired(), jwt.WithLeeway(leeway), jwt.WithTimeFunc(i.now))
	return claims, check.Validate(claims)
}

// person verifies a token and reads role and project from it; until is when it
// ends.
func (s *Service) person(ctx context.Context, v verifier, token string) (p Principal, until time.Time, err error) {
	if len(token) > maxToken {
		return p, until, errUnknown()
	}
	claims, err := v.verify(ctx, token)
	if err != nil {
		var f *fault.Error
		if errors.As(err, &f) {
			return p, until, err
		}
		s.Log.Debug("a token was refused", "error", err)
		return p, until, errUnknown()
	}
	roleClaim, projectClaim := v.claims()
	name, _ := claims[roleClaim].(string)
	role, ok := ParseRole(name)
	if !ok {
		return p, until, fault.New(fault.Forbidden, "This token gives no role here: its claim %q must be one of %s", roleClaim, RoleNames())
	}
	project := ""
	if claim, given := claims[projectClaim]; given {
		if project, ok = claim.(string); !ok || project == "" || len(project) > 4*usage.MaxIDLength {
			return p, until, fault.New(fault.Forbidden, "This token gives no project here: its claim %q must be one project's name, or be left out for all", projectClaim)
		}
	}
	who := who(claims)
	expires, err := jwt.MapClaims(claims).GetExpirationTime()
	if err != nil || expires == nil {
		return p, until, errUnknown()
	}
	return Principal{Actor: who, Role: role, Project: project, Limit: "token " + who}, expires.Time, nil
}

// who names the person for the audit log.
func who(claims map[string]any) string {
	for _, name := range []string{"email", "preferred_username", "sub"} {
		if v, ok := claims[name].(string); ok && v != "" {
			return usage.Shorten(v)
		}
	}
	return "token without a subject"
}
