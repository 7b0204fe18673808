package httpapi

import (
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/costprof/costprof/internal/export"
)

// millis is a number of microseconds, written as milliseconds with at most three
// decimals.
type millis int64

func millisOf(d time.Duration) millis { return millis(d.Microseconds()) }

// MarshalJSON writes a decimal number.
func (m millis) MarshalJSON() ([]byte, error) { return export.AppendDecimal(nil, int64(m), 3), nil }

// Schema says what is written.
func (millis) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeNumber, Description: "Milliseconds, at most three decimals."}
}

// thousandths is a number written with at most three decimals.
type thousandths int64

// MarshalJSON writes a decimal number.
func (n thousandths) MarshalJSON() ([]byte, error) {
	return export.AppendDecimal(nil, int64(n), 3), nil
}

// Schema says what is written.
func (thousandths) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeNumber}
}

// millionths is a number written with at most six decimals.
type millionths int64

// MarshalJSON writes a decimal number.
func (n millionths) MarshalJSON() ([]byte, error) { return export.AppendDecimal(nil, int64(n), 6), nil }

// Schema says what is written.
func (millionths) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeNumber}
}

// mean is sum ÷ count, rounded half-even; of nothing it is 0. The sum must not
// be negative.
func mean(sum, count int64) int64 {
	if count <= 0 {
		return 0
	}
	q, r := sum/count, sum%count
	// Compared without doubling, which could overflow.
	if rest := count - r; r > rest || r == rest && q%2 == 1 {
		q++
	}
	return q
}
