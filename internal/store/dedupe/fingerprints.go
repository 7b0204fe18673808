package dedupe

import (
	"math/bits"

	"github.com/costprof/costprof/internal/usage"
)

// fingerprints is a set of 64-bit hashes: open addressing with linear probing.
// A hash found may belong to another event, so a hit is always confirmed in the
// ledger; a hash not found proves that the event is new. It takes about 11 bytes
// a member where a map takes 15 to 20.
type fingerprints struct {
	slots []uint64 // 0 is empty
	n     int
}

// fingerprint is the part of an identity that the set keeps; never 0.
func fingerprint(id usage.ID) uint64 {
	var f uint64
	for _, b := range id[:8] {
		f = f<<8 | uint64(b)
	}
	return max(f, 1)
}

// slot maps a hash to its first slot. Multiplying instead of masking lets the
// table have any size, so that it grows by a third and not by doubling. The
// hash's high bits decide, its bytes being those of a SHA-256.
func (s *fingerprints) slot(f uint64) int {
	hi, _ := bits.Mul64(f, uint64(len(s.slots)))
	return int(hi)
}

func (s *fingerprints) has(f uint64) bool {
	if len(s.slots) == 0 {
		return false
	}
	for i := s.slot(f); ; i++ {
		if i == len(s.slots) {
			i = 0
		}
		switch s.slots[i] {
		case f:
			return true
		case 0:
			return false
		}
	}
}

func (s *fingerprints) add(f uint64) {
	if s.n*5 >= len(s.slots)*4 {
		s.resize(max(16, len(s.slots)*4/3))
	}
	for i := s.slot(f); ; i++ {
		if i == len(s.slots) {
			i = 0
		}
		switch s.slots[i] {
		case f:
			return
		case 0:
			s.slots[i] = f
			s.n++
			return
		}
	}
}

func (s *fingerprints) resize(n int) {
	old := s.slots
	s.slots, s.n = make([]uint64, n), 0
	for _, f := range old {
		if f != 0 {
			s.add(f)
		}
	}
}

// reserve makes room for n members without growing on the way.
func (s *fingerprints) reserve(n int) {
	if want := n*5/4 + 16; want > len(s.slots) {
		s.resize(want)
	}
}

func (s *fingerprints) bytes() int { return 8 * len(s.slots) }
