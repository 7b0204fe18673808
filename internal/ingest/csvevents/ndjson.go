package csvevents

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/costprof/costprof/internal/usage"
)

// maxNesting is how deep members of members are looked at.
const maxNesting = 4

// object gives the members of a line's JSON object to their fields.
func (r *Reader) object(row *row) error {
	line := jsontext.Value(r.rows.Cells()[0])
	if line.Kind() != '{' {
		return errors.New("is not a JSON object")
	}
	d := newLineDecoder(line)
	members, err := d.members("", 0)
	if err == nil {
		err = d.end()
	}
	if err != nil {
		return fmt.Errorf("is not a JSON object: %s", reason(err))
	}
	if len(members) == 1 && members[0].path == "nextCursor" {
		return errNoEvent
	}
	complete := hasIDs(members)
	for _, m := range members {
		if m.object && m.path != "metadata" && len(r.mapping.columns[m.path]) == 0 {
			continue
		}
		targets := r.mapping.targets(m.path)
		if len(targets) == 0 {
			r.ignore(m.path)
		}
		for _, t := range targets {
			if m.compound && (t.field < 0 || fields[t.field].kind != object) {
				row.bad = append(row.bad, usage.Shorten(t.String())+" must not be an object or array")
				continue
			}
			if complete && t.field == toTags && m.quoted && len(m.value) == 0 {
				row.put(t, `""`)
				continue
			}
			row.set(t, m.value)
		}
	}
	return nil
}

// hasIDs says whether a line names its trace and span, as exports do. Only there
// an empty tag is told from a missing one: other lines have their identity of
// what they say, and it must stay what it was before.
func hasIDs(members []member) bool {
	var trace, span bool
	for _, m := range members {
		trace = trace || m.path == "traceId" && len(m.value) > 0
		span = span || m.path == "spanId" && len(m.value) > 0
	}
	return trace && span
}

// spread gives the members of a cell that holds a JSON object to usage or tags,
// as the program's own CSV has them.
func (r *row) spread(prefix string, cell []byte) {
	if len(cell) == 0 {
		return
	}
	bad := func() {
		r.bad = append(r.bad, strings.TrimSuffix(prefix, ".")+" must be a JSON object of names and values")
	}
	if jsontext.Value(cell).Kind() != '{' {
		bad()
		return
	}
	d := newLineDecoder(cell)
	members, err := d.members(prefix, maxNesting)
	if err == nil {
		err = d.end()
	}
	if err != nil {
		bad()
		return
	}
	for _, m := range members {
		t, ok := parseTarget(m.path)
		switch {
		case !ok || m.compound:
			r.bad = append(r.bad, usage.Shorten(m.path)+" is nothing that there can be")
		case t.field == toTags && m.quoted && len(m.value) == 0:
			r.put(t, `""`)
		default:
			r.set(t, m.value)
		}
	}
}

// ignore remembers a member that no field took.
func (r *Reader) ignore(path string) {
	path = usage.Shorten(path)
	if len(r.ignored) < maxIgnored && !r.mapping.explained(path) && !slices.Contains(r.ignored, path) {
		r.ignored = append(r.ignored, path)
	}
}
