package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/pricing"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/store/reference"
	"github.com/costprof/costprof/internal/usage"
)

// Mover says how a ledger becomes another one.
type Mover struct {
	Open Opener
	// Move dumps one ledger and loads it into the one at dir, which nobody has
	// open.
	Move func(t *testing.T, from store.Dumper, dir string, force bool) error
}

// Move fills a ledger with everything that it can store, moves it, and holds the
// other one to the same answers, and to going on as the first would.
func Move(t *testing.T, open Opener, to Mover) {
	r := rand.New(rand.NewPCG(31, 2026))
	from := fresh(t, open)
	recs := make([]usage.Record, 1500)
	for i := range recs {
		recs[i] = random(r, i)
		if recs[i].EventID != "" && i%2 == 0 {
			// What is not kept is part of what tells a retry from a conflict.
			recs[i].Prompt, recs[i].TimestampDefaulted = "who was it?", true
		}
	}
	for at := 0; at < len(recs); at += 250 {
		appendAll(t, from, recs[at:at+250])
	}
	c := store.Correction{Reason: "backfill b_1", At: epoch.Add(time.Hour)}
	for i := range recs {
		if i%11 == 3 {
			now := usage.Costing{Source: usage.SourceCatalog, PriceID: "p_9", CacheSaving: -3}
			now.Classes[usage.ClassOutput] = 4711
			c.Changes = append(c.Changes, change(recs[i], now))
			recs[i].Costing = now
		} else if i%11 == 5 && !recs[i].Aggregate {
			c.Marks = append(c.Marks, keyOf(recs[i]))
			recs[i].Aggregate = true
		}
	}
	if _, err := from.Correct(ctx(t), c); err != nil {
		t.Fatal(err)
	}
	fillCatalog(t, from)
	queued, err := from.TakeQueue(ctx(t), 100, epoch.AddDate(50, 0, 0))
	if err != nil || len(queued) < 4 {
		t.Fatalf("%d prompts wait for a vector, %v; the test needs some", len(queued), err)
	}
	vectors, ids := make([]store.PromptVector, len(queued)/2), make([]usage.ID, len(queued)/2)
	for i := range vectors { // the others still wait where they are moved to
		ids[i] = queued[i].ID
		vectors[i] = store.PromptVector{Project: queued[i].Project, ID: queued[i].ID, Vector: []float32{0.5, -0.25, float32(i)}}
	}
	if _, err := from.PutVectors(ctx(t), "moved", vectors); err != nil {
		t.Fatal(err)
	}

	dir := t.TempDir()
	if err := to.Move(t, from, dir, false); err != nil {
		t.Fatalf("move: %v", err)
	}
	e := to.Open(t, dir)
	same := func(when string) {
		t.Helper()
		wantAnswers(t, e, recs)
		for i := range 60 {
			q := randomQuery(r)
			if d := diffTables(reference.Query(recs, q), ask(t, e, q)); d != "" {
				t.Fatalf("%s, question %d: %+v (-reference +engine):\n%s", when, i, q, d)
			}
		}
		checkBloat(t, e, recs, analytics.BloatQuery{MinRatio: 1500, MinCalls: 2, Limit: 20})
	}
	same("moved")
	for i := 3; i < 300; i += 2 {
		key := reference.Key(&recs[i])
		want, err := from.History(ctx(t), key)
		if err != nil {
			t.Fatal(err)
		}
		got, err := e.History(ctx(t), key)
		if d := diff(want, got); err != nil || d != "" {
			t.Fatalf("history: %v (-from +to):\n%s", err, d)
		}
	}
	sameCatalog(t, from, e)
	if got, err := e.GetVectors(ctx(t), ids, "moved"); err != nil || len(got) != len(vectors) || !slices.Equal(got[ids[1]], vectors[1].Vector) {
		t.Fatalf("vectors: %v, %v", got, err)
	}
	if n, err := e.QueueSize(ctx(t)); err != nil || n == 0 {
		t.Fatalf("%d prompts wait for a vector, %v", n, err)
	}

	// A retry is still one, also of what is known by more than its identity.
	wantAll(t, e, recs, store.Duplicate)
	other := slices.Clone(recs)
	other = slices.DeleteFunc(other, func(r usage.Record) bool { return r.EventID == "" })
	for i := range other {
		other[i].Prompt += "another"
	}
	wantAll(t, e, other, store.Conflict)
	more := make([]usage.Record, 300)
	for i := range more {
		more[i] = random(r, len(recs)+i)
		more[i].Tags = map[string]string{"team": fmt.Sprint(i % 50)}
		more[i].Feature = fmt.Sprintf("new %d", i%20)
	}
	before := ask(t, e, analytics.Query{})
	appendAll(t, e, more)
	recs = append(recs, more...)
	same("moved and gone on")
	if got := ask(t, e, analytics.Query{}); got.AsOf <= before.AsOf {
		t.Fatalf("as of %d after an append, %d before", got.AsOf, before.AsOf)
	}
	if h, err := e.Ping(ctx(t)); err != nil || h.Degraded != "" || h.Events != int64(len(recs)) {
		t.Fatalf("health %+v, %v; want %d events", h, err, len(recs))
	}
	mustClose(t, e)

	// One that is not empty is kept, unless asked.
	small := fresh(t, open)
	few := calls(7)
	appendAll(t, small, few)
	if err := to.Move(t, small, dir, false); fault.CodeOf(err) != fault.Conflict {
		t.Fatalf("a ledger that is not empty: %v, want a conflict", err)
	}
	broken := errors.New("torn")
	if err := to.Move(t, tornDump{small, broken}, dir, true); !errors.Is(err, broken) {
		t.Fatalf("a dump that breaks off: %v", err)
	}
	e = to.Open(t, dir)
	same("kept")
	if err := to.Move(t, small, dir, true); fault.CodeOf(err) != fault.Conflict {
		t.Fatalf("a ledger in use: %v, want a conflict", err)
	}
	mustClose(t, e)
	if err := to.Move(t, small, dir, true); err != nil {
		t.Fatalf("replace: %v", err)
	}
	e = reopen(t, to.Open, dir)
	wantAnswers(t, e, few)
	sameCatalog(t, small, e)
	wantAll(t, e, few, store.Duplicate)
	appendAll(t, e, more)
	wantAnswers(t, e, append(few, more...))
}

