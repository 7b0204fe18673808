package csvevents

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/usage"
)

// kind is how a field's text becomes JSON.
type kind int

const (
	text kind = iota
	whole
	number
	instant
	boolean
	object
)

// fields are the wire form's own, in the order in which events are written. The
// order is part of the identity of imported rows: new fields go to the end.
var fields = []struct {
	name string
	kind kind
}{
	{"traceId", text},
	{"spanId", text},
	{"parentSpanId", text},
	{"name", text},
	{"timestamp", instant},
	{"feature", text},
	{"provider", text},
	{"model", text},
	{"inputTokens", whole},
	{"outputTokens", whole},
	{"cachedTokens", whole},
	{"cacheWriteTokens", whole},
	{"cacheWrite1hTokens", whole},
	{"reasoningTokens", whole},
	{"serviceTier", text},
	{"region", text},
	{"latencyMs", number},
	{"timeToFirstTokenMs", number},
	{"billedCostUsd", number},
	{"estimatedCostUsd", number},
	{"userId", text},
	{"sessionId", text},
	{"department", text},
	{"environment", text},
	{"operation", text},
	{"isStreaming", boolean},
	{"isError", boolean},
	{"aggregate", boolean},
	{"errorCode", text},
	{"retryCount", whole},
	{"prompt", text},
	{"metadata", object},
	{"project", text},
	{"eventId", text},
}

var fieldIndex = func() map[string]int {
	m := make(map[string]int, len(fields))
	for i, f := range fields {
		m[f.name] = i
	}
	return m
}()

// aliases are columns that mean a field under another name; the program's own
// CSV uses them.
var aliases = map[string]string{"latency": "latencyMs"}

// results are members and columns of the program's own exports that are made of
// an event, not sent with it.
var results = []string{
	"id", "providerId", "modelId", "cost", "costSource", "priceId", "fallback", "costByClass", "cacheSavings", "receivedAt", "promptId", "promptBytes", "lines", "nextCursor",
}

// target is where a value goes: a field, or a name below usage or tags.
type target struct {
	field int // index in fields, or one of the following
	name  string
}

const (
	toUsage = -1
	toTags  = -2
)

func (t target) String() string {
	switch t.field {
	case toUsage:
		return "usage." + t.name
	case toTags:
		return "tags." + t.name
	}
	return fields[t.field].name
}

// parseTarget finds a field by its wire name.
func parseTarget(name string) (target, bool) {
	if i, ok := fieldIndex[name]; ok {
		return target{field: i}, true
	}
	if unit, ok := strings.CutPrefix(name, "usage."); ok {
		if u, known := usage.UnitByCount(unit); known && !u.IsTotal() {
			return target{toUsage, unit}, true
		}
		return target{}, false
	}
	for _, prefix := range []string{"tags.", "tag:"} {
		if tag, ok := strings.CutPrefix(name, prefix); ok && tag != "" {
			return target{toTags, tag}, true
		}
	}
	return target{}, false
}

// mapping is Options made ready for rows.
type mapping struct {
	// columns lists the fields that take an explicit column.
	columns map[string][]target
	mapped  map[target]bool
	// constants hold values that are converted already.
	constants map[target]string
	time      TimeFormat
	location  *time.Location
	// bound and width describe a CSV.
	bound []binding
	width int
	// objects are the columns of the program's own CSV that hold usage and tags.
	objects []objectColumn
}

type objectColumn struct {
	column int
	// prefix is what the names of the members are below.
	prefix string
}

type binding struct {
	column int
	target target
}

