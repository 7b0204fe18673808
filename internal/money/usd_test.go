package money

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var one = big.NewInt(1)

// halfEven rounds an exact number: the oracle of every rounding here.
func halfEven(exact *big.Rat) *big.Int {
	floor := new(big.Int).Div(exact.Num(), exact.Denom()) // the denominator is positive
	rest := new(big.Rat).Sub(exact, new(big.Rat).SetInt(floor))
	switch rest.Cmp(big.NewRat(1, 2)) {
	case 1:
		floor.Add(floor, one)
	case 0:
		if floor.Bit(0) == 1 {
			floor.Add(floor, one)
		}
	}
	return floor
}

func TestText(t *testing.T) {
	for a, want := range map[USD]string{
		0: "0", 1: "0.000000000001", -1: "-0.000000000001", 412_500_000: "0.0004125", PerUSD: "1", -PerUSD: "-1",
		10 * PerUSD: "10", PerUSD + PerUSD/10: "1.1", Max: "9000000", PerUSD - 1: "0.999999999999",
		math.MaxInt64: "9223372.036854775807", math.MinInt64: "-9223372.036854775808",
	} {
		if got := a.String(); got != want {
			t.Errorf("%d picodollars are %q, want %q", int64(a), got, want)
		}
	}
}

func anyUSD() *rapid.Generator[USD] {
	return rapid.Custom(func(t *rapid.T) USD {
		return rapid.OneOf(
			rapid.Map(rapid.Int64(), func(n int64) USD { return USD(n) }),
			rapid.Map(rapid.Int64Range(-2_000_000, 2_000_000), func(n int64) USD { return USD(n) }),
			rapid.Map(rapid.Int64Range(-9_000_000, 9_000_000), func(n int64) USD { return USD(n * PerUSD) }),
			rapid.SampledFrom([]USD{0, 1, -1, math.MaxInt64, math.MinInt64, math.MinInt64 + 1, Max}),
		).Draw(t, "usd")
	})
}

func TestTextRoundTrips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := anyUSD().Draw(t, "amount")
		s := a.String()
		if strings.ContainsAny(s, "eE+ ") || strings.Contains(s, ".") && strings.HasSuffix(s, "0") {
			t.Fatalf("%d is written %q", int64(a), s)
		}
		// An independent reading of the text.
		exact, ok := new(big.Rat).SetString(s)
		if !ok || exact.Cmp(big.NewRat(int64(a), PerUSD)) != 0 {
			t.Fatalf("%d is written %q", int64(a), s)
		}
		if got, err := ParseSigned(s); err != nil || got != a {
			t.Fatalf("%q reads as %d, %v; want %d", s, int64(got), err, int64(a))
		}
		if got, exact, err := ParseExact(s); err != nil || !exact || got != a {
			t.Fatalf("%q reads as %d, %v, %v; want %d exactly", s, int64(got), exact, err, int64(a))
		}
		b, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		var back USD
		if err := json.Unmarshal(b, &back); err != nil || string(b) != s || back != a {
			t.Fatalf("JSON %s reads as %d, %v; want %d", b, int64(back), err, int64(a))
		}
	})
}

// number draws decimal text and its exact value.
func number(t *rapid.T) (string, *big.Rat) {
	digits := func(name string, least, most int) string {
		s := rapid.StringOfN(rapid.SampledFrom([]rune("0123456789005")), least, most, -1).Draw(t, name)
		return s
	}
	s := strings.TrimLeft(digits("whole", 1, 10), "0")
	if s == "" {
		s = "0"
	}
	if rapid.Bool().Draw(t, "fraction") {
		s += "." + digits("decimals", 1, 20)
		if rapid.Bool().Draw(t, "a tie") {
			s += "5"
		}
	}
	if rapid.Bool().Draw(t, "exponent") {
		s += fmt.Sprintf("%s%s%d", rapid.SampledFrom([]string{"e", "E"}).Draw(t, "e"), rapid.SampledFrom([]string{"", "+", "-"}).Draw(t, "sign"),
			rapid.IntRange(0, 30).Draw(t, "exponent"))
	}
	if rapid.Bool().Draw(t, "negative") {
		s = "-" + s
	}
	exact, ok := new(big.Rat).SetString(s)
	if !ok {
		t.Fatalf("%q is no number", s)
	}
	return s, exact
}

