package redact

import "strings"

// pair looks for the value of a name that says it is secret, whose : or = stands
// at i, and for the password in an address.
func (t *text) pair(i int) span {
	if t.s[i] == ':' && strings.HasPrefix(t.s[i:], "://") {
		return t.password(i + 3)
	}
	to := i
	for to > t.end && i-to < 4 && strings.IndexByte(" \"'\\`", t.s[to-1]) >= 0 {
		to--
	}
	from := to
	for from > t.end && to-from < maxName && underscoredOrDashed(t.s[from-1]) {
		from--
	}
	if !secretName(t.s[from:to]) {
		return span{}
	}
	at := i + 1
	if t.at(at) == '>' || t.at(at) == '=' { // => and :=
		at++
	}
	for at < len(t.s) && at-i < 6 && strings.IndexByte(" \"'\\`", t.s[at]) >= 0 {
		at++
	}
	for _, scheme := range [...]string{"Bearer ", "bearer ", "Basic ", "basic ", "Token ", "token "} {
		if strings.HasPrefix(t.s[at:], scheme) {
			at += len(scheme)
			break
		}
	}
	return t.secret(at)
}

// maxName is the longest name that is looked at.
const maxName = 48

func underscoredOrDashed(c byte) bool { return dashed[c] }

// secretNames are the ends of names whose values are secret, in lower case and
// without dashes.
var secretNames = [...]string{
	"apikey", "accesskey", "secretkey", "accountkey", "subscriptionkey", "privatekey", "encryptionkey", "signingkey",
	"accesstoken", "authtoken", "refreshtoken", "sessiontoken", "apitoken", "bearertoken",
	"secret", "authorization",
}

// secretName says whether a name is that of a secret.
func secretName(name string) bool {
	// Most names are told by their last letter.
	if len(name) < 6 || !strings.ContainsRune("yntYNT", rune(name[len(name)-1])) {
		return false
	}
	var lower [maxName]byte
	n := 0
	for i := max(0, len(name)-maxName); i < len(name); i++ {
		if c := name[i]; c != '_' && c != '-' {
			if isLetter(c) {
				c |= 0x20
			}
			lower[n] = c
			n++
		}
	}
	for _, end := range secretNames {
		if strings.HasSuffix(string(lower[:n]), end) {
			return true
		}
	}
	return false
}

// minSecret is how long a value is at least that is a secret by its name.
const minSecret = 16

// secret makes a find of the value from i on, when it looks like one: letters and
// digits, and no call.
func (t *text) secret(i int) span {
	to := t.look(i, encoded)
	if c := t.at(i); c == '=' || to-i < minSecret || t.at(to) == '(' {
		return span{}
	}
	letter, digit := false, false
	for _, c := range []byte(t.s[i:to]) {
		letter, digit = letter || isLetter(c), digit || isDigit(c)
	}
	if !letter || !digit {
		return span{}
	}
	return span{i, t.run(to, encoded), key}
}

// password looks for a password in an address whose authority begins at i.
func (t *text) password(i int) span {
	const most = 256
	at, colon := -1, -1
scan:
	for j := i; j < len(t.s) && j-i < most; j++ {
		switch c := t.s[j]; {
		case c == '@':
			at = j
		case c == ':' && colon < 0:
			colon = j
		case c <= ' ', strings.IndexByte("/?#\"'`<>\\", c) >= 0:
			break scan
		}
	}
	if colon < 0 || at < colon+2 {
		return span{}
	}
	// What a program puts in later, and what was replaced already.
	if word := t.s[colon+1 : at]; word == key || word[0] == '{' || word[0] == '%' || strings.HasPrefix(word, "${") || strings.Trim(word, "*") == "" {
		return span{}
	}
	return span{colon + 1, at, key}
}
