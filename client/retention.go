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
