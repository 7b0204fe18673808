package httpapi

import (
	stdjson "encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/ingest"
	"github.com/costprof/costprof/internal/usage"
)

// readJSON reads a small JSON body: one object.
func (s *server) readJSON(c *call) (jsontext.Value, error) {
	if _, err := mediaType(c.Request, "application/json"); err != nil {
		return nil, err
	}
	b, err := s.bodies.read(c.Context, c.w, c.Request, maxSmallBody)
	if err != nil {
		return nil, err
	}
	defer b.release()
	return slices.Clone(b.bytes), nil
}

// readObject reads a body that is one JSON object.
func (s *server) readObject(c *call) (*fields, error) {
	body, err := s.readJSON(c)
	if err != nil {
		return nil, err
	}
	return c.q.object("", body)
}

// fields is one JSON object being read; every problem is noted in the query's
// list under prefix.
type fields struct {
	q      *query
	prefix string
	values map[string]jsontext.Value
}

// object splits a JSON object into its members. Duplicate names, invalid UTF-8
// and anything after the object are malformed JSON.
func (q *query) object(prefix string, v jsontext.Value) (*fields, error) {
	f := &fields{q: q, prefix: prefix}
	if v.Kind() != '{' && len(v) > 0 && v.IsValid() {
		q.bad(f.path(""), "must be an object")
		return f, nil
	}
	if err := json.Unmarshal(v, &f.values); err != nil {
		return nil, malformed(err)
	}
	return f, nil
}

func malformed(err error) error {
	message := "The body is not valid JSON"
	var at *jsontext.SyntacticError
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName):
		message = "The body is not valid JSON: a name is there twice in one object"
	case errors.As(err, &at):
		message = fmt.Sprintf("The body is not valid JSON: look near byte %d", at.ByteOffset)
	}
	return &fault.Error{Code: fault.Invalid, Message: message, Err: err}
}

func (f *fields) path(name string) string {
	switch {
	case name == "" && f.prefix == "":
		return "body"
	case name == "":
		return f.prefix
	case f.prefix == "":
		return name
	}
	return f.prefix + "." + name
}

func (f *fields) bad(name, rule string) { f.q.bad(f.path(name), rule) }

// only refuses members that are not named.
func (f *fields) only(names ...string) {
	for name := range f.values {
		if !slices.Contains(names, name) {
			f.bad(usage.Shorten(name), "is not a field of this request")
		}
	}
}

func (f *fields) has(name string) bool {
	v, ok := f.values[name]
	return ok && v.Kind() != 'n'
}

func (f *fields) text(name string, least, most int) string {
	if !f.has(name) {
		if least > 0 {
			f.bad(name, "is required")
		}
		return ""
	}
	v := f.values[name]
	if v.Kind() != '"' {
		f.bad(name, "must be a string")
		return ""
	}
	var s string
	if err := json.Unmarshal(v, &s); err != nil {
		f.bad(name, "must be valid UTF-8")
		return ""
	}
	switch n := len([]rune(s)); {
	case n < least:
		f.bad(name, "is required")
	case n > most:
		f.bad(name, fmt.Sprintf("must be at most %d characters", most))
	case !validText(s):
		f.bad(name, "must not contain U+0000")
	}
	return s
}

func (f *fields) instant(name string) time.Time {
	s := f.text(name, 0, 64)
	if s == "" {
		if f.has(name) && f.values[name].Kind() == '"' {
			f.bad(name, "must be an RFC 3339 instant such as 2026-01-31T15:04:05Z")
		}
		return time.Time{}
	}
	t, ok := usage.ParseInstant(s)
	switch {
	case !ok:
		f.bad(name, "must be an RFC 3339 instant such as 2026-01-31T15:04:05Z")
	case !inYears(t):
		f.bad(name, yearsRule)
	}
	return t.Truncate(time.Microsecond)
}

func (f *fields) count(name string) int64 {
	if !f.has(name) {
		return 0
	}
	v := f.values[name]
	d, ok := ingest.ParseDecimal(v, 0)
	switch {
	case v.Kind() != '0' || !ok:
		f.bad(name, "must be a whole number")
	case d.Negative:
		f.bad(name, "must be 0 or more")
	case !d.Exact && d.Value < usage.MaxCount:
		f.bad(name, "must be a whole number")
	case d.Value > usage.MaxCount:
		f.bad(name, fmt.Sprintf("must be at most %d", int64(usage.MaxCount)))
	}
	return d.Value
}

// counts reads the token totals and usage.
func (f *fields) counts() usage.Counts {
	var c usage.Counts
	bad := len(f.q.problems)
	for u := range usage.NumUnits {
		if u.IsTotal() {
			c[u] = f.count(usage.Units[u].Count)
		}
	}
	if f.has("usage") {
		inner, err := f.q.object(f.path("usage"), f.values["usage"])
		if err != nil {
			f.bad("usage", "must be an object of whole numbers")
			return c
		}
		for name := range inner.values {
			u, ok := usage.UnitByCount(name)
			if !ok || u.IsTotal() {
				inner.bad(usage.Shorten(name), "is not a known count")
				continue
			}
			c[u] = inner.count(name)
		}
	}
	if len(f.q.problems) == bad {
		_, problems := c.Buckets()
		for _, p := range problems {
			f.bad(p.Field, p.Rule)
		}
	}
	return c
}

// totalFields are the names of the token totals.
var totalFields = func() []string {
	var names []string
	for u := range usage.NumUnits {
		if u.IsTotal() {
			names = append(names, usage.Units[u].Count)
		}
	}
	return names
}()

// amounts reads an object of decimal numbers; a string may hold one too. nil is
// a missing object.
func (f *fields) amounts(name string) map[string]stdjson.Number {
	if !f.has(name) {
		return nil
	}
	inner, err := f.q.object(f.path(name), f.values[name])
	if err != nil {
		f.bad(name, "must be an object of numbers")
		return map[string]stdjson.Number{}
	}
	out := make(map[string]stdjson.Number, len(inner.values))
	for key, v := range inner.values {
		switch v.Kind() {
		case '0':
			out[key] = stdjson.Number(v)
		case '"':
			out[key] = stdjson.Number(inner.text(key, 1, 400))
		default:
			inner.bad(usage.Shorten(key), "must be a decimal number")
		}
	}
	return out
}
