package storetest

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/usage"
)

// wantQueue checks which prompts are due, in order, and how many wait.
func wantQueue(t *testing.T, e store.Queue, now time.Time, size int64, want ...store.QueuedPrompt) {
	t.Helper()
	got, err := e.TakeQueue(ctx(t), 1000, now)
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("due are %+v, %v; want %+v", got, err, want)
	}
	if n, err := e.QueueSize(ctx(t)); err != nil || n != size {
		t.Fatalf("%d wait, %v; want %d", n, err, size)
	}
}

func testVectors(t *testing.T, open Opener) {
	dir := t.TempDir()
	e := open(t, dir)
	shop := func(r *usage.Record) { r.Project = "shop" }
	recs := []usage.Record{prompted(call(0), "one"), prompted(call(1), "two"), prompted(call(2), "one"), prompted(call(3, shop), "three"), call(4)}
	hidden := prompted(call(5), "not kept")
	hidden.Prompt = ""
	appendAll(t, e, append(recs, hidden))
	queued := func(r usage.Record, text string, attempts int) store.QueuedPrompt {
		return store.QueuedPrompt{Project: r.Project, ID: r.PromptID, Text: text, Attempts: attempts}
	}
	one, two, three := queued(recs[0], "one", 0), queued(recs[1], "two", 0), queued(recs[3], "three", 0)
	first := []store.QueuedPrompt{one, two}
	slices.SortFunc(first, func(a, b store.QueuedPrompt) int { return slices.Compare(a.ID[:], b.ID[:]) })
	now := epoch.AddDate(1, 0, 0)
	wantQueue(t, e, now, 3, append(first, three)...)
	if some, err := e.TakeQueue(ctx(t), 1, now); err != nil || !slices.Equal(some, first[:1]) {
		t.Fatalf("took %+v, %v", some, err)
	}

	// What is put off waits behind the others, and outlives the server.
	later := now.Add(time.Hour)
	if err := e.PutAttempts(ctx(t), []store.Attempt{
		{Project: one.Project, ID: one.ID, Attempts: 3, NotBefore: later}, {Project: "default", ID: usage.ID{7}, Attempts: 1},
	}); err != nil {
		t.Fatal(err)
	}
	if err := e.PutAttempts(ctx(t), nil); err != nil {
		t.Fatal(err)
	}
	one.Attempts = 3
	mustClose(t, e)
	e = reopen(t, open, dir)
	wantQueue(t, e, later.Add(-time.Microsecond), 3, two, three)
	wantQueue(t, e, later, 3, two, three, one)

	vector := func(q store.QueuedPrompt, seed float64, dim int) store.PromptVector {
		v := store.PromptVector{Project: q.Project, ID: q.ID, Vector: make([]float32, dim)}
		for i := range v.Vector {
			v.Vector[i] = float32(math.Sin(seed + float64(i)))
		}
		return v
	}
	put := func(embedder string, want []bool, vectors ...store.PromptVector) {
		t.Helper()
		if got, err := e.PutVectors(ctx(t), embedder, vectors); err != nil || !slices.Equal(got, want) {
			t.Fatalf("PutVectors: %v, %v; want %v", got, err, want)
		}
	}
	list := func(embedder string, want ...store.PromptVector) (seqs []int64) {
		t.Helper()
		var after int64
		for {
			page, err := e.ListVectors(ctx(t), embedder, after, 1)
			if err != nil {
				t.Fatal(err)
			}
			if len(page) == 0 {
				break
			}
			got := page[0]
			if got.Seq <= after {
				t.Fatalf("%d after %d", got.Seq, after)
			}
			after, seqs = got.Seq, append(seqs, got.Seq)
			i := slices.IndexFunc(want, func(w store.PromptVector) bool { return w.ID == got.ID })
			if i < 0 || want[i].Project != got.Project {
				t.Fatalf("a vector of %s in %s, or it came twice", got.ID, got.Project)
			}
			wantVector(t, got.Vector, want[i].Vector)
			alone, err := e.GetVectors(ctx(t), []usage.ID{{8}, got.ID}, embedder)
			if err != nil || len(alone) != 1 {
				t.Fatal(len(alone), err)
			}
			wantVector(t, alone[got.ID], want[i].Vector)
			want = slices.Delete(slices.Clone(want), i, i+1)
		}
		if len(want) > 0 {
			t.Fatalf("%d vectors did not come", len(want))
		}
		return seqs
	}
	gone := store.QueuedPrompt{Project: "default", ID: usage.ID{9}}
	put("a", nil)
	put("a", []bool{true, false, true}, vector(two, 1, 5), vector(gone, 2, 5), vector(three, 3, 5))
	wantQueue(t, e, later, 1, one)
	list("a", vector(two, 1, 5), vector(three, 3, 5))
	list("b")
	if got, err := e.GetVectors(ctx(t), []usage.ID{two.ID}, "b"); err != nil || len(got) != 0 {
		t.Fatalf("of another embedder: %v, %v", got, err)
	}
	if got, err := e.GetVectors(ctx(t), nil, "a"); err != nil || len(got) != 0 {
		t.Fatal(got, err)
	}
	// One that is replaced comes again, to those who know it already.
	put("a", []bool{true}, vector(two, 4, 5))
	if seqs := list("a", vector(two, 4, 5), vector(three, 3, 5)); len(seqs) != 2 {
		t.Fatal(seqs)
	}

	// Another embedder has everything to do, once.
	requeue := func(embedder string, want int64) {
		t.Helper()
		if n, err := e.Requeue(ctx(t), embedder); err != nil || n != want {
			t.Fatalf("Requeue: %d, %v; want %d", n, err, want)
		}
	}
	requeue("a", 0)
	requeue("b", 2)
	requeue("b", 0)
	wantQueue(t, e, now, 3, two, three)
	put("b", []bool{true, true, true}, vector(one, 1, 1536), vector(two, 2, 1536), vector(three, 3, 1536))
	list("a")
	mustClose(t, e)
	e = reopen(t, open, dir)
	list("b", vector(one, 1, 1536), vector(two, 2, 1536), vector(three, 3, 1536))
	wantQueue(t, e, later, 0)

	// With the text goes what was made of it; what comes again is queued again.
	requeue("c", 3)
	if n, err := e.PrunePrompts(ctx(t), map[string]time.Time{"default": now}); err != nil || n != 2 {
		t.Fatal(n, err)
	}
	wantQueue(t, e, later, 1, three)
	list("b", vector(three, 3, 1536))
	put("b", []bool{false}, vector(two, 2, 1536))
	appendAll(t, e, []usage.Record{prompted(call(20), "two")})
	wantQueue(t, e, later, 2, two, three)
}

