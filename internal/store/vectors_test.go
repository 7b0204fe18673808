package store

import (
	"math"
	"testing"
)

func TestVectorsInHalfFloats(t *testing.T) {
	for _, x := range []float32{0, 1, -1, 0.5, 0.025, -0.0251, 1e-4, 6.1e-5, 6e-5, 1e-7, 5.9e-8, 2e-9, 0.99999, 0.333333, 65504, 1e9} {
		v, err := DecodeVector(EncodeVector([]float32{x, -x}))
		if err != nil || v[0] != -v[1] {
			t.Fatal(v, err)
		}
		want := min(float64(x), 65504)
		if off := math.Abs(float64(v[0]) - want); off > math.Abs(want)/2048+1.0/(1<<25) {
			t.Errorf("%v becomes %v", x, v[0])
		}
	}
	// Every half float is itself.
	for h := range uint16(0x7c00) {
		if got := half(whole(h)); got != h {
			t.Fatalf("%#x becomes %#x", h, got)
		}
	}
	for _, bad := range [][]byte{nil, {1}, {1, 2, 3}} {
		if _, err := DecodeVector(bad); err == nil {
			t.Errorf("%v is a vector", bad)
		}
	}
}
