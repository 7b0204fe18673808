package httpapi

import (
	"encoding/json"
	"math"
	"testing"
)

func TestScaledNumbers(t *testing.T) {
	for _, tc := range []struct {
		v    any
		want string
	}{
		{millis(0), "0"},
		{millis(1), "0.001"},
		{millis(1500), "1.5"},
		{millis(12345), "12.345"},
		{millis(2_000_000), "2000"},
		{millis(-1500), "-1.5"},
		{millis(math.MaxInt64), "9223372036854775.807"},
		{millis(math.MinInt64), "-9223372036854775.808"},
		{thousandths(2333), "2.333"},
		{thousandths(1000), "1"},
	} {
		got, err := json.Marshal(tc.v)
		if err != nil || string(got) != tc.want {
			t.Errorf("%T(%d) = %s, %v, want %s", tc.v, tc.v, got, err, tc.want)
		}
	}
}

func TestMean(t *testing.T) {
	for _, tc := range []struct{ sum, count, want int64 }{
		{0, 0, 0},
		{10, 4, 2},
		{14, 4, 4},
		{11, 4, 3},
		{9, 4, 2},
		{5, 2, 2},
		{7, 2, 4},
		{math.MaxInt64, 1, math.MaxInt64},
		{math.MaxInt64, math.MaxInt64, 1},
		{math.MaxInt64 - 1, math.MaxInt64, 1},
	} {
		if got := mean(tc.sum, tc.count); got != tc.want {
			t.Errorf("mean(%d, %d) = %d, want %d", tc.sum, tc.count, got, tc.want)
		}
	}
}
