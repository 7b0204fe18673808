package redact

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/costprof/costprof/internal/fault"
)

// Limits on patterns of one's own: they run over every text that is stored.
const (
	MaxPatterns      = 20
	MaxPatternLength = 200
	MaxNameLength    = 24
)

// Pattern replaces what an expression (RE2) matches by its name in brackets.
type Pattern struct {
	Name    string `json:"name"`
	Pattern string `json:"pattern"`
}

// Rules are the built-in ones and patterns of one's own. They may be used from many
// goroutines; nil is the built-in ones alone.
type Rules struct {
	own []own
	// placeholders are what may take the place of a find.
	placeholders []string
}

type own struct {
	expression *regexp.Regexp
	as         string
}

var nameForm = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)

// New makes rules of patterns, in whose order they run, after the built-in ones.
// The error is fault.Invalid and names each wrong member below field.
func New(field string, patterns []Pattern) (*Rules, error) {
	problems := map[string][]string{}
	bad := func(i int, member, rule string) {
		name := fmt.Sprintf("%s[%d].%s", field, i, member)
		problems[name] = append(problems[name], rule)
	}
	if len(patterns) > MaxPatterns {
		problems[field] = []string{fmt.Sprintf("must have at most %d patterns", MaxPatterns)}
		patterns = nil
	}
	r := &Rules{placeholders: []string{email, phone, card, key, all}}
	for i, p := range patterns {
		as := "[" + p.Name + "]"
		switch {
		case len(p.Name) > MaxNameLength, !nameForm.MatchString(p.Name):
			bad(i, "name", fmt.Sprintf("must be 1 to %d lower-case letters, digits and dashes, a letter first", MaxNameLength))
		case len(find(as)) > 0:
			bad(i, "name", "must not look like a secret")
		case r.isPlaceholder(as):
			bad(i, "name", "must not be email, phone, card, key or redacted, which are built in")
		case contains(patterns[:i], p.Name):
			bad(i, "name", "must be given once")
		}
		if p.Pattern == "" || len(p.Pattern) > MaxPatternLength {
			bad(i, "pattern", fmt.Sprintf("must have 1 to %d bytes", MaxPatternLength))
			continue
		}
		e, err := regexp.Compile(p.Pattern)
		switch {
		case err != nil:
			bad(i, "pattern", "must be a regular expression (RE2): "+strings.TrimPrefix(err.Error(), "error parsing regexp: "))
		case e.MatchString(""):
			bad(i, "pattern", "must not match the empty text")
		default:
			r.own = append(r.own, own{e, as})
		}
	}
	if len(problems) > 0 {
		return nil, &fault.Error{Code: fault.Invalid, Message: "Validation failed", Details: problems}
	}
	for _, o := range r.own {
		r.placeholders = append(r.placeholders, o.as)
	}
	return r, nil
}

func contains(patterns []Pattern, name string) bool {
	for _, p := range patterns {
		if p.Name == name {
			return true
		}
	}
	return false
}

func (r *Rules) isPlaceholder(s string) bool {
	for _, p := range r.placeholders {
		if p == s {
			return true
		}
	}
	return false
}

// apply replaces what the pattern matches. What was replaced before is one byte of
// the text that it sees (U+0000), so that a pattern cannot match inside of it; a
// match of nothing else is none.
func (o *own) apply(r *Rules, s string) (string, bool) {
	seen, masks := s, []mask(nil)
	if strings.IndexByte(s, '[') >= 0 {
		seen, masks = r.mask(s)
	}
	matches := o.expression.FindAllStringIndex(seen, -1)
	if len(matches) == 0 {
		return s, false
	}
	var spans []span
	m, shift := 0, 0 // masks before the match, and by how much s is longer there
	for _, match := range matches {
		from, to := match[0], match[1]
		for m < len(masks) && masks[m].at < from {
			shift += len(masks[m].text) - 1
			m++
		}
		begin, inside := from+shift, 0
		for m < len(masks) && masks[m].at < to {
			shift += len(masks[m].text) - 1
			m++
			inside++
		}
		if to-from > inside {
			spans = append(spans, span{begin, to + shift, o.as})
		}
	}
	return replace(s, spans), len(spans) > 0
}

// mask is a placeholder, and where its byte stands.
type mask struct {
	at   int
	text string
}

func (r *Rules) mask(s string) (string, []mask) {
	var masks []mask
	var b strings.Builder
	for {
		i := strings.IndexByte(s, '[')
		if i < 0 {
			break
		}
		b.WriteString(s[:i])
		s = s[i:]
		found := ""
		for _, p := range r.placeholders {
			if strings.HasPrefix(s, p) {
				found = p
			}
		}
		if found == "" {
			b.WriteByte('[')
			s = s[1:]
			continue
		}
		masks = append(masks, mask{b.Len(), found})
		b.WriteByte(0)
		s = s[len(found):]
	}
	b.WriteString(s)
	return b.String(), masks
}

// Join makes rules of both, those of a before those of b.
func Join(a, b *Rules) *Rules {
	switch {
	case a == nil || len(a.own) == 0:
		return b
	case b == nil || len(b.own) == 0:
		return a
	}
	return &Rules{own: slices.Concat(a.own, b.own), placeholders: slices.Concat(a.placeholders, b.placeholders)}
}
