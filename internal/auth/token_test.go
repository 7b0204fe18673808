package auth_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/costprof/costprof/internal/auth"
	"github.com/costprof/costprof/internal/fault"
)

var jwtSecret = []byte("0123456789abcdef0123456789abcdef")

func signed(t *testing.T, method jwt.SigningMethod, key any, kid string, claims jwt.MapClaims) string {
	t.Helper()
	token := jwt.NewWithClaims(method, claims)
	if kid != "" {
		token.Header["kid"] = kid
	}
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func claims(change jwt.MapClaims) jwt.MapClaims {
	c := jwt.MapClaims{"sub": "ann", "role": "viewer", "project": "p", "exp": noon.Add(time.Hour).Unix()}
	for k, v := range change {
		if v == nil {
			delete(c, k)
		} else {
			c[k] = v
		}
	}
	return c
}

func TestSharedSecretTokens(t *testing.T) {
	s, at := open(t, &catalog{}, func(p *auth.Params) { p.JWTSecret = jwtSecret })
	token := func(change jwt.MapClaims) string {
		return signed(t, jwt.SigningMethodHS256, jwtSecret, "", claims(change))
	}
	p, err := s.Authenticate(t.Context(), token(nil))
	if err != nil || p.Role != auth.Viewer || p.Project != "p" || p.Actor != "ann" || p.KeyID != "" {
		t.Fatalf("%+v, %v", p, err)
	}
	if p, err := s.Authenticate(t.Context(), token(jwt.MapClaims{"project": nil, "email": "a@b.c"})); err != nil || p.Project != "" || p.Actor != "a@b.c" {
		t.Fatalf("%+v, %v", p, err)
	}
	for name, c := range map[string]struct {
		token string
		code  fault.Code
	}{
		"no role":        {token(jwt.MapClaims{"role": nil}), fault.Forbidden},
		"unknown role":   {token(jwt.MapClaims{"role": "root"}), fault.Forbidden},
		"roles as list":  {token(jwt.MapClaims{"role": []string{"admin"}}), fault.Forbidden},
		"empty project":  {token(jwt.MapClaims{"project": ""}), fault.Forbidden},
		"project list":   {token(jwt.MapClaims{"project": []string{"p"}}), fault.Forbidden},
		"no exp":         {token(jwt.MapClaims{"exp": nil}), fault.Unknown},
		"expired":        {token(jwt.MapClaims{"exp": noon.Add(-61 * time.Second).Unix()}), fault.Unknown},
		"not yet":        {token(jwt.MapClaims{"nbf": noon.Add(62 * time.Second).Unix()}), fault.Unknown},
		"other secret":   {signed(t, jwt.SigningMethodHS256, []byte("another secret that is long enough"), "", claims(nil)), fault.Unknown},
		"other method":   {signed(t, jwt.SigningMethodHS512, jwtSecret, "", claims(nil)), fault.Unknown},
		"none":           {signed(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, "", claims(nil)), fault.Unknown},
		"cut off":        {strings.TrimSuffix(token(nil), token(nil)[len(token(nil))-5:]), fault.Unknown},
		"not a token":    {"a.b.c", fault.Unknown},
		"a huge one":     {"e30." + strings.Repeat("A", 1<<20) + ".x", fault.Unknown},
		"empty sections": {"..", fault.Unknown},
	} {
		_, err := s.Authenticate(t.Context(), c.token)
		if err == nil || fault.CodeOf(err) != c.code {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
	// Clocks may be off by a minute either way.
	for _, change := range []jwt.MapClaims{{"exp": noon.Add(-59 * time.Second).Unix()}, {"nbf": noon.Add(59 * time.Second).Unix()}} {
		if _, err := s.Authenticate(t.Context(), token(change)); err != nil {
			t.Errorf("%v: %v", change, err)
		}
	}
	in, err := s.SignIn(t.Context(), token(nil))
	if err != nil || !in.Until.Equal(noon.Add(time.Hour)) {
		t.Fatalf("session %+v, %v", in, err)
	}
	if p, err := s.Resume(in.Text); err != nil || p.Actor != "ann" || p.Project != "p" {
		t.Fatalf("%+v, %v", p, err)
	}
	at.now = noon.Add(time.Hour)
	_, err = s.Resume(in.Text)
	wantCode(t, err, fault.Unknown)
}

// issuer is an OpenID Connect issuer on loopback.
type issuer struct {
	*httptest.Server
	keys map[string]*rsa.PrivateKey
	down bool
}

func newIssuer(t *testing.T) *issuer {
	i := &issuer{keys: map[string]*rsa.PrivateKey{}}
	mux := http.NewServeMux()
	reply := func(w http.ResponseWriter, v any) {
		if i.down {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v)
	}
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, map[string]any{"issuer": i.URL, "jwks_uri": i.URL + "/keys", "id_token_signing_alg_values_supported": []string{"RS256"}})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		var keys []map[string]string
		for kid, k := range i.keys {
			keys = append(keys, map[string]string{
				"kty": "RSA", "alg": "RS256", "use": "sig", "kid": kid,
				"n": base64.RawURLEncoding.EncodeToString(k.N.Bytes()),
				"e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(k.E)).Bytes()),
			})
		}
		reply(w, map[string]any{"keys": keys})
	})
	i.Server = httptest.NewServer(mux)
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) newKey(t *testing.T, kid string) *rsa.PrivateKey {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	i.keys[kid] = k
	return k
}

