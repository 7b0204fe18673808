// Package index finds the vectors that are most alike a given one, in memory. It
// knows nothing of texts, embedders and stores.
//
// A vector is turned by a fixed random rotation, after which each of its
// coordinates tells about as much as the others. Of the turned vector the signs
// are kept, and its coordinates in 8 bits. A search compares the first signs with those of all
// vectors of the project, all signs with those of the part that came nearest, and
// then the 8-bit coordinates of the few that came nearest of these.
package index

import (
	"cmp"
	"errors"
	"fmt"
	"math"
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
	// coarseWords are the words of signs that are compared with all vectors: what a
	// search costs is the memory that it reads. All signs are compared with coarsePer
	// as many vectors as have their coordinates compared, or with one of coarsePart.
	coarseWords, coarsePer, coarsePart = 8, 5, 40
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
	// Vector is what the others shall be like; nil stands for that of ID, which is
	// then left out.
	Vector []float32
	ID     usage.ID
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
	words := signs(turned)
	x.mu.Lock()
	defer x.mu.Unlock()
	s := x.projects[project]
	if s == nil {
		s = newShard(x.rotation.size)
		x.projects[project] = s
	}
	slot, known := s.slots[id]
	if !known {
		slot = s.grow(id)
		x.count++
	}
	copy(s.codes.row(slot), codes)
	copy(s.coarse.row(slot), words)
	copy(s.fine.row(slot), words[s.coarse.width:])
	s.norms[slot] = norm
	return nil
}

// Find gives the project in which there is a vector of this id: the given one, or
// with "" any.
func (x *Index) Find(project string, id usage.ID) (in string, ok bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if project != "" {
		s := x.projects[project]
		if s != nil {
			_, ok = s.slots[id]
		}
		return project, ok
	}
	for in, s := range x.projects {
		if _, ok := s.slots[id]; ok {
			return in, true
		}
	}
	return "", false
}

// Has says whether there is a vector of this project and id.
func (x *Index) Has(project string, id usage.ID) bool {
	_, ok := x.Find(project, id)
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

// ErrUnknown says that there is no vector of the project and id that a query names.
var ErrUnknown = errors.New("there is no such vector")

// Search gives the most similar vectors, most similar first, then by id. Which
// they are is right for about 99 of 100 (docs/prompts.md); a vector that is the same is always found.
func (x *Index) Search(q Query) ([]Match, error) {
	var t target
	if q.Vector != nil {
		if len(q.Vector) != x.dim {
			return nil, fmt.Errorf("a vector of %d coordinates in an index of %d", len(q.Vector), x.dim)
		}
		turned := x.rotation.turn(q.Vector)
		var err error
		if t.codes, t.norm, err = quantiseFine(turned); err != nil {
			return nil, err
		}
		t.words = signs(turned)
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	s := x.projects[q.Project]
	accept := q.Accept
	if q.Vector == nil {
		if s == nil {
			return nil, ErrUnknown
		}
		slot, ok := s.slots[q.ID]
		if !ok {
			return nil, ErrUnknown
		}
		t = s.target(slot)
		accept = func(id usage.ID) bool { return id != q.ID && (q.Accept == nil || q.Accept(id)) }
	}
	if s == nil {
		return nil, nil
	}
	var found []Match
	for _, slot := range s.nearest(x, t, max(candidates, candidatesPer*q.Limit), accept) {
		m := Match{s.ids[slot], t.similarity(s.codes.row(int(slot)), s.norms[slot])}
		if m.Similarity >= q.Least {
			found = append(found, m)
		}
	}
	slices.SortFunc(found, func(a, b Match) int {
		return cmp.Or(cmp.Compare(b.Similarity, a.Similarity), slices.Compare(a.ID[:], b.ID[:]))
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

// quantise gives the coordinates in steps of a 127th of the largest, and the
// length of what it gives.
func quantise(turned []float32) ([]int8, float32, error) {
	scale, err := scaleTo(turned, math.MaxInt8)
	if err != nil {
		return nil, 0, err
	}
	out := make([]int8, len(turned))
	var square int64
	for i, v := range turned {
		// Cutting off rounds where nothing is below zero.
		n := int32(v*scale+(1<<7+0.5)) - 1<<7
		out[i] = int8(n)
		square += int64(n) * int64(n)
	}
	return out, float32(math.Sqrt(float64(square))), nil
}

// quantiseFine is quantise with 15 bits: of what is searched for there is no need
// to save.
func quantiseFine(turned []float32) ([]int32, float32, error) {
	scale, err := scaleTo(turned, math.MaxInt16)
	if err != nil {
		return nil, 0, err
	}
	out := make([]int32, len(turned))
	var square int64
	for i, v := range turned {
		n := int32(v*scale+(1<<15+0.5)) - 1<<15
		out[i] = n
		square += int64(n) * int64(n)
	}
	return out, float32(math.Sqrt(float64(square))), nil
}

func scaleTo(turned []float32, largest float32) (float32, error) {
	// Without their sign floats are in the order of their bits, infinity behind all
	// and what is no number behind that.
	var bits uint32
	for _, v := range turned {
		bits = max(bits, math.Float32bits(v)&^(1<<31))
	}
	top := math.Float32frombits(bits)
	switch {
	case bits >= math.Float32bits(float32(math.Inf(1))):
		return 0, fmt.Errorf("a vector has a coordinate that is no number")
	case top < 1e-30: // or what is divided by it would not be finite
		return 0, fmt.Errorf("a vector has no length")
	}
	return largest / top, nil
}
