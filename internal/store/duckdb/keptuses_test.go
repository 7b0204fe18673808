package duckdb

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/usage"
)

// Whatever is stored, corrected and removed, what is kept of the uses of prompts
// gives what all events give.
func TestKeptUsesAreThoseOfTheEvents(t *testing.T) {
	e, err := Open(t.Context(), Options{Dir: t.TempDir(), SumEvery: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	e.uses.notBefore = time.Now().Add(time.Hour) // made when the test says so
	random := rand.New(rand.NewPCG(4, 2))
	ids := make([]usage.ID, 9)
	for i := range ids {
		ids[i] = usage.ID{byte(37 * i), byte(i)}
	}
	var sent []usage.Record
	looked := 0
	check := func() (served, behind int) {
		t.Helper()
		for _, f := range []analytics.Filter{
			{}, {Any: map[analytics.Dimension][]string{analytics.Project: {"a", "b"}, analytics.Feature: {"chat", ""}}},
		} {
			for _, some := range [][]usage.ID{ids, {ids[2], ids[2]}} {
				direct, current := e.uses.now(&e.last, some, f)
				err := e.read(t.Context(), func(db querier, at position) error {
					if want, err := selectPromptUses(t.Context(), db, at, some, f); current && (err != nil || !slices.Equal(direct, want)) {
						t.Fatalf("%v of %v\n %+v without a look at the ledger\n %+v, %v", f, some, direct, want, err)
					}
					if current {
						looked++
					}
					got, ok, err := e.keptPromptUses(t.Context(), db, at, some, f)
					if err != nil || !ok {
						return err
					}
					served++
					if e.uses.last < at.last {
						behind++
					}
					want, err := selectPromptUses(t.Context(), db, at, some, f)
					if !slices.Equal(got, want) {
						t.Fatalf("%v of %v\n %+v\nevents have\n %+v", f, some, got, want)
					}
					return err
				})
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		return served, behind
	}
	served, behind, done := 0, 0, map[int]int{}
	for step := range 160 {
		what := random.IntN(22)
		done[what]++
		switch {
		case what < 12:
			recs := sample(10*step, 1+random.IntN(8))
			for i := range recs {
				r := &recs[i]
				r.Timestamp = r.Timestamp.Truncate(time.Hour) // many at one time
				r.Project = []string{"a", "b"}[random.IntN(2)]
				r.Feature = []string{"chat", "mail", ""}[random.IntN(3)]
				r.UserID = fmt.Sprint("user-", random.IntN(40))
				r.Aggregate = random.IntN(10) == 0
				r.Classes[usage.ClassInput] = money.USD(random.IntN(1000))
				if random.IntN(20) == 0 {
					r.Classes[usage.ClassInput] = money.Max
				}
				r.PromptID = ids[random.IntN(len(ids))]
				if random.IntN(4) == 0 {
					r.Prompt = "text"
				}
				r.PromptBytes = 4
				r.ID = r.Identity()
			}
			if _, err := e.Append(t.Context(), recs); err != nil {
				t.Fatal(err)
			}
			sent = append(sent, recs...)
		case what < 17:
			if err := e.renewUses(t.Context()); err != nil {
				t.Fatal(err)
			}
		case what == 17 && len(sent) > 0:
			r := sent[random.IntN(len(sent))]
			c := r.Costing
			c.Classes[usage.ClassInput] += 5
			c.PriceID = fmt.Sprint("p_", step)
			if _, err := e.Correct(t.Context(), store.Correction{Reason: "test", At: r.Timestamp, Changes: []store.CostChange{{ID: r.ID, Timestamp: r.Timestamp, WasSource: r.Source, WasPriceID: r.PriceID, Now: c}}}); err != nil {
				t.Fatal(err)
			}
		case what == 18 && len(sent) > 0:
			r := sent[random.IntN(len(sent))]
			if _, err := e.Correct(t.Context(), store.Correction{Reason: "test", At: r.Timestamp, Marks: []store.EventKey{{Timestamp: r.Timestamp, ID: r.ID}}}); err != nil {
				t.Fatal(err)
			}
		case what == 19:
			if _, err := e.Erase(t.Context(), store.Erasure{UserID: fmt.Sprint("user-", random.IntN(40))}); err != nil {
				t.Fatal(err)
			}
		case what == 20 && len(sent) > 0:
			// Texts of which the newest use is older go.
			if _, err := e.PrunePrompts(t.Context(), map[string]time.Time{"a": sent[len(sent)-1].Timestamp}); err != nil {
				t.Fatal(err)
			}
		case what == 21 && len(sent) > 0:
			if _, err := e.Prune(t.Context(), map[string]time.Time{"b": sent[len(sent)-1].Timestamp.Add(-time.Hour)}); err != nil {
				t.Fatal(err)
			}
		}
		n, m := check()
		served, behind = served+n, behind+m
	}
	if served < 150 || behind < 50 || looked < 50 {
		t.Errorf("%d questions were served, %d of them with later events, %d without a look at the ledger: too few to show anything (%v)", served, behind, looked, done)
	}
}
