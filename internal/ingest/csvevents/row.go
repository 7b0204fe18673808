package csvevents

import (
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/costprof/costprof/internal/usage"
)

// row collects the values of one event, as JSON.
type row struct {
	mapping     *mapping
	fields      []string
	usage, tags map[string]string
	bad         []string
}

func newRow(m *mapping) *row {
	return &row{mapping: m, fields: make([]string, len(fields))}
}

// set converts a cell and puts it where it belongs.
func (r *row) set(t target, cell []byte) {
	v, err := convert(t, cell, timing{r.mapping.time, r.mapping.location})
	if err != nil {
		if len(r.bad) < 20 {
			r.bad = append(r.bad, usage.Shorten(t.String())+" "+err.Error())
		}
		return
	}
	if v != "" {
		r.put(t, v)
	}
}

func (r *row) put(t target, v string) {
	switch t.field {
	case toUsage:
		if r.usage == nil {
			r.usage = make(map[string]string)
		}
		r.usage[t.name] = v
	case toTags:
		if r.tags == nil {
			r.tags = make(map[string]string)
		}
		r.tags[t.name] = v
	default:
		r.fields[t.field] = v
	}
}

func (r *row) has(t target) bool {
	switch t.field {
	case toUsage:
		return r.usage[t.name] != ""
	case toTags:
		return r.tags[t.name] != ""
	}
	return r.fields[t.field] != ""
}

func (r *row) field(name string) *string { return &r.fields[fieldIndex[name]] }

// problems fills in constants and defaults and says what is still wrong.
func (r *row) problems() string {
	for t, v := range r.mapping.constants {
		if !r.has(t) {
			r.put(t, v)
		}
	}
	if *r.field("latencyMs") == "" {
		*r.field("latencyMs") = "0"
	}
	for i, name := range required {
		if i >= 2 && *r.field("aggregate") == "true" {
			break
		}
		if *r.field(name) == "" && !slices.ContainsFunc(r.bad, func(s string) bool { return strings.HasPrefix(s, name+" ") }) {
			r.bad = append(r.bad, name+" is missing")
		}
	}
	return strings.Join(r.bad, "; ")
}

// append writes the wire form without trace and span ids that are not there.
func (r *row) append(b []byte) []byte {
	b = append(b, '{')
	member := func(name, value string) {
		if b[len(b)-1] != '{' {
			b = append(b, ',')
		}
		b, _ = jsontext.AppendQuote(b, name)
		b = append(append(b, ':'), value...)
	}
	for i, v := range r.fields {
		if v != "" {
			member(fields[i].name, v)
		}
	}
	for _, group := range []struct {
		name   string
		values map[string]string
	}{{"usage", r.usage}, {"tags", r.tags}} {
		if len(group.values) == 0 {
			continue
		}
		member(group.name, "{")
		for _, name := range slices.Sorted(maps.Keys(group.values)) {
			member(name, group.values[name])
		}
		b = append(b, '}')
	}
	return append(b, '}')
}
