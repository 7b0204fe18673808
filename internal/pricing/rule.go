package pricing

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Rule says which names mean a model or a provider. Exactly one field is set.
// Texts and names are compared in lower case; a regular expression is RE2 and
// sees the name in lower case, unanchored.
type Rule struct {
	Equals     string `json:"equals,omitzero"`
	StartsWith string `json:"starts_with,omitzero"`
	EndsWith   string `json:"ends_with,omitzero"`
	Contains   string `json:"contains,omitzero"`
	Regex      string `json:"regex,omitzero"`
	And        []Rule `json:"and,omitzero"`
	Or         []Rule `json:"or,omitzero"`
	Not        *Rule  `json:"not,omitzero"`
}

const maxRuleDepth = 8

// matcher is a compiled Rule; it takes names in lower case.
type matcher func(lower string) bool

func (r *Rule) compile() (matcher, error) { return r.compileAt(0) }

func (r *Rule) compileAt(depth int) (matcher, error) {
	if depth > maxRuleDepth {
		return nil, errors.New("a match rule is nested too deeply")
	}
	var found []matcher
	text := func(s string, f func(name, text string) bool) {
		if s != "" {
			low := strings.ToLower(s)
			found = append(found, func(name string) bool { return f(name, low) })
		}
	}
	text(r.Equals, func(name, text string) bool { return name == text })
	text(r.StartsWith, strings.HasPrefix)
	text(r.EndsWith, strings.HasSuffix)
	text(r.Contains, strings.Contains)
	if r.Regex != "" {
		re, err := regexp.Compile(r.Regex)
		if err != nil {
			return nil, fmt.Errorf("match rule: %w", err)
		}
		found = append(found, re.MatchString)
	}
	if r.And != nil {
		all, err := compileAll(r.And, depth)
		if err != nil {
			return nil, err
		}
		found = append(found, func(name string) bool {
			for _, m := range all {
				if !m(name) {
					return false
				}
			}
			return true
		})
	}
	if r.Or != nil {
		some, err := compileAll(r.Or, depth)
		if err != nil {
			return nil, err
		}
		found = append(found, func(name string) bool {
			for _, m := range some {
				if m(name) {
					return true
				}
			}
			return false
		})
	}
	if r.Not != nil {
		m, err := r.Not.compileAt(depth + 1)
		if err != nil {
			return nil, err
		}
		found = append(found, func(name string) bool { return !m(name) })
	}
	if len(found) != 1 {
		return nil, fmt.Errorf("a match rule must say exactly one thing, not %d", len(found))
	}
	return found[0], nil
}

func compileAll(rules []Rule, depth int) ([]matcher, error) {
	if len(rules) == 0 {
		return nil, errors.New("a match rule lists nothing")
	}
	out := make([]matcher, len(rules))
	for i := range rules {
		m, err := rules[i].compileAt(depth + 1)
		if err != nil {
			return nil, err
		}
		out[i] = m
	}
	return out, nil
}

// split takes the names that the rule matches as a whole (its aliases, lower
// case) apart from the rest, which is nil when there is none.
func (r *Rule) split() (aliases []string, rest []Rule) {
	switch {
	case r.Equals != "":
		return []string{strings.ToLower(r.Equals)}, nil
	case r.Or != nil:
		for i := range r.Or {
			a, more := r.Or[i].split()
			aliases, rest = append(aliases, a...), append(rest, more...)
		}
		return aliases, rest
	}
	return nil, []Rule{*r}
}

// String is the rule in words, for explanations.
func (r *Rule) String() string {
	join := func(rules []Rule, word string) string {
		parts := make([]string, len(rules))
		for i := range rules {
			parts[i] = rules[i].String()
		}
		return "(" + strings.Join(parts, word) + ")"
	}
	switch {
	case r.Equals != "":
		return fmt.Sprintf("is %q", r.Equals)
	case r.StartsWith != "":
		return fmt.Sprintf("starts with %q", r.StartsWith)
	case r.EndsWith != "":
		return fmt.Sprintf("ends with %q", r.EndsWith)
	case r.Contains != "":
		return fmt.Sprintf("contains %q", r.Contains)
	case r.Regex != "":
		return fmt.Sprintf("matches %q", r.Regex)
	case r.And != nil:
		return join(r.And, " and ")
	case r.Or != nil:
		return join(r.Or, " or ")
	case r.Not != nil:
		return "not " + r.Not.String()
	}
	return "nothing"
}
