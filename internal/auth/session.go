package auth

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"strings"
	"time"
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
	body, err := json.Marshal(pass{Actor: p.Actor, Role: p.Role, Project: p.Project, Key: p.KeyID, Hash: hash, Until: until.Unix()})
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

// Resume finds whose session it is. It is over when its time is, and when the
// key it was made with was revoked, replaced or expired.
func (s *Service) Resume(session string) (Principal, error) {
	text, signature, _ := strings.Cut(session, ".")
	given, err := base64.RawURLEncoding.Strict().DecodeString(signature)
	if err != nil || !hmac.Equal(given, s.sign(text)) {
		return Principal{}, errUnknown()
	}
	var p pass
	body, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || json.Unmarshal(body, &p) != nil {
		return Principal{}, errUnknown()
	}
	now := s.Now()
	if now.Unix() >= p.Until {
		return Principal{}, errUnknown()
	}
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
