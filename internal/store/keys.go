package store

import (
	"context"
	"time"
)

// Key is an API key as it is kept: of its secret only the SHA-256 hash.
type Key struct {
	ID   string
	Name string
	// Hash is that of the secret; Hint are the secret's first characters, by which
	// a person tells keys apart.
	Hash [32]byte
	Hint string
	// Role is one of auth's roles. Project is the one project of the key, "" for all.
	Role, Project string
	CreatedBy     string
	Created       time.Time
	// The zero time is never.
	Expires, Revoked, LastUsed time.Time
	// Previous is the hash that a rotation replaced; it is good until PreviousUntil.
	Previous      [32]byte
	PreviousUntil time.Time
}

// Keys keeps API keys.
type Keys interface {
	// ListKeys returns all keys, revoked ones included, oldest first.
	ListKeys(ctx context.Context) ([]Key, error)
	// PutKey stores or replaces a key by its ID, in one transaction with its audit
	// entry. LastUsed never moves back.
	PutKey(ctx context.Context, key Key, entry AuditEntry) error
	// TouchKeys moves LastUsed forward, never back. Unknown ids are passed over.
	TouchKeys(ctx context.Context, used map[string]time.Time) error
}

// EndedSession is a browser's sign-in that ended before its time.
type EndedSession struct {
	// Hash is what it is known by; nobody can sign in with it.
	Hash [32]byte
	// Until is when it would have ended by itself: then nobody needs to know.
	Until time.Time
}

// Sessions keeps which sessions ended before their time.
type Sessions interface {
	// EndSession keeps one, with its audit entry, and forgets those whose time is
	// over as of that entry, in one transaction. Ending one again changes nothing
	// but the audit log.
	EndSession(ctx context.Context, ended EndedSession, entry AuditEntry) error
	// ListEndedSessions returns those that are kept, in no order.
	ListEndedSessions(ctx context.Context) ([]EndedSession, error)
}

// Settings keeps small values that a ledger makes once for itself, such as the
// key that sessions are signed with.
type Settings interface {
	// GetSetting finds a value, or fault.NotFound.
	GetSetting(ctx context.Context, name string) ([]byte, error)
	// InitSetting stores the value unless there is one, and returns the one that is
	// kept: of two servers that start at once, both get the same.
	InitSetting(ctx context.Context, name string, value []byte) ([]byte, error)
	// ReplaceSetting keeps the value now, with its audit entry. fault.Conflict when
	// the one that is kept is not was; a setting that is not there is no conflict but
	// fault.NotFound.
	ReplaceSetting(ctx context.Context, name string, was, now []byte, entry AuditEntry) error
}
