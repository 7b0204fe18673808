// Package genaiprices reads the price list of the genai-prices project (its
// v2 JSON, an array of providers) into a price book. It takes figures and match
// rules and nothing else. What it does not understand it refuses, or leaves out
// model by model and says so: a price that is dropped silently would be a wrong
// bill.
package genaiprices

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/costprof/costprof/internal/pricing"
)

// Result is a converted list.
type Result struct {
	Data *pricing.Data
	// Rounded names the prices that were finer than a picodollar and rounded
	// half-even, as "provider model key".
	Rounded []string
	// Entries is how many models the list has, Converted how many of them have
	// their prices in Data; Skipped are the others, by reason, as "provider model".
	Entries, Converted int
	Skipped            map[string][]string
	// Ignored counts the prices for calls of a kind that no event can tell of, by
	// kind.
	Ignored map[string]int

	strict bool
}

type listProvider struct {
	ID            string           `json:"id"`
	Models        []jsontext.Value `json:"models"`
	ProviderMatch *pricing.Rule    `json:"provider_match"`
	ModelMatch    *pricing.Rule    `json:"model_match"`
	Fallback      []string         `json:"fallback_model_providers"`

	// Known and not taken.
	Name          jsontext.Value `json:"name"`
	Description   jsontext.Value `json:"description"`
	PriceComments jsontext.Value `json:"price_comments"`
	PricingURLs   jsontext.Value `json:"pricing_urls"`
	APIPattern    jsontext.Value `json:"api_pattern"`
	Extractors    jsontext.Value `json:"extractors"`
}

type listModel struct {
	ID       string         `json:"id"`
	Match    jsontext.Value `json:"match"`
	Prices   jsontext.Value `json:"prices"`
	Variants jsontext.Value `json:"price_variants"`
}

// Convert reads a list. An unknown member, price key, constraint or regular
// expression is an error that names its place.
func Convert(list []byte, from pricing.Provenance) (*Result, error) {
	return convert(list, from, true)
}

// Take reads a list like Convert, but marks a model whose prices it does not
// understand as unread and leaves out prices for calls that no event can tell of.
// The result names both.
func Take(list []byte, from pricing.Provenance) (*Result, error) {
	return convert(list, from, false)
}

func convert(list []byte, from pricing.Provenance, strict bool) (*Result, error) {
	var providers []listProvider
	if err := json.Unmarshal(list, &providers, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("read the list: %w", err)
	}
	if len(providers) == 0 {
		return nil, fmt.Errorf("read the list: it is empty")
	}
	res := &Result{
		Data:    &pricing.Data{Format: pricing.Format, Provenance: from, Gateways: slices.Clone(gateways)},
		Skipped: make(map[string][]string), Ignored: make(map[string]int), strict: strict,
	}
	for i := range providers {
		p, err := res.provider(&providers[i])
		if err != nil {
			return nil, fmt.Errorf("provider %q: %w", providers[i].ID, err)
		}
		res.Data.Providers = append(res.Data.Providers, p)
	}
	if err := res.correct(); err != nil {
		return nil, err
	}
	for _, p := range res.Data.Providers {
		for i := range p.Models {
			res.Entries++
			if !p.Models[i].Unread {
				res.Converted++
			}
		}
	}
	if res.Converted == 0 && res.Entries > 0 {
		return nil, fmt.Errorf("read the list: none of its %d models has prices that are understood", res.Entries)
	}
	slices.Sort(res.Rounded)
	for _, names := range res.Skipped {
		slices.Sort(names)
	}
	return res, nil
}

func (res *Result) provider(l *listProvider) (pricing.ProviderData, error) {
	p := pricing.ProviderData{
		ID: l.ID, Aliases: slices.Clone(aliases[l.ID]), Fallback: l.Fallback, Regional: regional[l.ID],
	}
	var err error
	if p.ModelMatch, err = translate(l.ModelMatch); err != nil {
		return p, err
	}
	match := l.ProviderMatch
	if own, ok := providerMatch[l.ID]; ok {
		if match != nil {
			return p, fmt.Errorf("the list has a provider_match now: review our own")
		}
		match = &own
	}
	if match, err = translate(match); err != nil {
		return p, err
	}
	p.Match = exclude(l.ID, match)
	for i := range l.Models {
		m, err := res.model(l.ID, l.Models[i])
		if err != nil {
			return p, fmt.Errorf("model %q: %w", m.ID, err)
		}
		p.Models = append(p.Models, m)
	}
	return p, nil
}

// oddity is something of one model that is not understood.
type oddity struct{ what string }

func (o *oddity) Error() string { return o.what }

func odd(format string, args ...any) error { return &oddity{fmt.Sprintf(format, args...)} }

