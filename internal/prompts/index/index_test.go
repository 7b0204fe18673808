package index

import (
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
	"sync"
	"testing"
	"time"

	"github.com/costprof/costprof/internal/usage"
)

func id(n int) (out usage.ID) {
	binary.BigEndian.PutUint64(out[8:], uint64(n))
	return out
}

func number(id usage.ID) int { return int(binary.BigEndian.Uint64(id[8:])) }

// clustered makes vectors as embeddings of prompts are: all within one cone,
// grouped by topics of very different size, and within those in families of
// near-duplicates.
func clustered(n, dim int, seed uint64) [][]float32 {
	random := rand.New(rand.NewPCG(seed, 1))
	direction := func(length float64) []float32 {
		v := make([]float32, dim)
		for i := range v {
			v[i] = float32(random.NormFloat64() * length / math.Sqrt(float64(dim)))
		}
		return v
	}
	add := func(a []float32, b []float32) []float32 {
		out := slices.Clone(a)
		for i := range out {
			out[i] += b[i]
		}
		return out
	}
	cone := direction(0.5)
	topics := make([][]float32, 60)
	for i := range topics {
		topics[i] = add(cone, direction(0.6))
	}
	out := make([][]float32, 0, n)
	for len(out) < n {
		topic := topics[int(float64(len(topics))*math.Pow(random.Float64(), 2.5))]
		family := add(topic, direction(0.5))
		for range min(n-len(out), 1+int(20*math.Pow(random.Float64(), 3))) {
			v := add(family, direction(0.1+0.3*random.Float64()))
			out = append(out, v)
		}
	}
	random.Shuffle(n, func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

func exact(a, b []float32) float64 {
	var ab, aa, bb float64
	for i := range a {
		x, y := float64(a[i]), float64(b[i])
		ab, aa, bb = ab+x*y, aa+x*x, bb+y*y
	}
	return ab / math.Sqrt(aa*bb)
}

// Recall is measured against brute force, at the dimensions of models in use.
func TestRecall(t *testing.T) {
	const n, queries, k = 6000, 40, 10
	for _, dim := range []int{256, 1024, 1536} {
		vectors := clustered(n+queries, dim, uint64(dim))
		x := New(dim)
		for i, v := range vectors[:n] {
			if err := x.Put("p", id(i), v); err != nil {
				t.Fatal(err)
			}
		}
		hits, off := 0, 0.0
		for _, q := range vectors[n:] {
			all := make([]float64, n)
			order := make([]int, n)
			for i := range all {
				all[i], order[i] = exact(q, vectors[i]), i
			}
			sort.Slice(order, func(i, j int) bool { return all[order[i]] > all[order[j]] })
			found, err := x.Search(Query{Project: "p", Vector: q, Limit: k, Least: -1})
			if err != nil || len(found) != k {
				t.Fatal(len(found), err)
			}
			for i, m := range found {
				if slices.Contains(order[:k], number(m.ID)) {
					hits++
				}
				if i > 0 && m.Similarity > found[i-1].Similarity {
					t.Error("not in order")
				}
				off = max(off, math.Abs(float64(m.Similarity)-all[number(m.ID)]))
			}
		}
		// The same for vectors that are there, by their id.
		byID := 0
		for q := range queries {
			all := make([]float64, n)
			for i := range all {
				all[i] = exact(vectors[q], vectors[i])
			}
			sorted := slices.Sorted(slices.Values(all)) // the last is itself
			found, err := x.Search(Query{Project: "p", ID: id(q), Limit: k, Least: -1})
			if err != nil || len(found) != k {
				t.Fatal(len(found), err)
			}
			for _, m := range found {
				if m.ID == id(q) {
					t.Error("it is found itself")
				}
				if all[number(m.ID)] >= sorted[n-1-k] {
					byID++
				}
				off = max(off, math.Abs(float64(m.Similarity)-all[number(m.ID)]))
			}
		}
		if recall := float64(byID) / (queries * k); recall < 0.95 {
			t.Errorf("recall %.3f by id, want 0.95 at least", recall)
		} else {
			t.Logf("%d vectors of %d coordinates: recall@%d %.3f by id", n, dim, k, recall)
		}
		recall := float64(hits) / (queries * k)
		t.Logf("%d vectors of %d coordinates: recall@%d %.3f, similarity off by at most %.4f", n, dim, k, recall, off)
		if recall < 0.95 || off > 0.01 {
			t.Errorf("recall %.3f, want 0.95 at least; similarity off by %.4f, want 0.01 at most", recall, off)
		}
	}
}

func TestPutDeleteAndSearch(t *testing.T) {
	const n, dim = 3000, 70
	vectors := clustered(n, dim, 7)
	x := New(dim)
	for i, v := range vectors {
		for range 2 { // again replaces
			if err := x.Put("p", id(i), v); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = x.Put("other", id(0), vectors[1])
	for i := 0; i < n; i += 3 {
		x.Delete("p", id(i))
		x.Delete("p", id(i))
	}
	x.Delete("nobody", id(1))
	if got, want := x.Len(), n-n/3+1; got != want {
		t.Fatalf("%d vectors, want %d", got, want)
	}
	for i := range 300 {
		found, err := x.Search(Query{Project: "p", Vector: vectors[i], Limit: 3, Least: 0.99})
		if err != nil {
			t.Fatal(err)
		}
		here := slices.ContainsFunc(found, func(m Match) bool { return m.ID == id(i) })
		if gone := i%3 == 0; here == gone || x.Has("p", id(i)) == gone {
			t.Fatalf("vector %d: found %v, removed %v", i, here, gone)
		}
		for _, m := range found {
			if m.Similarity < 0.99 {
				t.Fatal("below what was asked for")
			}
		}
	}
	// Only what is accepted is found, however far away it is.
	found, _ := x.Search(Query{Project: "p", Vector: vectors[1], Limit: 5, Least: -1, Accept: func(id usage.ID) bool { return number(id)%1000 == 2 }})
	if len(found) != 2 {
		t.Errorf("%d found, want the 2 of 3 accepted ones that were not removed", len(found))
	}
	if found, _ := x.Search(Query{Project: "other", Vector: vectors[0], Limit: 9, Least: -1}); len(found) != 1 {
		t.Errorf("%d found in a project with one vector", len(found))
	}
	for i := range n {
		x.Delete("p", id(i))
	}
	if found, err := x.Search(Query{Project: "p", Vector: vectors[0], Limit: 9, Least: -1}); err != nil || found != nil || x.Len() != 1 {
		t.Error(found, err, x.Len())
	}
}

func TestBadVectors(t *testing.T) {
	x := New(3)
	nan := float32(math.NaN())
	for name, v := range map[string][]float32{"infinite": {1, 2, float32(math.Inf(-1))}, "next to nothing": {0, 1e-40, 0}, "short": {1, 2}, "long": {1, 2, 3, 4}, "none": {}, "zero": {0, 0, 0}, "no number": {1, nan, 2}} {
		if err := x.Put("p", id(1), v); err == nil {
			t.Errorf("%s is taken", name)
		}
		if _, err := x.Search(Query{Project: "p", Vector: v, Limit: 1}); err == nil {
			t.Errorf("%s is searched for", name)
		}
	}
	if x.Len() != 0 {
		t.Error("something was kept")
	}
	if _, err := x.Search(Query{Project: "p", ID: id(1), Limit: 1}); !errors.Is(err, ErrUnknown) {
		t.Errorf("an id that is not there: %v", err)
	}
}

func TestAtOnce(t *testing.T) {
	const dim = 64
	vectors := clustered(2000, dim, 3)
	x := New(dim)
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := w; i < len(vectors); i += 4 {
				_ = x.Put("p", id(i), vectors[i])
				if i%5 == 0 {
					x.Delete("p", id(i-i%4))
				}
				if found, err := x.Search(Query{Project: "p", Vector: vectors[i], Limit: 2}); err != nil || len(found) > 2 {
					t.Error(len(found), err)
				}
			}
		})
	}
	wg.Wait()
}

// The turn keeps angles: it is a rotation.
func TestTurnKeepsAngles(t *testing.T) {
	for _, dim := range []int{1, 63, 64, 100, 384, 1536, 3072} {
		v := clustered(2, dim, 5)
		r := newRotation(dim)
		if got, want := exact(r.turn(v[0]), r.turn(v[1])), exact(v[0], v[1]); math.Abs(got-want) > 1e-4 {
			t.Errorf("%d coordinates: cosine %v after, %v before", dim, got, want)
		}
	}
}

// The bar of the contract: the slowest of 20 searches below 20 ms on one core.
// Each of the 2,000 vectors searched for has 50 neighbours that are about as far
// from it as each other, which makes the right ten of them hard to tell.
func BenchmarkSearch100k(b *testing.B) {
	const n, dim, queries, k = 100_000, 1536, 20, 10
	base := clustered(2000, dim, 9)
	v := make([]float32, dim)
	vector := func(i int) []float32 {
		random := rand.New(rand.NewPCG(1, uint64(i)))
		length := 0.002 + 0.008*random.Float64()
		for j, from := range base[i%len(base)] {
			v[j] = from + float32(random.NormFloat64()*length)
		}
		return v
	}
	x := New(dim)
	for i := range n {
		if err := x.Put("p", id(i), vector(i)); err != nil {
			b.Fatal(err)
		}
	}
	var took []time.Duration
	for i := 0; b.Loop(); i++ {
		from := time.Now()
		if _, err := x.Search(Query{Project: "p", Vector: base[i%len(base)], Limit: k, Least: 0.5}); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(from))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)*95/100].Microseconds())/1000, "p95-ms")
	b.ReportMetric(float64(x.Bytes())/n, "B/vector")

	var all [queries][n]float32
	for i := range n {
		v := vector(i)
		for q := range all {
			all[q][i] = float32(exact(base[q], v))
		}
	}
	hits := 0
	for q := range all {
		found, _ := x.Search(Query{Project: "p", Vector: base[q], Limit: k, Least: -1})
		sorted := slices.Sorted(slices.Values(all[q][:]))
		for _, m := range found {
			if all[q][number(m.ID)] >= sorted[n-k] {
				hits++
			}
		}
	}
	b.ReportMetric(float64(hits)/(queries*k), "recall@10")
}
