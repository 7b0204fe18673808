package auth_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/costprof/costprof/internal/auth"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/store"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// catalog is a ledger's catalog in memory, which several services may share.
type catalog struct {
	mu       sync.Mutex
	keys     []store.Key
	ended    []store.EndedSession
	settings map[string][]byte
	audit    []store.AuditEntry
	fail     error
	full     bool
}

func (c *catalog) ListKeys(context.Context) ([]store.Key, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.keys), c.fail
}

func (c *catalog) PutKey(_ context.Context, k store.Key, e store.AuditEntry) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fail != nil {
		return c.fail
	}
	c.keys = append(slices.DeleteFunc(c.keys, func(o store.Key) bool { return o.ID == k.ID }), k)
	c.audit = append(c.audit, e)
	return nil
}

func (c *catalog) TouchKeys(_ context.Context, used map[string]time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.keys {
		if t, ok := used[c.keys[i].ID]; ok {
			c.keys[i].LastUsed = t
		}
	}
	return nil
}

func (c *catalog) EndSession(_ context.Context, ended store.EndedSession, e store.AuditEntry) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fail != nil {
		return c.fail
	}
	c.ended = append(c.ended, ended)
	c.audit = append(c.audit, e)
	return nil
}

func (c *catalog) ListEndedSessions(context.Context) ([]store.EndedSession, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.ended), c.fail
}

func (c *catalog) GetSetting(_ context.Context, name string) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if v, ok := c.settings[name]; ok {
		return v, nil
	}
	return nil, fault.New(fault.NotFound, "no setting")
}

func (c *catalog) ReplaceSetting(_ context.Context, name string, _, now []byte, e store.AuditEntry) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settings[name] = now
	c.audit = append(c.audit, e)
	return nil
}

func (c *catalog) InitSetting(_ context.Context, name string, value []byte) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.full {
		return nil, fault.New(fault.Unavailable, "the disk is full")
	}
	if c.settings == nil {
		c.settings = map[string][]byte{}
	}
	if _, ok := c.settings[name]; !ok {
		c.settings[name] = value
	}
	return c.settings[name], nil
}

type clock struct{ now time.Time }

