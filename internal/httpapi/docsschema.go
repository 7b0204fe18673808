package httpapi

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// openDocument is the part of the OpenAPI document that the page shows.
type openDocument struct {
	OpenAPI string
	Info    struct{ Title, Version, Description string }
	Paths   map[string]map[string]openOperation

	Components struct {
		Schemas         map[string]*openSchema
		Responses       map[string]openResponse
		SecuritySchemes map[string]struct{ In, Name, Description string }
	}
}

type openOperation struct {
	ID                   string `json:"operationId"`
	Summary, Description string
	Tags                 []string
	Security             []map[string][]string
	Parameters           []struct {
		Name, In, Description string
		Required              bool
		Schema                *openSchema
	}
	RequestBody struct {
		Description string
		Content     map[string]openMedia
	}
	Responses map[string]openResponse
}

type openResponse struct {
	Ref         string `json:"$ref"`
	Description string
	Headers     map[string]json.RawMessage
	Content     map[string]openMedia
}

type openMedia struct{ Schema *openSchema }

type openSchema struct {
	Ref                  string `json:"$ref"`
	Type                 any    // a name, or a list of them
	Description          string
	Format               string
	Pattern              string
	ContentMediaType     string
	Enum                 []any
	Default              json.RawMessage
	Minimum, Maximum     json.Number
	MinLength, MaxLength *int
	MinItems, MaxItems   *int
	Required             []string
	Items                *openSchema
	Properties           map[string]*openSchema
	// AdditionalProperties is a schema or a boolean.
	AdditionalProperties json.RawMessage
	AnyOf, AllOf, OneOf  []*openSchema
}

// wordsOf says what a schema is, in words that link to the named ones.
func wordsOf(s *openSchema) []docsWord {
	say := func(text string) []docsWord { return []docsWord{{Text: text}} }
	list := func(between string, schemas []*openSchema) (words []docsWord) {
		for i, one := range schemas {
			if i > 0 {
				words = append(words, docsWord{Text: between})
			}
			words = append(words, wordsOf(one)...)
		}
		return words
	}
	switch {
	case s == nil:
		return say("anything")
	case s.Ref != "":
		return []docsWord{{Schema: schemaName(s.Ref)}}
	case len(s.AllOf) > 0:
		return list(" and ", s.AllOf)
	case len(s.AnyOf) > 0 && len(s.Properties) == 0:
		return list(" or ", s.AnyOf)
	case len(s.OneOf) > 0:
		return list(" or ", s.OneOf)
	case s.Items != nil:
		return append(say("list of "), wordsOf(s.Items)...)
	case s.Type == nil && len(s.Required) > 0, s.Type == nil && len(s.Properties) > 0:
		return say("with " + strings.Join(s.conditions(), ", "))
	case s.Type == nil:
		return say("anything")
	}
	var other *openSchema
	if json.Unmarshal(s.AdditionalProperties, &other) == nil && other != nil {
		return append(say("object of "), wordsOf(other)...)
	}
	names, many := s.Type.([]any)
	if !many {
		return say(fmt.Sprint(s.Type))
	}
	text := make([]string, len(names))
	for i, n := range names {
		text[i] = fmt.Sprint(n)
	}
	return say(strings.Join(text, " or "))
}

// conditions are what a schema without a type asks of the one beside it.
func (s *openSchema) conditions() []string {
	var out []string
	for _, name := range s.Required {
		if p := s.Properties[name]; p != nil && len(p.Enum) == 1 {
			name += " " + fmt.Sprint(p.Enum[0])
		}
		out = append(out, name)
	}
	return out
}

// fieldsOf lists the properties of an object, and of the objects in it that have
// no name of their own, by their paths.
func fieldsOf(prefix string, s *openSchema) []docsField {
	var out []docsField
	switch {
	case s == nil || s.Ref != "":
		return nil
	case s.Items != nil:
		return fieldsOf(prefix+"[]", s.Items)
	case len(s.AnyOf)+len(s.OneOf) > 0 && len(s.Properties) == 0:
		for _, one := range slices.Concat(s.AnyOf, s.OneOf) {
			if one.Type != nil {
				out = append(out, fieldsOf(prefix, one)...)
			}
		}
		return out
	}
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		p := s.Properties[name]
		at := strings.TrimPrefix(prefix+"."+name, ".")
		f := docsField{Name: at, Required: slices.Contains(s.Required, name), Type: wordsOf(p), Doc: p.Description, Rules: rulesOf(p)}
		if p.Items != nil {
			f.Rules = append(f.Rules, rulesOf(p.Items)...)
		}
		out = append(out, f)
		out = append(out, fieldsOf(at, p)...)
	}
	return out
}

// rulesOf are what a schema demands beyond its type.
func rulesOf(s *openSchema) []docsRule {
	if s == nil {
		return nil
	}
	var out []docsRule
	add := func(name, value string) {
		if value != "" {
			out = append(out, docsRule{name, value})
		}
	}
	values := make([]string, len(s.Enum))
	for i, v := range s.Enum {
		if values[i] = fmt.Sprint(v); v == "" {
			values[i] = `""`
		}
	}
	add("one of", strings.Join(values, ", "))
	add("default", strings.Trim(string(s.Default), `"`))
	add("at least", s.Minimum.String())
	add("at most", s.Maximum.String())
	if s.Format != "int64" && s.Format != "double" { // how a program holds it, not what is allowed
		add("form", s.Format)
	}
	add("pattern", s.Pattern)
	add("content", s.ContentMediaType)
	for _, n := range []struct {
		name string
		at   *int
	}{{"characters at least", s.MinLength}, {"characters at most", s.MaxLength}, {"items at least", s.MinItems}, {"items at most", s.MaxItems}} {
		if n.at != nil {
			add(n.name, fmt.Sprint(*n.at))
		}
	}
	return out
}
