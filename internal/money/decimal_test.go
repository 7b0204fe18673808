package money

import (
	"encoding/json"
	"math"
	"math/big"
	"strings"
	"testing"
	"time"
)

func TestParseDecimal(t *testing.T) {
	tests := []struct {
		text  string
		scale int
		want  Decimal
	}{
		{"0", 0, Decimal{Exact: true}},
		{"-0", 0, Decimal{Exact: true}},
		{"-0.000e5", 0, Decimal{Exact: true}},
		{"100", 0, Decimal{Value: 100, Exact: true}},
		{"100.0", 0, Decimal{Value: 100, Exact: true}},
		{"1e3", 0, Decimal{Value: 1000, Exact: true}},
		{"1.5E+1", 0, Decimal{Value: 15, Exact: true}},
		{"12000e-3", 0, Decimal{Value: 12, Exact: true}},
		{"-7", 0, Decimal{Value: -7, Exact: true, Negative: true}},
		{"0.5", 0, Decimal{}},
		{"1.5", 0, Decimal{Value: 2}},
		{"2.5", 0, Decimal{Value: 2}},
		{"2.50000000000000000000000000001", 0, Decimal{Value: 3}},
		{"-0.4", 0, Decimal{Negative: true}},
		{"9007199254740993", 0, Decimal{Value: 9007199254740993, Exact: true}}, // 2^53+1
		{"9223372036854775807", 0, Decimal{Value: math.MaxInt64, Exact: true}},
		{"-9223372036854775808", 0, Decimal{Value: math.MinInt64, Exact: true, Negative: true}},
		{"9223372036854775807.4", 0, Decimal{Value: math.MaxInt64}},
		{"9223372036854775807.5", 0, Decimal{Value: math.MaxInt64, Over: true}},
		{"18446744073709551616", 0, Decimal{Value: math.MaxInt64, Over: true}},
		{"9223372036854775808", 0, Decimal{Value: math.MaxInt64, Over: true}},
		{"-9223372036854775809", 0, Decimal{Value: math.MinInt64, Over: true, Negative: true}},
		{"1e999999999999999999999", 0, Decimal{Value: math.MaxInt64, Over: true}},
		{"1e-999999999999999999999", 0, Decimal{}},
		{"1e18446744073709551616", 0, Decimal{Value: math.MaxInt64, Over: true}}, // no exponent wraps around to 0
		{"1e-18446744073709551616", 0, Decimal{}},
		{"842.0005", 3, Decimal{Value: 842000}},
		{"842.0015", 3, Decimal{Value: 842002}},
		{"0.0004125", 12, Decimal{Value: 412500000, Exact: true}},
	}
	for _, tt := range tests {
		got, ok := ParseDecimal(tt.text, tt.scale)
		if !ok || got != tt.want {
			t.Errorf("ParseDecimal(%q, %d) = %+v, %v, want %+v", tt.text, tt.scale, got, ok, tt.want)
		}
	}
	for _, text := range []string{"", "-", "+1", ".5", "1.", "01", "1e", "1e+", "0x1", "NaN", "1 ", "1_0", "1.5.5", "٣"} {
		if got, ok := ParseDecimal(text, 0); ok {
			t.Errorf("ParseDecimal(%q) = %+v, want an error", text, got)
		}
	}
}

func TestParseDecimalIsLinear(t *testing.T) {
	start := time.Now()
	for _, text := range []string{
		strings.Repeat("9", 5<<20), "0." + strings.Repeat("0", 5<<20) + "1",
		"1" + strings.Repeat("0", 5<<20) + "e-" + "5242880", "1e" + strings.Repeat("9", 5<<20),
	} {
		if _, ok := ParseDecimal(text, 3); !ok {
			t.Errorf("ParseDecimal(%.10q…) is not a number", text)
		}
	}
	// 20 MiB of digits take some 50 ms; a quadratic reading takes hours.
	if took := time.Since(start); took > 5*time.Minute {
		t.Errorf("20 MiB of digits took %v", took)
	}
}

// decimalOf is what an exact number must be read as.
func decimalOf(r *big.Rat) Decimal {
	d := Decimal{Exact: r.IsInt(), Negative: r.Sign() < 0}
	switch v := halfEven(r); {
	case v.IsInt64():
		d.Value = v.Int64()
	case d.Negative:
		d.Value, d.Exact, d.Over = math.MinInt64, false, true
	default:
		d.Value, d.Exact, d.Over = math.MaxInt64, false, true
	}
	return d
}

func FuzzParseDecimal(f *testing.F) {
	for _, s := range []string{"0", "-0", "1e3", "12.50", "9223372036854775807.5", "1e-13", "5e-13", "00", "1e19", "0.9999999999995"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, scale := range []int{0, 3, 12} {
			got, ok := ParseDecimal(text, scale)
			if valid := json.Valid([]byte(text)) && strings.Trim(text, "-+.eE0123456789") == ""; ok != valid {
				t.Fatalf("ParseDecimal(%q) accepted: %v, want %v", text, ok, valid)
			}
			if !ok || len(text) > 60 || hugeExponent(text) {
				continue
			}
			r, _ := new(big.Rat).SetString(text)
			r.Mul(r, new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil)))
			if want := decimalOf(r); got != want {
				t.Errorf("ParseDecimal(%q, %d) = %+v, want %+v", text, scale, got, want)
			}
		}
	})
}

func hugeExponent(text string) bool {
	_, exponent, _ := strings.Cut(strings.ToLower(text), "e")
	return len(strings.TrimLeft(exponent, "+-0")) > 3
}
