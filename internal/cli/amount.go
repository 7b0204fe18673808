package cli

import (
	"math/big"
	"strconv"
	"strings"

	"github.com/costprof/costprof/client"
)

// decimals is how many a person sees of a total.
const decimals = 4

// money shows an amount for people: rounded half-even, once and exactly, with
// thousands separators.
func money(u client.USD) string { return moneyTo(u, decimals) }

// moneyTo is money with another number of decimals.
func moneyTo(u client.USD, decimals int) string {
	r, err := u.Rat()
	if err != nil {
		return printable(string(u))
	}
	scale := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(decimals)), nil)
	n := roundHalfEven(new(big.Rat).Mul(r, new(big.Rat).SetInt(scale)))
	sign := ""
	if n.Sign() < 0 {
		sign = "-"
		n.Neg(n)
	}
	whole, frac := new(big.Int).QuoRem(n, scale, new(big.Int))
	digits := frac.String()
	return sign + "$" + group(whole.String()) + "." + strings.Repeat("0", decimals-len(digits)) + digits
}

// exactly shows an amount with every digit, for single calls and prices, which
// are too small to round.
func exactly(u client.USD) string {
	s := string(u)
	if s == "" {
		return ""
	}
	if strings.ContainsAny(s, "eE") {
		return "$" + s
	}
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = "-", s[1:]
	}
	whole, frac, ok := strings.Cut(s, ".")
	if ok {
		frac = "." + frac
	}
	return printable(sign + "$" + group(whole) + frac)
}

func roundHalfEven(r *big.Rat) *big.Int {
	q, rest := new(big.Int).QuoRem(r.Num(), r.Denom(), new(big.Int))
	twice := rest.Abs(rest)
	twice.Lsh(twice, 1)
	if c := twice.Cmp(r.Denom()); c > 0 || c == 0 && q.Bit(0) == 1 {
		q.Add(q, big.NewInt(int64(r.Sign())))
	}
	return q
}

// count shows a whole number with thousands separators.
func count(n int64) string {
	s := strconv.FormatInt(n, 10)
	if s[0] == '-' {
		return "-" + group(s[1:])
	}
	return group(s)
}

func group(digits string) string {
	if len(digits) <= 3 {
		return digits
	}
	var b strings.Builder
	head := len(digits) % 3
	b.WriteString(digits[:head])
	for i := head; i < len(digits); i += 3 {
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(digits[i : i+3])
	}
	return b.String()
}

// part gives a ÷ whole for a bar or a percentage, 0 when whole is nothing. It is
// for drawing only.
func part(a, whole client.USD) float64 {
	x, err := a.Rat()
	if err != nil {
		return 0
	}
	y, err := whole.Rat()
	if err != nil || y.Sign() == 0 {
		return 0
	}
	f, _ := x.Quo(x, y).Float64()
	return f
}

func percent(share float64) string { return strconv.FormatFloat(share*100, 'f', 1, 64) + "%" }

// millis shows a latency.
func millis(ms float64) string {
	switch {
	case ms >= 100_000:
		return count(int64(ms/1000)) + " s"
	case ms >= 10_000:
		return strconv.FormatFloat(ms/1000, 'f', 1, 64) + " s"
	}
	return count(int64(ms+0.5)) + " ms"
}

// sum adds amounts exactly.
func sum(amounts ...client.USD) client.USD {
	total := new(big.Rat)
	for _, a := range amounts {
		if r, err := a.Rat(); err == nil {
			total.Add(total, r)
		}
	}
	// Amounts are whole picodollars, so twelve decimals lose nothing.
	text := total.FloatString(12)
	text = strings.TrimRight(text, "0")
	return client.USD(strings.TrimSuffix(text, "."))
}
