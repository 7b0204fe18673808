package client

import (
	"context"
	"net/http"
)

// Capture says whether a project keeps the texts of prompts, and what is redacted
// there beside the built-in rules.
type Capture struct {
	// Project is "" for all that have none of their own.
	Project string `json:"project,omitzero"`
	// Capture: the texts are kept. Otherwise only a keyed hash and the length are.
	Capture bool             `json:"capture"`
	Redact  []CapturePattern `json:"redact"`
}

// CapturePattern is a regular expression (RE2); what it matches is replaced by its
// name in brackets.
type CapturePattern struct {
	Name    string `json:"name"`
	Pattern string `json:"pattern"`
}

// ListCapture gives what was set, that for all projects without their own first.
func (c *Client) ListCapture(ctx context.Context) ([]Capture, error) {
	page, err := askPage[Capture](ctx, c, "admin/capture", nil)
	return page.Items, err
}

// PutCapture replaces what is set for a project, or for all others. It holds for
// events that arrive from then on.
func (c *Client) PutCapture(ctx context.Context, in Capture) (Capture, error) {
	if in.Redact == nil {
		in.Redact = []CapturePattern{}
	}
	return change[Capture](ctx, c, call{method: http.MethodPut, path: "admin/capture", idempotent: true}, in)
}
