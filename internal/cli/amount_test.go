package cli

import (
	"fmt"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/costprof/costprof/client"
)

func TestMoney(t *testing.T) {
	for in, want := range map[client.USD]string{
		"":                   "$0.0000",
		"0":                  "$0.0000",
		"0.00005":            "$0.0000", // half to even
		"0.00015":            "$0.0002",
		"0.000050000001":     "$0.0001",
		"-0.00015":           "-$0.0002",
		"-0.00001":           "$0.0000",
		"999.99995":          "$1,000.0000",
		"1234567.1":          "$1,234,567.1000",
		"1e-7":               "$0.0000",
		"2.5e3":              "$2,500.0000",
		"999999999999999999": "$999,999,999,999,999,999.0000",
		"\x1b[31m":           `\x1b[31m`,
	} {
		if got := money(in); got != want {
			t.Errorf("money(%q) = %q, want %q", in, got, want)
		}
	}
	for in, want := range map[client.USD]string{
		"":               "",
		"0.000000000001": "$0.000000000001",
		"-1234.50":       "-$1,234.50",
		"1e-7":           "$1e-7",
	} {
		if got := exactly(in); got != want {
			t.Errorf("exactly(%q) = %q, want %q", in, got, want)
		}
	}
}

// What a person sees is the exact amount rounded half-even to four decimals,
// however large or small it is.
func TestMoneyIsExactRounding(t *testing.T) {
	half := big.NewRat(5, 100_000)
	rapid.Check(t, func(rt *rapid.T) {
		amount := drawUSD(rt)
		exact, err := amount.Rat()
		if err != nil {
			rt.Fatal(err)
		}
		shown := money(amount)
		plain := strings.NewReplacer("$", "", ",", "").Replace(shown)
		seen, ok := new(big.Rat).SetString(plain)
		if !ok || len(plain)-strings.IndexByte(plain, '.') != 5 {
			rt.Fatalf("money(%s) = %q is not an amount with four decimals", amount, shown)
		}
		off := new(big.Rat).Sub(exact, seen)
		off.Abs(off)
		even := (plain[len(plain)-1]-'0')%2 == 0
		if c := off.Cmp(half); c > 0 || c == 0 && !even {
			rt.Fatalf("money(%s) = %q", amount, shown)
		}
		if got := strings.ReplaceAll(exactly(amount), ",", ""); strings.Replace(got, "$", "", 1) != string(amount) {
			rt.Fatalf("exactly(%s) = %q lost digits", amount, got)
		}
	})
}

func TestSumIsExact(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		amounts := rapid.SliceOfN(rapid.Custom(drawUSD), 0, 8).Draw(rt, "amounts")
		want := new(big.Rat)
		for _, a := range amounts {
			r, err := a.Rat()
			if err != nil {
				rt.Fatal(err)
			}
			want.Add(want, r)
		}
		got, err := sum(amounts...).Rat()
		if err != nil || got.Cmp(want) != 0 {
			rt.Fatalf("sum(%v) = %v, want %v", amounts, got, want)
		}
	})
}

// drawUSD draws what the server can answer, ties of the rounding among them.
func drawUSD(t *rapid.T) client.USD {
	whole := rapid.StringMatching(`0|[1-9][0-9]{0,25}`).Draw(t, "whole")
	frac := rapid.OneOf(
		rapid.StringMatching(`[0-9]{1,12}`),
		rapid.StringMatching(`[0-9]{4}5(0{1,7})?`),
		rapid.StringMatching(`[0-9]{4}49999999`),
	).Draw(t, "frac")
	sign := rapid.SampledFrom([]string{"", "-"}).Draw(t, "sign")
	return client.USD(fmt.Sprintf("%s%s.%s", sign, whole, frac))
}

func TestCount(t *testing.T) {
	for in, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", -1234567: "-1,234,567", -1 << 63: "-9,223,372,036,854,775,808"} {
		if got := count(in); got != want {
			t.Errorf("count(%d) = %q, want %q", in, got, want)
		}
	}
}
