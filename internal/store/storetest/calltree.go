package storetest

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/store/reference"
	"github.com/costprof/costprof/internal/usage"
)

// tangled makes a record whose span hangs below some other, or none, or itself by
// way of others; few of everything, so that ids are shared.
func tangled(r *rand.Rand, n int) usage.Record {
	rec := random(r, n)
	rec.TraceID, rec.SpanID = fmt.Sprintf("t%d", r.IntN(8)), fmt.Sprintf("s%d", r.IntN(30))
	rec.ParentSpanID = ""
	if up := fmt.Sprintf("s%d", r.IntN(34)); r.IntN(5) > 0 && up != rec.SpanID {
		rec.ParentSpanID = up
	}
	names := []string{"", "call", "agent", "\x01", "\x01\x03", "a\x01", "ü;x", "step"}
	rec.Name = names[r.IntN(len(names))]
	rec.EventID = fmt.Sprintf("own-%d", n)
	rec.Timestamp = epoch.Add(time.Duration(r.IntN(60)) * time.Hour)
	rec.ID = rec.Identity()
	return rec
}

// Call trees of tangled traces, of every kind of filter: the engine and the naive
// evaluation say the same.
func testCallTree(t *testing.T, open Opener) {
	r := rand.New(rand.NewPCG(3, 33))
	e := fresh(t, open)
	check := func(recs []usage.Record, q analytics.CallTreeQuery) {
		t.Helper()
		got, err := e.CallTree(ctx(t), q)
		if err != nil {
			t.Fatalf("CallTree %+v: %v", q, err)
		}
		if d := diffTables(reference.CallTree(recs, q), got); d != "" {
			t.Fatalf("CallTree %+v (-reference +engine):\n%s", q, d)
		}
	}
	check(nil, analytics.CallTreeQuery{})
	var recs []usage.Record
	for i := range 600 {
		recs = append(recs, tangled(r, i))
	}
	// A chain longer than what is followed, a circle, and calls below both.
	for i := range analytics.MaxCallDepth + 5 {
		recs = append(recs, call(i, func(c *usage.Record) {
			c.TraceID, c.SpanID, c.ParentSpanID, c.Name = "deep", fmt.Sprint(i), fmt.Sprint(i-1), fmt.Sprint("level", i)
		}))
	}
	for i := range 4 {
		recs = append(recs, call(i, func(c *usage.Record) {
			c.TraceID, c.SpanID, c.ParentSpanID, c.Name = "circle", fmt.Sprint(i), fmt.Sprint((i+1)%3), fmt.Sprint("step", i)
		}))
	}
	appendAll(t, e, recs)
	check(recs, analytics.CallTreeQuery{})
	check(recs, analytics.CallTreeQuery{Limit: 10})
	for range 60 {
		q := analytics.CallTreeQuery{Filter: randomFilter(r)}
		if r.IntN(3) > 0 {
			q.Any, q.Called = nil, nil
		}
		if r.IntN(2) == 0 {
			q.From = epoch.Add(time.Duration(r.IntN(60)) * time.Hour)
			q.To = q.From.Add(time.Duration(1+r.IntN(30)) * time.Hour)
		}
		if r.IntN(2) == 0 {
			q.Limit = 1 + r.IntN(40)
		}
		check(recs, q)
	}
	// As of an earlier moment.
	at := ask(t, e, analytics.Query{}).AsOf
	appendAll(t, e, []usage.Record{call(7000)})
	check(recs, analytics.CallTreeQuery{Filter: analytics.Filter{AsOf: at}})
}
