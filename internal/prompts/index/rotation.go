package index

import (
	"math"
	"math/bits"
	"math/rand/v2"
)

// rounds of sign changes and Hadamard transforms; after two each coordinate
// depends on all.
const rounds = 2

// rotation is orthogonal, the same for the same dimension on every machine, and
// costs n·log n. A size that is no power of two is covered by two overlapping
// transforms of the largest power of two within it.
type rotation struct {
	// size is the dimension, made up to a multiple of 64 by zeros.
	size, power int
	flips       [rounds][]float32
}

func newRotation(dim int) rotation {
	r := rotation{size: (dim + 63) / 64 * 64}
	r.power = 1 << (bits.Len(uint(r.size)) - 1)
	random := rand.New(rand.NewPCG(0x636f7374, uint64(dim)))
	for i := range r.flips {
		r.flips[i] = make([]float32, r.size)
		for j := range r.flips[i] {
			r.flips[i][j] = float32(1 - 2*int(random.Uint64()>>63))
		}
	}
	return r
}

// turn gives the turned vector, as long as the vector was.
func (r rotation) turn(vector []float32) []float32 {
	v := make([]float32, r.size)
	copy(v, vector)
	scale := float32(1 / math.Sqrt(float64(r.power)))
	for _, flips := range r.flips {
		for i := range v {
			v[i] *= flips[i]
		}
		hadamard(v[:r.power], scale)
		if r.power < r.size {
			hadamard(v[r.size-r.power:], scale)
		}
	}
	return v
}

// hadamard transforms in place; the length is a power of two, 64 at least. Two steps
// go together, for most of the time goes into reading and writing.
func hadamard(v []float32, scale float32) {
	for from := 0; from+4 <= len(v); from += 4 {
		q := (*[4]float32)(v[from:])
		q[0], q[1], q[2], q[3] = four(q[0]*scale, q[1]*scale, q[2]*scale, q[3]*scale)
	}
	half := 4
	for ; 4*half <= len(v); half *= 4 {
		for from := 0; from < len(v); from += 4 * half {
			a := v[from : from+half]
			b := v[from+half : from+2*half][:len(a)]
			c := v[from+2*half : from+3*half][:len(a)]
			d := v[from+3*half : from+4*half][:len(a)]
			for i := range a {
				a[i], b[i], c[i], d[i] = four(a[i], b[i], c[i], d[i])
			}
		}
	}
	if half < len(v) {
		a, b := v[:half], v[half:][:half]
		for i := range a {
			a[i], b[i] = a[i]+b[i], a[i]-b[i]
		}
	}
}

// four is the transform of four numbers.
func four(a, b, c, d float32) (float32, float32, float32, float32) {
	a, b, c, d = a+b, a-b, c+d, c-d
	return a + c, b + d, a - c, b - d
}