func wantVector(t *testing.T, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("a vector of %d coordinates, want %d", len(got), len(want))
	}
	for i := range got {
		if math.Abs(float64(got[i]-want[i])) > 0.001 {
			t.Fatalf("coordinate %d is %v, want %v", i, got[i], want[i])
		}
	}
}

func testPromptUses(t *testing.T, open Opener) {
	e := fresh(t, open)
	shop := func(r *usage.Record) { r.Project = "shop" }
	feature := func(name string) func(r *usage.Record) { return func(r *usage.Record) { r.Feature = name } }
	dear := func(r *usage.Record) { r.Classes = [usage.NumClasses]money.USD{usage.ClassOutput: money.Max} }
	sums := func(r *usage.Record) { r.Aggregate = true }
	recs := []usage.Record{
		prompted(call(0, feature("a"), dear), "one"), prompted(call(1, feature("b"), dear), "one"), prompted(call(2, feature("a"), sums), "one"),
		prompted(call(3, feature("a")), "two"), prompted(call(4, shop, feature("a")), "one"), call(5, feature("a")),
	}
	appendAll(t, e, recs)
	use := func(calls int64, cost money.Total, last usage.Record) store.PromptUse {
		return store.PromptUse{ID: last.PromptID, Calls: calls, Cost: cost, Event: last.ID, Feature: last.Feature, Model: last.ModelID, Last: last.Timestamp}
	}
	ids := []usage.ID{recs[0].PromptID, recs[3].PromptID, recs[4].PromptID, {1}}
	check := func(ids []usage.ID, f analytics.Filter, want ...store.PromptUse) {
		t.Helper()
		slices.SortFunc(want, func(a, b store.PromptUse) int { return slices.Compare(a.ID[:], b.ID[:]) })
		got, err := e.PromptUses(ctx(t), ids, f)
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("PromptUses: %+v, %v; want %+v", got, err, want)
		}
	}
	of := func(d analytics.Dimension, name string) analytics.Filter {
		return analytics.Filter{Any: map[analytics.Dimension][]string{d: {name}}}
	}
	both := money.TotalOf(recs[0].Total()).Add(recs[1].Total())
	one, two, other := use(2, both, recs[1]), use(1, money.TotalOf(recs[3].Total()), recs[3]), use(1, money.TotalOf(recs[4].Total()), recs[4])
	check(ids, analytics.Filter{}, one, two, other)
	check(ids[:1], analytics.Filter{}, one)
	check(nil, analytics.Filter{})
	check(ids, of(analytics.Project, "shop"), other)
	check(ids, of(analytics.Feature, "a"), use(1, money.TotalOf(recs[0].Total()), recs[0]), two, other)
	check(ids, of(analytics.Feature, "none"))
	check(ids, analytics.Filter{From: recs[3].Timestamp}, two, other)
}
