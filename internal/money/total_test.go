package money

import (
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

// limit is the size that a Total must stay below: 2¹²⁷.
var limit = new(big.Int).Lsh(one, 127)

func fits(b *big.Int) bool { return new(big.Int).Abs(b).Cmp(limit) < 0 }

// anyBig draws integers of all sizes up to a little beyond the limit.
func anyBig() *rapid.Generator[*big.Int] {
	return rapid.Custom(func(t *rapid.T) *big.Int {
		b := new(big.Int).SetBytes(rapid.SliceOfN(rapid.Byte(), 0, 16).Draw(t, "bytes"))
		if rapid.Bool().Draw(t, "near a power of 2") {
			b.Lsh(one, uint(rapid.SampledFrom([]int{0, 62, 63, 64, 65, 126, 127, 128}).Draw(t, "power")))
			b.Add(b, big.NewInt(rapid.Int64Range(-2, 2).Draw(t, "distance")))
		}
		if rapid.Bool().Draw(t, "negative") {
			b.Neg(b)
		}
		return b
	})
}

func anyTotal() *rapid.Generator[Total] {
	return rapid.Custom(func(t *rapid.T) Total {
		v, err := TotalFromBig(anyBig().Filter(fits).Draw(t, "total"))
		if err != nil {
			t.Fatal(err)
		}
		return v
	})
}

func TestTotalFromBig(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := anyBig().Draw(t, "b")
		got, err := TotalFromBig(b)
		if fits(b) && (err != nil || got.Big().Cmp(b) != 0) || !fits(b) && (err != ErrOverflow || got != (Total{})) {
			t.Fatalf("%v becomes %v, %v", b, got.Big(), err)
		}
	})
	if got, err := TotalFromBig(nil); err != nil || got != (Total{}) {
		t.Errorf("the sum of no rows is %v, %v", got, err)
	}
}

func TestTotalArithmetic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := anyTotal().Draw(t, "a"), anyTotal().Draw(t, "b")
		sum, err := a.AddTotal(b)
		if want := new(big.Int).Add(a.Big(), b.Big()); fits(want) && (err != nil || sum.Big().Cmp(want) != 0) || !fits(want) && (err != ErrOverflow || sum != (Total{})) {
			t.Fatalf("%v + %v = %v, %v", a.Big(), b.Big(), sum.Big(), err)
		}
		if got, want := a.Neg().Big(), new(big.Int).Neg(a.Big()); got.Cmp(want) != 0 {
			t.Fatalf("-%v = %v", a.Big(), got)
		}
		if got, want := a.Cmp(b), a.Big().Cmp(b.Big()); got != want {
			t.Fatalf("%v compared with %v is %d, want %d", a.Big(), b.Big(), got, want)
		}
		if got, want := a.Sign(), a.Big().Sign(); got != want {
			t.Fatalf("the sign of %v is %d", a.Big(), got)
		}
		if got, ok := a.Int64(); ok != a.Big().IsInt64() || ok && got != a.Big().Int64() {
			t.Fatalf("%v as 63 bits is %d, %v", a.Big(), got, ok)
		}
		if (a == b) != (a.Cmp(b) == 0) {
			t.Fatalf("%v and %v: equal values must be equal Totals", a, b)
		}
		u := anyUSD().Draw(t, "usd")
		if TotalOf(u).Big().Cmp(big.NewInt(int64(u))) != 0 {
			t.Fatalf("%d widens to %v", int64(u), TotalOf(u).Big())
		}
		if want := new(big.Int).Sub(a.Big(), b.Big()); fits(want) && a.Sub(b).Big().Cmp(want) != 0 {
			t.Fatalf("%v - %v = %v", a.Big(), b.Big(), a.Sub(b).Big())
		}
	})
}

// Sums beyond 127 bits stop the program rather than being wrong.
func TestPlusPanics(t *testing.T) {
	most, err := TotalFromBig(new(big.Int).Sub(limit, one))
	if err != nil {
		t.Fatal(err)
	}
	for name, sum := range map[string]func() Total{
		"Plus":          func() Total { return most.Plus(TotalOf(1)) },
		"Sub":           func() Total { return most.Neg().Sub(TotalOf(1)) },
		"RatioHalfEven": func() Total { return most.RatioHalfEven(2, 1) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s did not panic", name)
				}
			}()
			sum()
		}()
	}
}

