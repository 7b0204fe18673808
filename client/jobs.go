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

// Backfill is the result of a job that applies prices to stored calls.
type Backfill struct {
	// Calls got a price; OldCost and NewCost are what they cost before and after.
	Calls   int64 `json:"calls"`
	OldCost USD   `json:"oldCost"`
	NewCost USD   `json:"newCost"`
}

// Backfill reads the result of a job of PutPrice.
func (j *Job) Backfill() (Backfill, error) {
	var b Backfill
	err := json.Unmarshal(j.Result, &b)
	return b, err
}
