package secrets

import (
	"context"
	"time"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/store"
)

// Keeper keeps secrets among the settings of a ledger, sealed where there is a
// key. It is a store.Settings for those who need to know nothing of that.
type Keeper struct {
	Settings store.Settings
	Keys     Keys
	Now      func() time.Time
}

var _ store.Settings = (*Keeper)(nil)

// GetSetting implements store.Settings. One that was kept unsealed before there was a
// key is sealed now. Errors of Open keep the secret's user from going on with
// another one.
func (k *Keeper) GetSetting(ctx context.Context, name string) ([]byte, error) {
	kept, err := k.Settings.GetSetting(ctx, name)
	if err != nil {
		return nil, err
	}
	return k.take(ctx, name, kept)
}

// InitSetting implements store.Settings.
func (k *Keeper) InitSetting(ctx context.Context, name string, value []byte) ([]byte, error) {
	kept, err := k.Settings.InitSetting(ctx, name, k.Keys.Seal(value, name))
	if err != nil {
		return nil, err
	}
	return k.take(ctx, name, kept)
}

// ReplaceSetting implements store.Settings: was and now are open.
func (k *Keeper) ReplaceSetting(ctx context.Context, name string, was, now []byte, entry store.AuditEntry) error {
	kept, err := k.Settings.GetSetting(ctx, name)
	if err != nil {
		return err
	}
	open, err := k.Keys.Open(kept, name)
	if err != nil {
		return err
	}
	if string(open) != string(was) {
		return fault.New(fault.Conflict, "the setting %q was changed meanwhile", name)
	}
	return k.Settings.ReplaceSetting(ctx, name, kept, k.Keys.Seal(now, name), entry)
}

// take opens a secret, and seals one that was not.
func (k *Keeper) take(ctx context.Context, name string, kept []byte) ([]byte, error) {
	secret, err := k.Keys.Open(kept, name)
	if err != nil {
		return nil, err
	}
	if _, sealed := SealedWith(kept); sealed || k.Keys.First() == "" {
		return secret, nil
	}
	_, err = k.seal(ctx, name, kept, secret, "server")
	switch fault.CodeOf(err) {
	case fault.Conflict, fault.Unavailable:
		// Another server did it, or the ledger takes nothing now: it is for the next
		// start.
		err = nil
	}
	return secret, err
}

// State is how a secret is kept.
type State struct {
	Name string `json:"name"`
	// Key is the id of the key it is sealed with; "" is none.
	Key string `json:"key"`
	// Changed says that it was sealed anew.
	Changed bool `json:"changed"`
}

// List says how the secrets of these names are kept; those that were never made
// are left out.
func (k *Keeper) List(ctx context.Context, names []string) ([]State, error) {
	var out []State
	for _, name := range names {
		kept, err := k.Settings.GetSetting(ctx, name)
		if fault.CodeOf(err) == fault.NotFound {
			continue
		}
		if err != nil {
			return nil, err
		}
		id, _ := SealedWith(kept)
		out = append(out, State{Name: name, Key: id})
	}
	return out, nil
}

// Rotate seals them anew with the first key; what is sealed with it already stays.
// All are opened before any is changed.
func (k *Keeper) Rotate(ctx context.Context, names []string, actor string) ([]State, error) {
	if k.Keys.First() == "" {
		return nil, fault.New(fault.Invalid, "there is no ENCRYPTION_KEY to seal with")
	}
	states, err := k.List(ctx, names)
	if err != nil {
		return nil, err
	}
	type opened struct{ kept, secret []byte }
	all := make([]opened, len(states))
	for i, s := range states {
		if all[i].kept, err = k.Settings.GetSetting(ctx, s.Name); err != nil {
			return nil, err
		}
		if all[i].secret, err = k.Keys.Open(all[i].kept, s.Name); err != nil {
			return nil, err
		}
	}
	for i := range states {
		if states[i].Key == k.Keys.First() {
			continue
		}
		if states[i].Key, err = k.seal(ctx, states[i].Name, all[i].kept, all[i].secret, actor); err != nil {
			return nil, err
		}
		states[i].Changed = true
	}
	return states, nil
}

func (k *Keeper) seal(ctx context.Context, name string, kept, secret []byte, actor string) (id string, err error) {
	id = k.Keys.First()
	entry, err := store.NewAuditEntry(k.Now(), actor, "secret.seal", map[string]string{"name": name, "key": id})
	if err != nil {
		return "", err
	}
	return id, k.Settings.ReplaceSetting(ctx, name, kept, k.Keys.Seal(secret, name), entry)
}
