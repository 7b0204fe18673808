package csvevents

import (
	"bytes"
	"errors"
	"io"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/costprof/costprof/internal/usage"
)

// member is one value of a JSON line under its dotted path.
type member struct {
	path string
	// value is the text of a string, or the JSON of anything else; null is empty.
	value []byte
	// quoted marks a string: an empty one is not the same as null.
	quoted bool
	// compound marks objects and arrays, object only the former: their members
	// are listed too.
	compound, object bool
}

// lineDecoder reads the members of one JSON object.
type lineDecoder struct{ json *jsontext.Decoder }

func newLineDecoder(line []byte) lineDecoder {
	return lineDecoder{jsontext.NewDecoder(bytes.NewBuffer(line))}
}

// members reads an object, also below its own members.
func (d lineDecoder) members(prefix string, depth int) ([]member, error) {
	if _, err := d.json.ReadToken(); err != nil {
		return nil, err
	}
	var out []member
	for d.json.PeekKind() != '}' {
		name, err := d.json.ReadToken()
		if err != nil {
			return nil, err
		}
		path := prefix + name.String()
		raw, err := d.json.ReadValue()
		if err != nil {
			return nil, err
		}
		switch raw.Kind() {
		case 'n':
			out = append(out, member{path: path})
		case '"':
			value, err := jsontext.AppendUnquote(nil, raw)
			if err != nil {
				return nil, err
			}
			out = append(out, member{path: path, value: value, quoted: true})
		case '{':
			out = append(out, member{path: path, value: raw, compound: true, object: true})
			if depth < maxNesting && path != "metadata" {
				below, err := newLineDecoder(raw).members(path+".", depth+1)
				if err != nil {
					return nil, err
				}
				out = slices.Concat(out, below)
			}
		default:
			out = append(out, member{path: path, value: raw, compound: raw.Kind() == '['})
		}
	}
	_, err := d.json.ReadToken()
	return out, err
}

// reason is why a line is not JSON, without the place in the line.
func reason(err error) string {
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) && syntax.Err != nil {
		err = syntax.Err
	}
	return usage.Shorten(err.Error())
}

// end says whether anything follows the object.
func (d lineDecoder) end() error {
	if _, err := d.json.ReadToken(); !errors.Is(err, io.EOF) {
		return errors.New("the line goes on after it")
	}
	return nil
}
