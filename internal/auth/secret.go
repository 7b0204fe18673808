package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/costprof/costprof/internal/usage"
)

// secretPrefix begins every secret that is made here, so that scanners for
// leaked secrets, and our own redaction, know one when they see it.
const secretPrefix = "cpk_"

// hintLength is how much of a secret is kept to tell keys apart: 20 bits of it.
const hintLength = len(secretPrefix) + 4

var secretText = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// newSecret makes one with 256 random bits.
func newSecret() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return secretPrefix + secretText.EncodeToString(b[:])
}

func newID() string {
	var b [8]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

func hashOf(secret string) [32]byte { return sha256.Sum256([]byte(secret)) }

// Static is a key of the settings (API_KEYS). It lives as long as the process.
type Static struct {
	hash    [32]byte
	short   bool
	Role    Role
	Project string
}

// shortSecret is the length below which a secret of the settings is worth a
// warning: somebody may guess it.
const shortSecret = 16

// ParseStatic reads SECRET[:ROLE[:PROJECT]]; the role is admin and the project
// every project when they are left out. Errors do not repeat the secret.
func ParseStatic(entries []string) ([]Static, error) {
	var out []Static
	seen := map[[32]byte]int{}
	for i, entry := range entries {
		wrong := func(what string) error { return fmt.Errorf("key %d of %d %s", i+1, len(entries), what) }
		secret, rest, more := strings.Cut(strings.TrimSpace(entry), ":")
		if secret == "" {
			return nil, wrong("has no secret")
		}
		if strings.ContainsFunc(secret, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return nil, wrong("has a secret that no header can carry; use visible ASCII characters")
		}
		s := Static{hash: hashOf(secret), Role: Admin, short: len(secret) < shortSecret}
		if more {
			role, project, scoped := strings.Cut(rest, ":")
			var known bool
			if s.Role, known = ParseRole(role); !known {
				return nil, wrong("has a role that is not one of " + RoleNames())
			}
			if scoped && strings.TrimSpace(project) == "" {
				return nil, wrong(`has an empty project; without the ":" before it the key is for all projects`)
			}
			if len(project) > 4*usage.MaxIDLength {
				return nil, wrong("has a project with too long a name")
			}
			s.Project = project
		}
		if first, twice := seen[s.hash]; twice {
			return nil, wrong(fmt.Sprintf("has the secret of key %d", first+1))
		}
		seen[s.hash] = i
		out = append(out, s)
	}
	return out, nil
}

// id names a static key without telling its secret.
func (s Static) id() string { return "env-" + hex.EncodeToString(s.hash[:4]) }
