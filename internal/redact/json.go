package redact

import (
	"bytes"
	"encoding/json"
	"strings"
)

// JSON redacts the strings of a JSON document, names of members included, whole
// numbers that are card numbers, and the values of members whose names say that
// they are secret. What it gives is valid JSON, and the document itself when there
// was nothing to redact; what is no JSON is replaced as a whole.
func (r *Rules) JSON(doc []byte) []byte {
	if len(doc) == 0 {
		return doc
	}
	s := string(doc)
	// What a string of the document holds is found in the document, unless it is
	// written with escapes.
	if (r == nil || len(r.own) == 0) && strings.IndexByte(s, '\\') < 0 && len(find(s)) == 0 {
		return doc
	}
	return r.document(doc, s)
}

func (r *Rules) document(doc []byte, s string) []byte {
	if !json.Valid(doc) {
		return []byte(`"` + all + `"`)
	}
	var out bytes.Buffer
	at, name := 0, ""
	put := func(from, to int, text string) {
		out.WriteString(s[at:from])
		out.Write(encode(text))
		at = to
	}
	for i := 0; i < len(s); {
		switch c := s[i]; {
		case c == '"':
			to := endOfString(s, i)
			text := decode(s[i:to])
			clean := r.Text(text)
			if isName(s, to) {
				name = text
			} else {
				if name != "" && clean != key && secretValue(name, clean) {
					clean = key
				}
				name = ""
			}
			if clean != text {
				put(i, to, clean)
			}
			i = to
		case c == '-' || isDigit(c):
			to := i + 1
			for to < len(s) && strings.IndexByte("0123456789.eE+-", s[to]) >= 0 {
				to++
			}
			if n := to - i; n >= 13 && n <= 19 && strings.Trim(s[i:to], "0123456789") == "" {
				if clean := r.Text(s[i:to]); clean != s[i:to] {
					put(i, to, clean)
				}
			}
			i, name = to, ""
		case c == '{' || c == '[' || c == 't' || c == 'f' || c == 'n':
			name = ""
			i++
		default:
			i++
		}
	}
	if at == 0 {
		return doc
	}
	out.WriteString(s[at:])
	return out.Bytes()
}

// secretValue says whether the value of a member is secret by the member's name.
func secretValue(name, value string) bool {
	if !secretName(name) {
		return false
	}
	t := text{s: value}
	return t.secret(0).to == len(value) && value != ""
}

// endOfString is where the string that begins at i ends.
func endOfString(s string, i int) int {
	for i++; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(s)
}

// isName says whether a colon follows.
func isName(s string, i int) bool {
	for i < len(s) && strings.IndexByte(" \t\r\n", s[i]) >= 0 {
		i++
	}
	return i < len(s) && s[i] == ':'
}

func decode(quoted string) string {
	if inner := quoted[1 : len(quoted)-1]; strings.IndexByte(inner, '\\') < 0 {
		return inner
	}
	var text string
	_ = json.Unmarshal([]byte(quoted), &text) // the document is valid
	return text
}

func encode(text string) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(text) // strings are always written
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
