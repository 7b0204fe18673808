package client

import (
	"context"
	"encoding/json"
	"net/http"
	"time"
)

// Health is what the server says about itself.
type Health struct {
	// Status is "ok", "degraded", or anything else while it cannot work.
	Status    string    `json:"status"`
	Timestamp time.Time `json:"timestamp"`
	Version   string    `json:"version"`
	// Ledger is "embedded" or "postgres".
	Ledger string `json:"ledger"`
	// Services holds one entry a service, each as the server wrote it.
	Services map[string]json.RawMessage `json:"services"`
}

// Health asks how the server is. A server that answers that it cannot work is
// an answer, not an error.
func (c *Client) Health(ctx context.Context) (Health, error) {
	body, err := c.send(ctx, call{
		method: http.MethodGet, path: "health", idempotent: true, also: http.StatusServiceUnavailable,
	})
	if err != nil {
		return Health{}, err
	}
	var h Health
	if err := json.Unmarshal(body, &h); err != nil || h.Status == "" {
		return Health{}, c.foreign("health")
	}
	return h, nil
}
