package redact

import "strings"

// key looks for a key of a known vendor at i, which is at a byte that most of them
// have behind or at the end of their beginning.
func (t *text) key(i int) span {
	s := t.s
	switch s[i] {
	case 'A':
		switch {
		case isWord(t.before(i)):
		case strings.HasPrefix(s[i:], "AIza"):
			return t.body(i, i+4, dashed, 30)
		case strings.HasPrefix(s[i:], "AKIA"), strings.HasPrefix(s[i:], "ASIA"):
			if to := t.run(i+4, upper); to == i+20 && !isWord(t.at(to)) {
				return span{i, to, key}
			}
		}
		return span{}
	case 'B':
		if strings.HasPrefix(s[i:], "Bearer ") && !isWord(t.before(i)) {
			return t.secret(i + len("Bearer "))
		}
		return span{}
	case 'S':
		if strings.HasPrefix(s[i:], "SG.") && !isWord(t.before(i)) {
			if dot := t.run(i+3, dashed); dot-i-3 >= 16 && t.at(dot) == '.' {
				return t.body(i, dot+1, dashed, 16)
			}
		}
		return span{}
	case 'J':
		return t.token(i)
	case '-':
		if strings.HasPrefix(s[i:], "-----BEGIN ") {
			return t.pem(i)
		}
	}
	from := i
	for from > t.end && i-from < 8 && isWord(s[from-1]) {
		from--
	}
	if from == i || isWord(t.before(from)) {
		return span{}
	}
	rest := i + 1
	switch s[i] {
	case '-':
		switch s[from:i] {
		case "sk":
			return t.sk(from, rest)
		case "xoxb", "xoxp", "xoxa", "xoxr", "xoxs", "xoxe", "xoxo", "xoxc", "xoxd", "xapp":
			return t.body(from, rest, dashed, 10)
		case "glpat", "GOCSPX", "nvapi", "pplx", "xai", "pypi":
			return t.body(from, rest, dashed, 20)
		}
	case '_':
		switch s[from:i] {
		case "ghp", "gho", "ghu", "ghs", "ghr", "hf", "gsk", "npm", "cpk":
			return t.body(from, rest, plain, 20)
		case "sk", "rk", "pk":
			for _, kind := range [...]string{"live_", "test_"} {
				if strings.HasPrefix(s[rest:], kind) {
					return t.body(from, rest+len(kind), plain, 10)
				}
			}
		case "whsec", "r8", "shpat", "shpss":
			return t.body(from, rest, plain, 16)
		case "github":
			if strings.HasPrefix(s[rest:], "pat_") {
				return t.body(from, rest+4, underscored, 20)
			}
		case "dop", "doo", "tgp":
			if strings.HasPrefix(s[rest:], "v1_") {
				return t.body(from, rest+3, dashed, 20)
			}
		case "lsv2":
			return t.body(from, rest, underscored, 20)
		}
	case '.':
		if s[from:i] == "ya29" {
			return t.body(from, rest, dashed, 20)
		}
	}
	return span{}
}

// sk looks for a key that begins with sk-: after a vendor's own beginning anything
// that is long enough, else what has a long part of letters and digits, as names
// like sk-learn-… have none.
func (t *text) sk(from, rest int) span {
	for _, vendor := range [...]string{"ant-", "proj-", "svcacct-", "admin-", "or-v1-", "lf-"} {
		if strings.HasPrefix(t.s[rest:], vendor) {
			return t.body(from, rest+len(vendor), dashed, 16)
		}
	}
	to := t.look(rest, dashed)
	for at := rest; at < to; {
		end := t.look(at, plain)
		if end-at >= 16 && strings.ContainsAny(t.s[at:end], "0123456789") {
			return span{from, t.run(rest, dashed), key}
		}
		at = end + 1
	}
	return span{}
}

// Which bytes a key is made of.
type alphabet [256]bool

var (
	upper       = letters("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "")
	plain       = letters("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", "")
	underscored = letters("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", "_")
	dashed      = letters("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", "_-")
	encoded     = letters("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", "_-+/=~")
)

func letters(words, others string) *alphabet {
	a := new(alphabet)
	for _, c := range []byte("0123456789" + words + others) {
		a[c] = true
	}
	return a
}

// far is how far is looked whether something is a key. Without a bound, a text in
// which many things begin like one would be read to its end for each.
const far = 512

// look is run as far as is looked.
func (t *text) look(i int, a *alphabet) int {
	end := min(len(t.s), i+far)
	for i < end && a[t.s[i]] {
		i++
	}
	return i
}

// run gives the end of the bytes of an alphabet that stand from i on.
func (t *text) run(i int, a *alphabet) int {
	for i < len(t.s) && a[t.s[i]] {
		i++
	}
	return i
}

// body makes a find of what begins at from, when at least so many bytes of the
// alphabet stand from i on.
func (t *text) body(from, i int, a *alphabet, least int) span {
	if to := t.run(i, a); to-i >= least {
		return span{from, to, key}
	}
	return span{}
}

// token looks for a JSON Web Token whose first J stands at i.
func (t *text) token(i int) span {
	from := i - 2
	if from < t.end || t.s[from:i] != "ey" || isWord(t.before(from)) {
		return span{}
	}
	head := t.look(i, dashed)
	if head-from < 10 || t.at(head) != '.' {
		return span{}
	}
	claims := t.run(head+1, dashed)
	if claims-head < 10 || t.at(claims) != '.' && !strings.HasPrefix(t.s[head+1:], "eyJ") {
		return span{}
	}
	to := claims
	// A signature, or the further parts of an encrypted one.
	for range 3 {
		if t.at(to) != '.' || t.run(to+1, dashed) == to+1 {
			break
		}
		to = t.run(to+1, dashed)
	}
	if to-claims < 16 && !strings.HasPrefix(t.s[head+1:], "eyJ") {
		return span{}
	}
	return span{from, to, key}
}

// pem looks for a private key in PEM. One without an end goes to the end of the
// text.
func (t *text) pem(i int) span {
	const begin, dashes = "-----BEGIN ", "-----"
	label, _, ok := strings.Cut(t.s[i+len(begin):min(len(t.s), i+80)], dashes)
	if !ok || !strings.Contains(label, "PRIVATE KEY") {
		return span{}
	}
	body := i + len(begin) + len(label) + len(dashes)
	end := strings.Index(t.s[body:], "-----END ")
	if end < 0 {
		return span{i, len(t.s), key}
	}
	end += body + len("-----END ")
	if last := strings.Index(t.s[end:min(len(t.s), end+60)], dashes); last >= 0 {
		return span{i, end + last + len(dashes), key}
	}
	return span{i, end, key}
}