func TestParseAgainstRationals(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, exact := number(t)
		scale := rapid.SampledFrom([]int{12, 12, 6, 0, 18}).Draw(t, "scale")
		power := new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil))
		want := decimalOf(new(big.Rat).Mul(exact, power))
		if got, ok := ParseDecimal(s, scale); !ok || got != want {
			t.Fatalf("%q at scale %d: %+v, %v; want %+v", s, scale, got, ok, want)
		}
		if got, ok := ParseDecimal([]byte(s), scale); !ok || got != want {
			t.Fatalf("the bytes %q at scale %d: %+v, %v; want %+v", s, scale, got, ok, want)
		}
		if scale != 12 {
			return
		}
		got, isExact, err := ParseExact(s)
		if want.Over && (!errors.Is(err, ErrOverflow) || got != 0) || !want.Over && (err != nil || int64(got) != want.Value || isExact != want.Exact) {
			t.Fatalf("ParseExact(%q) = %d, %v, %v; want %+v", s, int64(got), isExact, err, want)
		}
		amount, err := Parse(s)
		switch inRange := !want.Over && USD(want.Value) <= Max && exact.Sign() >= 0; {
		case !inRange && (!errors.Is(err, ErrRange) || amount != 0):
			t.Fatalf("Parse(%q) = %d, %v; want ErrRange", s, int64(amount), err)
		case inRange && (err != nil || amount != got):
			t.Fatalf("Parse(%q) = %d, %v; want %d", s, int64(amount), err, int64(got))
		}
	})
}

func TestParseByHand(t *testing.T) {
	for s, want := range map[string]USD{
		"0": 0, "-0": 0, "-0.0e7": 0, "0e999999999999": 0, "0.0004125": 412_500_000, "4.125e-4": 412_500_000, "1E+2": 100 * PerUSD,
		"0.0000000000005": 0, "0.0000000000006": 1, "6e-13": 1, "4e-13": 0, "0.0000000000015": 2, "0.0000000000025": 2, "0.00000000000250000001": 3, "9000000": Max,
		"9000000.0000000000005": Max, "1e-99999999999999999999": 0, "1" + strings.Repeat("0", 500) + "e-500": PerUSD,
	} {
		if got, err := Parse(s); err != nil || got != want {
			t.Errorf("Parse(%q) = %d, %v; want %d", s, int64(got), err, int64(want))
		}
	}
	for _, s := range []string{
		"", "-", ".", ".5", "1.", "+1", "1e", "1e+", "e5", "NaN", "nan", "Infinity", "-inf", "0x10", "1_000", "1,000", " 1", "1 ",
		"1\n", "--1", "1.2.3", "1e5e5", "1e5.5", "null", `"1"`, "١", "1\x00", "$1", "-abc1", "007", "-01", "00.5",
	} {
		if got, err := Parse(s); err != ErrSyntax || got != 0 {
			t.Errorf("Parse(%.20q) = %d, %v; want ErrSyntax", s, int64(got), err)
		}
	}
	for _, s := range []string{"-1", "-0.0000000000001", "-1e-9999", "9000000.000000000001", "1e7", "9e18", "1e999999999", "1e99999999999999999999", strings.Repeat("9", 400)} {
		if got, err := Parse(s); err != ErrRange || got != 0 {
			t.Errorf("Parse(%.20q) = %d, %v; want ErrRange", s, int64(got), err)
		}
	}
}

// A short text cannot make a long computation.
func TestHostileExponentsAreFast(t *testing.T) {
	began := time.Now()
	for range 1000 {
		for _, s := range []string{
			"1e999999999", "1e-999999999", "0e999999999", "0e-999999999", "1e2147483647", "1e-2147483648", "1e99999999999999999999",
			strings.Repeat("9", 200) + "e-200", strings.Repeat("9", 300) + "e999999", "0." + strings.Repeat("0", 380) + "1e380",
		} {
			if _, err := Parse(s); err == ErrSyntax {
				t.Fatalf("%.20q is a number", s)
			}
		}
	}
	// They take milliseconds; a number with all its digits takes minutes each.
	if d := time.Since(began); d > 5*time.Minute {
		t.Errorf("10,000 numbers took %v", d)
	}
}

