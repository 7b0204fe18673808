// Package secrets seals what a ledger keeps and nobody may read from its files:
// with the keys of the settings, of which the first seals and all open, bound to
// the place where it is kept. It refuses to know what a secret is for.
package secrets

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/costprof/costprof/internal/fault"
)

// keyBytes is the length of a key: AES-256.
const keyBytes = 32

// Keys seal with the first and open with all. The zero value has none: it seals
// nothing, and opens nothing that is sealed.
type Keys struct {
	keys []key
}

type key struct {
	id   string
	aead cipher.AEAD
}

// ParseKeys reads keys of 32 bytes, in base64 or hexadecimal. Errors do not
// repeat them.
func ParseKeys(texts []string) (Keys, error) {
	var out Keys
	for i, text := range texts {
		raw, ok := decode(strings.TrimSpace(text))
		if !ok {
			return Keys{}, fmt.Errorf("key %d of %d must be 32 random bytes in base64 or hexadecimal (openssl rand -base64 32)", i+1, len(texts))
		}
		block, err := aes.NewCipher(raw)
		if err != nil {
			return Keys{}, err
		}
		aead, err := cipher.NewGCM(block)
		if err != nil {
			return Keys{}, err
		}
		k := key{id: idOf(raw), aead: aead}
		for j, other := range out.keys {
			if other.id == k.id {
				return Keys{}, fmt.Errorf("key %d is the same as key %d", i+1, j+1)
			}
		}
		out.keys = append(out.keys, k)
	}
	return out, nil
}

func decode(text string) ([]byte, bool) {
	if b, err := hex.DecodeString(text); err == nil && len(b) == keyBytes {
		return b, true
	}
	text = strings.TrimRight(text, "=")
	for _, e := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		if b, err := e.DecodeString(text); err == nil && len(b) == keyBytes {
			return b, true
		}
	}
	return nil, false
}

// idOf names a key without telling it.
func idOf(raw []byte) string {
	h := sha256.Sum256(append([]byte("costprof encryption key\x00"), raw...))
	return hex.EncodeToString(h[:4])
}

// First is the id of the key that seals, "" when there is none.
func (k Keys) First() string {
	if len(k.keys) == 0 {
		return ""
	}
	return k.keys[0].id
}

// sealedPrefix begins what is sealed; behind it come the key's id, a colon, the
// nonce and the ciphertext.
const sealedPrefix = "\x00sealed1:"

// SealedWith is the id of the key that something was sealed with; false when it
// is not sealed.
func SealedWith(b []byte) (id string, sealed bool) {
	rest, sealed := bytes.CutPrefix(b, []byte(sealedPrefix))
	if !sealed {
		return "", false
	}
	name, _, _ := bytes.Cut(rest, []byte(":"))
	return string(name), true
}

// Seal encrypts a secret for a place: it opens nowhere else. Without a key it is
// returned as it is.
func (k Keys) Seal(secret []byte, place string) []byte {
	if len(k.keys) == 0 {
		return secret
	}
	first := k.keys[0]
	nonce := make([]byte, first.aead.NonceSize())
	_, _ = rand.Read(nonce) // never fails
	head := sealedPrefix + first.id + ":"
	return first.aead.Seal(append([]byte(head), nonce...), nonce, secret, bound(head, place))
}

// Open decrypts what was sealed for the place; what is not sealed is returned as
// it is. fault.Conflict when the key is not among these, or when what is there was
// changed or brought from another place.
func (k Keys) Open(kept []byte, place string) ([]byte, error) {
	id, sealed := SealedWith(kept)
	if !sealed {
		return kept, nil
	}
	for _, key := range k.keys {
		if key.id != id {
			continue
		}
		head := sealedPrefix + id + ":"
		body := kept[min(len(head), len(kept)):]
		if n := key.aead.NonceSize(); len(body) >= n {
			if secret, err := key.aead.Open(nil, body[:n], body[n:], bound(head, place)); err == nil {
				return secret, nil
			}
		}
		return nil, fault.New(fault.Conflict, "%s is sealed with the key %s and was changed since: restore it from a backup", place, id)
	}
	if len(k.keys) == 0 {
		return nil, fault.New(fault.Conflict, "%s is sealed with the key %.8q, and ENCRYPTION_KEY is not set", place, id)
	}
	return nil, fault.New(fault.Conflict, "%s is sealed with the key %.8q, which is not in ENCRYPTION_KEY (it has %s)", place, id, k.ids())
}

func (k Keys) ids() string {
	ids := make([]string, len(k.keys))
	for i, key := range k.keys {
		ids[i] = key.id
	}
	return strings.Join(ids, ", ")
}

// bound is what a sealed secret cannot be opened without.
func bound(head, place string) []byte { return []byte(head + "\x00" + place) }
