package storetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/store/reference"
	"github.com/costprof/costprof/internal/usage"
)

// AsOf repeats an answer of every method, whatever was stored since.
func testAsOf(t *testing.T, open Opener) {
	e := fresh(t, open)
	recs := calls(200)
	for i := range recs {
		recs[i].UserID = fmt.Sprint("u", i%7)
		recs[i].Counts[usage.Input] *= int64(1 + i%3)
		recs[i].Timestamp = epoch.Add(time.Duration(i) * 10 * time.Minute)
		if i >= 100 { // amid what is stored before it, in every third hour
			recs[i].Timestamp = epoch.Add(time.Duration(i%5*3)*time.Hour + time.Duration(i)*time.Second)
		}
		recs[i].ID = recs[i].Identity()
	}
	recs[150].Timestamp = epoch.Add(-time.Hour) // older than what is stored before it
	recs[150].ID = recs[150].Identity()
	appendAll(t, e, recs[:100])
	queries := []analytics.Query{
		{Measures: everyMeasure},
		{GroupBy: []analytics.Dimension{analytics.Feature}, Measures: additive},
		{GroupBy: []analytics.Dimension{analytics.Feature}, Grain: time.Hour},
		{GroupBy: []analytics.Dimension{analytics.User}, Measures: everyMeasure, Limit: 3},
		{GroupBy: []analytics.Dimension{analytics.User}, Limit: 3, Offset: 30},
		{GroupBy: []analytics.Dimension{analytics.User}, Grain: time.Hour},
	}
	asOf := ask(t, e, queries[0]).AsOf
	if nothing := ask(t, e, analytics.Query{Filter: analytics.Filter{To: usage.Epoch}}); nothing.AsOf != asOf {
		t.Fatalf("the moment of an empty answer is %d, want %d", nothing.AsOf, asOf)
	}
	for i := 100; i < 200; i += 10 {
		appendAll(t, e, recs[i:i+10])
		for _, q := range queries {
			q.AsOf = asOf
			got := ask(t, e, q)
			if d := diffTables(reference.Query(recs[:100], q), got); d != "" || got.AsOf != asOf {
				t.Fatalf("%+v as of %d, not %d:\n%s", q, got.AsOf, asOf, d)
			}
			q.AsOf = 0
			if d := diffTables(reference.Query(recs[:i+10], q), ask(t, e, q)); d != "" {
				t.Fatalf("%+v after %d events:\n%s", q, i+10, d)
			}
		}
	}
	at := analytics.Filter{AsOf: asOf}
	bq := analytics.BloatQuery{Filter: at, MinRatio: 1200, MinCalls: 1, Limit: 1000}
	checkBloat(t, e, recs[:100], bq)
	if got := bloat(t, e, bq); got.AsOf != asOf || len(got.Rows) == 0 {
		t.Fatalf("bloat as of %d: %d rows", got.AsOf, len(got.Rows))
	}
	for _, limit := range []int{0, 40} {
		q := store.EventQuery{Filter: at, Limit: limit}
		if d := diff(reference.Events(recs[:100], q), collect(t, e, q)); d != "" {
			t.Fatalf("events as of %d:\n%s", asOf, d)
		}
	}
	if _, err := e.Get(ctx(t), recs[100].ID, at); fault.CodeOf(err) != fault.NotFound {
		t.Fatalf("Get of what came later: %v", err)
	}
	if _, err := e.Get(ctx(t), recs[99].ID, at); err != nil {
		t.Fatalf("Get of what was there: %v", err)
	}

	now := ask(t, e, analytics.Query{})
	if now.Calls != 200 || now.AsOf <= asOf {
		t.Fatalf("now: %d calls as of %d", now.Calls, now.AsOf)
	}
	if ahead := ask(t, e, analytics.Query{Filter: analytics.Filter{AsOf: now.AsOf + 1000}}); ahead.AsOf != now.AsOf || ahead.Calls != 200 {
		t.Fatalf("as of a moment to come: %+v", ahead)
	}
	// A correction changes costs, not what was stored when.
	n, err := e.Correct(ctx(t), store.Correction{Reason: "test", At: epoch, Changes: []store.CostChange{change(recs[3], usage.Costing{Source: usage.SourceCatalog, PriceID: "p_2"})}})
	if err != nil || n != 1 {
		t.Fatalf("Correct: %d, %v", n, err)
	}
	recs[3].Costing = usage.Costing{Source: usage.SourceCatalog, PriceID: "p_2"}
	corrected := ask(t, e, analytics.Query{Filter: at})
	if want := reference.Query(recs[:100], analytics.Query{}); corrected.Calls != 100 || corrected.Cost != want.Cost {
		t.Fatalf("after a correction: %d calls of %s, want 100 of %s", corrected.Calls, corrected.Cost, want.Cost)
	}
}

