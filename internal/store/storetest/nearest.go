package storetest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/usage"
)

// Clustered makes vectors as embeddings of prompts are: all within one cone, in
// topics of very different size, and within those in families of near-duplicates.
// The same seed makes the same.
func Clustered(n, dim int, seed uint64) [][]float32 {
	random := rand.New(rand.NewPCG(seed, 1))
	from := func(v []float32, length float64) []float32 {
		out := make([]float32, dim)
		copy(out, v)
		for i := range out {
			out[i] += float32(random.NormFloat64() * length / math.Sqrt(float64(dim)))
		}
		return out
	}
	cone := from(nil, 0.5)
	topics := make([][]float32, 60)
	for i := range topics {
		topics[i] = from(cone, 0.6)
	}
	out := make([][]float32, 0, n)
	for len(out) < n {
		family := from(topics[int(60*math.Pow(random.Float64(), 2.5))], 0.5)
		for range min(n-len(out), 1+int(20*math.Pow(random.Float64(), 3))) {
			out = append(out, from(family, 0.1+0.3*random.Float64()))
		}
	}
	random.Shuffle(n, func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// PutClustered stores n prompts of a project with such vectors, 1,000 at a time.
func PutClustered(t *testing.T, e store.Engine, embedder, project string, n, dim int, seed uint64) []store.PromptVector {
	t.Helper()
	out := make([]store.PromptVector, n)
	for i, v := range Clustered(n, dim, seed) {
		out[i].Vector = v
	}
	for from := 0; from < n; from += 1000 {
		part := out[from:min(from+1000, n)]
		recs := make([]usage.Record, len(part))
		for i := range part {
			recs[i] = prompted(call(int(seed)*1_000_000+from+i, func(r *usage.Record) { r.Project = project }), fmt.Sprint(project, " asks ", seed, "/", from+i))
			part[i].Project, part[i].ID = project, recs[i].PromptID
		}
		appendAll(t, e, recs)
		if _, err := e.PutVectors(ctx(t), embedder, part); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// BruteNearest compares all, of half floats as engines keep them.
func BruteNearest(list []store.PromptVector, q store.NearestQuery) []store.NearVector {
	half := func(v []float32) []float32 {
		out, _ := store.DecodeVector(store.EncodeVector(v))
		return out
	}
	asked := half(q.Vector)
	var out []store.NearVector
	for _, v := range list {
		if v.Project != q.Project || v.ID == q.Not {
			continue
		}
		var ab, aa, bb float64
		for i, x := range half(v.Vector) {
			a, b := float64(x), float64(asked[i])
			ab, aa, bb = ab+a*b, aa+a*a, bb+b*b
		}
		if s := float32(ab / math.Sqrt(aa*bb)); s >= q.Least {
			out = append(out, store.NearVector{ID: v.ID, Similarity: s})
		}
	}
	slices.SortFunc(out, func(a, b store.NearVector) int {
		switch {
		case a.Similarity > b.Similarity:
			return -1
		case a.Similarity < b.Similarity:
			return 1
		}
		return slices.Compare(a.ID[:], b.ID[:])
	})
	return out[:min(len(out), q.Limit)]
}

// Engines that search vectors themselves find what comparing all finds.
func testNearest(t *testing.T, open Opener) {
	dir := t.TempDir()
	e := open(t, dir)
	near, ok := e.(store.Nearest)
	if !ok || near.Searcher() == "" {
		mustClose(t, e)
		return
	}
	const dim = 40
	keep := func(embedder string, want int64) {
		t.Helper()
		if st, err := near.KeepNearest(ctx(t), embedder); err != nil || !st.Ready || st.Vectors != want {
			t.Fatalf("%+v, %v; want %d", st, err, want)
		}
	}
	search := func(q store.NearestQuery, list []store.PromptVector) []store.NearVector {
		t.Helper()
		got, err := near.NearestVectors(ctx(t), q)
		want := BruteNearest(list, q)
		if err != nil || len(got) != len(want) {
			t.Fatalf("%d found, %v; want %d", len(got), err, len(want))
		}
		for i := range got {
			if math.Abs(float64(got[i].Similarity-want[i].Similarity)) > 1e-5 || i > 0 && got[i].Similarity > got[i-1].Similarity {
				t.Fatalf("place %d: %+v, want %+v", i, got[i], want[i])
			}
			if at := slices.IndexFunc(list, func(v store.PromptVector) bool { return v.ID == got[i].ID }); at < 0 || got[i].ID == q.Not || list[at].Project != q.Project {
				t.Fatalf("found %s", got[i].ID)
			}
		}
		return got
	}

	// Nothing is like anything where there is nothing.
	keep("a", 0)
	ask := store.NearestQuery{Embedder: "a", Project: "shop", Vector: Clustered(1, dim, 9)[0], Limit: 10, Least: -1}
	search(ask, nil)
	list := PutClustered(t, e, "a", "shop", 300, dim, 1)
	if _, err := near.NearestVectors(ctx(t), ask); fault.CodeOf(err) != fault.Unavailable {
		t.Fatalf("before any is known: %v", err)
	}
	keep("a", 300)
	list = append(list, PutClustered(t, e, "a", "lab", 20, dim, 2)...)
	keep("a", 320)
	search(ask, list)
	search(store.NearestQuery{Embedder: "a", Project: "lab", Vector: list[0].Vector, Limit: 50, Least: -1}, list)
	search(store.NearestQuery{Embedder: "a", Project: "none", Vector: list[0].Vector, Limit: 50, Least: -1}, list)
	search(store.NearestQuery{Embedder: "b", Project: "shop", Vector: list[0].Vector, Limit: 50, Least: -1}, nil)
	search(store.NearestQuery{Embedder: "a", Project: "shop", Vector: list[0].Vector[:7], Limit: 5, Least: -1}, nil)
	for i := range 20 {
		q := store.NearestQuery{Embedder: "a", Project: "shop", Vector: list[i].Vector, Limit: 7, Least: 0.6, Not: list[i].ID}
		search(q, list)
		q.Not, q.Limit = usage.ID{}, 1
		if got := search(q, list); len(got) != 1 || got[0].ID != list[i].ID || got[0].Similarity < 0.9999 {
			t.Fatalf("like itself: %+v", got)
		}
	}

	// What is replaced is found where it is now, one without a direction nowhere.
	list[0].Vector = list[299].Vector
	list[1].Vector = make([]float32, dim)
	odd := list[2]
	odd.Vector = odd.Vector[:dim-1]
	if _, err := e.PutVectors(ctx(t), "a", []store.PromptVector{list[0], list[1], odd}); err != nil {
		t.Fatal(err)
	}
	keep("a", 319)
	list = slices.Delete(list, 2, 3)
	ask.Vector, ask.Limit = list[0].Vector, 1000
	if got, err := near.NearestVectors(ctx(t), ask); err != nil || len(got) != 298 {
		t.Fatalf("%d found, %v", len(got), err)
	}
	list = slices.Delete(list, 1, 2)
	search(ask, list)

	// It outlives the server. What is removed is not found, and what comes then is, the
	// number of a vector that was the last one being nobody else's.
	mustClose(t, e)
	e = reopen(t, open, dir)
	near = e.(store.Nearest)
	search(ask, list)
	if n, err := e.PrunePrompts(ctx(t), map[string]time.Time{"lab": epoch.AddDate(50, 0, 0)}); err != nil || n != 20 {
		t.Fatal(n, err)
	}
	list = slices.DeleteFunc(list, func(v store.PromptVector) bool { return v.Project == "lab" })
	list = append(list, PutClustered(t, e, "a", "lab", 1, dim, 3)...)
	keep("a", 300)
	search(store.NearestQuery{Embedder: "a", Project: "lab", Vector: list[0].Vector, Limit: 50, Least: -1}, list)

	// Another embedder takes over with other dimensions.
	for i := range list {
		list[i].Vector = list[i].Vector[:dim/2]
	}
	if _, err := e.PutVectors(ctx(t), "b", list); err != nil {
		t.Fatal(err)
	}
	keep("b", 299)
	ask.Embedder, ask.Vector = "b", list[0].Vector
	search(ask, list)
}
