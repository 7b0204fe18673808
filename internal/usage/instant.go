package usage

import "time"

// ParseInstant reads an RFC 3339 instant, in UTC. The time package takes more
// than RFC 3339 says: a comma for the point, an hour of one digit, offsets of 24
// hours and more.
func ParseInstant[T string | []byte](s T) (time.Time, bool) {
	const shortest = len("2006-01-02T15:04:05Z")
	if len(s) < shortest || len(s) > 64 {
		return time.Time{}, false
	}
	const form = "dddd-dd-ddTdd:dd:dd"
	for i := range len(form) {
		switch c := form[i]; {
		case c == 'd' && !digit(s[i]), c == 'T' && s[i]|0x20 != 't', c != 'd' && c != 'T' && s[i] != c:
			return time.Time{}, false
		}
	}
	text := make([]byte, 0, 64)
	text = append(text, s[:len(form)]...)
	text[len("2006-01-02")] = 'T'
	rest := s[len(form):]
	if rest[0] == '.' {
		n := 1
		for n < len(rest) && digit(rest[n]) {
			n++
		}
		if n == 1 {
			return time.Time{}, false
		}
		text, rest = append(text, rest[:n]...), rest[n:]
	}
	switch {
	case len(rest) == 1 && rest[0]|0x20 == 'z':
		text = append(text, 'Z')
	case offset(rest):
		text = append(text, rest...)
	default:
		return time.Time{}, false
	}
	var t time.Time
	if t.UnmarshalText(text) != nil {
		return time.Time{}, false
	}
	return t.UTC(), true
}

// offset says whether s is ±hh:mm of less than a day.
func offset[T string | []byte](s T) bool {
	return len(s) == len("+00:00") && (s[0] == '+' || s[0] == '-') && s[3] == ':' &&
		digit(s[1]) && digit(s[2]) && s[4] >= '0' && s[4] <= '5' && digit(s[5]) &&
		(s[1] < '2' || s[1] == '2' && s[2] <= '3')
}

func digit(c byte) bool { return c >= '0' && c <= '9' }
