package client

import (
	"context"
	"encoding/json"
	"net/url"
	"time"
)

// Job is one run of background work.
type Job struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	// State is "running", "done" or "failed".
	State    string     `json:"state"`
	Started  time.Time  `json:"started"`
	Finished *time.Time `json:"finished,omitzero"`
	// Input and Result are JSON objects that depend on the job.
	Input  json.RawMessage `json:"input,omitzero"`
	Result json.RawMessage `json:"result,omitzero"`
	Error  string          `json:"error,omitzero"`
}

// ListJobs asks for the newest runs; state "" is any.
func (c *Client) ListJobs(ctx context.Context, state string) (Page[Job], error) {
	q := url.Values{}
	set(q, "state", state)
	return askPage[Job](ctx, c, "jobs", q)
}

// GetJob finds one run.
func (c *Client) GetJob(ctx context.Context, id string) (Job, error) {
	e, err := ask[Job](ctx, c, "jobs/"+url.PathEscape(id), nil)
	return e.Data, err
}
