package httpapi

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/usage"
)

// param declares one query parameter: what the document says of it is what the
// server accepts.
type param struct {
	name, doc string
	schema    *huma.Schema
	repeat    bool // may be given more than once
	empty     bool // an empty value means something
	required  bool
}

// tagParam stands for every parameter whose name begins with "tag:".
const tagParam = "tag:*"

// query reads the parameters of one request and collects every problem with
// them.
type query struct {
	values url.Values
	// within is the only project of who asks; "" is every project.
	within   string
	problems map[string][]string
	unlisted int
	// providerID is the canonical id of a provider by any of its names.
	providerID func(string) string
}

// maxProblems is how many problems one answer lists; the rest are counted.
const maxProblems = 100

// queryOf reads the parameters of a request, for who sends it.
func queryOf(r *http.Request, declared []param) *query {
	q := readQuery(r.URL.RawQuery, declared)
	q.within = exchangeOf(r.Context()).who.Project
	return q
}

// readQuery refuses what no parameter declares, and a parameter given twice that
// has one value.
func readQuery(raw string, declared []param) *query {
	q := &query{providerID: func(name string) string { return name }}
	var err error
	if q.values, err = url.ParseQuery(raw); err != nil {
		q.bad("query", "is not a valid query string")
	}
	for name, values := range q.values {
		p := find(declared, name)
		switch {
		case !validText(name):
			q.bad(usage.Shorten(name), "must be valid UTF-8 without U+0000")
		case p == nil:
			q.bad(usage.Shorten(name), "is not a parameter of this endpoint")
		case len(values) > 1 && !p.repeat:
			q.bad(name, "must be given once")
		}
		for _, v := range values {
			if !validText(v) {
				q.bad(usage.Shorten(name), "must be valid UTF-8 without U+0000")
			}
		}
	}
	for _, p := range declared {
		if p.required && q.values.Get(p.name) == "" {
			q.bad(p.name, "is required")
		}
	}
	return q
}

func find(declared []param, name string) *param {
	for i := range declared {
		if declared[i].name == name || declared[i].name == tagParam && strings.HasPrefix(name, "tag:") {
			return &declared[i]
		}
	}
	return nil
}

func validText(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }

func (q *query) bad(name, rule string) {
	if q.problems == nil {
		q.problems = map[string][]string{}
	}
	for _, r := range q.problems[name] {
		if r == rule {
			return
		}
	}
	if len(q.problems) >= maxProblems && q.problems[name] == nil {
		q.unlisted++
		return
	}
	q.problems[name] = append(q.problems[name], rule)
}

// take notes the details of an Invalid error and says whether there was one.
func (q *query) take(err error) bool {
	if err == nil {
		return false
	}
	var f *fault.Error
	if !errors.As(err, &f) || len(f.Details) == 0 {
		q.bad("query", err.Error())
		return true
	}
	for name, rules := range f.Details {
		for _, r := range rules {
			q.bad(name, r)
		}
	}
	return true
}

// err is every problem found, as one error.
func (q *query) err() error {
	if len(q.problems) == 0 {
		return nil
	}
	message := "Validation failed"
	if q.unlisted > 0 {
		message = fmt.Sprintf("Validation failed: %d problems, of which %d are listed", len(q.problems)+q.unlisted, len(q.problems))
	}
	return &fault.Error{Code: fault.Invalid, Message: message, Details: q.problems}
}

func (q *query) has(name string) bool { return len(q.values[name]) > 0 }

func (q *query) text(name string) string { return q.values.Get(name) }

// whole reads an integer between least and most.
func (q *query) whole(name string, fallback, least, most int) int {
	if !q.has(name) {
		return fallback
	}
	n, err := strconv.Atoi(q.text(name))
	if err != nil || n < least || n > most {
		q.bad(name, fmt.Sprintf("must be a whole number between %d and %d", least, most))
		return fallback
	}
	return n
}

// oneOf reads a value of a closed list, "" when it was not given.
func (q *query) oneOf(name string, allowed ...string) string {
	if !q.has(name) {
		return ""
	}
	for _, a := range allowed {
		if q.text(name) == a {
			return a
		}
	}
	q.bad(name, "must be one of "+strings.Join(allowed, ", "))
	return ""
}

// Limits of a page.
const (
	defaultLimit = 100
	maxLimit     = 1000
)

func (q *query) limit() int { return q.whole("limit", defaultLimit, 1, maxLimit) }

func text(enum ...any) *huma.Schema { return &huma.Schema{Type: huma.TypeString, Enum: enum} }

func wholeNumber(fallback, least, most int) *huma.Schema {
	lo, hi := float64(least), float64(most)
	return &huma.Schema{Type: huma.TypeInteger, Default: fallback, Minimum: &lo, Maximum: &hi}
}

var pageParams = []param{
	{name: "limit", doc: "The most rows of one page.", schema: wholeNumber(defaultLimit, 1, maxLimit)},
	{name: "cursor", doc: "pagination.nextCursor of the page before; all other parameters stay as they were.", schema: formed(cursorText)},
}
