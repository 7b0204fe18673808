package cli

import (
	"log/slog"
	"os"
	"time"

	"github.com/costprof/costprof/client"
	"github.com/costprof/costprof/internal/auth"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/store/engines"
)

// localKeys are those of a ledger at rest: whoever can write its directory may
// make keys for it.
type localKeys struct {
	s      *session
	engine store.Engine
	auth   *auth.Service
}

// operator is who works on the ledger itself.
func operator() auth.Principal {
	return auth.Principal{Actor: "operator at the data directory", Role: auth.Admin}
}

func openKeyring(s *session, dir string) (keyring, error) {
	if _, err := os.Stat(dir); err != nil {
		return nil, usagef("--data %s: there is no such directory", dir)
	}
	log := slog.New(slog.NewTextHandler(s.stdio.Err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	engine, err := engines.Open(s.ctx, engines.Options{Dir: dir, Log: log})
	if err != nil {
		return nil, err
	}
	access, err := auth.Open(s.ctx, auth.Params{Catalog: engine, Now: time.Now, Log: log})
	if err != nil {
		_ = engine.Close() // what was wrong with it is being returned
		return nil, err
	}
	return &localKeys{s, engine, access}, nil
}

func (l *localKeys) close() error           { return l.engine.Close() }
func (l *localKeys) revoke(id string) error { return l.auth.Revoke(l.s.ctx, id, operator()) }

func (l *localKeys) create(k client.NewKey) (client.MadeKey, error) {
	n := auth.NewKey{Name: k.Name, Role: auth.Role(k.Role), Project: k.Project}
	if k.Expires != nil {
		n.Expires = *k.Expires
	}
	made, err := l.auth.Create(l.s.ctx, n, operator())
	return client.MadeKey{Key: l.key(&made.Key), Secret: made.Secret, Warning: made.Warning}, err
}

func (l *localKeys) rotate(id string, grace time.Duration) (client.MadeKey, error) {
	made, err := l.auth.Rotate(l.s.ctx, id, grace, operator())
	return client.MadeKey{Key: l.key(&made.Key), Secret: made.Secret, Warning: made.Warning}, err
}

func (l *localKeys) list() ([]client.Key, error) {
	var out []client.Key
	for _, k := range l.auth.List(operator()) {
		out = append(out, l.key(&k))
	}
	return out, nil
}

func (l *localKeys) key(k *store.Key) client.Key {
	return client.Key{
		ID: k.ID, Name: k.Name, Hint: k.Hint, Role: k.Role, Project: k.Project, State: string(auth.StateOf(k, time.Now())),
		Created: k.Created, CreatedBy: k.CreatedBy, Expires: optional(k.Expires), Revoked: optional(k.Revoked),
		LastUsed: optional(k.LastUsed), PreviousUntil: optional(k.PreviousUntil),
	}
}

func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
