// Package redact replaces personal data and secrets in texts by what they were:
// e-mail addresses, telephone and card numbers, keys of known vendors, and what
// patterns of one's own match. It is pure, and refuses to know what a text is for.
//
// Redacting is deterministic, and redacting again changes nothing. A text that
// holds nothing of the kind costs one pass over its bytes, and no memory.
package redact

import "strings"

// What stands in the place of what was found. A pattern of one's own puts its
// name there.
const (
	email = "[email]"
	phone = "[phone]"
	card  = "[card]"
	key   = "[key]"
	// all takes the place of a whole text that does not come to rest.
	all = "[redacted]"
)

// span is a part of a text and what takes its place.
type span struct {
	from, to int
	as       string
}

// maxPasses is how often a text is looked at, at most: what takes the place of one
// find can make another one visible, for example where two touch.
const maxPasses = 16

// Text redacts a text. What is longer than twice the text and a kilobyte, or still
// changes after so many passes, which only a pattern of one's own can bring about, is replaced as a whole.
func (r *Rules) Text(s string) string {
	out, changed := r.pass(s)
	for range maxPasses {
		if !changed {
			return out
		}
		if len(out) > 2*len(s)+1<<10 {
			break
		}
		out, changed = r.pass(out)
	}
	if changed {
		return all
	}
	return out
}

// pass looks through a text once with every rule.
func (r *Rules) pass(s string) (string, bool) {
	found := find(s)
	out := replace(s, found)
	changed := len(found) > 0
	if r != nil {
		for i := range r.own {
			var found bool
			out, found = r.own[i].apply(r, out)
			changed = changed || found
		}
	}
	return out, changed
}

func replace(s string, spans []span) string {
	if len(spans) == 0 {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	at := 0
	for _, f := range spans {
		b.WriteString(s[at:f.from])
		b.WriteString(f.as)
		at = f.to
	}
	b.WriteString(s[at:])
	return b.String()
}

// interesting marks the bytes at which something may be found. All else is passed
// over.
var interesting = func() (t [256]bool) {
	for _, c := range []byte("@+(:=-_.AJBS0123456789") {
		t[c] = true
	}
	return t
}()

// find lists what is to be replaced in s, in order and without overlap.
func find(s string) (out []span) {
	t := text{s: s}
	for i := 0; i < len(s); {
		c := s[i]
		if !interesting[c] {
			i++
			continue
		}
		var f span
		switch {
		case isDigit(c):
			run := i + t.digits(i)
			if f = t.number(i, run); f.to == 0 {
				i = run
				continue
			}
		case c == '@':
			f = t.email(i)
		case c == '+' || c == '(':
			f = t.phone(i)
		case c == ':' || c == '=':
			f = t.pair(i)
		default:
			f = t.key(i)
		}
		if f.to == 0 {
			i++
			continue
		}
		out = append(out, f)
		t.end, i = f.to, f.to
	}
	return out
}

// text is a text on its way through find; end is where the last find ended. What
// stands before it is as good as replaced, so it touches nothing that follows.
type text struct {
	s   string
	end int
}

// before is the byte before i, 0 where there is none or it was replaced.
func (t *text) before(i int) byte {
	if i <= t.end {
		return 0
	}
	return t.s[i-1]
}

// at is the byte at i, 0 behind the end.
func (t *text) at(i int) byte {
	if i < 0 || i >= len(t.s) {
		return 0
	}
	return t.s[i]
}

// digits is how many digits stand from i on.
func (t *text) digits(i int) (n int) {
	for isDigit(t.at(i + n)) {
		n++
	}
	return n
}

func isDigit(c byte) bool { return c-'0' < 10 }

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// isWord says whether c belongs to a word or a number; bytes of other scripts do
// not, as these need no space between words.
func isWord(c byte) bool { return isDigit(c) || isLetter(c) }
