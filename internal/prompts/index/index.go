// Package index finds the vectors that are most alike a given one, in memory. It
// knows nothing of texts, embedders and stores.
//
// A vector is turned by a fixed random rotation, after which each of its
// coordinates tells about as much as the others. Of the turned vector the signs
// are kept, and its coordinates in 8 bits. A search compares the signs with those of all vectors
// of the project, and then the 8-bit coordinates of those that came nearest.
package index

import (
	"fmt"
	"math"
	"math/bits"
	"slices"
	"sync"

	"github.com/costprof/costprof/internal/usage"
)

const (
	// chunk is how many vectors are allocated together: growing copies nothing.
	chunk = 1024
	// Of the vectors with the nearest signs, at least candidates and candidatesPer
	// for each wanted one are compared by their coordinates.
	candidates, candidatesPer = 400, 16
)

// Index may be used from many goroutines.
type Index struct {
	dim      int
	rotation rotation
	scratch  sync.Pool

	mu       sync.RWMutex
	projects map[string]*shard
	count    int
}

// New makes an empty index of vectors with dim coordinates.
func New(dim int) *Index {
	return &Index{dim: dim, rotation: newRotation(dim), projects: map[string]*shard{}}
}

// Dim is the number of coordinates of its vectors.
func (x *Index) Dim() int { return x.dim }

// Len is the number of vectors.
func (x *Index) Len() int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.count
}

// Bytes is about how much memory the vectors take: for each one byte and a bit a
// coordinate (in steps of 64), and 100 bytes.
func (x *Index) Bytes() int64 {
	return int64(x.Len()) * int64(x.rotation.size+x.rotation.size/8+100)
}

// Match is a vector that was found.
type Match struct {
	ID usage.ID
	// Similarity is the cosine, -1 to 1, with an error of some thousandths.
	Similarity float32
}

// Query is what to search for.
type Query struct {
	Project string
	Vector  []float32
	// Limit is the most matches, at least 1; Least the lowest similarity.
	Limit int
	Least float32
	// Accept passes over vectors; nil accepts all. It must not call the index.
	Accept func(id usage.ID) bool
}

// Put adds a vector, of any length but 0, or replaces the one of this project and id.
func (x *Index) Put(project string, id usage.ID, vector []float32) error {
	if len(vector) != x.dim {
		return fmt.Errorf("a vector of %d coordinates in an index of %d", len(vector), x.dim)
	}
	turned := x.rotation.turn(vector)
	codes, norm, err := quantise(turned)
	if err != nil {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	s := x.projects[project]
	if s == nil {
		s = &shard{size: x.rotation.size, slots: map[usage.ID]int{}}
		x.projects[project] = s
	}
	slot, known := s.slots[id]
	if !known {
		slot = s.grow(id)
		x.count++
	}
	copy(s.code(slot), codes)
	signs(turned, s.sign(slot))
	s.norms[slot] = norm
	return nil
}

// Has says whether there is a vector of this project and id.
func (x *Index) Has(project string, id usage.ID) bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	s := x.projects[project]
	if s == nil {
		return false
	}
	_, ok := s.slots[id]
	return ok
}

// Delete removes a vector; one that is not there is left alone.
func (x *Index) Delete(project string, id usage.ID) {
	x.mu.Lock()
	defer x.mu.Unlock()
	s := x.projects[project]
	if s == nil {
		return
	}
	slot, ok := s.slots[id]
	if !ok {
		return
	}
	s.remove(slot)
	x.count--
	if len(s.ids) == 0 {
		delete(x.projects, project)
	}
}

// Search gives the most similar vectors, most similar first, then by id. Which
// they are is right for about 99 of 100 (docs/prompts.md); a vector that is the same is always found.
func (x *Index) Search(q Query) ([]Match, error) {
	if len(q.Vector) != x.dim {
		return nil, fmt.Errorf("a vector of %d coordinates in an index of %d", len(q.Vector), x.dim)
	}
	turned := x.rotation.turn(q.Vector)
	fine, norm, err := quantiseFine(turned)
	if err != nil {
		return nil, err
	}
	words := make([]uint64, x.rotation.size/64)
	signs(turned, words)

	x.mu.RLock()
	defer x.mu.RUnlock()
	s := x.projects[q.Project]
	if s == nil {
		return nil, nil
	}
	distances := x.buffer(len(s.ids))
	defer x.scratch.Put(distances)
	histogram := s.distances(words, *distances)
	var found []Match
	for _, slot := range s.nearest(*distances, histogram, max(candidates, candidatesPer*q.Limit), q.Accept) {
		m := Match{s.ids[slot], similarity(fine, norm, s.code(slot), s.norms[slot])}
		if m.Similarity >= q.Least {
			found = append(found, m)
		}
	}
	slices.SortFunc(found, func(a, b Match) int {
		switch {
		case a.Similarity > b.Similarity:
			return -1
		case a.Similarity < b.Similarity:
			return 1
		}
		return slices.Compare(a.ID[:], b.ID[:])
	})
	return found[:min(len(found), q.Limit)], nil
}

// buffer lends a slice for n distances.
func (x *Index) buffer(n int) *[]uint16 {
	b, ok := x.scratch.Get().(*[]uint16)
	if !ok || cap(*b) < n {
		fresh := make([]uint16, n, n+n/4)
		return &fresh
	}
	*b = (*b)[:n]
	return b
}

