package live

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/usage"
)

// matcher says which cells a filter selects, as the ledger says it of events.
type matcher struct {
	any    []condition
	status analytics.Status
	// sources is empty for any.
	sources []usage.Source
	// need is the detail without which the question cannot be answered.
	need Detail
}

// condition accepts a cell when one of its texts, or its tag, is one of values.
type condition struct {
	texts  []Text
	tag    string
	values []string
}

var textOf = map[analytics.Dimension]Text{
	analytics.Feature: TextFeature, analytics.Model: TextModel, analytics.Provider: TextProvider,
	analytics.User: TextUser, analytics.Department: TextDepartment, analytics.Project: TextProject,
	analytics.Environment: TextEnvironment, analytics.Session: TextSession, analytics.Operation: TextOperation,
}

var sentText = map[analytics.Dimension]Text{
	analytics.Model: TextSentModel, analytics.Provider: TextSentProvider,
}

// newMatcher reads a filter. A stream is of all times: a filter that bounds time,
// or counts aggregates, is a mistake of the program.
func newMatcher(f analytics.Filter) (*matcher, error) {
	if !f.From.IsZero() || !f.To.IsZero() || f.AsOf != 0 || f.Aggregates {
		return nil, fault.New(fault.Internal, "a stream cannot be filtered by time or hold aggregates")
	}
	m := &matcher{status: f.Status, sources: f.Sources, need: TextFeature.Detail()}
	for _, d := range slices.Sorted(maps.Keys(f.Any)) {
		c := condition{values: f.Any[d]}
		if name, ok := d.TagName(); ok {
			c.tag = name
			m.need |= DetailTags
		} else if t, ok := textOf[d]; ok {
			c.texts = []Text{t}
		} else {
			return nil, fault.New(fault.Internal, "a stream cannot be filtered by %q", d)
		}
		m.any = append(m.any, c)
	}
	for _, d := range slices.Sorted(maps.Keys(f.Called)) {
		sent, ok := sentText[d]
		if !ok {
			return nil, fault.New(fault.Internal, "a stream cannot be filtered by %q as sent", d)
		}
		m.any = append(m.any, condition{texts: []Text{textOf[d], sent}, values: f.Called[d]})
	}
	for _, c := range m.any {
		for _, t := range c.texts {
			m.need |= t.Detail()
		}
	}
	if f.Status != analytics.StatusAny {
		m.need |= DetailOutcome
	}
	if len(f.Sources) > 0 {
		m.need |= DetailSource
	}
	return m, nil
}

func (m *matcher) matches(c *Cell) bool {
	for i := range m.any {
		if !m.any[i].accepts(c) {
			return false
		}
	}
	if m.status == analytics.StatusOK && c.Error || m.status == analytics.StatusError && !c.Error {
		return false
	}
	return len(m.sources) == 0 || slices.Contains(m.sources, c.Source)
}

func (k *condition) accepts(c *Cell) bool {
	if len(k.texts) == 0 {
		return slices.Contains(k.values, c.Tags[k.tag])
	}
	for _, t := range k.texts {
		if slices.Contains(k.values, c.Texts[t]) {
			return true
		}
	}
	return false
}

// filterKey is equal for filters that select the same.
func filterKey(f analytics.Filter) string {
	var b strings.Builder
	for i, lists := range []map[analytics.Dimension][]string{f.Any, f.Called} {
		for _, d := range slices.Sorted(maps.Keys(lists)) {
			values := slices.Compact(slices.Sorted(slices.Values(lists[d])))
			fmt.Fprintf(&b, "%d %q %q\n", i, d, values)
		}
	}
	sources := slices.Compact(slices.Sorted(slices.Values(f.Sources)))
	fmt.Fprintf(&b, "%d %d", f.Status, sources)
	return b.String()
}
