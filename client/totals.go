package client

import "context"

// Totals are exact sums over calls.
type Totals struct {
	TotalCost     USD   `json:"totalCost"`
	CallCount     int64 `json:"callCount"`
	UnpricedCalls int64 `json:"unpricedCalls"`
	FallbackCalls int64 `json:"fallbackCalls"`
	// Features and Users have the 100 dearest; the rest is "(other)".
	Features map[string]USD `json:"features"`
	Users    map[string]USD `json:"users"`
}

// RealtimeTotals are the sums of everything stored, and of the latest calls.
type RealtimeTotals struct {
	Totals
	Today      Totals `json:"today"`
	LastHour   Totals `json:"lastHour"`
	LastMinute Totals `json:"lastMinute"`
}

// RealtimeTotals asks for the sums of now. From and To of the filter bound only
// the whole, which without them is everything; TZ says what today is.
func (c *Client) RealtimeTotals(ctx context.Context, f Filter) (RealtimeTotals, error) {
	e, err := ask[RealtimeTotals](ctx, c, "analytics/realtime-totals", f.Values())
	return e.Data, err
}