// A receipt's commit is the moment from which an answer sees what was new.
func testReceipt(t *testing.T, open Opener) {
	e := fresh(t, open)
	recs := calls(400)
	appendAll(t, e, recs[:50])
	for i := 50; i < 90; i += 10 {
		// Late ones amid what is stored already, and a few known ones.
		got := appendNumbered(t, e, slices.Concat(recs[i-5:i+5], recs[400-i:410-i], recs[i+5:i+10]))
		calls := func(asOf int64) int64 {
			return ask(t, e, analytics.Query{Filter: analytics.Filter{AsOf: asOf}}).Calls
		}
		if before, now, all := calls(got.Commit-1), calls(got.Commit), calls(0); now-before != 20 || now != all {
			t.Fatalf("commit %d: %d calls before, %d with it, %d in all; want 20 more", got.Commit, before, now, all)
		}
		if again := appendNumbered(t, e, recs[:i]); again.Commit != 0 {
			t.Fatalf("commit %d of what was known", again.Commit)
		}
	}

	// Many at once: each sees its own from its commit on, whoever shares it.
	var wg sync.WaitGroup
	for c := range 8 {
		wg.Go(func() {
			user := fmt.Sprint("user", c)
			for i := range 12 {
				mine := call(1000*c+i, func(r *usage.Record) { r.UserID, r.SpanID = user, fmt.Sprint(user, "-", i) })
				got, err := e.Append(t.Context(), []usage.Record{mine})
				if err != nil {
					t.Error(err)
					return
				}
				q := analytics.Query{Filter: analytics.Filter{AsOf: got.Commit, Any: map[analytics.Dimension][]string{analytics.User: {user}}}}
				now, err := e.Query(t.Context(), q)
				q.AsOf--
				before, err2 := e.Query(t.Context(), q)
				if err != nil || err2 != nil || now.Calls != int64(i+1) || before.Calls != int64(i) {
					t.Errorf("commit %d of call %d: %d before, %d with it (%v, %v)", got.Commit, i+1, before.Calls, now.Calls, err, err2)
					return
				}
			}
		})
	}
	wg.Wait()
}

// Rows stored before the first page come exactly once while others arrive.
func testEventsWhileAppending(t *testing.T, open Opener) {
	e := fresh(t, open)
	before := calls(500)
	appendAll(t, e, before)
	stop := meanwhile(t, func(i int) error {
		rec := call(i%600, func(r *usage.Record) { r.SpanID = fmt.Sprint("late-", i); r.Feature = "late" })
		_, err := e.Append(t.Context(), []usage.Record{rec})
		return err
	})
	defer stop()
	for range 5 {
		seen := map[usage.ID]int{}
		for _, r := range pages(t, e, analytics.Filter{}, 40) {
			seen[r.ID]++
		}
		for _, r := range before {
			if seen[r.ID] != 1 {
				t.Fatalf("event %s seen %d times", r.SpanID, seen[r.ID])
			}
		}
	}
}

// A list that is read in pieces is of the moment in which it began, also where
// what came later belongs.
func testEventsOfOneMoment(t *testing.T, open Opener) {
	e := fresh(t, open)
	recs := calls(batch)
	appendAll(t, e, recs)
	var got []usage.Record
	for r, err := range e.Events(ctx(t), store.EventQuery{}) {
		if err != nil {
			t.Fatal(err)
		}
		if len(got)%1500 == 0 {
			i := len(got)
			late := func(n int) usage.Record {
				return call(n, func(r *usage.Record) { r.SpanID = fmt.Sprint("late-", i) })
			}
			appendAll(t, e, []usage.Record{late(batch), late(batch - i - 2), late(batch / 5), late(-1)})
		}
		got = append(got, r)
	}
	if d := diff(reference.Events(recs, store.EventQuery{}), got); d != "" {
		t.Fatalf("events while others arrive (-stored before +got):\n%s", d)
	}
}