func newMapping(o Options) (mapping, error) {
	m := mapping{
		columns: make(map[string][]target), mapped: make(map[target]bool), constants: make(map[target]string),
		time: o.Time, location: o.Location,
	}
	if m.location == nil {
		m.location = time.UTC
	}
	switch o.Time {
	case Calendar, UnixSeconds, UnixMillis:
	default:
		return m, fault.New(fault.Invalid, "Unknown time format %q; it must be unix or unixms, or left out", string(o.Time))
	}
	for _, name := range slices.Sorted(maps.Keys(o.Map)) {
		t, ok := parseTarget(name)
		if !ok {
			return m, unknownField(name)
		}
		if m.mapped[t] {
			return m, fault.New(fault.Invalid, "The field %s is mapped twice", t)
		}
		m.mapped[t] = true
		m.columns[o.Map[name]] = append(m.columns[o.Map[name]], t)
	}
	for _, name := range slices.Sorted(maps.Keys(o.Set)) {
		t, ok := parseTarget(name)
		if !ok {
			return m, unknownField(name)
		}
		// Constants are written in calendar form whatever the file holds.
		v, err := convert(t, []byte(o.Set[name]), timing{Calendar, m.location})
		if err != nil {
			return m, fault.New(fault.Invalid, "The constant for %s %s", t, err)
		}
		if v != "" {
			m.constants[t] = v
		}
	}
	return m, nil
}

// Constants gives values by field, as Options.Set takes them, as members of a
// wire event; nil when there are none.
func Constants(set map[string]string, location *time.Location) (json.RawMessage, error) {
	m, err := newMapping(Options{Set: set, Location: location})
	if err != nil || len(m.constants) == 0 {
		return nil, err
	}
	r := newRow(&m)
	for t, v := range m.constants {
		r.put(t, v)
	}
	return r.append(nil), nil
}

func unknownField(name string) *fault.Error {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.name
	}
	return fault.New(fault.Invalid, "There is no field %q; the fields are %s, usage.NAME with a known count, and tags.NAME",
		usage.Shorten(name), strings.Join(names, ", "))
}

// targets lists the fields that take a column, and whether anything knows it.
func (m *mapping) targets(column string) []target {
	out := m.columns[column]
	own := column
	if alias, ok := aliases[column]; ok {
		own = alias
	}
	if t, ok := parseTarget(own); ok && !m.mapped[t] && m.constants[t] == "" {
		out = append(slices.Clip(out), t)
	}
	return out
}

// bind finds the columns of a CSV and lists those that no field takes.
func (m *mapping) bind(columns []string, own bool) (ignored []string, err error) {
	m.width = len(columns)
	if own {
		for i, column := range columns {
			if column == "usage" || column == "tags" {
				m.objects = append(m.objects, objectColumn{i, column + "."})
			}
		}
	}
	found := make(map[string]int)
	for i, column := range columns {
		found[column]++
		targets := m.targets(column)
		for _, t := range targets {
			if found[column] > 1 {
				return nil, fault.New(fault.Invalid, "The column %q is there twice", usage.Shorten(column))
			}
			m.bound = append(m.bound, binding{i, t})
		}
		if own && (column == "usage" || column == "tags") {
			continue
		}
		if len(targets) == 0 && len(ignored) < maxIgnored && !m.explained(column) {
			ignored = append(ignored, usage.Shorten(column))
		}
	}
	for _, column := range slices.Sorted(maps.Keys(m.columns)) {
		if found[column] == 0 {
			shown := columns[:min(len(columns), 30)]
			return nil, fault.New(fault.Invalid, "There is no column %q; the columns are %s",
				usage.Shorten(column), usage.Shorten(strings.Join(shown, ", ")))
		}
	}
	return ignored, m.complete()
}

const maxIgnored = 100

// explained says whether a column is left out for a reason that the user knows.
func (m *mapping) explained(column string) bool {
	if alias, ok := aliases[column]; ok {
		column = alias
	}
	_, known := parseTarget(column)
	member, _, _ := strings.Cut(column, ".")
	return known || slices.Contains(results, member)
}

// required are the fields without which no row can be an event.
var required = []string{"timestamp", "feature", "provider", "model", "inputTokens", "outputTokens"}

// complete checks that every required field of a CSV has a source.
func (m *mapping) complete() error {
	has := make(map[target]bool)
	for _, b := range m.bound {
		has[b.target] = true
	}
	aggregate := target{field: fieldIndex["aggregate"]}
	var missing []string
	for i, name := range required {
		t := target{field: fieldIndex[name]}
		if i >= 2 && (has[aggregate] || m.constants[aggregate] == "true") {
			continue
		}
		if !has[t] && m.constants[t] == "" {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return fault.New(fault.Invalid, "Nothing gives %s: map a column to it or set a constant", strings.Join(missing, ", "))
	}
	return nil
}
