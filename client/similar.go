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

// ClustersRequest asks for groups of the same and nearly the same prompts.
type ClustersRequest struct {
	Filter
	// Threshold is the lowest similarity, nil leaves it to the server (0.8); TTLMinutes
	// how long a cache of answers would keep one, 0 leaves it to the server (60); Limit
	// the most groups, 1 to 100, 0 leaves it to the server (20).
	Threshold  *float64
	TTLMinutes int
	Limit      int
}

// Values are the parameters of the request.
func (r *ClustersRequest) Values() url.Values {
	v := r.Filter.Values()
	if r.Threshold != nil {
		v.Set("threshold", strconv.FormatFloat(*r.Threshold, 'f', -1, 64))
	}
	setInt(v, "ttlMinutes", r.TTLMinutes)
	setInt(v, "limit", r.Limit)
	return v
}

// PromptCluster is a group of prompts of one feature, with two calls or more.
type PromptCluster struct {
	Project string `json:"project"`
	Feature string `json:"feature"`
	// Kind is duplicates or near-duplicates, Prompts how many different ones there are.
	Kind      string `json:"kind"`
	Prompts   int    `json:"prompts"`
	CallCount int64  `json:"callCount"`
	TotalCost USD    `json:"totalCost"`
	// Similarity is the lowest of a prompt to the first of the group.
	Similarity float64         `json:"similarity"`
	Examples   []ClusterPrompt `json:"examples"`
	// Template is what the texts have in common and what differs, in order.
	Template []TemplatePart `json:"template"`
	// ExactCache is a cache of answers to the very same prompt, NearCache one that takes
	// all prompts of the group for the same, PromptCache the provider's of what they begin with.
	ExactCache  CacheSaving   `json:"exactCache"`
	NearCache   CacheSaving   `json:"nearCache"`
	PromptCache PromptCaching `json:"promptCache"`
}

// ClusterPrompt is a prompt of a group; its text is "" where it is not kept.
type ClusterPrompt struct {
	PromptID   string  `json:"promptId"`
	Prompt     string  `json:"prompt"`
	CallCount  int64   `json:"callCount"`
	TotalCost  USD     `json:"totalCost"`
	Similarity float64 `json:"similarity"`
}

// TemplatePart is a text that all have, or the lengths of what varies.
type TemplatePart struct {
	Text     string `json:"text"`
	MinBytes int    `json:"minBytes"`
	MaxBytes int    `json:"maxBytes"`
}

// CacheSaving is what a cache of answers would have saved.
type CacheSaving struct {
	Hits  int64 `json:"hits"`
	Saved USD   `json:"saved"`
}

// PromptCaching is what the provider's cache of prompts would have done.
type PromptCaching struct {
	PrefixShare float64 `json:"prefixShare"`
	Reads       int64   `json:"reads"`
	Writes      int64   `json:"writes"`
	// Saved is against what was recorded, SavedAlready what the recorded use of a cache
	// saved against none; both may be negative.
	Cost         USD `json:"cost"`
	Recorded     USD `json:"recorded"`
	Saved        USD `json:"saved"`
	SavedAlready USD `json:"savedAlready"`
	// TooShortCalls begin with less than what their model caches. MinimumTokens is the longest that
	// a model asks for; MinimumKnown that it is published of all of them.
	TooShortCalls int64 `json:"tooShortCalls"`
	MinimumTokens int64 `json:"minimumTokens"`
	MinimumKnown  bool  `json:"minimumKnown"`
	UnpricedCalls int64 `json:"unpricedCalls"`
}

// PromptClusters gives the groups, those first of which a cache of answers would save most.
func (c *Client) PromptClusters(ctx context.Context, r ClustersRequest) (Page[PromptCluster], error) {
	return askPage[PromptCluster](ctx, c, "analytics/prompt-clusters", r.Values())
}
