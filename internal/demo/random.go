package demo

import (
	"encoding/hex"
	"math/rand/v2"
)

// newRandom gives a source for one purpose; the same two numbers give the same
// values on every machine.
func newRandom(seed, purpose uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, purpose)) }

// between is uniform, both ends included.
func (g *generator) between(low, high int64) int64 {
	if high <= low {
		return low
	}
	return low + g.rand.Int64N(high-low+1)
}

// chance is true in so many of a thousand cases.
func (g *generator) chance(perMille int64) bool { return g.rand.Int64N(1000) < perMille }

func oneOf[T any](g *generator, of ...T) T { return of[g.rand.IntN(len(of))] }

// lognormal holds the 5 %, 10 %, … 95 % quantiles of a log-normal distribution
// with median 1 and sigma 0.6, in thousandths: what sizes of texts look like.
var lognormal = [...]int64{373, 464, 537, 604, 667, 730, 793, 859, 927, 1000, 1078, 1164, 1260, 1370, 1499, 1657, 1863, 2158, 2683}

// spread varies a typical value as sizes of texts vary.
func (g *generator) spread(typical int64) int64 {
	i := g.rand.IntN(len(lognormal) - 1)
	factor := lognormal[i] + g.rand.Int64N(lognormal[i+1]-lognormal[i]+1)
	return max(1, typical*factor/1000)
}

// vary changes a value by up to so many percent.
func (g *generator) vary(value, percent int64) int64 {
	return max(0, value*(1000+g.between(-10*percent, 10*percent))/1000)
}

// zipf picks 0 to n-1, the k-th as often as 1/(k+1).
func (g *generator) zipf(n int) int {
	total := int64(0)
	for k := range n {
		total += 1_000_000 / int64(k+1)
	}
	at := g.rand.Int64N(total)
	for k := range n {
		at -= 1_000_000 / int64(k+1)
		if at < 0 {
			return k
		}
	}
	return n - 1
}

// hex gives n random bytes as text.
func (g *generator) hex(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(g.rand.Uint32())
	}
	return hex.EncodeToString(b)
}
