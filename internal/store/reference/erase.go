package reference

import (
	"maps"
	"slices"

	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/usage"
)

// Erase gives the records without what names the person, and how many of them
// were the person's.
func Erase(records []usage.Record, who store.Erasure) ([]usage.Record, int64) {
	out := slices.Clone(records)
	inScope := func(r *usage.Record) bool { return who.Project == "" || r.Project == who.Project }
	named := func(r *usage.Record) bool {
		return r.UserID == who.UserID || slices.Contains(slices.Collect(maps.Values(r.Tags)), who.UserID)
	}
	sessions := map[string]bool{}
	for i := range out {
		if r := &out[i]; inScope(r) && named(r) && r.SessionID != "" {
			sessions[r.SessionID] = true
		}
	}
	var erased int64
	for i := range out {
		r := &out[i]
		if !inScope(r) {
			continue
		}
		if named(r) || r.UserID == "" && sessions[r.SessionID] {
			erased++
			r.Metadata, r.Prompt, r.PromptID = nil, "", usage.ID{}
		}
		if sessions[r.SessionID] {
			r.SessionID = ""
		}
		if r.UserID == who.UserID {
			r.UserID = ""
		}
		r.Tags = maps.Clone(r.Tags)
		maps.DeleteFunc(r.Tags, func(_, value string) bool { return value == who.UserID })
	}
	return out, erased
}
