package storetest

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/usage"
)

// ask for a prompt's text.
func wantPrompt(t *testing.T, e store.Prompts, r usage.Record, text string) {
	t.Helper()
	for _, project := range []string{r.Project, ""} {
		p, err := store.GetPrompt(ctx(t), e, project, r.PromptID)
		want := store.Prompt{ID: r.PromptID, Project: r.Project, Text: text}
		if err != nil || p != want {
			t.Fatalf("GetPrompt: %+v, %v; want %+v", p, err, want)
		}
	}
	if _, err := store.GetPrompt(ctx(t), e, r.Project+"x", r.PromptID); fault.CodeOf(err) != fault.NotFound {
		t.Fatalf("of another project: %v", err)
	}
}

func wantNoPrompt(t *testing.T, e store.Prompts, r usage.Record) {
	t.Helper()
	if p, err := store.GetPrompt(ctx(t), e, r.Project, r.PromptID); fault.CodeOf(err) != fault.NotFound {
		t.Fatalf("GetPrompt: %+v, %v; want none", p, err)
	}
}

// wantPrompts checks which texts are kept of a project, "" being all.
func wantPrompts(t *testing.T, e store.Prompts, project string, texts ...string) {
	t.Helper()
	list, err := e.ListPrompts(ctx(t), project, usage.ID{}, 1000)
	if err != nil {
		t.Fatal(err)
	}
	got := []string{}
	for _, p := range list {
		got = append(got, p.Text)
	}
	if slices.Sort(got); !slices.Equal(got, slices.Sorted(slices.Values(texts))) {
		t.Fatalf("the ledger keeps %q of %q, want %q", got, project, texts)
	}
}

func testPrompts(t *testing.T, open Opener) {
	dir := t.TempDir()
	e := open(t, dir)
	long := strings.Repeat("lang und 漢字 'quoted'\n\t\\", 4000)
	shop := func(r *usage.Record) { r.Project = "shop" }
	recs := []usage.Record{
		prompted(call(0), "hello"), prompted(call(1), "hello"), prompted(call(2), "hello"), call(3),
		prompted(call(4, shop), "hello"), prompted(call(5), long),
	}
	hidden := prompted(call(6), "not for keeping")
	hidden.Prompt = ""
	recs = append(recs, hidden)
	wantAll(t, e, recs, store.Stored)
	wantAll(t, e, recs, store.Duplicate)
	if recs[0].PromptID == recs[4].PromptID {
		t.Fatal("two projects share an id")
	}
	check := func() {
		t.Helper()
		wantPrompt(t, e, recs[0], "hello")
		wantPrompt(t, e, recs[4], "hello")
		wantPrompt(t, e, recs[5], long)
		wantNoPrompt(t, e, hidden)
		wantNoPrompt(t, e, call(3))
		wantPrompts(t, e, "default", "hello", long)
		wantPrompts(t, e, "shop", "hello")
		wantPrompts(t, e, "", "hello", "hello", long)
		wantPrompts(t, e, "nobody")
		wantAnswers(t, e, recs) // each has its id and length
	}
	check()
	// Another batch, and a writer that does not remember.
	again := prompted(call(7), "hello")
	wantAll(t, e, []usage.Record{again}, store.Stored)
	recs = append(recs, again)
	check()
	mustClose(t, e)
	e = reopen(t, open, dir)
	check()
	more := []usage.Record{prompted(call(8), "hello"), prompted(call(9), "new")}
	wantAll(t, e, more, store.Stored)
	wantPrompts(t, e, "default", "hello", long, "new")
	// What was not kept before is from now on, for the events from before too.
	kept := prompted(call(10), "not for keeping")
	wantAll(t, e, []usage.Record{kept}, store.Stored)
	wantPrompt(t, e, hidden, "not for keeping")

	// What is not stored has no text either.
	own := func(r *usage.Record) { r.EventID = "own" }
	wantOutcomes(t, e, []usage.Record{prompted(call(11, own), "first")}, store.Stored)
	wantOutcomes(t, e, []usage.Record{prompted(call(12, own), "second")}, store.Conflict)
	wantPrompts(t, e, "default", "hello", long, "new", "not for keeping", "first")
}

func testPromptPages(t *testing.T, open Opener) {
	e := fresh(t, open)
	want := map[string]bool{}
	var recs []usage.Record
	for i := range 250 {
		text := strings.Repeat("x", i+1)
		recs = append(recs, prompted(call(i), text))
		want[text] = true
	}
	appendAll(t, e, recs)
	var after usage.ID
	for {
		page, err := e.ListPrompts(ctx(t), "default", after, 100)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, p := range page {
			if string(p.ID[:]) <= string(after[:]) || !want[p.Text] {
				t.Fatalf("%s after %s, or it came twice", p.ID, after)
			}
			delete(want, p.Text)
			after = p.ID
		}
	}
	if len(want) > 0 {
		t.Fatalf("%d did not come", len(want))
	}
}

func testPrunePrompts(t *testing.T, open Opener) {
	dir := t.TempDir()
	e := open(t, dir)
	shop := func(r *usage.Record) { r.Project = "shop" }
	recs := []usage.Record{
		prompted(call(0), "old"), prompted(call(1), "both"), prompted(call(2, shop), "old"), prompted(call(3), "edge"),
		prompted(call(10), "both"), prompted(call(11), "young"),
	}
	appendAll(t, e, recs)
	prune := func(before map[string]time.Time, want int64) {
		t.Helper()
		if n, err := e.PrunePrompts(ctx(t), before); err != nil || n != want {
			t.Fatalf("PrunePrompts: %d, %v; want %d", n, err, want)
		}
	}
	prune(nil, 0)
	prune(from(recs[0].Timestamp), 0)
	prune(map[string]time.Time{"nobody": recs[5].Timestamp}, 0)
	prune(from(recs[3].Timestamp), 1)
	wantPrompts(t, e, "default", "both", "edge", "young")
	prune(from(recs[3].Timestamp.Add(time.Microsecond)), 1)
	wantPrompts(t, e, "default", "both", "young")
	wantPrompts(t, e, "shop", "old")
	wantAnswers(t, e, recs) // the events stay as they are
	wantNoPrompt(t, e, recs[0])

	// A prompt that comes again is kept again.
	again := prompted(call(20), "old")
	appendAll(t, e, []usage.Record{again})
	recs = append(recs, again)
	wantPrompt(t, e, recs[0], "old")
	mustClose(t, e)
	e = reopen(t, open, dir)
	wantPrompts(t, e, "", "both", "young", "old", "old")
	prune(map[string]time.Time{"default": epoch.AddDate(1, 0, 0), "shop": epoch.AddDate(1, 0, 0)}, 4)
	wantPrompts(t, e, "")
	wantAnswers(t, e, recs)
}
