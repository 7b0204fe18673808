package ingest

import "math"

// Decimal is a number scaled to an integer.
type Decimal struct {
	// Value is number × 10^scale, rounded half-even and clamped to the int64
	// range: what is clamped breaks every rule of range that a field has.
	Value int64
	// Exact says that nothing was rounded or clamped.
	Exact bool
	// Negative says that the number is below zero, also when Value became 0.
	Negative bool
}

// ParseDecimal reads a JSON number exactly, never through floating point. The
// work is linear in the text and does not depend on the exponent's size. ok is
// false when text is not a JSON number.
func ParseDecimal(text []byte, scale int) (d Decimal, ok bool) {
	i := 0
	if len(text) > 0 && text[0] == '-' {
		d.Negative = true
		i++
	}
	whole := i
	for i < len(text) && isDigit(text[i]) {
		i++
	}
	if i == whole || (text[whole] == '0' && i > whole+1) {
		return Decimal{}, false
	}
	if i == len(text) && scale == 0 && i-whole <= 18 {
		var n int64
		for _, c := range text[whole:] {
			n = n*10 + int64(c-'0')
		}
		if d.Negative {
			n = -n
		}
		return Decimal{Value: n, Exact: true, Negative: n < 0}, true
	}
	// The digits are text[whole:i] and fraction, the point between them.
	point := i - whole
	var fraction []byte
	if i < len(text) && text[i] == '.' {
		start := i + 1
		for i = start; i < len(text) && isDigit(text[i]); i++ {
		}
		if i == start {
			return Decimal{}, false
		}
		fraction = text[start:i]
	}
	exponent, ok := parseExponent(text[i:])
	if !ok {
		return Decimal{}, false
	}
	digits := text[whole : whole+point]
	n := len(digits) + len(fraction)
	at := func(k int) byte {
		if k < len(digits) {
			return digits[k] - '0'
		}
		return fraction[k-len(digits)] - '0'
	}
	first := 0
	for first < n && at(first) == 0 {
		first++
	}
	if first == n {
		return Decimal{Exact: true}, true
	}

	// keep digits, counted from the first, are before the scaled number's point.
	keep := point + exponent + scale
	switch {
	case keep-first > 19:
		d.Value = d.sign(math.MaxUint64)
		return d, true
	case keep < first:
		return d, true // below a tenth of the last digit: rounds to 0
	}
	var v uint64
	for k := first; k < keep; k++ {
		c := byte(0)
		if k < n {
			c = at(k)
		}
		v = v*10 + uint64(c) // at most 19 digits: fits
	}
	d.Exact = true
	if keep < n {
		rest := 0 // of the digits behind keep against a half: -1, 0, 1
		switch c := at(keep); {
		case c > 5:
			rest = 1
		case c < 5:
			rest = -1
		}
		zero := at(keep) == 0
		for k := keep + 1; k < n; k++ {
			if at(k) != 0 {
				zero = false
				if rest == 0 {
					rest = 1
				}
				break
			}
		}
		d.Exact = zero
		if rest > 0 || (rest == 0 && v%2 == 1) {
			v++
		}
	}
	if v > math.MaxInt64 {
		d.Exact = false
	}
	d.Value = d.sign(v)
	return d, true
}

func (d Decimal) sign(v uint64) int64 {
	switch {
	case v > math.MaxInt64 && d.Negative:
		return math.MinInt64
	case v > math.MaxInt64:
		return math.MaxInt64
	case d.Negative:
		return -int64(v)
	}
	return int64(v)
}

// parseExponent reads "", "e5", "E-5"; it saturates far outside of what any
// number of digits in a body can make up for.
func parseExponent(b []byte) (exponent int, ok bool) {
	if len(b) == 0 {
		return 0, true
	}
	if b[0] != 'e' && b[0] != 'E' {
		return 0, false
	}
	b = b[1:]
	negative := false
	if len(b) > 0 && (b[0] == '+' || b[0] == '-') {
		negative = b[0] == '-'
		b = b[1:]
	}
	if len(b) == 0 {
		return 0, false
	}
	for _, c := range b {
		if !isDigit(c) {
			return 0, false
		}
		if exponent < 1<<27 {
			exponent = exponent*10 + int(c-'0')
		}
	}
	if negative {
		exponent = -exponent
	}
	return exponent, true
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
