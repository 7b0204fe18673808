package analytics

import (
	"slices"
	"time"
)

// Pruned says of each project before when its events were removed.
type Pruned map[string]time.Time

// Latest is the latest of those times among the projects that the filter selects;
// the zero time when nothing of theirs was removed.
func (p Pruned) Latest(f Filter) (mark time.Time) {
	projects, some := f.Any[Project]
	for project, before := range p {
		if before.After(mark) && (!some || slices.Contains(projects, project)) {
			mark = before
		}
	}
	return mark
}

// TruncatedBefore gives up to when events in the filter's window were removed;
// the zero time when none was.
func (p Pruned) TruncatedBefore(f Filter) time.Time {
	end := p.Latest(f)
	if !f.To.IsZero() && f.To.Before(end) {
		end = f.To
	}
	if !f.From.IsZero() && !f.From.Before(end) {
		return time.Time{}
	}
	return end
}
