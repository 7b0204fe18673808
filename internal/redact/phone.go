package redact

import "strings"

// phone looks for a telephone number that begins at i: +49 30 1234567, or (415)
// 555-2671.
func (t *text) phone(i int) span {
	if t.s[i] == '(' {
		return t.bracketed(i)
	}
	// 1+4155550100 is a sum.
	if c := t.before(i); isWord(c) || c == '+' || c == '.' || c == '-' && isWord(t.before(i-1)) {
		return span{}
	}
	if !isDigit(t.at(i+1)) || t.at(i+1) == '0' {
		return span{}
	}
	first := t.digits(i + 1)
	total, groups, to := 0, 0, i+1
	dots := 0
	for at := i + 1; ; {
		n := t.digits(at)
		if n == 0 || total+n > 15 {
			break
		}
		total, groups, to = total+n, groups+1, at+n
		at = to
		// Between groups stands a separator, also with brackets: +44 (0)20 7946 0958.
		skipped := 0
		for skipped < 3 && strings.IndexByte(" -./()", t.at(at)) >= 0 && t.at(at) != 0 {
			if t.at(at) == '.' {
				dots++
			}
			at, skipped = at+1, skipped+1
		}
		if skipped == 0 {
			break
		}
	}
	switch c := t.at(to); {
	case total < 9:
		return span{}
	case isWord(c), c == '_':
		return span{}
	case groups == 1 && total < 10:
		return span{}
	case groups == 2 && dots > 0: // a decimal
		return span{}
	case groups > 1 && first == 4 && (t.s[i+1] == '1' || t.s[i+1] == '2') && t.digits(i+6) == 2 && t.at(i+5) != ' ':
		return span{} // a date, as in what tools show of changes
	}
	return span{i, to, phone}
}

// bracketed looks for (415) 555-2671.
func (t *text) bracketed(i int) span {
	if isWord(t.before(i)) || t.digits(i+1) != 3 || t.at(i+4) != ')' || t.at(i+1) < '2' {
		return span{}
	}
	at := i + 5
	if c := t.at(at); c == ' ' || c == '-' || c == '.' {
		at++
	}
	if t.digits(at) != 3 || t.at(at) < '2' {
		return span{}
	}
	if c := t.at(at + 3); c != ' ' && c != '-' && c != '.' || t.digits(at+4) != 4 || !t.ends(at+8) {
		return span{}
	}
	return span{i, at + 8, phone}
}
