package money

import (
	"bytes"
	"math"
	"math/big"
	"math/bits"
	"slices"
)

// Total is a sum of amounts in 128 bits, signed. 2⁶⁴ amounts of any size fit,
// so adding USD values cannot overflow in practice; AddTotal reports it anyway.
// The zero value is 0.
type Total struct {
	hi int64
	lo uint64
}

// TotalOf widens one amount.
func TotalOf(a USD) Total { return Total{hi: int64(a) >> 63, lo: uint64(a)} }

// TotalFromBig converts what an engine's 128-bit sum arrives as. It returns
// ErrOverflow beyond 127 bits. A nil b (the sum of no rows) is 0.
func TotalFromBig(b *big.Int) (Total, error) {
	if b == nil {
		return Total{}, nil
	}
	if b.IsInt64() {
		return TotalOf(USD(b.Int64())), nil
	}
	if b.BitLen() > 127 {
		return Total{}, ErrOverflow
	}
	var abs big.Int
	abs.Abs(b)
	lo := new(big.Int).And(&abs, new(big.Int).SetUint64(^uint64(0))).Uint64()
	hi := new(big.Int).Rsh(&abs, 64).Uint64()
	t := Total{hi: int64(hi), lo: lo}
	if b.Sign() < 0 {
		t = t.Neg()
	}
	return t, nil
}

// Add returns t+a.
func (t Total) Add(a USD) Total {
	s, _ := t.AddTotal(TotalOf(a))
	return s
}

// AddTotal returns t+u, or ErrOverflow beyond 127 bits.
func (t Total) AddTotal(u Total) (Total, error) {
	lo, carry := bits.Add64(t.lo, u.lo, 0)
	hi := t.hi + u.hi + int64(carry)
	if (t.hi < 0) == (u.hi < 0) && (hi < 0) != (t.hi < 0) {
		return Total{}, ErrOverflow
	}
	if hi == math.MinInt64 && lo == 0 {
		return Total{}, ErrOverflow // -2¹²⁷ has no opposite
	}
	return Total{hi: hi, lo: lo}, nil
}

// Plus is AddTotal for sums of stored amounts, which cannot reach 127 bits: at
// 9 million USD an event that takes more than 10¹⁹ events.
func (t Total) Plus(u Total) Total {
	s, err := t.AddTotal(u)
	if err != nil {
		panic(err)
	}
	return s
}

// Neg returns -t.
func (t Total) Neg() Total {
	lo, borrow := bits.Sub64(0, t.lo, 0)
	return Total{hi: -t.hi - int64(borrow), lo: lo}
}

// Sub returns t-u.
func (t Total) Sub(u Total) Total { return t.Plus(u.Neg()) }

// Sign is -1, 0 or 1.
func (t Total) Sign() int {
	switch {
	case t.hi < 0:
		return -1
	case t.hi == 0 && t.lo == 0:
		return 0
	}
	return 1
}

// Cmp is -1, 0 or 1 as t is less than, equal to or more than u.
func (t Total) Cmp(u Total) int {
	switch {
	case t.hi != u.hi:
		if t.hi < u.hi {
			return -1
		}
		return 1
	case t.lo != u.lo:
		if t.lo < u.lo {
			return -1
		}
		return 1
	}
	return 0
}

// Int64 gives the total in picodollars and whether it fits.
func (t Total) Int64() (int64, bool) {
	v := int64(t.lo)
	return v, t.hi == v>>63
}

// Big gives the total in picodollars.
func (t Total) Big() *big.Int {
	b := new(big.Int).Lsh(big.NewInt(t.hi), 64)
	return b.Add(b, new(big.Int).SetUint64(t.lo))
}

// String gives USD with every significant digit, never in exponent form.
func (t Total) String() string { return string(t.AppendText(nil)) }

// AppendText appends the form of String.
func (t Total) AppendText(b []byte) []byte {
	if v, ok := t.Int64(); ok {
		return USD(v).AppendText(b)
	}
	n := t.Big()
	if n.Sign() < 0 {
		b = append(b, '-')
		n.Neg(n)
	}
	frac := new(big.Int)
	n.QuoRem(n, big.NewInt(PerUSD), frac)
	return appendFraction(n.Append(b, 10), frac.Uint64())
}

// MarshalJSON writes a JSON number with every significant digit.
func (t Total) MarshalJSON() ([]byte, error) { return t.AppendText(nil), nil }

// UnmarshalJSON reads what MarshalJSON wrote.
func (t *Total) UnmarshalJSON(b []byte) error {
	v, err := ParseTotal(b)
	if err != nil {
		return err
	}
	*t = v
	return nil
}

// ParseTotal reads decimal USD text without exponent and with at most 12
// decimals, exactly. It returns ErrSyntax or ErrOverflow.
func ParseTotal[T text](s T) (Total, error) {
	n, ok := readNumeral(s)
	if !ok || len(s) > 60 || len(n.fraction) > 12 || bytes.ContainsAny([]byte(s), "eE") {
		return Total{}, ErrSyntax
	}
	digits := slices.Concat([]byte(n.whole), []byte(n.fraction), bytes.Repeat([]byte("0"), 12-len(n.fraction)))
	b, ok := new(big.Int).SetString(string(digits), 10)
	if !ok {
		return Total{}, ErrSyntax
	}
	if n.negative {
		b.Neg(b)
	}
	return TotalFromBig(b)
}

// RatioHalfEven returns t × num ÷ den rounded half-even; den must be positive.
// It is exact rational arithmetic for shares of an amount.
func (t Total) RatioHalfEven(num, den int64) Total {
	n := t.Big()
	n.Mul(n, big.NewInt(num))
	d := big.NewInt(den)
	q, r := new(big.Int).QuoRem(n, d, new(big.Int))
	twice := new(big.Int).Abs(r)
	twice.Lsh(twice, 1)
	if c := twice.Cmp(d); c > 0 || (c == 0 && q.Bit(0) == 1) {
		if n.Sign() < 0 {
			q.Sub(q, big.NewInt(1))
		} else {
			q.Add(q, big.NewInt(1))
		}
	}
	out, err := TotalFromBig(q)
	if err != nil {
		panic(err)
	}
	return out
}
