package auth

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/store"
)

// Catalog is what the service keeps.
type Catalog interface {
	store.Keys
	store.Sessions
	store.Settings
}

// Params are what a Service is made of. Catalog, Now and Log are required.
type Params struct {
	Catalog Catalog
	// Secrets keeps the key that sessions are signed with; nil makes one for this
	// process, for those who let nobody sign in.
	Secrets store.Settings
	// Static are the keys of the settings.
	Static []Static
	// JWTSecret verifies tokens signed with HS256; empty takes none.
	JWTSecret []byte
	// OIDC says whose tokens are taken; nil is nobody's.
	OIDC *OIDC
	// Shared says that other servers change the same catalog, so that it is read
	// again now and then.
	Shared bool
	Now    func() time.Time
	Log    *slog.Logger
}

// Service answers who asks. All methods may be called from many goroutines.
type Service struct {
	Params
	tokens   []verifier
	signing  []byte // of sessions
	closed   atomic.Bool
	table    atomic.Pointer[table]
	changing sync.Mutex
	reloaded atomic.Int64 // when, in Unix nanoseconds
	ended    endedSessions

	usedMu sync.Mutex
	used   map[string]time.Time
}

// table is the keys as they were read last. It does not change.
type table struct {
	byHash map[[32]byte]*store.Key
	byID   map[string]*store.Key
	list   []store.Key
}

// closedSetting is the setting of the ledger that says that it is closed.
const closedSetting = "access.closed"

// SessionKey is the name of the secret that sessions are signed with.
const SessionKey = "access.session-key"

// Open reads the keys. The context bounds the work of tokens' issuers for as
// long as the service lives.
func Open(ctx context.Context, p Params) (*Service, error) {
	s := &Service{Params: p, used: map[string]time.Time{}}
	if err := s.reload(ctx); err != nil {
		return nil, fmt.Errorf("read the API keys: %w", err)
	}
	if err := s.reloadSessions(ctx); err != nil {
		return nil, fmt.Errorf("read the ended sessions: %w", err)
	}
	configured := len(p.Static) > 0 || len(p.JWTSecret) > 0 || p.OIDC != nil
	if err := s.close(ctx, configured); err != nil {
		return nil, err
	}
	var fresh [32]byte
	_, _ = rand.Read(fresh[:]) // never fails
	var err error
	if s.signing = fresh[:]; p.Secrets != nil {
		if s.signing, err = s.setting(ctx, p.Secrets, SessionKey, fresh[:]); err != nil {
			return nil, fmt.Errorf("read the key of sessions: %w", err)
		}
	}
	if len(p.JWTSecret) > 0 {
		s.tokens = append(s.tokens, &shared{secret: p.JWTSecret, now: p.Now})
	}
	if p.OIDC != nil {
		s.tokens = append(s.tokens, &issuer{OIDC: *p.OIDC, ctx: ctx, now: p.Now})
	}
	for i, k := range p.Static {
		if k.short {
			p.Log.Warn("a key of API_KEYS is so short that it may be guessed; use 16 characters or more", "key", i+1)
		}
	}
	return s, nil
}

// close decides whether the ledger is closed: it is when access was ever
// configured, by any server on it.
func (s *Service) close(ctx context.Context, configured bool) error {
	if configured {
		if _, err := s.setting(ctx, s.Catalog, closedSetting, []byte("1")); err != nil {
			return fmt.Errorf("close the ledger: %w", err)
		}
		s.closed.Store(true)
		return nil
	}
	ever, err := Ever(ctx, s.Catalog)
	if err != nil {
		return fmt.Errorf("read whether the ledger is closed: %w", err)
	}
	if ever {
		s.closed.Store(true)
	}
	return nil
}

// Closed says whether whoever asks must show a credential.
func (s *Service) Closed() bool { return s.closed.Load() }

// setting gives a value of the ledger, made now when there is none. A ledger that
// takes nothing now, for want of space, is no reason not to answer from it: then
// the value holds for this process.
func (s *Service) setting(ctx context.Context, in store.Settings, name string, fresh []byte) ([]byte, error) {
	kept, err := in.GetSetting(ctx, name)
	if fault.CodeOf(err) != fault.NotFound {
		return kept, err
	}
	kept, err = in.InitSetting(ctx, name, fresh)
	if fault.CodeOf(err) == fault.Unavailable {
		s.Log.Warn("a setting could not be kept and holds until the server stops", "setting", name, "error", err)
		return fresh, nil
	}
	return kept, err
}

// Ever says whether access to the ledger was ever configured.
func Ever(ctx context.Context, c Catalog) (bool, error) {
	keys, err := c.ListKeys(ctx)
	if err != nil || len(keys) > 0 {
		return err == nil, err
	}
	_, err = c.GetSetting(ctx, closedSetting)
	if fault.CodeOf(err) == fault.NotFound {
		return false, nil //nolint:nilerr // that there is none is the answer
	}
	return err == nil, err
}

