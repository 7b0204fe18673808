package redact

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// The longest parts of an address.
const (
	maxLocal  = 64
	maxDomain = 253
)

// email looks for an address whose @ stands at i.
func (t *text) email(i int) span {
	from := i
	for from > t.end && i-from < maxLocal && isLocal(t.s[from-1]) {
		from--
	}
	for from < i && (t.s[from] == '.' || t.s[from] == '-' || t.s[from] == '\'') {
		from++
	}
	if from == i || t.s[i-1] == '.' {
		return span{}
	}
	to := t.domain(i + 1)
	if to == 0 {
		return span{}
	}
	return span{from, to, email}
}

func isLocal(c byte) bool { return isWord(c) || strings.IndexByte("._%+-'", c) >= 0 }

// domain gives the end of a domain name that begins at i, 0 for none: labels of
// letters of any script, digits and dashes, the last of which is of letters. What
// image@2x.png and package@1.2.3-beta.rc have behind the @ is none.
func (t *text) domain(i int) int {
	end, label, labels := 0, i, 0
	lettered := true
	firstNumber := false
	at := i
	for at-i <= maxDomain {
		c := t.at(at)
		switch {
		case isDigit(c) || c == '-':
			if c == '-' && at == label {
				return end
			}
			lettered = false
			at++
			continue
		case isLetter(c):
			at++
			continue
		case c >= utf8.RuneSelf:
			r, n := utf8.DecodeRuneInString(t.s[at:])
			if unicode.IsLetter(r) || unicode.IsMark(r) {
				at += n
				continue
			}
		}
		if at == label || t.s[at-1] == '-' {
			return end
		}
		name := t.s[label:at]
		if labels == 0 {
			firstNumber = isScale(name)
		}
		labels++
		punycode := strings.HasPrefix(name, "xn--")
		if labels > 1 && (lettered && utf8.RuneCountInString(name) >= 2 || punycode) && !firstNumber {
			end = at
		}
		if c != '.' {
			return end
		}
		at++
		label, lettered = at, true
	}
	return end
}

// isScale says whether a label is that of a version (1) or of an image's scale
// (2x).
func isScale(label string) bool {
	n := 0
	for n < len(label) && isDigit(label[n]) {
		n++
	}
	return n > 0 && n < 3 && (n == len(label) || label[n:] == "x")
}
