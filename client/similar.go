package client

import (
	"context"
	"net/url"
	"strconv"
)

// SimilarRequest asks for prompts that are like one.
type SimilarRequest struct {
	// ID is that of an event or of a prompt.
	ID string
	// Threshold is the lowest similarity, nil leaves it to the server (0.8); Limit the
	// most prompts, 0 leaves it to the server (10).
	Threshold *float64
	Limit     int
	// AnyFeature does not ask for uses in the same feature.
	AnyFeature bool
}

// Values are the parameters of the request.
func (r SimilarRequest) Values() url.Values {
	v := url.Values{}
	if r.Threshold != nil {
		v.Set("threshold", strconv.FormatFloat(*r.Threshold, 'f', -1, 64))
	}
	if r.Limit != 0 {
		v.Set("limit", strconv.Itoa(r.Limit))
	}
	if r.AnyFeature {
		v.Set("feature", "any")
	}
	return v
}

// Path is that of the question, below /api/v1.
func (r SimilarRequest) Path() string { return "prompts/" + url.PathEscape(r.ID) + "/similar" }

// SimilarPrompt is a prompt that is like another.
type SimilarPrompt struct {
	// ID is the latest event with this prompt.
	ID         string  `json:"id"`
	PromptID   string  `json:"promptId"`
	Similarity float64 `json:"similarity"`
	Prompt     string  `json:"prompt"`
	Feature    string  `json:"feature"`
	Model      string  `json:"model"`
	// Occurrences and TotalCost are of its calls.
	Occurrences int64 `json:"occurrences"`
	TotalCost   USD   `json:"totalCost"`
}

// Similar gives the prompts that are most like one, most similar first.
func (c *Client) Similar(ctx context.Context, r SimilarRequest) ([]SimilarPrompt, error) {
	page, err := askPage[SimilarPrompt](ctx, c, r.Path(), r.Values())
	return page.Items, err
}
