package index

import (
	"math"
	"math/bits"

	"github.com/costprof/costprof/internal/usage"
)

// rows are of one width, by slot, in chunks that growing does not copy.
type rows[T any] struct {
	width  int
	chunks [][]T
}

func (r *rows[T]) row(slot int) []T {
	at := slot % chunk * r.width
	return r.chunks[slot/chunk][at : at+r.width]
}

// fit makes room for n rows, and gives back what more do not need.
func (r *rows[T]) fit(n int) {
	for len(r.chunks)*chunk < n {
		r.chunks = append(r.chunks, make([]T, chunk*r.width))
	}
	used := (n + chunk - 1) / chunk
	clear(r.chunks[used:])
	r.chunks = r.chunks[:used]
}

// shard holds the vectors of one project, in slots without gaps.
type shard struct {
	ids   []usage.ID
	norms []float32
	slots map[usage.ID]int
	// coarse are the first words of signs, fine the rest of them.
	coarse, fine rows[uint64]
	codes        rows[int8]
}

func newShard(size int) *shard {
	w := min(coarseWords, size/64)
	return &shard{slots: map[usage.ID]int{}, coarse: rows[uint64]{width: w}, fine: rows[uint64]{width: size/64 - w}, codes: rows[int8]{width: size}}
}

func (s *shard) fit() {
	s.codes.fit(len(s.ids))
	s.coarse.fit(len(s.ids))
	s.fine.fit(len(s.ids))
}

func (s *shard) grow(id usage.ID) int {
	slot := len(s.ids)
	s.ids, s.norms = append(s.ids, id), append(s.norms, 0)
	s.slots[id] = slot
	s.fit()
	return slot
}

// remove puts the last vector in the place of one.
func (s *shard) remove(slot int) {
	delete(s.slots, s.ids[slot])
	last := len(s.ids) - 1
	if slot != last {
		copy(s.codes.row(slot), s.codes.row(last))
		copy(s.coarse.row(slot), s.coarse.row(last))
		copy(s.fine.row(slot), s.fine.row(last))
		s.ids[slot], s.norms[slot] = s.ids[last], s.norms[last]
		s.slots[s.ids[slot]] = slot
	}
	s.ids, s.norms = s.ids[:last], s.norms[:last]
	s.fit()
}

// target is what a search compares with.
type target struct {
	words []uint64
	codes []int32
	norm  float32
}

func (s *shard) target(slot int) target {
	t := target{norm: s.norms[slot]}
	t.words = append(append(t.words, s.coarse.row(slot)...), s.fine.row(slot)...)
	for _, c := range s.codes.row(slot) {
		t.codes = append(t.codes, int32(c))
	}
	return t
}

// similarity is the cosine.
func (t target) similarity(code []int8, norm float32) float32 {
	var a, b, c, d int64
	code = code[:len(t.codes)]
	for i := 0; i+3 < len(t.codes); i += 4 {
		a += int64(t.codes[i]) * int64(code[i])
		b += int64(t.codes[i+1]) * int64(code[i+1])
		c += int64(t.codes[i+2]) * int64(code[i+2])
		d += int64(t.codes[i+3]) * int64(code[i+3])
	}
	return float32(max(-1, min(1, float64(a+b+c+d)/(float64(t.norm)*float64(norm)))))
}

// nearest gives the slots of the n vectors that are accepted and of which the
// fewest signs differ, and a few more that are as near as the last of them.
func (s *shard) nearest(x *Index, t target, n int, accept func(usage.ID) bool) []uint32 {
	lent := x.buffer(len(s.ids))
	defer x.scratch.Put(lent)
	coarse := *lent
	histogram := make([]int32, 64*len(t.words)+1)
	query := t.words[:s.coarse.width]
	for c, words := range s.coarse.chunks {
		differences(query, words, coarse[c*chunk:min(len(coarse), (c+1)*chunk)], histogram)
	}
	near := least(coarse, histogram, max(coarsePer*n, len(coarse)/coarsePart), func(slot int) bool { return accept == nil || accept(s.ids[slot]) })
	if s.fine.width == 0 {
		return near
	}
	clear(histogram)
	query = t.words[s.coarse.width:]
	all := make([]uint16, len(near))
	for i, slot := range near {
		all[i] = coarse[slot]
		for j, w := range s.fine.row(int(slot)) {
			all[i] += uint16(bits.OnesCount64(w ^ query[j]))
		}
		histogram[all[i]]++
	}
	out := least(all, histogram, n, func(int) bool { return true })
	for i, at := range out {
		out[i] = near[at]
	}
	return out
}

// differences counts, for each row of words, the signs that differ from the query,
// and how many rows have each count.
func differences(query, words []uint64, out []uint16, histogram []int32) {
	w := len(query)
	if w != coarseWords {
		for i := range out {
			d := 0
			for j, q := range query {
				d += bits.OnesCount64(q ^ words[i*w+j])
			}
			out[i] = uint16(d)
			histogram[d]++
		}
		return
	}
	q := (*[coarseWords]uint64)(query)
	for i := range out {
		r := (*[coarseWords]uint64)(words[i*coarseWords:])
		d := bits.OnesCount64(q[0]^r[0]) + bits.OnesCount64(q[1]^r[1]) + bits.OnesCount64(q[2]^r[2]) + bits.OnesCount64(q[3]^r[3]) +
			bits.OnesCount64(q[4]^r[4]) + bits.OnesCount64(q[5]^r[5]) + bits.OnesCount64(q[6]^r[6]) + bits.OnesCount64(q[7]^r[7])
		out[i] = uint16(d)
		histogram[d]++
	}
}

// least gives the places of the n smallest distances that are accepted, and those
// that are as near as the last of them.
func least(distances []uint16, histogram []int32, n int, accept func(int) bool) []uint32 {
	out := make([]uint32, 0, n+n/4)
	for from := 0; from < len(histogram) && len(out) < n; {
		to, within := from, 0
		for to < len(histogram) && within < n-len(out) {
			within += int(histogram[to])
			to++
		}
		for i, d := range distances {
			if int(d) >= from && int(d) < to && accept(i) {
				out = append(out, uint32(i))
			}
		}
		// Where little is accepted the next rounds take in more.
		from = to
	}
	return out
}

// signs gives one bit for each coordinate, set where it is negative.
func signs(turned []float32) []uint64 {
	out := make([]uint64, len(turned)/64)
	for w := range out {
		var word uint64
		for i, v := range turned[64*w : 64*w+64] {
			word |= uint64(math.Float32bits(v)>>31) << i
		}
		out[w] = word
	}
	return out
}
