package money

import "math"

// text is what numbers are read from: texts, and parts of bodies without a copy.
type text interface{ ~string | ~[]byte }

// Decimal is a number scaled to an integer.
type Decimal struct {
	// Value is number × 10^scale, rounded half-even.
	Value int64
	// Exact says that nothing was rounded.
	Exact bool
	// Over says that the number is out of range, and Value the nearest that is in.
	Over bool
	// Negative says that the number is below zero, also when Value became 0.
	Negative bool
}

// ParseDecimal reads a JSON number exactly, never through floating point. The
// work is linear in the text and does not depend on the exponent's size. ok is
// false when s is not a JSON number.
func ParseDecimal[T text](s T, scale int) (d Decimal, ok bool) {
	if v, ok := shortInteger(s, scale); ok {
		return Decimal{Value: v, Exact: true}, true
	}
	n, ok := readNumeral(s)
	if !ok {
		return Decimal{}, false
	}
	return n.scaled(scale), true
}

// shortInteger is the short way for what most numbers are.
func shortInteger[T text](s T, scale int) (int64, bool) {
	if len(s) == 0 || len(s)+scale > 18 || s[0] == '0' && len(s) > 1 {
		return 0, false
	}
	var v int64
	for i := range len(s) {
		if !isDigit(s[i]) {
			return 0, false
		}
		v = v*10 + int64(s[i]-'0')
	}
	for range scale {
		v *= 10
	}
	return v, true
}

// numeral is a JSON number taken apart: the point stands between its digits and
// is moved by the exponent.
type numeral[T text] struct {
	negative        bool
	whole, fraction T
	exponent        int
}

func readNumeral[T text](s T) (n numeral[T], ok bool) {
	if len(s) > 0 && s[0] == '-' {
		n.negative, s = true, s[1:]
	}
	n.whole, s = digits(s)
	if len(n.whole) == 0 || n.whole[0] == '0' && len(n.whole) > 1 {
		return n, false
	}
	if len(s) > 0 && s[0] == '.' {
		n.fraction, s = digits(s[1:])
		if len(n.fraction) == 0 {
			return n, false
		}
	}
	n.exponent, ok = readExponent(s)
	return n, ok
}

// digits cuts s behind the digits that it begins with.
func digits[T text](s T) (T, T) {
	i := 0
	for i < len(s) && isDigit(s[i]) {
		i++
	}
	return s[:i], s[i:]
}

// readExponent reads "", "e5", "E-5"; it saturates far outside of what any number
// of digits in a body can make up for.
func readExponent[T text](s T) (exponent int, ok bool) {
	if len(s) == 0 {
		return 0, true
	}
	if s[0] != 'e' && s[0] != 'E' {
		return 0, false
	}
	s = s[1:]
	negative := len(s) > 0 && s[0] == '-'
	if len(s) > 0 && (s[0] == '+' || s[0] == '-') {
		s = s[1:]
	}
	if len(s) == 0 {
		return 0, false
	}
	for i := range len(s) {
		if !isDigit(s[i]) {
			return 0, false
		}
		if exponent < 1<<27 {
			exponent = exponent*10 + int(s[i]-'0')
		}
	}
	if negative {
		exponent = -exponent
	}
	return exponent, true
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func (n *numeral[T]) size() int { return len(n.whole) + len(n.fraction) }

// digit is the k-th digit, counted from 0; behind the last one all are 0.
func (n *numeral[T]) digit(k int) uint64 {
	switch {
	case k < len(n.whole):
		return uint64(n.whole[k] - '0')
	case k < n.size():
		return uint64(n.fraction[k-len(n.whole)] - '0')
	}
	return 0
}

func (n *numeral[T]) scaled(scale int) Decimal {
	first := 0
	for first < n.size() && n.digit(first) == 0 {
		first++
	}
	if first == n.size() {
		return Decimal{Exact: true}
	}
	// keep digits, counted from the first, are before the scaled number's point.
	keep := len(n.whole) + n.exponent + scale
	switch {
	case keep-first > 19:
		return n.signed(math.MaxUint64, false)
	case keep < first:
		return Decimal{Negative: n.negative} // below a tenth of the last digit
	}
	var v uint64 // at most 19 digits: fits
	for k := first; k < keep; k++ {
		v = v*10 + n.digit(k)
	}
	half, exact := n.behind(keep)
	if half > 0 || half == 0 && v%2 == 1 {
		v++
	}
	return n.signed(v, exact)
}

// behind compares the digits from k on with half of the digit before them: -1, 0
// or 1. nothing says that they are all 0.
func (n *numeral[T]) behind(k int) (half int, nothing bool) {
	more := false
	for i := k + 1; i < n.size() && !more; i++ {
		more = n.digit(i) != 0
	}
	switch d := n.digit(k); {
	case d > 5 || d == 5 && more:
		return 1, false
	case d == 5:
		return 0, false
	default:
		return -1, d == 0 && !more
	}
}

func (n *numeral[T]) signed(v uint64, exact bool) Decimal {
	d := Decimal{Exact: exact, Negative: n.negative}
	switch {
	case n.negative && v <= -math.MinInt64:
		d.Value = -int64(v) // of the smallest both are the same
	case n.negative:
		d.Value, d.Exact, d.Over = math.MinInt64, false, true
	case v > math.MaxInt64:
		d.Value, d.Exact, d.Over = math.MaxInt64, false, true
	default:
		d.Value = int64(v)
	}
	return d
}
