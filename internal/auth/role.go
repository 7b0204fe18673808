// Package auth knows who asks and what they may do: API keys, tokens of people,
// browser sessions, roles and projects. It decides whether a ledger is open to
// everyone who can reach it. It refuses to know routes, headers and limits.
package auth

import (
	"slices"
	"strings"
)

// Role is what someone may do.
type Role string

// The roles.
const (
	// Ingest sends events and asks for quotes, nothing else.
	Ingest Role = "ingest"
	// Viewer reads.
	Viewer Role = "viewer"
	// Editor also changes prices, rules and alerts.
	Editor Role = "editor"
	// Admin may do everything.
	Admin Role = "admin"
)

// Roles lists them.
var Roles = []Role{Ingest, Viewer, Editor, Admin}

// ParseRole reads a role from outside.
func ParseRole(s string) (Role, bool) {
	return Role(s), slices.Contains(Roles, Role(s))
}

// RoleNames lists the roles for a sentence.
func RoleNames() string {
	names := make([]string, len(Roles))
	for i, r := range Roles {
		names[i] = string(r)
	}
	return strings.Join(names, ", ")
}

// Right is what an operation asks of who calls it.
type Right uint8

// The rights. The zero value is nobody's, so that an operation that forgot to
// ask for one is closed. Everyone has Public; the order has no other meaning.
const (
	Public Right = 1 + iota
	// Send stores events.
	Send
	// Quote prices calls without storing them.
	Quote
	// Read sees what a project spent.
	Read
	// Edit changes what is not anybody's access.
	Edit
	// Administer changes access and what is kept.
	Administer
)

// Can says whether the role has the right.
func (r Role) Can(want Right) bool {
	switch want {
	case Public:
		return true
	case Send:
		return r == Ingest || r == Admin
	case Quote:
		return r == Ingest || r == Viewer || r == Editor || r == Admin
	case Read:
		return r == Viewer || r == Editor || r == Admin
	case Edit:
		return r == Editor || r == Admin
	case Administer:
		return r == Admin
	}
	return false
}

// Principal is who asks.
type Principal struct {
	// Actor names them in the audit log: "key 4f2a… (ci)", "ann@example.com".
	Actor string
	Role  Role
	// Project is the only one they see and write; "" is every project.
	Project string
	// KeyID is the key they showed; "" for others.
	KeyID string
	// Limit names the counter of their rate limit.
	Limit string
}

// Everyone is who asks an open server: they may do everything.
func Everyone() Principal { return Principal{Actor: "anonymous", Role: Admin} }

// Sees says whether the principal may know of the project.
func (p Principal) Sees(project string) bool { return p.Project == "" || p.Project == project }
