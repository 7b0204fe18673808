package auth

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"strings"
	"sync"
	"time"

	"github.com/costprof/costprof/internal/store"
)

// sessionLength is how long a browser stays signed in.
const sessionLength = 12 * time.Hour

// pass is what a session says of its owner. It is signed and not secret.
type pass struct {
	Actor   string `json:"a"`
	Role    Role   `json:"r"`
	Project string `json:"p,omitempty"`
	// Key and Hash name the key that the session was made with: it ends with it.
	Key   string `json:"k,omitempty"`
	Hash  string `json:"h,omitempty"`
	Until int64  `json:"e"`
	// Nonce tells sessions apart that are the same in all else: each is ended alone.
	Nonce string `json:"n"`
}

// Session is what a browser gets for a credential.
type Session struct {
	Principal
	// Text goes into a cookie.
	Text  string
	Until time.Time
}

// SignIn exchanges a credential for a session. Errors are those of Authenticate.
func (s *Service) SignIn(ctx context.Context, credential string) (Session, error) {
	until := s.Now().Add(sessionLength)
	if isToken(credential) {
		for _, v := range s.tokens {
			if !v.takes(credential) {
				continue
			}
			p, ends, err := s.person(ctx, v, credential)
			if err != nil {
				return Session{}, err
			}
			if ends.Before(until) {
				until = ends
			}
			return s.session(p, "", until), nil
		}
	}
	p, err := s.Authenticate(ctx, credential)
	if err != nil {
		return Session{}, err
	}
	hash := hashOf(credential)
	if k := s.table.Load().byID[p.KeyID]; k != nil && !k.Expires.IsZero() && k.Expires.Before(until) {
		until = k.Expires
	}
	return s.session(p, hex.EncodeToString(hash[:8]), until), nil
}

func (s *Service) session(p Principal, hash string, until time.Time) Session {
	body, err := json.Marshal(pass{Actor: p.Actor, Role: p.Role, Project: p.Project, Key: p.KeyID, Hash: hash, Until: until.Unix(), Nonce: rand.Text()})
	if err != nil {
		panic(err) // texts and numbers always marshal
	}
	text := base64.RawURLEncoding.EncodeToString(body)
	return Session{Principal: p, Text: text + "." + base64.RawURLEncoding.EncodeToString(s.sign(text)), Until: until}
}

func (s *Service) sign(text string) []byte {
	m := hmac.New(sha256.New, s.signing)
	m.Write([]byte("session\x00" + text))
	return m.Sum(nil)
}

// read checks that the session was made here and did not end, by its time or by
// SignOut. Its hash is what it is known by in the catalog.
func (s *Service) read(session string) (p pass, hash [32]byte, ok bool) {
	text, signature, _ := strings.Cut(session, ".")
	given, err := base64.RawURLEncoding.Strict().DecodeString(signature)
	if err != nil || !hmac.Equal(given, s.sign(text)) {
		return p, hash, false
	}
	body, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || json.Unmarshal(body, &p) != nil || s.Now().Unix() >= p.Until {
		return p, hash, false
	}
	hash = sha256.Sum256([]byte(text))
	return p, hash, !s.ended.has(hash)
}

// Resume finds whose session it is. It is over when its time is, when it was
// signed out, and when the key it was made with was revoked, replaced or expired.
func (s *Service) Resume(session string) (Principal, error) {
	p, _, ok := s.read(session)
	if !ok {
		return Principal{}, errUnknown()
	}
	now := s.Now()
	if p.Key == "" {
		return Principal{Actor: p.Actor, Role: p.Role, Project: p.Project, Limit: "token " + p.Actor}, nil
	}
	for _, k := range s.Static {
		if k.id() == p.Key && hex.EncodeToString(k.hash[:8]) == p.Hash {
			return k.principal(), nil
		}
	}
	k := s.table.Load().byID[p.Key]
	if k == nil {
		return Principal{}, errUnknown()
	}
	hash := k.Hash
	if hex.EncodeToString(k.Previous[:8]) == p.Hash {
		hash = k.Previous
	}
	if hex.EncodeToString(hash[:8]) != p.Hash || !good(k, hash, now) {
		return Principal{}, errUnknown()
	}
	return principalOf(k), nil
}

// SignOut ends a session for whoever has a copy of it: at once on this server,
// within two seconds on others of the same catalog. One that is over, or that
// nobody made, is none. When it cannot be kept it is over on this server only,
// and the error says why.
func (s *Service) SignOut(ctx context.Context, session string) error {
	p, hash, ok := s.read(session)
	if !ok {
		return nil
	}
	e := store.EndedSession{Hash: hash, Until: time.Unix(p.Until, 0).UTC()}
	s.ended.add(e)
	entry, err := store.NewAuditEntry(s.Now(), p.Actor, "session.end", map[string]any{})
	if err != nil {
		return err
	}
	return s.Catalog.EndSession(ctx, e, entry)
}

// endedSessions are the sessions that ended before their time.
type endedSessions struct {
	mu    sync.RWMutex
	until map[[32]byte]time.Time
}

func (e *endedSessions) has(hash [32]byte) bool {
	e.mu.RLock()
	defer e.mu.RUnlock()
	_, ended := e.until[hash]
	return ended
}

// add takes up sessions, never back: one that this server ended stays so, though
// the catalog may not know it.
func (e *endedSessions) add(list ...store.EndedSession) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.until == nil {
		e.until = map[[32]byte]time.Time{}
	}
	for _, s := range list {
		e.until[s.Hash] = s.Until
	}
}

// forget drops those that ended by themselves meanwhile.
func (e *endedSessions) forget(now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for hash, until := range e.until {
		if now.After(until) {
			delete(e.until, hash)
		}
	}
}
