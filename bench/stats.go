package main

import (
	"cmp"
	"slices"
	"time"
)

// at gives the value below which a share of the sorted values lies.
func at[T any](sorted []T, share float64) T {
	return sorted[min(len(sorted)-1, int(share*float64(len(sorted))))]
}

func sorted[T cmp.Ordered](v []T) []T {
	v = slices.Clone(v)
	slices.Sort(v)
	return v
}

func median[T cmp.Ordered](v []T) T { return at(sorted(v), 0.5) }

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