// meanwhile runs fn beside the test, again and again, until stop is called.
func meanwhile(t *testing.T, fn func(i int) error) (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			default:
			}
			if err := fn(i); err != nil {
				t.Error(err)
				return
			}
		}
	})
	return sync.OnceFunc(func() { close(done); wg.Wait() })
}

// twoPrices are events with two costs each, under which users rank in opposite
// order, and the corrections that change them all from the one to the other.
type twoPrices struct {
	states [2][]usage.Record
	to     [2]store.Correction
}

func newTwoPrices(n int) twoPrices {
	var p twoPrices
	for i := range n {
		r := call(i, func(r *usage.Record) {
			r.UserID, r.Feature = fmt.Sprintf("u%02d", i%40), fmt.Sprint("f", i%7)
			r.Counts[usage.Input] = int64(1000 * (1 + i%9))
		})
		for s := range p.states {
			cost := money.USD(1 + i%40)
			if s == 1 {
				cost = money.USD(100 - i%40)
			}
			r.Costing = usage.Costing{Source: usage.SourceCatalog, PriceID: fmt.Sprint("p_", s), CacheSaving: cost}
			r.Classes[usage.ClassInput] = cost * 1000
			p.states[s] = append(p.states[s], r)
		}
	}
	for s := range p.to {
		p.to[s] = store.Correction{Reason: fmt.Sprint("to ", s), At: epoch}
		for i, r := range p.states[1-s] {
			p.to[s].Changes = append(p.to[s].Changes, change(r, p.states[s][i].Costing))
		}
	}
	return p
}

// turn corrects all events to the other state, for the i-th time.
func (p *twoPrices) turn(ctx context.Context, e store.Ledger, i int) error {
	c := p.to[1-i%2]
	n, err := e.Correct(ctx, c)
	if err == nil && n != int64(len(c.Changes)) {
		err = fmt.Errorf("corrected %d of %d", n, len(c.Changes))
	}
	return err
}

// An answer is of one moment, also while all costs change at once, and the same
// revision has the same costs.
func testOneMoment(t *testing.T, open Opener) {
	e := fresh(t, open)
	p := newTwoPrices(200)
	appendAll(t, e, p.states[0])
	type question struct {
		ask  func() (got any, revision int64)
		want [2]any
	}
	var questions []question
	for _, q := range []analytics.Query{
		{Measures: everyMeasure},
		{GroupBy: []analytics.Dimension{analytics.User}, Limit: 10, Measures: everyMeasure},
		{GroupBy: []analytics.Dimension{analytics.User}, Limit: 10, Offset: 1000},
		{GroupBy: []analytics.Dimension{analytics.Feature}, Limit: 3, Measures: analytics.MeasureTokens},
		{GroupBy: []analytics.Dimension{analytics.User}, Grain: time.Hour},
	} {
		questions = append(questions, question{
			func() (any, int64) {
				got := ask(t, e, q)
				revision := got.Revision
				got.AsOf, got.Revision = 0, 0
				return got, revision
			},
			[2]any{reference.Query(p.states[0], q), reference.Query(p.states[1], q)},
		})
	}
	bq := analytics.BloatQuery{MinRatio: 1500, MinCalls: 1, Limit: 20}
	questions = append(questions, question{
		func() (any, int64) {
			got := bloat(t, e, bq)
			revision := got.Revision
			got.AsOf, got.Revision = 0, 0
			return got, revision
		},
		[2]any{reference.Bloat(p.states[0], bq), reference.Bloat(p.states[1], bq)},
	})
	stop := meanwhile(t, func(i int) error { return p.turn(t.Context(), e, i) })
	defer stop()
	stateOf := map[int64]int{}
	for round := range 10 {
		for i, q := range questions {
			got, revision := q.ask()
			state := slices.IndexFunc(q.want[:], func(w any) bool { return diff(w, got) == "" })
			if state < 0 {
				t.Fatalf("question %d, round %d: an answer of no moment (-before +got):\n%s", i, round, diff(q.want[0], got))
			}
			if known, ok := stateOf[revision]; ok && known != state {
				t.Fatalf("question %d, round %d: revision %d had other costs before", i, round, revision)
			}
			stateOf[revision] = state
		}
	}
	if len(stateOf) < 3 {
		t.Fatalf("only %d corrections came between", len(stateOf))
	}
}