func (s *Service) reload(ctx context.Context) error {
	keys, err := s.Catalog.ListKeys(ctx)
	if err != nil {
		return err
	}
	t := &table{byHash: map[[32]byte]*store.Key{}, byID: map[string]*store.Key{}, list: keys}
	for i := range keys {
		k := &keys[i]
		t.byID[k.ID] = k
		t.byHash[k.Hash] = k
		if k.Previous != [32]byte{} {
			t.byHash[k.Previous] = k
		}
	}
	s.table.Store(t)
	s.reloaded.Store(s.Now().UnixNano())
	if len(keys) > 0 {
		s.closed.Store(true)
	}
	return nil
}

// reloadSessions takes up which sessions were ended, by any server.
func (s *Service) reloadSessions(ctx context.Context) error {
	list, err := s.Catalog.ListEndedSessions(ctx)
	s.ended.add(list...)
	s.ended.forget(s.Now())
	return err
}

// The pace of Run.
const (
	// reloadEvery is how late this server hears of a key that another one made or
	// revoked.
	reloadEvery = 2 * time.Second
	// reloadLeast is how soon an unknown key may cause another look.
	reloadLeast = 500 * time.Millisecond
	touchEvery  = 30 * time.Second
)

// Run keeps up with other servers and notes when keys were used, until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	touch := time.NewTicker(touchEvery)
	defer touch.Stop()
	var again <-chan time.Time
	if s.Shared {
		t := time.NewTicker(reloadEvery)
		defer t.Stop()
		again = t.C
	}
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			s.touch(last)
			return ctx.Err()
		case <-touch.C:
			s.touch(ctx)
			s.ended.forget(s.Now())
		case <-again:
			if err := s.reload(ctx); err != nil {
				s.Log.Debug("API keys could not be read again", "error", err)
			}
			if err := s.reloadSessions(ctx); err != nil {
				s.Log.Debug("ended sessions could not be read again", "error", err)
			}
			if !s.Closed() {
				if err := s.close(ctx, false); err != nil {
					s.Log.Debug("access could not be read again", "error", err)
				}
			}
		}
	}
}

func (s *Service) touch(ctx context.Context) {
	s.usedMu.Lock()
	used := s.used
	s.used = map[string]time.Time{}
	s.usedMu.Unlock()
	if len(used) == 0 {
		return
	}
	if err := s.Catalog.TouchKeys(ctx, used); err != nil {
		s.Log.Warn("when keys were used could not be noted", "error", err)
	}
}

// errUnknown tells nobody whether a credential was ever good.
func errUnknown() error {
	return fault.New(fault.Unknown, "This credential is not known, was revoked, or has expired")
}

// Authenticate finds who showed the credential, a key or a token. fault.Unknown
// when nobody knows it, fault.Forbidden when it is good and gives no role,
// fault.Unavailable when a token's issuer cannot be asked.
func (s *Service) Authenticate(ctx context.Context, credential string) (Principal, error) {
	hash := hashOf(credential)
	for _, k := range s.Static {
		if k.hash == hash {
			return k.principal(), nil
		}
	}
	if isToken(credential) {
		for _, v := range s.tokens {
			if v.takes(credential) {
				p, _, err := s.person(ctx, v, credential)
				return p, err
			}
		}
	}
	now := s.Now()
	k := s.table.Load().byHash[hash]
	if k == nil && s.Shared && now.UnixNano()-s.reloaded.Load() > int64(reloadLeast) {
		if err := s.reload(ctx); err != nil {
			return Principal{}, err
		}
		k = s.table.Load().byHash[hash]
	}
	if k == nil || !good(k, hash, now) {
		return Principal{}, errUnknown()
	}
	s.usedMu.Lock()
	s.used[k.ID] = now
	s.usedMu.Unlock()
	return principalOf(k), nil
}

// good says whether the key may be used with the secret of this hash.
func good(k *store.Key, hash [32]byte, now time.Time) bool {
	switch {
	case !k.Revoked.IsZero() && !now.Before(k.Revoked):
		return false
	case !k.Expires.IsZero() && !now.Before(k.Expires):
		return false
	case hash == k.Hash:
		return true
	}
	return hash == k.Previous && now.Before(k.PreviousUntil)
}

func principalOf(k *store.Key) Principal {
	actor := "key " + k.ID
	if k.Name != "" {
		actor += " (" + k.Name + ")"
	}
	return Principal{Actor: actor, Role: Role(k.Role), Project: k.Project, KeyID: k.ID, Limit: "key " + k.ID}
}

func (s Static) principal() Principal {
	id := s.id()
	return Principal{Actor: "key " + id + " (API_KEYS)", Role: s.Role, Project: s.Project, KeyID: id, Limit: "key " + id}
}

// isToken says whether the text has the form of a JSON web token.
func isToken(s string) bool { return strings.Count(s, ".") == 2 }
