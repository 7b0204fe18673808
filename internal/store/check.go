package store

import (
	"unicode/utf8"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/usage"
)

// CheckRecords refuses, with fault.Invalid, what no engine can store: counts that
// cannot be and text that is not UTF-8. An engine that stores the records of many
// calls at once asks it first, so that one bad record fails its own call and not
// its neighbours.
func CheckRecords(records []usage.Record) error {
	for i := range records {
		r := &records[i]
		if _, bad := r.Counts.Buckets(); len(bad) > 0 {
			return unstorable(r, bad[0].Field, bad[0].Rule)
		}
		for _, text := range [...]string{
			r.Project, r.TraceID, r.SpanID, r.ParentSpanID, r.Name, r.EventID, r.Feature, r.Provider, r.Model, r.ProviderID, r.ModelID,
			r.ServiceTier, r.Region, r.UserID, r.SessionID, r.Department, r.Environment, r.Operation, r.ErrorCode, r.Prompt, r.PriceID,
		} {
			if !utf8.ValidString(text) {
				return unstorable(r, usage.Shorten(text), "must be valid UTF-8")
			}
		}
		for name, value := range r.Tags {
			if !utf8.ValidString(name) || !utf8.ValidString(value) {
				return unstorable(r, "tags", "must be valid UTF-8")
			}
		}
		if !utf8.Valid(r.Metadata) {
			return unstorable(r, "metadata", "must be valid UTF-8")
		}
	}
	return nil
}

func unstorable(r *usage.Record, what, rule string) error {
	return fault.New(fault.Invalid, "The event %s cannot be stored: %s %s", r.ID, what, rule)
}
