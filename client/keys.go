package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"time"
)

// Key is an API key as the server lists it; its secret is not kept.
type Key struct {
	ID   string `json:"id"`
	Name string `json:"name,omitzero"`
	// Hint are the first characters of the secret.
	Hint string `json:"hint"`
	// Role is ingest, viewer, editor or admin. Project is the key's only one, ""
	// for all.
	Role    string `json:"role"`
	Project string `json:"project,omitzero"`
	// State is active, expired or revoked.
	State     string     `json:"state"`
	Created   time.Time  `json:"created"`
	CreatedBy string     `json:"createdBy"`
	Expires   *time.Time `json:"expires,omitzero"`
	Revoked   *time.Time `json:"revoked,omitzero"`
	LastUsed  *time.Time `json:"lastUsed,omitzero"`
	// PreviousUntil is until when the secret before the last rotation is good.
	PreviousUntil *time.Time `json:"previousUntil,omitzero"`
}

// NewKey is what a key is made of.
type NewKey struct {
	Name    string     `json:"name,omitzero"`
	Role    string     `json:"role"`
	Project string     `json:"project,omitzero"`
	Expires *time.Time `json:"expires,omitzero"`
}

// MadeKey is a key with its secret, which the server shows this once.
type MadeKey struct {
	Key
	Secret  string `json:"secret"`
	Warning string `json:"warning,omitzero"`
}

// CreateKey makes a key. The first one closes an open server.
func (c *Client) CreateKey(ctx context.Context, k NewKey) (MadeKey, error) {
	return change[MadeKey](ctx, c, call{method: http.MethodPost, path: "admin/keys"}, k)
}

// ListKeys gives one page of keys, oldest first.
func (c *Client) ListKeys(ctx context.Context, cursor string) (Page[Key], error) {
	q := url.Values{}
	set(q, "cursor", cursor)
	return askPage[Key](ctx, c, "admin/keys", q)
}

// RotateKey gives a key a new secret; the old one stays good for grace, in whole
// seconds.
func (c *Client) RotateKey(ctx context.Context, id string, grace time.Duration) (MadeKey, error) {
	payload := struct {
		GraceSeconds int64 `json:"graceSeconds"`
	}{int64(grace / time.Second)}
	return change[MadeKey](ctx, c, call{method: http.MethodPost, path: "admin/keys/" + url.PathEscape(id) + "/rotate"}, payload)
}

// RevokeKey ends a key for ever.
func (c *Client) RevokeKey(ctx context.Context, id string) error {
	_, err := change[json.RawMessage](ctx, c, call{method: http.MethodDelete, path: "admin/keys/" + url.PathEscape(id)}, nil)
	return err
}

// AuditEntry is one change: when, by whom, what.
type AuditEntry struct {
	ID     int64           `json:"id"`
	At     time.Time       `json:"at"`
	Actor  string          `json:"actor"`
	Action string          `json:"action"`
	Detail json.RawMessage `json:"detail,omitempty"`
}

// ListAudit gives one page of the audit log, newest first.
func (c *Client) ListAudit(ctx context.Context, cursor string) (Page[AuditEntry], error) {
	q := url.Values{}
	set(q, "cursor", cursor)
	return askPage[AuditEntry](ctx, c, "admin/audit", q)
}