func TestAddOverflows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := anyUSD().Draw(t, "a"), anyUSD().Draw(t, "b")
		want := new(big.Int).Add(big.NewInt(int64(a)), big.NewInt(int64(b)))
		got, err := a.Add(b)
		if want.IsInt64() && (err != nil || int64(got) != want.Int64()) || !want.IsInt64() && (err != ErrOverflow || got != 0) {
			t.Fatalf("%d + %d = %d, %v; want %v", int64(a), int64(b), int64(got), err, want)
		}
	})
}

func TestMulDivAgainstRationals(t *testing.T) {
	check := func(t interface{ Fatalf(string, ...any) }, quantity, price, per int64) {
		want := halfEven(new(big.Rat).SetFrac(new(big.Int).Mul(big.NewInt(quantity), big.NewInt(price)), big.NewInt(per)))
		got, err := MulDiv(quantity, USD(price), per)
		if want.IsInt64() && (err != nil || int64(got) != want.Int64()) || !want.IsInt64() && (err != ErrOverflow || got != 0) {
			t.Fatalf("%d × %d ÷ %d = %d, %v; want %v", quantity, price, per, int64(got), err, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		some := rapid.OneOf(rapid.Int64Range(0, math.MaxInt64), rapid.Int64Range(0, 1000), rapid.Int64Range(math.MaxInt64-10, math.MaxInt64))
		per := rapid.OneOf(rapid.SampledFrom([]int64{1, 2, 1_000, 1_000_000, 3_600_000}), rapid.Int64Range(1, math.MaxInt64)).Draw(t, "per")
		check(t, some.Draw(t, "quantity"), some.Draw(t, "price"), per)
	})
	// The quotient is 2⁶⁴−1 and a bit: rounding up must not wrap to 0.
	quantity := int64(1<<62 + 1)
	per := new(big.Int).Div(new(big.Int).Mul(big.NewInt(quantity), big.NewInt(4)), big.NewInt(17)).Int64()
	check(t, quantity, 4*per-1, per)
	check(t, 1<<33, 1<<32, 2) // the upper half is the divisor
	check(t, math.MaxInt64, 1, 1)
	check(t, math.MaxInt64, 3, 2)
	check(t, 1, 1, 2)
	check(t, 3, 1, 2)
	for _, c := range [][3]int64{{-1, 1, 1}, {1, -1, 1}, {1, 1, 0}, {1, 1, -1}} {
		if got, err := MulDiv(c[0], USD(c[1]), c[2]); err == nil || got != 0 {
			t.Errorf("MulDiv%v = %d, %v; want an error", c, int64(got), err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"0", "1.5", "-1", "4.125e-4", "9000000.000000000001", "1e999999999", "0e-1", "1.", "NaN", "0.0000000000005", "-0e5"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := Parse(s)
		if err != nil && (got != 0 || err != ErrSyntax && err != ErrRange) {
			t.Fatalf("%q: %d, %v", s, int64(got), err)
		}
		if err != nil || len(s) > 60 {
			return
		}
		if got < 0 || got > Max {
			t.Fatalf("%q: %d is out of range", s, int64(got))
		}
		// Rat's own limit on exponents keeps the oracle fast.
		if i := strings.IndexAny(s, "eE"); i >= 0 && len(s)-i > 4 {
			return
		}
		exact, ok := new(big.Rat).SetString(s)
		if !ok {
			t.Fatalf("%q was taken", s)
		}
		if want := halfEven(exact.Mul(exact, big.NewRat(PerUSD, 1))); want.Int64() != int64(got) {
			t.Fatalf("%q: %d, want %v", s, int64(got), want)
		}
		if back, err := Parse(got.String()); err != nil || back != got {
			t.Fatalf("%q: %d comes back as %d, %v", s, int64(got), int64(back), err)
		}
	})
}
