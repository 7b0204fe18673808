package report

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/store/reference"
	"github.com/costprof/costprof/internal/usage"
)

var (
	begin  = time.Date(2026, 3, 20, 0, 0, 0, 0, time.UTC)
	end    = begin.Add(20 * 24 * time.Hour)
	window = analytics.Filter{From: begin, To: end}
	totals = cmp.AllowUnexported(money.Total{})
)

// sample makes n events inside the window, the same for the same seed. Users are
// many, features few, one of them named like the rest of a ranking.
func sample(n int, seed uint64) []usage.Record {
	r := rand.New(rand.NewPCG(seed, 1))
	features := []string{"chat", "search", analytics.Other, "résumé", "agent", "title", "rank", "tag", "mail", "code", "plan", "test", "doc"}
	out := make([]usage.Record, n)
	for i := range out {
		e := &out[i]
		e.Project, e.TraceID, e.SpanID = "default", fmt.Sprint("t", seed), fmt.Sprint("s", i)
		e.Timestamp = begin.Add(time.Duration(r.Int64N(int64(end.Sub(begin))))).Truncate(time.Microsecond)
		if i%7 == 0 && i > 0 {
			e.Timestamp = out[i-1].Timestamp // several of one moment
		}
		e.Feature = features[r.IntN(len(features))]
		e.Provider, e.Model = "OpenAI", "gpt-4o"
		e.ProviderID, e.ModelID = "openai", fmt.Sprint("gpt-", r.IntN(3))
		e.UserID = fmt.Sprint("u", r.IntN(n/3+1))
		e.Latency = time.Duration(r.Int64N(5e6)) * time.Microsecond
		e.Counts[usage.Input] = r.Int64N(5000)
		e.Counts[usage.CacheRead] = e.Counts[usage.Input] / 3
		e.Counts[usage.Output] = r.Int64N(900)
		e.Error = r.IntN(9) == 0
		e.Aggregate = r.IntN(20) == 0
		e.Source = usage.Source(r.IntN(4))
		e.Classes[usage.ClassInput] = money.USD(r.Int64N(1e9))
		e.Classes[usage.ClassOutput] = money.USD(r.Int64N(1e9))
		if r.IntN(5) == 0 {
			e.Classes = [usage.NumClasses]money.USD{} // free: ties in every ranking
		}
		e.ID = e.Identity()
	}
	return out
}

// ledgerOf makes a ledger of the records, in a few commits.
func ledgerOf(t *testing.T, records []usage.Record) *reference.Ledger {
	t.Helper()
	l := &reference.Ledger{}
	for len(records) > 0 {
		n := min(100, len(records))
		if _, err := l.Append(t.Context(), records[:n]); err != nil {
			t.Fatal(err)
		}
		records = records[n:]
	}
	return l
}

// clock is a time that a test moves.
type clock struct{ time.Time }

func (c *clock) now() time.Time { return c.Time }

func service(l store.Ledger) (*Service, *clock) {
	c := &clock{end}
	return &Service{Ledger: l, Now: c.now}, c
}

// meddler is a ledger on which something happens before every question.
type meddler struct {
	store.Ledger
	before  func(asked int)
	asked   int
	queries []analytics.Query
	rows    int // most rows of one answer
}

func (m *meddler) Query(ctx context.Context, q analytics.Query) (analytics.Table, error) {
	if m.before != nil {
		m.before(m.asked)
	}
	m.asked++
	m.queries = append(m.queries, q)
	t, err := m.Ledger.Query(ctx, q)
	m.rows = max(m.rows, len(t.Rows))
	return t, err
}

// broken is a ledger that is down.
type broken struct{ store.Ledger }

var errDown = fault.New(fault.Unavailable, "down")

func (broken) Query(context.Context, analytics.Query) (analytics.Table, error) {
	return analytics.Table{}, errDown
}

func (broken) Bloat(context.Context, analytics.BloatQuery) (analytics.BloatTable, error) {
	return analytics.BloatTable{}, errDown
}

func (broken) Events(context.Context, store.EventQuery) iter.Seq2[usage.Record, error] {
	return func(yield func(usage.Record, error) bool) { yield(usage.Record{}, errDown) }
}

func (broken) Get(context.Context, usage.ID, analytics.Filter) (usage.Record, error) {
	return usage.Record{}, errDown
}

// wantFault checks an error's code and, for a field, that it is named.
func wantFault(t *testing.T, name string, err error, code fault.Code, field string) {
	t.Helper()
	if err == nil || fault.CodeOf(err) != code {
		t.Errorf("%s: error %v, want %s", name, err, code)
		return
	}
	if f, ok := err.(*fault.Error); field != "" && (!ok || f.Details[field] == nil) {
		t.Errorf("%s: %+v, want field %s named", name, err, field)
	}
}

func mustAppend(t *testing.T, l store.Ledger, records ...usage.Record) {
	t.Helper()
	if _, err := l.Append(t.Context(), records); err != nil {
		t.Fatal(err)
	}
}

// correct makes the first event cost one picodollar more.
func correct(t *testing.T, l store.Ledger, r *usage.Record) {
	t.Helper()
	now := r.Costing
	now.Classes[usage.ClassOutput]++
	n, err := l.Correct(t.Context(), store.Correction{Reason: "test", Changes: []store.CostChange{{
		ID: r.ID, Timestamp: r.Timestamp, WasSource: r.Source, WasPriceID: r.PriceID, Now: now,
	}}})
	if err != nil || n != 1 {
		t.Fatalf("corrected %d, %v", n, err)
	}
}

// crowd is a ledger in which there is always more.
type crowd struct{ store.Ledger }

func (crowd) Query(_ context.Context, q analytics.Query) (analytics.Table, error) {
	names := make([]string, len(q.GroupBy))
	return analytics.Table{Rows: []analytics.Row{{Names: names, Calls: 1}}, More: q.Limit > 0, AsOf: 1}, nil
}
