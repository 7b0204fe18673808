package client

import (
	"context"
	"net/http"
	"time"
)

// Retention is how long a project keeps what.
type Retention struct {
	// Project is "" for all that have none of their own.
	Project string `json:"project,omitzero"`
	// EventDays and PromptDays are how many days events and prompts are kept: 0 is
	// for ever, nil leaves it to what is for all projects.
	EventDays  *int64 `json:"eventDays"`
	PromptDays *int64 `json:"promptDays"`
	// RemovedBefore is set by the server: events from before it were removed.
	RemovedBefore *time.Time `json:"removedBefore,omitzero"`
}

// ListRetention gives how long projects keep what, by project.
func (c *Client) ListRetention(ctx context.Context) ([]Retention, error) {
	page, err := askPage[Retention](ctx, c, "admin/retention", nil)
	return page.Items, err
}

// PutRetention replaces what is set for a project, or for all others.
func (c *Client) PutRetention(ctx context.Context, r Retention) (Retention, error) {
	r.RemovedBefore = nil
	return change[Retention](ctx, c, call{method: http.MethodPut, path: "admin/retention", idempotent: true}, r)
}

// Erasure names a person to erase; Project is "" for all.
type Erasure struct {
	UserID  string `json:"userId"`
	Project string `json:"project,omitzero"`
}

// Erased is what an erasure did. The job is done when the engine's files hold
// nothing of it either.
type Erased struct {
	JobID  string `json:"jobId"`
	Result struct {
		Events int64 `json:"events"`
	} `json:"result"`
}

// Erase removes what names a person from stored events; no total moves.
func (c *Client) Erase(ctx context.Context, who Erasure) (Erased, error) {
	return change[Erased](ctx, c, call{method: http.MethodPost, path: "admin/erase"}, who)
}
