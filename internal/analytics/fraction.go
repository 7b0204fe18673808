package analytics

import (
	"math/big"
	"slices"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/money"
)

// quotient is an exact amount in picodollars: num ÷ den, den positive, not
// reduced. big.Rat reduces after every addition, which takes minutes for a sum of
// thousands of denominators that have nothing in common.
type quotient struct{ num, den *big.Int }

func whole(t money.Total) quotient { return quotient{t.Big(), big.NewInt(1)} }

func (q quotient) plus(o quotient) quotient {
	var left, right big.Int
	left.Mul(q.num, o.den)
	right.Mul(o.num, q.den)
	return quotient{left.Add(&left, &right), new(big.Int).Mul(q.den, o.den)}
}

func (q quotient) minus(o quotient) quotient {
	return q.plus(quotient{new(big.Int).Neg(o.num), o.den})
}

// total rounds half-even; money.ErrOverflow when that does not fit.
func (q quotient) total() (money.Total, error) {
	n, rest := new(big.Int).DivMod(q.num, q.den, new(big.Int)) // rest ≥ 0
	if c := rest.Lsh(rest, 1).Cmp(q.den); c > 0 || c == 0 && n.Bit(0) == 1 {
		n.Add(n, big.NewInt(1))
	}
	return money.TotalFromBig(n)
}

// fractions is a sum under way.
type fractions struct {
	wholes money.Total
	parts  []quotient
}

func (f *fractions) whole(t money.Total) { f.wholes = f.wholes.Plus(t) }

// add adds t × num ÷ den; den must be positive.
func (f *fractions) add(t money.Total, num, den int64) {
	switch {
	case t.Sign() == 0 || num == 0:
	case num == den:
		f.whole(t)
	default:
		n := t.Big()
		f.parts = append(f.parts, quotient{n.Mul(n, big.NewInt(num)), big.NewInt(den)})
	}
}

// sum adds up pairs, pairs of pairs and so on, so that numbers of like size meet.
func (f *fractions) sum() quotient {
	level := append(slices.Clone(f.parts), whole(f.wholes))
	for len(level) > 1 {
		next := level[:0]
		for i := 0; i < len(level); i += 2 {
			if i+1 < len(level) {
				next = append(next, level[i].plus(level[i+1]))
			} else {
				next = append(next, level[i])
			}
		}
		level = next
	}
	return level[0]
}

func errTerms() error {
	return fault.New(fault.Invalid, "The terms of this change do not fit 127 bits; ask for a shorter range")
}
