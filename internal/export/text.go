package export

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/usage"
)

// appendCell appends a text as a cell of RFC 4180. One that a spreadsheet could
// take for a formula gets a quote in front, and so does one that begins with a
// quote before such a character: whoever takes the quote away again has the text
// as it was.
func appendCell(b []byte, s string) []byte {
	guarded := s != "" && (formula(s[0]) || s[0] == '\'' && len(s) > 1 && (formula(s[1]) || s[1] == '\''))
	if !needsQuotes(s) {
		if guarded {
			b = append(b, '\'')
		}
		return append(b, s...)
	}
	b = append(b, '"')
	if guarded {
		b = append(b, '\'')
	}
	for {
		i := strings.IndexByte(s, '"')
		if i < 0 {
			break
		}
		b = append(append(b, s[:i+1]...), '"')
		s = s[i+1:]
	}
	return append(append(b, s...), '"')
}

// needsQuotes is strings.ContainsAny for texts of a few bytes, in a fraction of the
// time.
func needsQuotes(s string) bool {
	for i := range len(s) {
		switch s[i] {
		case '"', ',', '\r', '\n':
			return true
		}
	}
	return false
}

func formula(c byte) bool {
	switch c {
	case '=', '+', '-', '@', '\t', '\r':
		return true
	}
	return false
}

// appendString appends a JSON string. Texts of the ledger are valid UTF-8; what
// is not would be replaced.
func appendString(b []byte, s string) []byte {
	out, err := jsontext.AppendQuote(b, s)
	if err != nil {
		out, _ = jsontext.AppendQuote(b, strings.ToValidUTF8(s, "\uFFFD"))
	}
	return out
}

// appendTime appends an instant as RFC 3339 with as many decimals as it needs.
func appendTime(b []byte, t time.Time) []byte {
	return t.UTC().AppendFormat(b, time.RFC3339Nano)
}

// appendMillis appends a duration in milliseconds, exact to the microsecond.
func appendMillis(b []byte, d time.Duration) []byte { return AppendDecimal(b, d.Microseconds(), 3) }

// AppendDecimal appends n ÷ 10^decimals without trailing zeros.
func AppendDecimal(b []byte, n int64, decimals int) []byte {
	u := uint64(n)
	if n < 0 {
		b = append(b, '-')
		u = -u
	}
	scale := uint64(1)
	for range decimals {
		scale *= 10
	}
	b = strconv.AppendUint(b, u/scale, 10)
	rest := u % scale
	if rest == 0 {
		return b
	}
	b = append(b, '.')
	for ; rest != 0; rest %= scale {
		scale /= 10
		b = append(b, '0'+byte(rest/scale))
	}
	return b
}

// appendUsage appends the counts that have no field of their own as a JSON
// object; nothing when there are none.
func appendUsage(b []byte, c *usage.Counts) []byte {
	open := false
	for u, n := range c {
		unit := usage.Unit(u)
		if n == 0 || unit.IsTotal() {
			continue
		}
		if open {
			b = append(b, ',')
		} else {
			b, open = append(b, '{'), true
		}
		b = append(append(append(b, '"'), usage.Units[unit].Count...), `":`...)
		b = strconv.AppendInt(b, n, 10)
	}
	if open {
		b = append(b, '}')
	}
	return b
}

// appendTags appends tags as a JSON object, by name; nothing when there are none.
func appendTags(b []byte, tags map[string]string) []byte {
	if len(tags) == 0 {
		return b
	}
	var room [usage.MaxTags]string
	names := room[:0]
	for name := range tags {
		names = append(names, name)
	}
	slices.Sort(names)
	for i, name := range names {
		if i == 0 {
			b = append(b, '{')
		} else {
			b = append(b, ',')
		}
		b = append(appendString(b, name), ':')
		b = appendString(b, tags[name])
	}
	return append(b, '}')
}

// appendObject appends a JSON object without line breaks.
func appendObject(b, object []byte) []byte {
	if bytes.IndexByte(object, '\n') < 0 && bytes.IndexByte(object, '\r') < 0 {
		return append(b, object...)
	}
	v := jsontext.Value(bytes.Clone(object))
	if err := v.Compact(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)); err != nil {
		return append(b, object...)
	}
	return append(b, v...)
}

// classes are the parts of a cost as they are shown, with both classes of cache
// writes as one.
var classes = [...]struct {
	name  string
	parts []usage.Class
}{
	{"input", []usage.Class{usage.ClassInput}},
	{"cacheRead", []usage.Class{usage.ClassCacheRead}},
	{"cacheWrite", []usage.Class{usage.ClassCacheWrite, usage.ClassCacheWrite1h}},
	{"output", []usage.Class{usage.ClassOutput}},
	{"reasoning", []usage.Class{usage.ClassReasoning}},
	{"media", []usage.Class{usage.ClassMedia}},
	{"units", []usage.Class{usage.ClassUnits}},
	{"unsplit", []usage.Class{usage.ClassUnsplit}},
}

// classCost is what the i-th of classes cost.
func classCost(c *usage.Costing, i int) (sum money.USD) {
	for _, part := range classes[i].parts {
		sum += c.Classes[part]
	}
	return sum
}