// shard holds the vectors of one project, in slots without gaps.
type shard struct {
	size  int
	ids   []usage.ID
	norms []float32
	slots map[usage.ID]int
	// Chunks of chunk vectors each.
	signs [][]uint64
	codes [][]int8
}

func (s *shard) sign(slot int) []uint64 {
	w := s.size / 64
	at := slot % chunk * w
	return s.signs[slot/chunk][at : at+w]
}

func (s *shard) code(slot int) []int8 {
	at := slot % chunk * s.size
	return s.codes[slot/chunk][at : at+s.size]
}

func (s *shard) grow(id usage.ID) int {
	slot := len(s.ids)
	if slot/chunk == len(s.codes) {
		s.codes = append(s.codes, make([]int8, chunk*s.size))
		s.signs = append(s.signs, make([]uint64, chunk*s.size/64))
	}
	s.ids, s.norms = append(s.ids, id), append(s.norms, 0)
	s.slots[id] = slot
	return slot
}

// remove puts the last vector in the place of one.
func (s *shard) remove(slot int) {
	delete(s.slots, s.ids[slot])
	last := len(s.ids) - 1
	if slot != last {
		copy(s.code(slot), s.code(last))
		copy(s.sign(slot), s.sign(last))
		s.ids[slot], s.norms[slot] = s.ids[last], s.norms[last]
		s.slots[s.ids[slot]] = slot
	}
	s.ids, s.norms = s.ids[:last], s.norms[:last]
	if used := (last + chunk - 1) / chunk; used < len(s.codes) {
		clear(s.codes[used:])
		clear(s.signs[used:])
		s.codes, s.signs = s.codes[:used], s.signs[:used]
	}
}

// distances counts, for each slot, the signs that differ, and how many slots have
// each count.
func (s *shard) distances(query []uint64, out []uint16) []int32 {
	histogram := make([]int32, s.size+1)
	w := len(query)
	for c, rows := range s.signs {
		part := out[c*chunk : min(len(out), (c+1)*chunk)]
		for i := range part {
			row := rows[i*w : i*w+w]
			d := 0
			for j, q := range query {
				d += bits.OnesCount64(q ^ row[j])
			}
			part[i] = uint16(d)
			histogram[d]++
		}
	}
	return histogram
}

// nearest gives the slots of the n smallest distances that are accepted, and those
// that are as near as the last of them.
func (s *shard) nearest(distances []uint16, histogram []int32, n int, accept func(usage.ID) bool) []int {
	out := make([]int, 0, n+n/4)
	for from := 0; from < len(histogram) && len(out) < n; {
		to, within := from, 0
		for to < len(histogram) && within < n-len(out) {
			within += int(histogram[to])
			to++
		}
		for slot, d := range distances {
			if int(d) >= from && int(d) < to && (accept == nil || accept(s.ids[slot])) {
				out = append(out, slot)
			}
		}
		// Where little is accepted the next rounds take in more.
		from = to
	}
	return out
}

// similarity is the cosine of a query and the codes of a vector.
func similarity(query []int32, queryNorm float32, code []int8, norm float32) float32 {
	var a, b, c, d int64
	code = code[:len(query)]
	for i := 0; i+3 < len(query); i += 4 {
		a += int64(query[i]) * int64(code[i])
		b += int64(query[i+1]) * int64(code[i+1])
		c += int64(query[i+2]) * int64(code[i+2])
		d += int64(query[i+3]) * int64(code[i+3])
	}
	return float32(max(-1, min(1, float64(a+b+c+d)/(float64(queryNorm)*float64(norm)))))
}

// signs sets one bit for each coordinate that is not negative.
func signs(turned []float32, out []uint64) {
	clear(out)
	for i, v := range turned {
		if v >= 0 {
			out[i/64] |= 1 << (i % 64)
		}
	}
}

// quantise gives the coordinates in steps of a 127th of the largest, and the
// length of what it gives.
func quantise(turned []float32) ([]int8, float32, error) {
	scale, err := scaleTo(turned, math.MaxInt8)
	if err != nil {
		return nil, 0, err
	}
	out := make([]int8, len(turned))
	var square float64
	for i, v := range turned {
		out[i] = int8(math.Round(float64(v) * scale))
		square += float64(out[i]) * float64(out[i])
	}
	return out, float32(math.Sqrt(square)), nil
}

// quantiseFine is quantise with 15 bits: of what is searched for there is no need
// to save.
func quantiseFine(turned []float32) ([]int32, float32, error) {
	scale, err := scaleTo(turned, math.MaxInt16)
	if err != nil {
		return nil, 0, err
	}
	out := make([]int32, len(turned))
	var square float64
	for i, v := range turned {
		out[i] = int32(math.Round(float64(v) * scale))
		square += float64(out[i]) * float64(out[i])
	}
	return out, float32(math.Sqrt(square)), nil
}

func scaleTo(turned []float32, largest float64) (float64, error) {
	var top float64
	for _, v := range turned {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return 0, fmt.Errorf("a vector has a coordinate that is no number")
		}
		top = max(top, math.Abs(float64(v)))
	}
	if top == 0 {
		return 0, fmt.Errorf("a vector has no length")
	}
	return largest / top, nil
}