func open(t *testing.T, c *catalog, change ...func(*auth.Params)) (*auth.Service, *clock) {
	t.Helper()
	at := &clock{noon}
	p := auth.Params{Catalog: c, Secrets: c, Now: func() time.Time { return at.now }, Log: slog.New(slog.DiscardHandler)}
	for _, f := range change {
		f(&p)
	}
	s, err := auth.Open(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return s, at
}

func create(t *testing.T, s *auth.Service, n auth.NewKey) auth.Made {
	t.Helper()
	m, err := s.Create(t.Context(), n, auth.Everyone())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func wantCode(t *testing.T, err error, code fault.Code) {
	t.Helper()
	if err == nil || fault.CodeOf(err) != code {
		t.Fatalf("error %v, want %s", err, code)
	}
}

func TestFirstKeyClosesForEver(t *testing.T) {
	c := &catalog{}
	s, _ := open(t, c)
	if s.Closed() {
		t.Fatal("closed before there was any key")
	}
	m := create(t, s, auth.NewKey{Role: auth.Viewer, Project: "p"})
	if !s.Closed() {
		t.Fatal("open after the first key")
	}
	if !strings.Contains(m.Warning, "API_KEYS") {
		t.Errorf("no warning that nobody can administer: %q", m.Warning)
	}
	if err := s.Revoke(t.Context(), m.ID, auth.Everyone()); err != nil {
		t.Fatal(err)
	}
	if !s.Closed() {
		t.Fatal("open after the last key was revoked")
	}
	again, _ := open(t, c)
	if !again.Closed() {
		t.Fatal("open after a restart")
	}
	_, err := again.Authenticate(t.Context(), m.Secret)
	wantCode(t, err, fault.Unknown)
}

func TestSettingsCloseForEver(t *testing.T) {
	for name, configure := range map[string]func(*auth.Params){
		"API_KEYS":    func(p *auth.Params) { p.Static, _ = auth.ParseStatic([]string{"a-secret-of-some-length"}) },
		"JWT_SECRET":  func(p *auth.Params) { p.JWTSecret = []byte(strings.Repeat("s", 32)) },
		"OIDC_ISSUER": func(p *auth.Params) { p.OIDC = &auth.OIDC{Issuer: "http://127.0.0.1:1"} },
	} {
		t.Run(name, func(t *testing.T) {
			c := &catalog{}
			if s, _ := open(t, c, configure); !s.Closed() {
				t.Fatal("open although access is configured")
			}
			if s, _ := open(t, c); !s.Closed() {
				t.Fatal("open when the setting is gone")
			}
		})
	}
}

func TestKeyLife(t *testing.T) {
	c := &catalog{}
	s, at := open(t, c)
	m := create(t, s, auth.NewKey{Name: "ci", Role: auth.Ingest, Project: "p", Expires: noon.Add(time.Hour)})
	p, err := s.Authenticate(t.Context(), m.Secret)
	if err != nil {
		t.Fatal(err)
	}
	if p.Role != auth.Ingest || p.Project != "p" || p.KeyID != m.ID || !strings.Contains(p.Actor, "ci") {
		t.Fatalf("principal %+v", p)
	}
	for _, k := range c.keys {
		if strings.Contains(m.Secret, k.Hint) && len(k.Hint) > 8 {
			t.Errorf("the hint %q gives too much of the secret away", k.Hint)
		}
	}
	for _, wrong := range []string{"", "x", m.Secret + "x", m.Secret[:len(m.Secret)-1], strings.ToUpper(m.Secret), m.ID} {
		_, err := s.Authenticate(t.Context(), wrong)
		wantCode(t, err, fault.Unknown)
	}

	old := m.Secret
	rotated, err := s.Rotate(t.Context(), m.ID, time.Minute, auth.Everyone())
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{old, rotated.Secret} {
		if p, err := s.Authenticate(t.Context(), secret); err != nil || p.KeyID != m.ID {
			t.Fatalf("within the grace: %+v, %v", p, err)
		}
	}
	at.now = noon.Add(time.Minute)
	_, err = s.Authenticate(t.Context(), old)
	wantCode(t, err, fault.Unknown)
	if _, err := s.Authenticate(t.Context(), rotated.Secret); err != nil {
		t.Fatal(err)
	}
	at.now = noon.Add(time.Hour)
	_, err = s.Authenticate(t.Context(), rotated.Secret)
	wantCode(t, err, fault.Unknown)

	if err := s.Revoke(t.Context(), m.ID, auth.Everyone()); err != nil {
		t.Fatal(err)
	}
	if err := s.Revoke(t.Context(), m.ID, auth.Everyone()); err != nil {
		t.Fatal("revoking twice:", err)
	}
	_, err = s.Rotate(t.Context(), m.ID, 0, auth.Everyone())
	wantCode(t, err, fault.Conflict)
	var actions []string
	for _, e := range c.audit {
		actions = append(actions, e.Action)
		if strings.Contains(string(e.Detail), "cpk_") {
			t.Errorf("a secret in the audit log: %s", e.Detail)
		}
	}
	if want := []string{"key.create", "key.rotate", "key.revoke"}; !slices.Equal(actions, want) {
		t.Errorf("audit %v, want %v", actions, want)
	}
}

func TestProjectAdminKeepsToItsProject(t *testing.T) {
	s, _ := open(t, &catalog{})
	all := create(t, s, auth.NewKey{Role: auth.Admin})
	mine := create(t, s, auth.NewKey{Role: auth.Admin, Project: "a"})
	other := create(t, s, auth.NewKey{Role: auth.Viewer, Project: "b"})
	p, err := s.Authenticate(t.Context(), mine.Secret)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.List(p); len(got) != 1 || got[0].ID != mine.ID {
		t.Errorf("sees %d keys", len(got))
	}
	for _, project := range []string{"", "b"} {
		_, err := s.Create(t.Context(), auth.NewKey{Role: auth.Viewer, Project: project}, p)
		wantCode(t, err, fault.Forbidden)
	}
	for _, id := range []string{all.ID, other.ID, "nothing"} {
		wantCode(t, s.Revoke(t.Context(), id, p), fault.NotFound)
		_, err := s.Rotate(t.Context(), id, 0, p)
		wantCode(t, err, fault.NotFound)
	}
	if _, err := s.Create(t.Context(), auth.NewKey{Role: auth.Viewer, Project: "a"}, p); err != nil {
		t.Error(err)
	}
}

func TestNewKeyRules(t *testing.T) {
	s, _ := open(t, &catalog{})
	_, err := s.Create(t.Context(), auth.NewKey{Role: "root", Name: strings.Repeat("x", 129), Project: strings.Repeat("ü", 129), Expires: noon}, auth.Everyone())
	var f *fault.Error
	if !errors.As(err, &f) || len(f.Details) != 4 {
		t.Fatalf("problems %v", err)
	}
	if s.Closed() {
		t.Error("a refused key closed the server")
	}
}

func TestAnotherServersKeys(t *testing.T) {
	c := &catalog{}
	one, _ := open(t, c, func(p *auth.Params) { p.Shared = true })
	two, at := open(t, c, func(p *auth.Params) { p.Shared = true })
	m := create(t, one, auth.NewKey{Role: auth.Admin})
	at.now = noon.Add(time.Second)
	if _, err := two.Authenticate(t.Context(), m.Secret); err != nil {
		t.Fatal("a key that the other server made:", err)
	}
	if !two.Closed() {
		t.Error("still open after the other server was closed")
	}
	if err := one.Revoke(t.Context(), m.ID, auth.Everyone()); err != nil {
		t.Fatal(err)
	}
}

func TestParseStatic(t *testing.T) {
	for _, bad := range []struct{ text, says string }{
		{"", "no secret"}, {":admin", "no secret"}, {"s:root", "role"}, {"s:", "role"}, {"se cret", "header"}, {"ß", "header"},
		{"s:viewer:" + strings.Repeat("p", 600), "project"},
	} {
		_, err := auth.ParseStatic([]string{"good-one", bad.text})
		if err == nil || !strings.Contains(err.Error(), bad.says) || !strings.Contains(err.Error(), "key 2 of 2") {
			t.Errorf("%q: %v", bad.text, err)
		}
		if secret, _, _ := strings.Cut(bad.text, ":"); err != nil && len(secret) > 2 && strings.Contains(err.Error(), secret) {
			t.Errorf("%v repeats the secret", err)
		}
	}
	if _, err := auth.ParseStatic([]string{"same:viewer", "same:admin"}); err == nil {
		t.Error("the same secret twice")
	}
	keys, err := auth.ParseStatic([]string{"one", "two:viewer", " three:ingest:p:q "})
	if err != nil {
		t.Fatal(err)
	}
	if keys[0].Role != auth.Admin || keys[1].Role != auth.Viewer || keys[2].Role != auth.Ingest || keys[2].Project != "p:q" {
		t.Errorf("%+v", keys)
	}
}

func TestRights(t *testing.T) {
	want := map[auth.Role]string{auth.Ingest: "SQ", auth.Viewer: "QR", auth.Editor: "QRE", auth.Admin: "SQREA", "": "", "root": ""}
	for role, rights := range want {
		got := ""
		for i, right := range []auth.Right{auth.Send, auth.Quote, auth.Read, auth.Edit, auth.Administer} {
			if role.Can(right) {
				got += "SQREA"[i : i+1]
			}
		}
		if got != rights || !role.Can(auth.Public) {
			t.Errorf("%q may %q, want %q", role, got, rights)
		}
	}
}

// A ledger that takes nothing is still answered from.
func TestFullCatalog(t *testing.T) {
	c := &catalog{full: true}
	configured := func(p *auth.Params) { p.Static, _ = auth.ParseStatic([]string{"a-secret-of-some-length"}) }
	s, _ := open(t, c, configured)
	if !s.Closed() {
		t.Error("open although access is configured")
	}
	in, err := s.SignIn(t.Context(), "a-secret-of-some-length")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Resume(in.Text); err != nil {
		t.Error(err)
	}
	c.full = false
	open(t, c, configured)
	c.full = true
	if s, _ := open(t, c, configured); !s.Closed() {
		t.Error("open")
	}
}