// A list that is read in several pieces has each event once, at one of its costs,
// while all costs change.
func testEventsWhileCorrecting(t *testing.T, open Opener) {
	e := fresh(t, open)
	p := newTwoPrices(4_600)
	appendAll(t, e, p.states[0])
	costs := map[usage.ID][2]usage.Costing{}
	for i, r := range p.states[0] {
		costs[r.ID] = [2]usage.Costing{r.Costing, p.states[1][i].Costing}
	}
	want := reference.Events(p.states[0], store.EventQuery{})
	stop := meanwhile(t, func(i int) error { return p.turn(t.Context(), e, i) })
	defer stop()
	for range 3 {
		got := collect(t, e, store.EventQuery{})
		for i := range got {
			if c := got[i].Costing; c != costs[got[i].ID][0] && c != costs[got[i].ID][1] {
				t.Fatalf("event %d has neither the old costs nor the new ones: %+v", i, c)
			}
			got[i].Costing = p.states[0][0].Costing
		}
		for i := range want {
			want[i].Costing = p.states[0][0].Costing
		}
		if d := diff(want, got); d != "" {
			t.Fatalf("while costs change (-want +got):\n%s", d)
		}
	}
}

// Everything at once, and in the end the ledger holds what it should.
func testEverythingAtOnce(t *testing.T, open Opener) {
	e := fresh(t, open)
	p := newTwoPrices(300)
	appendAll(t, e, p.states[0])
	other := make([]usage.Record, 1200)
	for i := range other {
		other[i] = call(i, func(r *usage.Record) {
			r.Project, r.Feature, r.UserID = "shop", fmt.Sprint("g", i%400), fmt.Sprint("v", i%90)
			r.Tags = map[string]string{"team": fmt.Sprint("t", i%300)}
		})
	}
	var wg sync.WaitGroup
	again := func(times int, fn func(i int) error) {
		wg.Go(func() {
			for i := range times {
				if err := fn(i); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for c := range 3 {
		r := rand.New(rand.NewPCG(uint64(c), 1))
		again(40, func(i int) error {
			from := i * len(other) / 40
			_, err := e.Append(t.Context(), other[max(0, from-r.IntN(60)):min(len(other), from+30+r.IntN(60))])
			return err
		})
	}
	again(21, func(i int) error { return p.turn(t.Context(), e, i) }) // ends in state 1
	again(40, func(i int) error {
		q := analytics.Query{GroupBy: []analytics.Dimension{analytics.User, analytics.Tag("team")}, Measures: everyMeasure}
		if i%2 == 0 {
			q.Limit = 10
		}
		got, err := e.Query(t.Context(), q)
		if err == nil && got.Calls < 300 {
			err = fmt.Errorf("%d calls", got.Calls)
		}
		return err
	})
	again(40, func(int) error {
		_, err := e.Bloat(t.Context(), analytics.BloatQuery{MinRatio: 1500, MinCalls: 1, Limit: 20})
		return err
	})
	again(20, func(int) error {
		var last usage.Record
		for r, err := range e.Events(t.Context(), store.EventQuery{Limit: 700}) {
			if err != nil {
				return err
			}
			if last.ID != (usage.ID{}) && r.Timestamp.After(last.Timestamp) {
				return fmt.Errorf("%s before %s", last.Timestamp, r.Timestamp)
			}
			last = r
		}
		return nil
	})
	again(40, func(i int) error {
		got, err := e.Get(t.Context(), p.states[0][i].ID, analytics.Filter{})
		if err == nil && got.SpanID != p.states[0][i].SpanID {
			err = fmt.Errorf("another event: %s", got.SpanID)
		}
		return err
	})
	again(40, func(int) error { _, err := e.Ping(t.Context()); return err })
	again(10, func(i int) error { return e.AppendAudit(t.Context(), entry(fmt.Sprint(i))) })
	wg.Wait()
	if t.Failed() {
		return
	}
	appendAll(t, e, other)
	wantAnswers(t, e, slices.Concat(p.states[1], other))
}
