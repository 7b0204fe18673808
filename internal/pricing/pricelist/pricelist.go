// Package pricelist reads a price list of any form that costprof knows into a
// book. It recognises the form by the content, and knows no file and no network.
package pricelist

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/pricing"
	"github.com/costprof/costprof/internal/pricing/genaiprices"
	"github.com/costprof/costprof/internal/pricing/litellm"
)

// MaxSize is the size of the largest list, in bytes.
const MaxSize = 32 << 20

// Form is how a list is written.
type Form string

// The forms.
const (
	Book        Form = "costprof"
	GenaiPrices Form = "genai-prices"
	LiteLLM     Form = "litellm"
)

// List is a list that was read.
type List struct {
	Form Form
	Data *pricing.Data
	// Rounded names prices that were finer than a picodollar.
	Rounded []string
	// Entries, Converted, Skipped and Ignored are those of litellm.Result and
	// genaiprices.Result; nil for a book, of which everything is taken.
	Entries, Converted int
	Skipped            map[string][]string
	Ignored            map[string]int
}

// Said is what a list does not say about itself; fields that are empty are made
// up from its content.
type Said struct {
	Version string
	// Listed is the day it was published, YYYY-MM-DD; required of lists that do not
	// say it themselves.
	Listed string
}

// Read reads a list. fault.Invalid says what is wrong with it, and where.
func Read(list []byte, said Said) (*List, error) {
	if len(list) > MaxSize {
		return nil, fault.New(fault.TooLarge, "The list is larger than %d MiB", MaxSize>>20)
	}
	list = bytes.TrimPrefix(list, []byte("\uFEFF"))
	trimmed := bytes.TrimSpace(list)
	if len(trimmed) == 0 {
		return nil, fault.New(fault.Invalid, "The list is empty")
	}
	if said.Version == "" {
		sum := sha256.Sum256(list)
		said.Version = "sha256:" + hex.EncodeToString(sum[:6])
	}
	out, err := read(list, trimmed[0], said)
	if err != nil {
		return nil, describe(list, err)
	}
	// What reads also has to price: names, rules, bounds.
	text, err := pricing.Encode(out.Data)
	if err == nil {
		_, err = pricing.Load(text)
	}
	if err != nil {
		return nil, describe(nil, err)
	}
	return out, nil
}

func read(list []byte, first byte, said Said) (*List, error) {
	switch {
	case first == '[':
		res, err := genaiprices.Take(list, genaiprices.Provenance(said.Version, said.Listed))
		if err != nil {
			return nil, err
		}
		return &List{
			Form: GenaiPrices, Data: res.Data, Rounded: res.Rounded,
			Entries: res.Entries, Converted: res.Converted, Skipped: res.Skipped, Ignored: res.Ignored,
		}, nil
	case first != '{':
		return nil, fault.New(fault.Invalid, "The list is not JSON")
	case isBook(list):
		d, err := pricing.Decode(list)
		if err != nil {
			return nil, err
		}
		return &List{Form: Book, Data: d}, nil
	case litellm.Looks(list):
		res, err := litellm.Convert(list, pricing.Provenance{
			Source: litellm.Source, Version: said.Version, Listed: said.Listed, License: "MIT", URL: "https://github.com/BerriAI/litellm",
		})
		if err != nil {
			return nil, err
		}
		return &List{
			Form: LiteLLM, Data: res.Data, Rounded: res.Rounded,
			Entries: res.Entries, Converted: res.Converted, Skipped: res.Skipped, Ignored: res.Ignored,
		}, nil
	}
	if err := syntax(list); err != nil {
		return nil, err
	}
	return nil, fault.New(fault.Invalid, "The list is in no form that is known: costprof's own book (%s), genai-prices' v2 JSON (an array of providers), LiteLLM's model_prices_and_context_window.json", pricing.Format)
}

// isBook looks for the member that every book has.
func isBook(list []byte) bool {
	dec := jsontext.NewDecoder(bytes.NewReader(list))
	if _, err := dec.ReadToken(); err != nil {
		return false
	}
	for {
		tok, err := dec.ReadToken()
		if err != nil || tok.Kind() != '"' {
			return false
		}
		name := tok.String()
		v, err := dec.ReadValue()
		if err != nil {
			return false
		}
		if name == "format" {
			return v.Kind() == '"' && strings.HasPrefix(string(v), `"costprof/`)
		}
	}
}

// syntax finds where a list stops being JSON.
func syntax(list []byte) error {
	var v jsontext.Value
	return json.Unmarshal(list, &v)
}

// describe says where a list is broken, by line and column where it is known.
func describe(list []byte, err error) error {
	var coded *fault.Error
	if errors.As(err, &coded) {
		return err
	}
	// A mistake of syntax goes before one of meaning that comes of it.
	var at *jsontext.SyntacticError
	offset := int64(-1)
	if broken := syntax(list); list != nil && errors.As(broken, &at) {
		err, offset = broken, at.ByteOffset
	} else if sem := new(json.SemanticError); errors.As(err, &sem) && sem.ByteOffset > 0 {
		offset = sem.ByteOffset
	}
	text := strings.TrimPrefix(err.Error(), "read the list: ")
	if offset < 0 || offset > int64(len(list)) {
		return &fault.Error{Code: fault.Invalid, Message: "The list cannot be used: " + text}
	}
	before := list[:offset]
	line := bytes.Count(before, []byte("\n")) + 1
	column := len(before) - bytes.LastIndexByte(before, '\n')
	return &fault.Error{Code: fault.Invalid, Message: fmt.Sprintf("The list is broken at line %d, column %d: %s", line, column, text)}
}