// tornDump breaks off after some rows.
type tornDump struct {
	store.Dumper
	err error
}

// Dump implements store.Dumper.
func (d tornDump) Dump(ctx context.Context, to store.Sink) error {
	left := 6
	return d.Dumper.Dump(ctx, tornSink{to, &left, d.err})
}

type tornSink struct {
	store.Sink
	left *int
	err  error
}

func (s tornSink) Row(values []any) error {
	if *s.left--; *s.left < 0 {
		return s.err
	}
	return s.Sink.Row(values)
}

func fillCatalog(t *testing.T, e store.Catalog) {
	t.Helper()
	kept := key("k_2", time.Hour)
	kept.Previous, kept.PreviousUntil, kept.Expires = [32]byte{7, 8}, epoch.Add(time.Hour), epoch.Add(2*time.Hour)
	for _, err := range []error{
		e.PutVersions(ctx(t), []pricing.Version{version("p_1"), version("p_9")}),
		e.ReplacePrices(ctx(t), nil, []pricing.Own{own("b"), own("a")}, entry("prices.put")),
		e.ReplaceList(ctx(t), 0, []byte(`{"a\tb": "ü\n\\."}`), entry("prices.list")),
		e.PutRun(ctx(t), store.Run{ID: "r_1", Name: "backfill", State: "running", Started: epoch, Input: []byte(`{}`)}),
		e.PutRun(ctx(t), store.Run{ID: "r_2", Name: "backfill", State: "done", Started: epoch, Finished: epoch.Add(time.Second), Result: []byte(`{"n":1}`), Error: "ü"}),
		e.PutKey(ctx(t), key("k_1", 0), entry("keys.create")),
		e.PutKey(ctx(t), kept, entry("keys.create")),
		e.TouchKeys(ctx(t), map[string]time.Time{"k_1": epoch.Add(time.Minute)}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := e.InitSetting(ctx(t), "secret", []byte{0, 255, '\n', '\\'}); err != nil {
		t.Fatal(err)
	}
}

func sameCatalog(t *testing.T, from, to store.Catalog) {
	t.Helper()
	type state struct {
		Prices  []pricing.Own
		Version []pricing.Version
		List    store.PriceList
		Audit   []store.AuditEntry
		Runs    []store.Run
		Keys    []store.Key
		Setting []byte
		Prompts []store.Prompt
	}
	read := func(e store.Catalog) (s state) {
		var errs [8]error
		s.Prices, errs[0] = e.ListPrices(ctx(t))
		for _, id := range []string{"p_1", "p_9"} {
			v, err := e.GetVersion(ctx(t), id)
			if err != nil && fault.CodeOf(err) != fault.NotFound {
				errs[1] = err
			}
			s.Version = append(s.Version, v)
		}
		s.List, errs[2] = e.GetList(ctx(t))
		s.Audit, errs[3] = e.ListAudit(ctx(t), 0, 1000)
		s.Runs, errs[4] = e.ListRuns(ctx(t), "", 1000)
		s.Keys, errs[5] = e.ListKeys(ctx(t))
		if s.Setting, errs[6] = e.GetSetting(ctx(t), "secret"); fault.CodeOf(errs[6]) == fault.NotFound {
			errs[6] = nil
		}
		s.Prompts, errs[7] = e.ListPrompts(ctx(t), "", usage.ID{}, 1000)
		if err := errors.Join(errs[:]...); err != nil {
			t.Fatal(err)
		}
		return s
	}
	if d := diff(read(from), read(to)); d != "" {
		t.Fatalf("catalog (-from +to):\n%s", d)
	}
}

// A dump is of one moment, whatever is stored and corrected while it is taken.
func testDumpOfOneMoment(t *testing.T, open Opener) {
	e := fresh(t, open)
	recs := calls(40)
	appendAll(t, e, recs)
	sink := &meddler{meddle: func(i int) {
		c := store.Correction{Reason: "meanwhile", At: epoch, Changes: []store.CostChange{change(recs[i], usage.Costing{Source: usage.SourceUnpriced})}}
		if n, err := e.Correct(ctx(t), c); n != 1 || err != nil {
			t.Errorf("corrected %d, %v", n, err)
		}
		appendAll(t, e, []usage.Record{call(1000+i, func(r *usage.Record) { r.Feature = "new" })})
		if err := e.AppendAudit(ctx(t), entry("meanwhile")); err != nil {
			t.Error(err)
		}
	}}
	if err := e.Dump(ctx(t), sink); err != nil {
		t.Fatal(err)
	}
	want := map[string]int{"cells": 1, store.EventsTable: 40, "corrections": 0, "audit": 0}
	for table, n := range want {
		if sink.rows[table] != n {
			t.Errorf("%d rows of %s, want %d", sink.rows[table], table, n)
		}
	}
	if sink.cost != int64(len(recs))*int64(recs[0].Total()) {
		t.Errorf("the dump's costs are %d, want those of the moment it began", sink.cost)
	}
	stop := errors.New("enough")
	if err := e.Dump(ctx(t), tornSink{sink, new(int), stop}); !errors.Is(err, stop) {
		t.Errorf("a sink that fails: %v", err)
	}
}

// meddler changes the ledger while it takes the dump.
type meddler struct {
	meddle func(i int)
	table  *store.Table
	rows   map[string]int
	cost   int64
}

func (m *meddler) Table(t *store.Table) error {
	if m.rows == nil {
		m.rows = map[string]int{}
	}
	m.table = t
	return nil
}

func (m *meddler) Row(values []any) error {
	if m.table.Name == store.EventsTable {
		if i := m.rows[m.table.Name]; i < 3 {
			m.meddle(i)
		}
		m.cost += values[slices.Index(m.table.Names(), "cost")].(int64)
	}
	m.rows[m.table.Name]++
	return nil
}
