package csvevents

import (
	"errors"
	"fmt"
	"slices"

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
			row.set(t, m.value)
		}
	}
	return nil
}

// ignore remembers a member that no field took.
func (r *Reader) ignore(path string) {
	path = usage.Shorten(path)
	if len(r.ignored) < maxIgnored && !r.mapping.explained(path) && !slices.Contains(r.ignored, path) {
		r.ignored = append(r.ignored, path)
	}
}
