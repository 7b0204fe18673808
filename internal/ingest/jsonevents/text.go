package jsonevents

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"
)

// maxDepth is how deep metadata may be nested.
const maxDepth = 64

// opens says whether the next value is of a kind; at broken syntax it says yes,
// so that reading on reports it.
func (d *decoder) opens(kind jsontext.Kind) bool {
	next := d.json.PeekKind()
	return next == kind || next == jsontext.KindInvalid
}

// unquoted gives the text of a valid JSON string. It is only good until the next
// call.
func (d *decoder) unquoted(raw []byte) []byte {
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1]
	}
	// The decoder has checked the string already.
	d.scratch, _ = jsontext.AppendUnquote(d.scratch[:0], raw)
	return d.scratch
}

// interned finds strings that came before: names of features, models and tags
// repeat from event to event. A slot holds the latest string with its hash.
type interned [256]string

const maxInterned = 48

// intern copies b, or returns the copy made before.
func (d *decoder) intern(b []byte) string {
	if len(b) == 0 || len(b) > maxInterned {
		return string(b)
	}
	h := uint32(len(b))
	for _, c := range b {
		h = (h ^ uint32(c)) * 16777619
	}
	slot := &d.strings[byte(h>>24)^byte(h)]
	if *slot != string(b) {
		*slot = string(b)
	}
	return *slot
}

// scan finds how deep valid JSON is nested and whether a string in it holds
// U+0000.
func scan(raw []byte) (deepest int, null bool) {
	depth := 0
	for i := 0; i < len(raw); i++ {
		switch raw[i] {
		case '{', '[':
			depth++
			deepest = max(deepest, depth)
		case '}', ']':
			depth--
		case '"':
			for i++; raw[i] != '"'; i++ {
				if raw[i] == '\\' {
					i++
					if raw[i] == 'u' && string(raw[i+1:i+5]) == "0000" {
						null = true
					}
				}
			}
		}
	}
	return deepest, null
}