// Neither the order nor the batches of a sum change it, and it is exact beyond 63
// bits.
func TestSumsDoNotDependOnOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		amounts := rapid.SliceOfN(anyUSD(), 0, 60).Draw(t, "amounts")
		want := new(big.Int)
		for _, a := range amounts {
			want.Add(want, big.NewInt(int64(a)))
		}
		var straight, batched Total
		for _, a := range amounts {
			straight = straight.Add(a)
		}
		shuffled := rapid.Permutation(amounts).Draw(t, "order")
		for len(shuffled) > 0 {
			n := rapid.IntRange(1, len(shuffled)).Draw(t, "batch")
			var batch Total
			for _, a := range shuffled[:n] {
				batch = batch.Add(a)
			}
			batched = batched.Plus(batch)
			shuffled = shuffled[n:]
		}
		if straight != batched || straight.Big().Cmp(want) != 0 {
			t.Fatalf("in order %v, in batches %v, want %v", straight.Big(), batched.Big(), want)
		}
	})
}

func TestTotalText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := anyTotal().Draw(t, "total")
		s := a.String()
		exact, ok := new(big.Rat).SetString(s)
		if !ok || exact.Cmp(new(big.Rat).SetFrac(a.Big(), big.NewInt(PerUSD))) != 0 {
			t.Fatalf("%v is written %q", a.Big(), s)
		}
		if back, err := ParseTotal(s); err != nil || back != a {
			t.Fatalf("%q reads as %v, %v", s, back.Big(), err)
		}
		b, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		var back Total
		if err := json.Unmarshal(b, &back); err != nil || string(b) != s || back != a {
			t.Fatalf("JSON %s reads as %v, %v", b, back.Big(), err)
		}
		if v, ok := a.Int64(); ok && USD(v).String() != s {
			t.Fatalf("a total of %q, an amount of %q", s, USD(v))
		}
	})
}

func TestParseTotal(t *testing.T) {
	for _, s := range []string{"", "-", "1e5", "1E5", "0.0000000000001", "1.0000000000000", ".5", "1.", "+1", "NaN", " 1", "1111111111111111111111111111111111111111111111111111111111111"} {
		if got, err := ParseTotal(s); err != ErrSyntax || got != (Total{}) {
			t.Errorf("ParseTotal(%q) = %v, %v; want ErrSyntax", s, got, err)
		}
	}
	for s, want := range map[string]error{
		"170141183460469231731687303.715884105727":  nil,
		"-170141183460469231731687303.715884105727": nil,
		"170141183460469231731687303.715884105728":  ErrOverflow,
		"-170141183460469231731687303.715884105728": ErrOverflow,
	} {
		got, err := ParseTotal(s)
		if !errors.Is(err, want) || err == nil && got.String() != s {
			t.Errorf("ParseTotal(%q) = %v, %v; want %v", s, got, err, want)
		}
	}
}

func TestRatioHalfEven(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := TotalOf(anyUSD().Draw(t, "amount"))
		num := rapid.Int64Range(-math.MaxInt64, math.MaxInt64).Draw(t, "num")
		den := rapid.OneOf(rapid.Int64Range(1, 10), rapid.Int64Range(1, math.MaxInt64)).Draw(t, "den")
		want := halfEven(new(big.Rat).SetFrac(new(big.Int).Mul(a.Big(), big.NewInt(num)), big.NewInt(den)))
		if got := a.RatioHalfEven(num, den).Big(); got.Cmp(want) != 0 {
			t.Fatalf("%v × %d ÷ %d = %v, want %v", a.Big(), num, den, got, want)
		}
	})
}

func FuzzParseTotal(f *testing.F) {
	for _, s := range []string{"0", "-0.5", "170141183460469231731687303.715884105727", "1e5", "0.0000000000001", "00001"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := ParseTotal(s)
		if err != nil {
			if got != (Total{}) || err != ErrSyntax && err != ErrOverflow {
				t.Fatalf("%q: %v, %v", s, got, err)
			}
			return
		}
		exact, ok := new(big.Rat).SetString(s)
		if !ok || exact.Cmp(new(big.Rat).SetFrac(got.Big(), big.NewInt(PerUSD))) != 0 {
			t.Fatalf("%q: %v", s, got)
		}
	})
}
