package secrets_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/secrets"
	"github.com/costprof/costprof/internal/store"
)

func raw(n byte) []byte { return bytes.Repeat([]byte{n}, 32) }

func keys(t *testing.T, numbers ...byte) secrets.Keys {
	t.Helper()
	var texts []string
	for _, n := range numbers {
		texts = append(texts, base64.StdEncoding.EncodeToString(raw(n)))
	}
	k, err := secrets.ParseKeys(texts)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestParseKeys(t *testing.T) {
	want := keys(t, 0xfb).First()
	for _, text := range []string{
		hex.EncodeToString(raw(0xfb)), base64.StdEncoding.EncodeToString(raw(0xfb)), base64.RawURLEncoding.EncodeToString(raw(0xfb)), " " + base64.URLEncoding.EncodeToString(raw(0xfb)),
	} {
		k, err := secrets.ParseKeys([]string{text})
		if err != nil || k.First() != want || len(want) != 8 {
			t.Errorf("%q: %q, %v, want %q", text, k.First(), err, want)
		}
	}
	for _, texts := range [][]string{{""}, {"short"}, {strings.Repeat("a", 62)}, {base64.StdEncoding.EncodeToString(raw(1)[:31])}, {hex.EncodeToString(raw(1)), base64.StdEncoding.EncodeToString(raw(1))}} {
		_, err := secrets.ParseKeys(texts)
		if err == nil || texts[0] != "" && strings.Contains(err.Error(), texts[0]) {
			t.Errorf("%q: %v", texts, err)
		}
	}
}

func TestSealed(t *testing.T) {
	secret := []byte("the secret")
	one := keys(t, 1)
	sealed := one.Seal(secret, "place")
	if bytes.Contains(sealed, secret) || bytes.Equal(sealed, one.Seal(secret, "place")) {
		t.Fatalf("%q", sealed)
	}
	if id, ok := secrets.SealedWith(sealed); !ok || id != one.First() {
		t.Errorf("sealed with %q, %v", id, ok)
	}
	// The first of several seals, all of them open.
	for _, k := range []secrets.Keys{one, keys(t, 2, 1), keys(t, 1, 2)} {
		if got, err := k.Open(sealed, "place"); err != nil || !bytes.Equal(got, secret) {
			t.Errorf("%q, %v", got, err)
		}
	}
	refused := func(what string, k secrets.Keys, kept []byte, place string, says ...string) {
		t.Helper()
		got, err := k.Open(kept, place)
		if fault.CodeOf(err) != fault.Conflict || got != nil {
			t.Fatalf("%s: %q, %v", what, got, err)
		}
		for _, word := range says {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%s: %v does not say %q", what, err, word)
			}
		}
	}
	refused("another place", one, sealed, "elsewhere", one.First())
	refused("another key", keys(t, 2, 3), sealed, "place", one.First(), keys(t, 2).First(), keys(t, 3).First())
	refused("no key", secrets.Keys{}, sealed, "place", one.First(), "ENCRYPTION_KEY")
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 1
		if got, err := one.Open(changed, "place"); err == nil && bytes.Equal(got, secret) {
			t.Errorf("byte %d may be changed", i)
		}
		if cut, err := one.Open(sealed[:i], "place"); err == nil && bytes.Equal(cut, secret) {
			t.Errorf("it opens when cut off at %d", i)
		}
	}
	// Without a key nothing is sealed, and what is not sealed opens.
	if got := (secrets.Keys{}).Seal(secret, "place"); !bytes.Equal(got, secret) {
		t.Errorf("%q", got)
	}
	if got, err := one.Open(secret, "place"); err != nil || !bytes.Equal(got, secret) {
		t.Errorf("%q, %v", got, err)
	}
}

// settings is a catalog's.
type settings struct {
	kept  map[string][]byte
	audit []store.AuditEntry
	fail  error
}

func (s *settings) GetSetting(_ context.Context, name string) ([]byte, error) {
	if v, ok := s.kept[name]; ok {
		return v, nil
	}
	return nil, fault.New(fault.NotFound, "none")
}

