// Package money holds exact amounts of US dollars. An amount is an integer of
// picodollars (10⁻¹² USD); text appears only at the edges and floating point
// never. The package refuses to know what an amount is for.
package money

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strconv"
)

// PerUSD is the number of picodollars in one US dollar.
const PerUSD = 1_000_000_000_000

// Max is the largest amount that may arrive from outside: 9,000,000 USD. The
// rest of the 63 bits (up to about 9,223,372 USD) is head room.
const Max USD = 9_000_000 * PerUSD

// USD is one amount in picodollars. One call fits in 63 bits; sums of calls do
// not have to, so they are a Total.
type USD int64

// ErrOverflow reports that a result does not fit the type. It is always an
// error, never a wrapped number.
var ErrOverflow = errors.New("money: amount does not fit")

// ErrRange reports an amount that is negative or above Max.
var ErrRange = errors.New("must be between 0 and 9000000 USD")

// ErrSyntax reports text that is not a number as JSON writes it.
var ErrSyntax = errors.New("must be a decimal number")

// String gives the amount in USD with every significant digit, never in
// exponent form: 412500000 picodollars are "0.0004125".
func (a USD) String() string {
	return string(a.AppendText(nil))
}

// AppendText appends the form of String.
func (a USD) AppendText(b []byte) []byte {
	u := uint64(a)
	if a < 0 {
		b = append(b, '-')
		u = -u
	}
	return appendDecimal(b, u/PerUSD, u%PerUSD)
}

func appendDecimal(b []byte, whole, frac uint64) []byte {
	b = strconv.AppendUint(b, whole, 10)
	return appendFraction(b, frac)
}

// appendFraction appends ".ddd" without trailing zeros, or nothing for 0.
func appendFraction(b []byte, frac uint64) []byte {
	if frac == 0 {
		return b
	}
	var d [13]byte
	d[0] = '.'
	n := len(d)
	for i := 12; i >= 1; i-- {
		d[i] = byte('0' + frac%10)
		frac /= 10
	}
	for d[n-1] == '0' {
		n--
	}
	return append(b, d[:n]...)
}

// MarshalJSON writes a JSON number with every significant digit.
func (a USD) MarshalJSON() ([]byte, error) { return a.AppendText(nil), nil }

// UnmarshalJSON reads a JSON number, rounding half-even to a picodollar.
func (a *USD) UnmarshalJSON(b []byte) error {
	v, err := ParseSigned(b)
	if err != nil {
		return err
	}
	*a = v
	return nil
}

// Parse reads an amount of USD that arrives from outside: a JSON number, exponent
// allowed, rounded half-even to a picodollar once. It returns ErrSyntax or, for a
// negative amount or one above Max, ErrRange.
func Parse[T text](s T) (USD, error) {
	d, ok := ParseDecimal(s, 12)
	switch {
	case !ok:
		return 0, ErrSyntax
	case d.Negative || d.Over || d.Value > int64(Max):
		return 0, ErrRange
	}
	return USD(d.Value), nil
}

// ParseSigned is Parse without the range: it returns ErrOverflow for what does
// not fit a USD.
func ParseSigned[T text](s T) (USD, error) {
	v, _, err := ParseExact(s)
	return v, err
}

// ParseExact is ParseSigned for amounts that may not be rounded: exact is false
// when digits finer than a picodollar were there.
func ParseExact[T text](s T) (v USD, exact bool, err error) {
	d, ok := ParseDecimal(s, 12)
	switch {
	case !ok:
		return 0, false, ErrSyntax
	case d.Over:
		return 0, false, ErrOverflow
	}
	return USD(d.Value), d.Exact, nil
}

// Add returns a+b or ErrOverflow.
func (a USD) Add(b USD) (USD, error) {
	s := a + b
	if (s > a) != (b > 0) {
		return 0, ErrOverflow
	}
	return s, nil
}

// MulDiv returns quantity × price ÷ per, rounded half-even once. The product is
// held in 128 bits, so it never wraps; a result beyond 63 bits is ErrOverflow.
// per must be positive, price and quantity must not be negative.
func MulDiv(quantity int64, price USD, per int64) (USD, error) {
	if quantity < 0 || price < 0 || per <= 0 {
		return 0, fmt.Errorf("money: MulDiv(%d, %d, %d): negative operand", quantity, price, per)
	}
	hi, lo := bits.Mul64(uint64(quantity), uint64(price))
	if hi >= uint64(per) {
		return 0, ErrOverflow
	}
	q, r := bits.Div64(hi, lo, uint64(per))
	if q > math.MaxInt64 {
		return 0, ErrOverflow // before rounding, which could wrap
	}
	// per is at most 2^63-1, so 2r cannot wrap.
	if twice := 2 * r; twice > uint64(per) || (twice == uint64(per) && q&1 == 1) {
		q++
	}
	if q > math.MaxInt64 {
		return 0, ErrOverflow
	}
	return USD(q), nil
}
