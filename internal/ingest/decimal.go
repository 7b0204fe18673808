package ingest

import "github.com/costprof/costprof/internal/money"

// ParseDecimal is money.ParseDecimal for a number in a body.
func ParseDecimal(text []byte, scale int) (money.Decimal, bool) {
	return money.ParseDecimal(text, scale)
}
