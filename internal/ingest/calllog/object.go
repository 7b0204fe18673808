package calllog

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/costprof/costprof/internal/usage"
)

// reading is what all objects of one record share.
type reading struct {
	location *time.Location
	// bad are values that cannot mean what they stand for.
	bad []string
}

// maxBad bounds what is said about one record.
const maxBad = 5

func (r *reading) complain(text string) {
	if len(r.bad) < maxBad && !slices.Contains(r.bad, text) {
		r.bad = append(r.bad, text)
	}
}

// Object is a JSON object whose members are looked at when they are asked for.
// Asking for what is not there, or is null, gives nothing; a number that cannot
// be one is remembered and makes its record malformed. The zero value is empty.
type Object struct {
	members map[string]jsontext.Value
	path    string
	reading *reading
}

// lenient takes what loggers write: a lone half of a surrogate pair in some
// prompt must not cost us the call's tokens.
var lenient = []jsontext.Options{jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)}

var errNoObject = errors.New("is not a JSON object")

// parse reads one whole object.
func parse(raw []byte, r *reading) (Object, error) {
	d := jsontext.NewDecoder(bytes.NewBuffer(raw), lenient...)
	if d.PeekKind() != '{' {
		if _, err := d.ReadValue(); err != nil {
			return Object{}, err
		}
		return Object{}, errNoObject
	}
	if _, err := d.ReadToken(); err != nil {
		return Object{}, err
	}
	o := Object{members: make(map[string]jsontext.Value, 16), reading: r}
	for d.PeekKind() != '}' {
		name, err := d.ReadToken()
		if err != nil {
			return Object{}, err
		}
		key := name.String()
		value, err := d.ReadValue()
		if err != nil {
			return Object{}, err
		}
		if value.Kind() != 'n' {
			o.members[key] = slices.Clone(value)
		}
	}
	if _, err := d.ReadToken(); err != nil {
		return Object{}, err
	}
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return Object{}, errors.New("goes on after its JSON object")
	}
	return o, nil
}

// ParseText reads an object in a text, such as the data of a server-sent event.
func (o Object) ParseText(text string) (Object, bool) {
	in, err := parse([]byte(text), o.reading)
	return in, err == nil
}

func (o Object) complain(name, rule string) {
	if o.reading != nil {
		o.reading.complain(usage.Shorten(o.path+name) + " " + rule)
	}
}

// Complain says that the record is wrong at a member.
func (o Object) Complain(name, rule string) { o.complain(name, rule) }

// Has says whether a member is there and not null.
func (o Object) Has(names ...string) bool {
	for _, name := range names {
		if _, ok := o.members[name]; !ok {
			return false
		}
	}
	return true
}

// Empty says whether nothing is there at all.
func (o Object) Empty() bool { return len(o.members) == 0 }

// Names lists the members in order of their names.
func (o Object) Names() []string {
	names := make([]string, 0, len(o.members))
	for name := range o.members {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// First is the first of names that is there, else "".
func (o Object) First(names ...string) string {
	for _, name := range names {
		if o.Has(name) {
			return name
		}
	}
	return ""
}

// Object gives a member that is an object, or a text that holds one, as cells of
// a CSV do.
func (o Object) Object(name string) Object {
	raw := o.members[name]
	switch raw.Kind() {
	case '{':
	case '"':
		text := strings.TrimSpace(unquote(raw))
		if !strings.HasPrefix(text, "{") {
			return Object{reading: o.reading}
		}
		raw = jsontext.Value(text)
	default:
		return Object{reading: o.reading}
	}
	in, err := parse(raw, o.reading)
	if err != nil {
		return Object{reading: o.reading}
	}
	in.path = o.path + name + "."
	return in
}

// List gives the elements of an array, or of a text that holds one; members are
// "" where an element is no object.
func (o Object) List(name string) []Object {
	var out []Object
	for _, raw := range o.elements(name) {
		in := Object{reading: o.reading}
		if jsontext.Value(raw).Kind() == '{' {
			if p, err := parse(raw, o.reading); err == nil {
				in = p
				in.path = o.path + name + "[]."
			}
		}
		out = append(out, in)
	}
	return out
}

// Texts gives the texts of an array of texts.
func (o Object) Texts(name string) []string {
	var out []string
	for _, raw := range o.elements(name) {
		if jsontext.Value(raw).Kind() == '"' {
			out = append(out, unquote(jsontext.Value(raw)))
		}
	}
	return out
}

// IsList says whether a member is an array.
func (o Object) IsList(name string) bool { return o.members[name].Kind() == '[' }

// IsText says whether a member is a text.
func (o Object) IsText(name string) bool { return o.members[name].Kind() == '"' }

func (o Object) elements(name string) []json.RawMessage {
	raw := o.members[name]
	if raw.Kind() == '"' {
		raw = jsontext.Value(strings.TrimSpace(unquote(raw)))
	}
	if len(raw) == 0 || raw[0] != '[' {
		return nil
	}
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil {
		return nil
	}
	return list
}

// Text gives a text; a number or a truth value as it is written.
func (o Object) Text(names ...string) string {
	for _, name := range names {
		raw := o.members[name]
		switch raw.Kind() {
		case '"':
			if text := unquote(raw); text != "" {
				return text
			}
		case '0', 't', 'f':
			return string(raw)
		}
	}
	return ""
}

// Bool gives a truth value, also one written as a text.
func (o Object) Bool(name string) bool {
	switch strings.ToLower(o.Text(name)) {
	case "true", "1", "t", "yes":
		return true
	}
	return false
}

// unquote gives a string's text, fit for an event: what is not UTF-8, or is
// U+0000, becomes U+FFFD.
func unquote(raw jsontext.Value) string {
	b, _ := jsontext.AppendUnquote(nil, raw) // invalid UTF-8 is mended below
	return strings.ReplaceAll(strings.ToValidUTF8(string(b), "\uFFFD"), "\x00", "\uFFFD")
}
