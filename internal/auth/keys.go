package auth

import (
	"context"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/usage"
)

// NewKey is what a key is made of.
type NewKey struct {
	// Name is for people, at most 128 characters.
	Name string
	Role Role
	// Project is its one project, "" for all.
	Project string
	// Expires is when it ends; zero is never.
	Expires time.Time
}

// Made is a key with its secret, which is not kept and never shown again.
type Made struct {
	store.Key
	Secret string
	// Warning is a sentence for who made it; "" is none.
	Warning string
}

// State is whether a key is good.
type State string

// StateOf says whether the key is active, expired or revoked.
func StateOf(k *store.Key, now time.Time) State {
	switch {
	case !k.Revoked.IsZero():
		return "revoked"
	case !k.Expires.IsZero() && !now.Before(k.Expires):
		return "expired"
	}
	return "active"
}

// MaxGrace is the longest that a replaced secret may stay good.
const MaxGrace = 30 * 24 * time.Hour

// maxKeys bounds the table that every server holds.
const maxKeys = 10_000

// List gives the keys that the principal may know of, revoked ones included,
// oldest first.
func (s *Service) List(p Principal) []store.Key {
	var out []store.Key
	for _, k := range s.table.Load().list {
		if visible(p, &k) {
			out = append(out, k)
		}
	}
	return out
}

// visible: who belongs to one project knows nothing of keys for others or for
// all.
func visible(p Principal, k *store.Key) bool { return p.Project == "" || p.Project == k.Project }

// Create makes a key and closes an open ledger by that.
func (s *Service) Create(ctx context.Context, n NewKey, by Principal) (Made, error) {
	now := s.Now().UTC().Truncate(time.Microsecond)
	if err := n.check(now); err != nil {
		return Made{}, err
	}
	if by.Project != "" && n.Project != by.Project {
		return Made{}, fault.New(fault.Forbidden, "This key may make keys for its own project only")
	}
	secret := newSecret()
	k := store.Key{
		ID: newID(), Name: n.Name, Hash: hashOf(secret), Hint: secret[:hintLength], Role: string(n.Role), Project: n.Project,
		CreatedBy: by.Actor, Created: now, Expires: n.Expires.UTC().Truncate(time.Microsecond),
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	if len(s.table.Load().list) >= maxKeys {
		return Made{}, fault.New(fault.Conflict, "There are %d keys, which is the most; keys are never removed, so rotate one instead", maxKeys)
	}
	if err := s.put(ctx, k, "key.create", by, nil); err != nil {
		return Made{}, err
	}
	return Made{Key: k, Secret: secret, Warning: s.warning()}, nil
}

func (n NewKey) check(now time.Time) error {
	problems := map[string][]string{}
	bad := func(field, rule string) { problems[field] = append(problems[field], rule) }
	if !slices.Contains(Roles, n.Role) {
		bad("role", "must be one of "+RoleNames())
	}
	for _, f := range []struct {
		field, text string
	}{{"name", n.Name}, {"project", n.Project}} {
		if utf8.RuneCountInString(f.text) > usage.MaxIDLength {
			bad(f.field, fmt.Sprintf("must have at most %d characters", usage.MaxIDLength))
		}
	}
	if !n.Expires.IsZero() && !n.Expires.After(now) {
		bad("expires", "must be in the future")
	}
	if len(problems) > 0 {
		return &fault.Error{Code: fault.Invalid, Message: "Validation failed", Details: problems}
	}
	return nil
}

// find gives a copy of a key that can still be changed.
func (s *Service) find(id string, by Principal) (store.Key, error) {
	k := s.table.Load().byID[id]
	if k == nil || !visible(by, k) {
		return store.Key{}, fault.New(fault.NotFound, "There is no such key")
	}
	return *k, nil
}

// Rotate gives a key a new secret. The old one stays good for grace.
func (s *Service) Rotate(ctx context.Context, id string, grace time.Duration, by Principal) (Made, error) {
	if grace < 0 || grace > MaxGrace {
		return Made{}, fault.Field("graceSeconds", fmt.Sprintf("must be between 0 and %d", int(MaxGrace.Seconds())))
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	if err := s.reload(ctx); err != nil {
		return Made{}, err
	}
	k, err := s.find(id, by)
	if err != nil {
		return Made{}, err
	}
	if !k.Revoked.IsZero() {
		return Made{}, fault.New(fault.Conflict, "This key was revoked; make another one")
	}
	secret := newSecret()
	now := s.Now().UTC().Truncate(time.Microsecond)
	k.Previous, k.PreviousUntil = [32]byte{}, time.Time{}
	if grace > 0 {
		k.Previous, k.PreviousUntil = k.Hash, now.Add(grace)
	}
	k.Hash, k.Hint = hashOf(secret), secret[:hintLength]
	if err := s.put(ctx, k, "key.rotate", by, map[string]any{"graceSeconds": int64(grace.Seconds())}); err != nil {
		return Made{}, err
	}
	return Made{Key: k, Secret: secret}, nil
}

// Revoke ends a key for ever. Revoking it again changes nothing.
func (s *Service) Revoke(ctx context.Context, id string, by Principal) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	if err := s.reload(ctx); err != nil {
		return err
	}
	k, err := s.find(id, by)
	if err != nil {
		return err
	}
	if !k.Revoked.IsZero() {
		return nil
	}
	k.Revoked = s.Now().UTC().Truncate(time.Microsecond)
	return s.put(ctx, k, "key.revoke", by, nil)
}

// put stores the key with its audit entry, and takes it up at once.
func (s *Service) put(ctx context.Context, k store.Key, action string, by Principal, more map[string]any) error {
	detail := map[string]any{"id": k.ID, "name": k.Name, "role": k.Role, "project": k.Project}
	for name, v := range more {
		detail[name] = v
	}
	entry, err := store.NewAuditEntry(s.Now(), by.Actor, action, detail)
	if err != nil {
		return err
	}
	if err := s.Catalog.PutKey(ctx, k, entry); err != nil {
		return err
	}
	return s.reload(ctx)
}

// warning says when nobody is left who could make keys.
func (s *Service) warning() string {
	if len(s.tokens) > 0 {
		return ""
	}
	now := s.Now()
	for _, k := range s.Static {
		if k.Role == Admin {
			return ""
		}
	}
	for _, k := range s.table.Load().list {
		if k.Role == string(Admin) && k.Project == "" && good(&k, k.Hash, now) {
			return ""
		}
	}
	return "No key may administer this server any more: the way back in is API_KEYS, or costprof keys create --role admin --data DIR with the server stopped"
}
