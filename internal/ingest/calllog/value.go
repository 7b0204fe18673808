package calllog

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/costprof/costprof/internal/money"
)

// nothing are the ways in which exports write that a cell is empty.
var nothing = []string{"", "null", "None", "NaN", "nan", `\N`}

// number is the text of a number, "" where there is none.
func (o Object) number(name string) string {
	raw := o.members[name]
	switch raw.Kind() {
	case '0':
		return string(raw)
	case '"':
		text := strings.TrimSpace(unquote(raw))
		if slices.Contains(nothing, text) {
			return ""
		}
		return text
	case 0, 'n':
		return ""
	}
	o.complain(name, "must be a number")
	return ""
}

// Count gives a whole number, 0 where there is none. One that is negative or
// broken makes the record malformed; the upper bound is the server's.
func (o Object) Count(names ...string) int64 {
	name := o.First(names...)
	text := o.number(name)
	if text == "" {
		return 0
	}
	n, ok := money.ParseDecimal(text, 0)
	switch {
	case !ok || !n.Exact && !n.Over:
		o.complain(name, "must be a whole number, not "+strconv.Quote(shorten(text)))
		return 0
	case n.Negative && n.Value != 0:
		o.complain(name, "must be 0 or more")
		return 0
	case n.Over:
		o.complain(name, "is too large")
		return 0
	}
	return n.Value
}

// Amount gives a sum of US dollars, nil where there is none; 0 is an amount.
func (o Object) Amount(names ...string) *money.USD {
	name := o.First(names...)
	text := o.number(name)
	if text == "" {
		return nil
	}
	amount, err := money.Parse(text)
	if err != nil {
		o.complain(name, err.Error())
		return nil
	}
	return &amount
}

// Millis gives a number of milliseconds, and whether it is there.
func (o Object) Millis(names ...string) (time.Duration, bool) {
	return o.duration(3, names)
}

// Seconds gives a number of seconds, and whether it is there.
func (o Object) Seconds(names ...string) (time.Duration, bool) {
	return o.duration(6, names)
}

// duration reads a number that has scale decimal places to the microsecond.
func (o Object) duration(scale int, names []string) (time.Duration, bool) {
	name := o.First(names...)
	text := o.number(name)
	if text == "" {
		return 0, false
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 && text != "0" {
		return d.Truncate(time.Microsecond), true // "1.2s", "350ms"
	}
	n, ok := money.ParseDecimal(text, scale)
	if !ok || n.Negative || n.Over || n.Value > 1e15 {
		o.complain(name, "must be a length of time")
		return 0, false
	}
	return time.Duration(n.Value) * time.Microsecond, true
}

// layouts are the calendar forms beside RFC 3339; fractions of a second are
// taken by all.
var layouts = []string{
	"2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05Z07", "2006-01-02 15:04:05 Z07:00", "2006-01-02T15:04:05Z0700",
	"2006-01-02 15:04:05 -0700", "2006-01-02 15:04:05 MST", "2006-01-02T15:04:05", "2006-01-02 15:04:05", time.RFC1123, time.RFC1123Z, time.DateOnly,
}

// Time gives an instant: RFC 3339, a calendar form, or a number of seconds,
// milli-, micro- or nanoseconds since 1970, told apart by their size. The zero
// time is none.
func (o Object) Time(names ...string) time.Time {
	for _, name := range names {
		raw := o.members[name]
		text := ""
		switch raw.Kind() {
		case '0':
			text = string(raw)
		case '"':
			text = strings.TrimSpace(unquote(raw))
		}
		if slices.Contains(nothing, text) {
			continue
		}
		if n, number := money.ParseDecimal(text, 0); number && n.Value < 1e8 {
			continue // a count of something, or an epoch's 0
		}
		t, ok := o.instant(text)
		if !ok {
			o.complain(name, "must be a time, not "+strconv.Quote(shorten(text)))
		}
		return t
	}
	return time.Time{}
}

func (o Object) instant(text string) (time.Time, bool) {
	if n, ok := money.ParseDecimal(text, 0); ok {
		if n.Negative || n.Over {
			return time.Time{}, false
		}
		scale := 9
		for limit := int64(1e11); n.Value >= limit && scale > 0; limit *= 1000 {
			scale -= 3
		}
		n, _ = money.ParseDecimal(text, scale)
		return time.Unix(0, n.Value).UTC().Truncate(time.Microsecond), !n.Over
	}
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return t.UTC().Truncate(time.Microsecond), true
	}
	location := time.UTC
	if o.reading != nil && o.reading.location != nil {
		location = o.reading.location
	}
	for _, layout := range layouts {
		if t, err := time.ParseInLocation(layout, text, location); err == nil {
			return t.UTC().Truncate(time.Microsecond), true
		}
	}
	return time.Time{}, false
}

func shorten(s string) string { return cut(s, 40) }

// cut makes text at most n characters long.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}
