package csvevents

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/usage"
)

// timing is how a source writes its times.
type timing struct {
	format   TimeFormat
	location *time.Location
}

// convert turns a cell into the JSON of its field; "" is nothing. The error
// completes a sentence that begins with the field.
func convert(t target, cell []byte, at timing) (string, error) {
	k := text
	switch {
	case t.field == toUsage:
		k = whole
	case t.field >= 0:
		k = fields[t.field].kind
	}
	if k == text {
		if len(cell) == 0 {
			return "", nil
		}
		quoted, err := jsontext.AppendQuote(nil, cell)
		if err != nil {
			return "", errors.New("is not valid UTF-8")
		}
		return string(quoted), nil
	}
	cell = bytes.TrimSpace(cell)
	if len(cell) == 0 {
		return "", nil
	}
	switch k {
	case whole:
		n, ok := money.ParseDecimal(plain(cell), 0)
		if !ok || !n.Exact {
			return "", errors.New("must be a whole number, not " + quote(cell))
		}
		return strconv.FormatInt(n.Value, 10), nil
	case number:
		p := plain(cell)
		if _, ok := money.ParseDecimal(p, 0); !ok {
			return "", errors.New("must be a number, not " + quote(cell))
		}
		return string(p), nil
	case instant:
		when, err := at.parse(cell)
		if err != nil {
			return "", err
		}
		return `"` + when.UTC().Truncate(time.Microsecond).Format(time.RFC3339Nano) + `"`, nil
	case boolean:
		switch strings.ToLower(string(cell)) {
		case "true", "1", "yes", "t", "y":
			return "true", nil
		case "false", "0", "no", "f", "n":
			return "false", nil
		}
		return "", errors.New("must be true or false, not " + quote(cell))
	default:
		v := jsontext.Value(bytes.Clone(cell))
		if v.Kind() != '{' || !v.IsValid() {
			return "", errors.New("must be a JSON object")
		}
		return string(v), nil
	}
}

// plain writes a number as JSON does: no plus, no leading zeros, a digit on both
// sides of the point. What is no number stays none.
func plain(cell []byte) []byte {
	sign, s := "", string(cell)
	if rest, ok := strings.CutPrefix(s, "-"); ok {
		sign, s = "-", rest
	} else {
		s = strings.TrimPrefix(s, "+")
	}
	mantissa, exponent := s, ""
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		mantissa, exponent = s[:i], s[i:]
	}
	head, tail, point := strings.Cut(mantissa, ".")
	if head == "" && tail == "" {
		return cell
	}
	if head = strings.TrimLeft(head, "0"); head == "" {
		head = "0"
	}
	if point && tail != "" {
		head += "." + tail
	}
	if head[0] < '0' || head[0] > '9' {
		return cell
	}
	return []byte(sign + head + exponent)
}

// layouts are the calendar forms beside RFC 3339; fractions of a second are
// taken by all.
var layouts = []string{"2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05Z07", "2006-01-02 15:04:05Z0700", "2006-01-02 15:04:05 -0700", "2006-01-02 15:04:05 -07:00", "2006-01-02T15:04:05-0700"}

var localLayouts = []string{"2006-01-02 15:04:05", "2006-01-02T15:04:05"}

func (at timing) parse(cell []byte) (time.Time, error) {
	if at.format != Calendar {
		scale := 9
		if at.format == UnixMillis {
			scale = 6
		}
		// In nanoseconds, so that what is finer than a microsecond is cut off and
		// not rounded, as in every other form.
		n, ok := money.ParseDecimal(plain(cell), scale)
		if !ok || n.Negative || n.Over {
			return time.Time{}, errors.New("must be a number of seconds or milliseconds since 1970, not " + quote(cell))
		}
		return time.Unix(0, n.Value), nil
	}
	if t, ok := usage.ParseInstant(cell); ok {
		return t, nil
	}
	wrong := errors.New("must be a time such as 2026-01-31T12:00:00Z or 2026-01-31 12:00:00, not " + quote(cell))
	s := string(cell)
	if strings.Contains(s, ",") {
		return time.Time{}, wrong // the time package takes it for a point
	}
	for _, layout := range layouts {
		if t, err := time.Parse(layout, s); err == nil {
			if _, offset := t.Zone(); offset <= -86400 || offset >= 86400 {
				return time.Time{}, wrong
			}
			return t, nil
		}
	}
	utc := strings.TrimSuffix(strings.TrimSuffix(s, " UTC"), " Z")
	for _, layout := range localLayouts {
		wall, err := time.Parse(layout, utc)
		switch {
		case err != nil:
		case utc != s:
			return wall, nil
		default:
			return at.local(wall)
		}
	}
	return time.Time{}, wrong
}

// local reads a wall clock in the location. Of an hour that comes twice the
// first is taken, one that is skipped is an error.
func (at timing) local(wall time.Time) (time.Time, error) {
	t := time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), wall.Second(), wall.Nanosecond(), at.location)
	same := func(t time.Time) bool {
		return t.Format(time.DateTime) == wall.Format(time.DateTime)
	}
	if !same(t) {
		return time.Time{}, errors.New("does not exist in the zone " + at.location.String() + ": " + wall.Format(time.DateTime))
	}
	for _, fold := range []time.Duration{time.Hour, 30 * time.Minute} {
		if earlier := t.Add(-fold); same(earlier) {
			return earlier, nil
		}
	}
	return t, nil
}

func quote(cell []byte) string { return strconv.Quote(usage.Shorten(string(cell))) }
