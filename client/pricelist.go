package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"time"
)

// ListName names a price list.
type ListName struct {
	Source  string `json:"source"`
	Version string `json:"version"`
	// Listed is the day it was published, YYYY-MM-DD.
	Listed string `json:"listed"`
}

// BookInfo describes a price book.
type BookInfo struct {
	ListName
	License   string `json:"license,omitzero"`
	URL       string `json:"url,omitzero"`
	Providers int    `json:"providers"`
	Models    int    `json:"models"`
	Versions  int    `json:"versions"`
}

// PriceList is the list in force.
type PriceList struct {
	BookInfo
	// Loaded says that it was loaded over the shipped book, at Since.
	Loaded bool       `json:"loaded"`
	Since  *time.Time `json:"since,omitzero"`
	// Shipped is the program's own book.
	Shipped BookInfo `json:"shipped"`
}

// ListChange is one price that a newer list changes.
type ListChange struct {
	Provider string `json:"provider"`
	Model    string `json:"model"`
	// Kind is "added", "changed" or "removed".
	Kind        string  `json:"kind"`
	ServiceTier string  `json:"serviceTier,omitzero"`
	Region      string  `json:"region,omitzero"`
	Window      *Window `json:"window,omitzero"`
	// EffectiveFrom is nil for at all times.
	EffectiveFrom *time.Time `json:"effectiveFrom,omitzero"`
	EffectiveTo   *time.Time `json:"effectiveTo,omitzero"`
	// Old and New are nil where there was or will be no price.
	Old map[string]UnitPrice `json:"old,omitempty"`
	New map[string]UnitPrice `json:"new,omitempty"`
}

// ListDifference is what a newer list changes, or changed.
type ListDifference struct {
	Applied bool     `json:"applied"`
	List    ListName `json:"list"`
	Before  ListName `json:"before"`
	// The numbers count models.
	Added   int `json:"added"`
	Changed int `json:"changed"`
	Removed int `json:"removed"`
	Same    int `json:"same"`
	// Changes are at most 5,000 of TotalChanges.
	Changes      []ListChange `json:"changes"`
	TotalChanges int          `json:"totalChanges"`
	Digest       string       `json:"digest"`
	JobID        string       `json:"jobId,omitzero"`
}

// ListUpdate says how a newer list is put in force.
type ListUpdate struct {
	// DryRun only tells the difference.
	DryRun bool
	// Partial says that the list is a part: what it does not have stays.
	Partial bool
	// Expect is the digest of the difference that was looked at; "" is any.
	Expect string
}

// PriceList describes the list in force.
func (c *Client) PriceList(ctx context.Context) (PriceList, error) {
	e, err := ask[PriceList](ctx, c, "prices/list", nil)
	return e.Data, err
}

// UpdatePriceList puts a newer list, in the book's form, in the place of the one
// in force.
func (c *Client) UpdatePriceList(ctx context.Context, book json.RawMessage, u ListUpdate) (ListDifference, error) {
	q := url.Values{}
	for name, yes := range map[string]bool{"dryRun": u.DryRun, "partial": u.Partial} {
		if yes {
			q.Set(name, "true")
		}
	}
	set(q, "expect", u.Expect)
	return change[ListDifference](ctx, c, call{method: http.MethodPut, path: "prices/list", query: q, idempotent: u.DryRun}, book)
}

// ResetPriceList puts the shipped book in force again.
func (c *Client) ResetPriceList(ctx context.Context) error {
	_, err := change[json.RawMessage](ctx, c, call{method: http.MethodDelete, path: "prices/list"}, nil)
	return err
}

// Rerate asks what stored calls would cost with the prices in force, or for that
// to be applied.
type Rerate struct {
	From     time.Time `json:"from"`
	To       time.Time `json:"to"`
	Provider string    `json:"provider,omitzero"`
	Model    string    `json:"model,omitzero"`
	Project  string    `json:"project,omitzero"`
	// Apply with the Token of a preview of the same request applies it.
	Apply bool   `json:"apply,omitzero"`
	Token string `json:"token,omitzero"`
}

// Rerated is what a rerate changes, or changed.
type Rerated struct {
	JobID string `json:"jobId"`
	// State is "running", "done" or "failed"; a running one is asked for with
	// GetJob and read with Job.Rerated.
	State   string `json:"state"`
	Applied bool   `json:"applied"`
	// Total is how many calls there are to look at, Scanned how many were.
	Total   int64 `json:"total"`
	Scanned int64 `json:"scanned"`
	Refused int64 `json:"refused,omitzero"`
	// Calls change; OldCost and NewCost are theirs.
	Calls          int64         `json:"calls"`
	Aggregates     int64         `json:"aggregates,omitzero"`
	OldCost        USD           `json:"oldCost"`
	NewCost        USD           `json:"newCost"`
	Difference     USD           `json:"difference"`
	UnpricedBefore int64         `json:"unpricedBefore"`
	UnpricedAfter  int64         `json:"unpricedAfter"`
	Models         []RerateModel `json:"models,omitempty"`
	// Token applies what a preview that is done said.
	Token string `json:"token,omitzero"`
}

// RerateModel is what a rerate changes of one model.
type RerateModel struct {
	Provider   string `json:"provider"`
	Model      string `json:"model"`
	Calls      int64  `json:"calls"`
	OldCost    USD    `json:"oldCost"`
	NewCost    USD    `json:"newCost"`
	Difference USD    `json:"difference"`
}

// Rerate starts a preview, or applies one.
func (c *Client) Rerate(ctx context.Context, r Rerate) (Rerated, error) {
	return change[Rerated](ctx, c, call{method: http.MethodPost, path: "prices/rerate"}, r)
}

// Rerated reads the result of a job of Rerate.
func (j *Job) Rerated() (Rerated, error) {
	var r Rerated
	var in struct{ Apply bool }
	for _, part := range []struct {
		text json.RawMessage
		into any
	}{{j.Result, &r}, {j.Input, &in}} {
		if err := json.Unmarshal(part.text, part.into); err != nil {
			return r, err
		}
	}
	r.JobID, r.State, r.Applied = j.ID, j.State, in.Apply && j.State == "done"
	return r, nil
}
