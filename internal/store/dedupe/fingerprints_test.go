package dedupe

import (
	"testing"

	"github.com/costprof/costprof/internal/usage"
)

func TestFingerprints(t *testing.T) {
	var s fingerprints
	for i := uint64(1); i < 50_000; i++ {
		if s.has(i * 0x9e3779b97f4a7c15) {
			t.Fatalf("%d is there before it was added", i)
		}
		s.add(i * 0x9e3779b97f4a7c15)
		s.add(i * 0x9e3779b97f4a7c15)
	}
	if s.n != 49_999 {
		t.Fatalf("%d members", s.n)
	}
	for i := uint64(1); i < 50_000; i++ {
		if !s.has(i * 0x9e3779b97f4a7c15) {
			t.Fatalf("%d is lost", i)
		}
	}
	if per := float64(s.bytes()) / float64(s.n); per > 14 {
		t.Fatalf("%.1f bytes a member", per)
	}
	if fingerprint(usage.ID{}) == 0 {
		t.Fatal("0 means empty")
	}
}
