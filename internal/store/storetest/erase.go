package storetest

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/store/reference"
	"github.com/costprof/costprof/internal/usage"
)

// Whoever is erased is in no answer any more, no total moves, and a late retry
// brings nothing back; another project's events stay as they are.
func testErase(t *testing.T, open Opener) {
	r := rand.New(rand.NewPCG(4, 711))
	dir := t.TempDir()
	e := open(t, dir)
	recs := make([]usage.Record, 600)
	for i := range recs {
		recs[i] = random(r, i)
		if r.IntN(3) == 0 {
			recs[i] = prompted(recs[i], fmt.Sprint("question ", r.IntN(150)))
		}
		if recs[i].UserID != "" {
			recs[i].SessionID = fmt.Sprint(recs[i].UserID, "-", r.IntN(3))
		}
		if r.IntN(3) == 0 {
			recs[i].Tags = map[string]string{"team": "red", "who": []string{"ann", "bob"}[r.IntN(2)]}
		}
		recs[i].ID = recs[i].Identity()
	}
	appendAll(t, e, recs)
	sent := recs
	check := func(who store.Erasure) {
		t.Helper()
		want, n := reference.Erase(recs, who)
		if got, err := e.Erase(ctx(t), who); err != nil || got != n {
			t.Fatalf("%+v: erased from %d events, %v; want %d", who, got, err, n)
		}
		recs = want
		wantAnswers(t, e, recs)
		wantTexts(t, e, sent, recs)
		wantTotals(t, e, sent)
		if got, err := e.Erase(ctx(t), who); err != nil || got != 0 {
			t.Fatalf("%+v again: %d events, %v", who, got, err)
		}
	}
	list, err := e.ListPrompts(ctx(t), "", usage.ID{}, 60)
	if err != nil {
		t.Fatal(err)
	}
	vectors := make([]store.PromptVector, len(list))
	for i, p := range list {
		vectors[i] = store.PromptVector{Project: p.Project, ID: p.ID, Vector: []float32{1, 0}}
	}
	if _, err := e.PutVectors(ctx(t), "x", vectors); err != nil {
		t.Fatal(err)
	}
	before := ask(t, e, analytics.Query{})
	check(store.Erasure{UserID: "nobody"})
	if after := ask(t, e, analytics.Query{}); after.Revision != before.Revision {
		t.Error("an erasure of nobody changed the revision")
	}
	check(store.Erasure{UserID: "ann", Project: "shop"})
	if after := ask(t, e, analytics.Query{}); after.Revision == before.Revision {
		t.Error("an erasure left the revision as it was")
	}
	check(store.Erasure{UserID: "zoë"})
	wantAll(t, e, sent, store.Duplicate)
	wantAnswers(t, e, recs)
	compactBesideQuestions(t, e)
	wantAnswers(t, e, recs)
	wantAll(t, e, sent, store.Duplicate)
	check(store.Erasure{UserID: "ann"})
	late := call(9000, func(r *usage.Record) { r.UserID, r.Tags = "ann", map[string]string{"who": "ann"} })
	wantOutcomes(t, e, []usage.Record{late}, store.Stored) // what comes later is stored as it is sent
	mustClose(t, e)
	e = reopen(t, open, dir)
	wantAnswers(t, e, append(recs, late))
	wantAll(t, e, sent, store.Duplicate)
}

// wantTexts checks that the texts that were sent are kept while an event has them,
// and no longer.
func wantTexts(t *testing.T, e store.Engine, sent, left []usage.Record) {
	t.Helper()
	has := map[usage.ID]bool{}
	for i := range left {
		has[left[i].PromptID] = true
	}
	var texts []string
	seen := map[usage.ID]bool{}
	for i := range sent {
		if r := &sent[i]; r.Prompt != "" && has[r.PromptID] && !seen[r.PromptID] {
			seen[r.PromptID] = true
			texts = append(texts, r.Prompt)
		}
	}
	wantPrompts(t, e, "", texts...)
	vectors, err := e.ListVectors(ctx(t), "x", 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	waiting, err := e.QueueSize(ctx(t))
	if n := int(waiting) + len(vectors); err != nil || n != len(texts) {
		t.Fatalf("%d vectors and %d prompts that wait for one, %v; want %d in all", len(vectors), waiting, err, len(texts))
	}
}

// Nobody is turned away while the files are written anew.
func compactBesideQuestions(t *testing.T, e store.Engine) {
	t.Helper()
	compacted := make(chan error, 1)
	go func() { compacted <- e.Compact(ctx(t)) }()
	for {
		select {
		case err := <-compacted:
			if err != nil {
				t.Fatal(err)
			}
			return
		default:
		}
		if _, err := e.Query(ctx(t), analytics.Query{}); err != nil {
			t.Errorf("a question beside the writing anew: %v", err)
			<-compacted
			return
		}
	}
}