func (s *settings) InitSetting(_ context.Context, name string, value []byte) ([]byte, error) {
	if _, ok := s.kept[name]; !ok {
		s.kept[name] = value
	}
	return s.kept[name], nil
}

func (s *settings) ReplaceSetting(_ context.Context, name string, was, now []byte, e store.AuditEntry) error {
	if s.fail != nil {
		return s.fail
	}
	if !bytes.Equal(s.kept[name], was) {
		return fault.New(fault.Conflict, "changed")
	}
	s.kept[name] = now
	s.audit = append(s.audit, e)
	return nil
}

func keeper(s *settings, k secrets.Keys) *secrets.Keeper {
	return &secrets.Keeper{Settings: s, Keys: k, Now: func() time.Time { return time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC) }}
}

func TestKeeper(t *testing.T) {
	ctx := t.Context()
	s := &settings{kept: map[string][]byte{}}
	names := []string{"a", "b", "never made"}
	get := func(k secrets.Keys, name, want string) {
		t.Helper()
		if got, err := keeper(s, k).GetSetting(ctx, name); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v, want %q", name, got, err, want)
		}
	}
	// Made without a key, it is sealed by the first server that has one.
	if got, err := keeper(s, secrets.Keys{}).InitSetting(ctx, "a", []byte("A")); err != nil || string(got) != "A" || string(s.kept["a"]) != "A" {
		t.Fatalf("%q, %v, kept %q", got, err, s.kept["a"])
	}
	one, two := keys(t, 1), keys(t, 2)
	s.fail = fault.New(fault.Unavailable, "the disk is full")
	get(one, "a", "A")
	s.fail = nil
	get(one, "a", "A")
	if id, _ := secrets.SealedWith(s.kept["a"]); id != one.First() || len(s.audit) != 1 || s.audit[0].Action != "secret.seal" {
		t.Fatalf("kept %q, audit %+v", s.kept["a"], s.audit)
	}
	// Made with one, it is never there in the open.
	if got, err := keeper(s, one).InitSetting(ctx, "b", []byte("B")); err != nil || string(got) != "B" || bytes.Contains(s.kept["b"], []byte("B\x00")) {
		t.Fatalf("%q, %v", got, err)
	}
	if got, err := keeper(s, one).InitSetting(ctx, "b", []byte("other")); err != nil || string(got) != "B" {
		t.Fatalf("%q, %v", got, err)
	}
	// Nobody goes on with another secret because this one cannot be opened.
	for _, k := range []secrets.Keys{two, {}} {
		if _, err := keeper(s, k).InitSetting(ctx, "b", []byte("new")); fault.CodeOf(err) != fault.Conflict {
			t.Errorf("%v", err)
		}
	}
	// All are opened before one is changed.
	before := bytes.Clone(s.kept["a"])
	damaged := bytes.Clone(s.kept["b"])
	s.kept["b"][len(damaged)-1] ^= 1
	if _, err := keeper(s, keys(t, 2, 1)).Rotate(ctx, names, "me"); err == nil || !bytes.Equal(s.kept["a"], before) {
		t.Fatalf("%v, a was changed: %v", err, !bytes.Equal(s.kept["a"], before))
	}
	s.kept["b"] = damaged
	states, err := keeper(s, keys(t, 2, 1)).Rotate(ctx, names, "me")
	want := []secrets.State{{Name: "a", Key: two.First(), Changed: true}, {Name: "b", Key: two.First(), Changed: true}}
	if diff := cmp.Diff(want, states); diff != "" || err != nil {
		t.Fatalf("%v\n%s", err, diff)
	}
	get(two, "a", "A")
	get(two, "b", "B")
	audits := len(s.audit)
	if states, err = keeper(s, keys(t, 2, 1)).Rotate(ctx, names, "me"); err != nil || states[0].Changed || len(s.audit) != audits {
		t.Errorf("again: %+v, %v", states, err)
	}
	if _, err := keeper(s, secrets.Keys{}).Rotate(ctx, names, "me"); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("without a key: %v", err)
	}
}
