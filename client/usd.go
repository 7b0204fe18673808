package client

import (
	"errors"
	"math/big"
	"strings"
)

// USD is an amount of US dollars as the decimal text that travelled, with every
// digit. "" means that there is no amount, which is not the same as "0".
type USD string

// ErrUSD reports text that is not a decimal number.
var ErrUSD = errors.New("client: an amount of USD must be a decimal number")

// String gives the text as it is.
func (u USD) String() string { return string(u) }

// MarshalJSON writes a JSON number with the same digits; no amount is null.
func (u USD) MarshalJSON() ([]byte, error) {
	if u == "" {
		return []byte("null"), nil
	}
	if !isNumber(string(u)) {
		return nil, ErrUSD
	}
	return []byte(u), nil
}

// UnmarshalJSON reads a JSON number, or one in quotes, digit for digit.
func (u *USD) UnmarshalJSON(b []byte) error {
	s := string(b)
	if s == "null" {
		return nil
	}
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		s = s[1 : len(s)-1]
	}
	if !isNumber(s) {
		return ErrUSD
	}
	*u = USD(s)
	return nil
}

// Rat gives the exact value; no amount is 0. Text that is not a decimal number,
// or has more than three digits of exponent, is ErrUSD.
func (u USD) Rat() (*big.Rat, error) {
	if u == "" {
		return new(big.Rat), nil
	}
	if !isNumber(string(u)) || len(u) > 400 {
		return nil, ErrUSD
	}
	if i := strings.IndexAny(string(u), "eE"); i >= 0 && len(strings.TrimLeft(string(u[i+1:]), "+-0")) > 3 {
		return nil, ErrUSD // an exponent of a billion is a billion digits
	}
	r, ok := new(big.Rat).SetString(string(u))
	if !ok {
		return nil, ErrUSD
	}
	return r, nil
}

// isNumber says whether s is a JSON number.
func isNumber(s string) bool {
	s = strings.TrimPrefix(s, "-")
	whole, rest := digits(s)
	if whole == "" || len(whole) > 1 && whole[0] == '0' {
		return false
	}
	if strings.HasPrefix(rest, ".") {
		var frac string
		if frac, rest = digits(rest[1:]); frac == "" {
			return false
		}
	}
	if rest != "" && (rest[0] == 'e' || rest[0] == 'E') {
		rest = rest[1:]
		if rest != "" && (rest[0] == '+' || rest[0] == '-') {
			rest = rest[1:]
		}
		var exp string
		if exp, rest = digits(rest); exp == "" {
			return false
		}
	}
	return rest == ""
}

func digits(s string) (head, rest string) {
	i := 0
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	return s[:i], s[i:]
}