// leaveOut marks a model as unread when all that is wrong is that something of it
// is not understood; else it gives the error back.
func (res *Result) leaveOut(provider string, m *pricing.ModelData, err error) error {
	var o *oddity
	if err == nil || res.strict || !errors.As(err, &o) {
		return err
	}
	m.Versions, m.Unread = nil, true
	res.Skipped[o.what] = append(res.Skipped[o.what], provider+" "+m.ID)
	return nil
}

func (res *Result) model(provider string, raw jsontext.Value) (pricing.ModelData, error) {
	var l listModel
	if err := json.Unmarshal(raw, &l); err != nil {
		return pricing.ModelData{}, err
	}
	m := pricing.ModelData{ID: l.ID}
	var rule *pricing.Rule
	if len(l.Match) > 0 {
		if err := json.Unmarshal(l.Match, &rule, json.RejectUnknownMembers(true)); err != nil {
			return m, err
		}
	}
	if rule == nil {
		return m, fmt.Errorf("no match rule")
	}
	match, err := translate(rule)
	if err != nil {
		return m, err
	}
	// A rule that only repeats the id says nothing.
	if m.Match = match; match.Equals == l.ID {
		m.Match = nil
	}
	var rounded []string
	note := func(key string) { rounded = append(rounded, provider+" "+l.ID+" "+key) }
	err = known(raw, "it has a member that is not known",
		"id", "match", "prices", "price_variants", "name", "description", "price_comments", "context_window", "deprecated")
	if err == nil {
		m.Versions, err = versions(l.Prices, note)
	}
	if err == nil {
		err = res.variants(&m, l.Variants, note)
	}
	if err == nil {
		res.Rounded = append(res.Rounded, rounded...)
	}
	return m, res.leaveOut(provider, &m, err)
}

// known makes sure that an object has no other members.
func known(raw jsontext.Value, what string, names ...string) error {
	var members map[string]jsontext.Value
	if err := json.Unmarshal(raw, &members); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if !slices.Contains(names, name) {
			return odd("%s: %s", what, name)
		}
	}
	return nil
}

// translate copies a rule with its regular expressions in RE2. A negative
// look-ahead at the start becomes a rule of its own; any other expression that
// RE2 does not have is an error.
func translate(r *pricing.Rule) (*pricing.Rule, error) {
	if r == nil {
		return nil, nil
	}
	if r.Not != nil {
		return nil, fmt.Errorf("a match rule with \"not\" is not one of the list's")
	}
	out := *r
	for _, part := range []*[]pricing.Rule{&out.And, &out.Or} {
		var done []pricing.Rule
		for i := range *part {
			t, err := translate(&(*part)[i])
			if err != nil {
				return nil, err
			}
			done = append(done, *t)
		}
		*part = done
	}
	if r.Regex == "" {
		return &out, nil
	}
	if _, err := regexp.Compile(r.Regex); err == nil {
		return &out, nil
	}
	ahead, rest, ok := leadingLookahead(r.Regex)
	if !ok {
		return nil, fmt.Errorf("regular expression %q is not RE2", r.Regex)
	}
	not := pricing.Rule{Not: &pricing.Rule{Regex: "^(?:" + ahead + ")"}}
	for _, part := range []string{not.Not.Regex, "^" + rest} {
		if _, err := regexp.Compile(part); err != nil {
			return nil, fmt.Errorf("regular expression %q is not RE2: %w", r.Regex, err)
		}
	}
	if rest == "" {
		return &not, nil
	}
	return &pricing.Rule{And: []pricing.Rule{not, {Regex: "^(?:" + rest + ")"}}}, nil
}

// leadingLookahead splits ^(?!A)B. At the start of the text the look-ahead
// holds exactly when ^(?:A) does not match, so the two halves can be asked apart.
func leadingLookahead(expr string) (ahead, rest string, ok bool) {
	body, ok := strings.CutPrefix(expr, "^(?!")
	if !ok {
		return "", "", false
	}
	depth, inClass := 1, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case c == '\\':
			i++
		case inClass:
			inClass = c != ']'
		case c == '[':
			inClass = true
		case c == '(':
			depth++
		case c == ')':
			if depth--; depth == 0 {
				// An alternative outside the group would not be anchored by ^.
				return body[:i], body[i+1:], !topLevelBar(body[i+1:])
			}
		}
	}
	return "", "", false
}

func topLevelBar(expr string) bool {
	depth, inClass := 0, false
	for i := 0; i < len(expr); i++ {
		switch c := expr[i]; {
		case c == '\\':
			i++
		case inClass:
			inClass = c != ']'
		case c == '[':
			inClass = true
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == '|' && depth == 0:
			return true
		}
	}
	return false
}

// Provenance is what a book built from the package's list says about itself.
func Provenance(version, listed string) pricing.Provenance {
	return pricing.Provenance{
		Source: "@pydantic/genai-prices", Version: version, Listed: listed, License: "MIT",
		URL: "https://github.com/pydantic/genai-prices",
	}
}