func TestOpenIDConnect(t *testing.T) {
	i := newIssuer(t)
	first := i.newKey(t, "k1")
	s, at := open(t, &catalog{}, func(p *auth.Params) {
		p.OIDC = &auth.OIDC{Issuer: i.URL, Audience: "costprof", RoleClaim: "cost_role", ProjectClaim: "team"}
		p.JWTSecret = jwtSecret
	})
	person := func(change jwt.MapClaims) jwt.MapClaims {
		c := jwt.MapClaims{"iss": i.URL, "aud": "costprof", "sub": "u1", "email": "ann@example.com", "cost_role": "editor", "team": "search", "exp": noon.Add(time.Hour).Unix()}
		for k, v := range change {
			if v == nil {
				delete(c, k)
			} else {
				c[k] = v
			}
		}
		return c
	}
	i.down = true
	_, err := s.Authenticate(t.Context(), signed(t, jwt.SigningMethodRS256, first, "k1", person(nil)))
	wantCode(t, err, fault.Unavailable)
	i.down = false
	_, err = s.Authenticate(t.Context(), signed(t, jwt.SigningMethodRS256, first, "k1", person(nil)))
	wantCode(t, err, fault.Unavailable) // not asked again at once
	at.now = noon.Add(10 * time.Second)

	p, err := s.Authenticate(t.Context(), signed(t, jwt.SigningMethodRS256, first, "k1", person(nil)))
	if err != nil || p.Role != auth.Editor || p.Project != "search" || p.Actor != "ann@example.com" {
		t.Fatalf("%+v, %v", p, err)
	}
	// The issuer changes its key.
	second := i.newKey(t, "k2")
	delete(i.keys, "k1")
	if _, err := s.Authenticate(t.Context(), signed(t, jwt.SigningMethodRS256, second, "k2", person(nil))); err != nil {
		t.Fatal("after the key was changed:", err)
	}
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		token string
		code  fault.Code
	}{
		"another audience": {signed(t, jwt.SigningMethodRS256, second, "k2", person(jwt.MapClaims{"aud": "other"})), fault.Unknown},
		"another issuer":   {signed(t, jwt.SigningMethodRS256, second, "k2", person(jwt.MapClaims{"iss": "https://evil.example"})), fault.Unknown},
		"a stranger's key": {signed(t, jwt.SigningMethodRS256, stranger, "k2", person(nil)), fault.Unknown},
		"no exp":           {signed(t, jwt.SigningMethodRS256, second, "k2", person(jwt.MapClaims{"exp": nil})), fault.Unknown},
		"expired":          {signed(t, jwt.SigningMethodRS256, second, "k2", person(jwt.MapClaims{"exp": at.now.Add(-61 * time.Second).Unix()})), fault.Unknown},
		"other role claim": {signed(t, jwt.SigningMethodRS256, second, "k2", person(jwt.MapClaims{"cost_role": nil, "role": "admin"})), fault.Forbidden},
		// The public key as a shared secret.
		"confused method": {signed(t, jwt.SigningMethodHS256, second.N.Bytes(), "k2", person(nil)), fault.Unknown},
	} {
		_, err := s.Authenticate(t.Context(), c.token)
		if err == nil || fault.CodeOf(err) != c.code {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
	if _, err := s.Authenticate(t.Context(), signed(t, jwt.SigningMethodRS256, second, "k2", person(jwt.MapClaims{"aud": []string{"x", "costprof"}, "exp": at.now.Add(-59 * time.Second).Unix()}))); err != nil {
		t.Error("within the leeway, of several audiences:", err)
	}
	// Tokens of both kinds side by side.
	if _, err := s.Authenticate(t.Context(), signed(t, jwt.SigningMethodHS256, jwtSecret, "", claims(nil))); err != nil {
		t.Error(err)
	}
}

func TestSessionsEndWithTheirKey(t *testing.T) {
	c := &catalog{}
	s, at := open(t, c, func(p *auth.Params) { p.Static, _ = auth.ParseStatic([]string{"static-secret-of-length:viewer"}) })
	m := create(t, s, auth.NewKey{Role: auth.Editor, Project: "p"})
	in, err := s.SignIn(t.Context(), m.Secret)
	if err != nil || !in.Until.Equal(noon.Add(12*time.Hour)) {
		t.Fatalf("%+v, %v", in, err)
	}
	resume := func(what, text string, ok bool) {
		t.Helper()
		p, err := s.Resume(text)
		if ok != (err == nil) || ok && p.Role == "" {
			t.Errorf("%s: %+v, %v", what, p, err)
		}
	}
	resume("fresh", in.Text, true)
	other, _ := open(t, c)
	if _, err := other.Resume(in.Text); err != nil {
		t.Error("another server of the ledger does not know it:", err)
	}
	resume("changed", "x"+in.Text, false)
	resume("cut", in.Text[:len(in.Text)-2], false)
	resume("unsigned", strings.Split(in.Text, ".")[0]+".", false)
	resume("empty", "", false)
	static, err := s.SignIn(t.Context(), "static-secret-of-length")
	if err != nil {
		t.Fatal(err)
	}
	resume("static", static.Text, true)
	if _, err := other.Resume(static.Text); err == nil {
		t.Error("a key of the settings that is no longer there opens a session")
	}
	if _, err := s.Rotate(t.Context(), m.ID, time.Minute, auth.Everyone()); err != nil {
		t.Fatal(err)
	}
	resume("in the grace", in.Text, true)
	at.now = noon.Add(2 * time.Minute)
	resume("after the grace", in.Text, false)
	short := create(t, s, auth.NewKey{Role: auth.Editor, Expires: at.now.Add(time.Minute)})
	in, err = s.SignIn(t.Context(), short.Secret)
	if err != nil || !in.Until.Equal(at.now.Add(time.Minute)) {
		t.Fatalf("%+v, %v", in, err)
	}
	if err := s.Revoke(t.Context(), short.ID, auth.Everyone()); err != nil {
		t.Fatal(err)
	}
	resume("revoked", in.Text, false)
}

// A session that was signed out is over for whoever has a copy of it, on every
// server of the ledger and after a restart; others of the same key go on.
func TestSignOut(t *testing.T) {
	c := &catalog{}
	s, _ := open(t, c)
	m := create(t, s, auth.NewKey{Role: auth.Viewer, Project: "p", Name: "ci"})
	signIn := func() auth.Session {
		t.Helper()
		in, err := s.SignIn(t.Context(), m.Secret)
		if err != nil {
			t.Fatal(err)
		}
		return in
	}
	first, second := signIn(), signIn()
	var other *auth.Service
	synctest.Test(t, func(t *testing.T) { // one that was started before and hears of it
		other, _ = open(t, c, func(p *auth.Params) { p.Shared, p.Now = true, func() time.Time { return noon } })
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- other.Run(ctx) }()
		if _, err := other.Resume(first.Text); err != nil {
			t.Fatal(err)
		}
		if err := s.SignOut(t.Context(), first.Text); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		_, err := other.Resume(first.Text)
		wantCode(t, err, fault.Unknown)
		stop()
		<-done
	})
	again, _ := open(t, c)
	for what, server := range map[string]*auth.Service{"here": s, "elsewhere": other, "after a restart": again} {
		if _, err := server.Resume(first.Text); fault.CodeOf(err) != fault.Unknown {
			t.Errorf("%s: a session that was signed out is resumed: %v", what, err)
		}
		if _, err := server.Resume(second.Text); err != nil {
			t.Errorf("%s: another one of the same key is over: %v", what, err)
		}
	}
	if last := c.audit[len(c.audit)-1]; last.Action != "session.end" || !strings.Contains(last.Actor, "ci") {
		t.Errorf("audit %+v", last)
	}
	// Nobody fills the catalog with what is none.
	kept := len(c.ended)
	for _, text := range []string{first.Text, "", "x.y", second.Text + "x"} {
		if err := s.SignOut(t.Context(), text); err != nil || len(c.ended) != kept {
			t.Errorf("signing out %.20q: %v, %d kept", text, err, len(c.ended))
		}
	}
	// When it cannot be kept, it is over here all the same, and said.
	c.fail = fault.New(fault.Unavailable, "the disk is full")
	wantCode(t, s.SignOut(t.Context(), second.Text), fault.Unavailable)
	_, err := s.Resume(second.Text)
	wantCode(t, err, fault.Unknown)
}
