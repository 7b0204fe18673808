package rating

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/usage"
)

// moving is a ledger whose costs are corrected after each of the next queries.
type moving struct {
	*fakeLedger
	next int
}

func (l *moving) Query(ctx context.Context, q analytics.Query) (analytics.Table, error) {
	t, err := l.fakeLedger.Query(ctx, q)
	if err != nil || l.next == 0 {
		return t, err
	}
	l.next--
	for r, err := range l.Events(ctx, store.EventQuery{Filter: inProject(""), Limit: 1}) {
		if err != nil {
			return t, err
		}
		change := store.CostChange{ID: r.ID, Timestamp: r.Timestamp, WasSource: r.Source, WasPriceID: r.PriceID, Now: r.Costing}
		if _, err := l.fakeLedger.Correct(ctx, store.Correction{Reason: "test", Changes: []store.CostChange{change}}); err != nil {
			return t, err
		}
	}
	return t, nil
}

func TestGroupsAreAllListedWhileCostsChange(t *testing.T) {
	r := newRig(t)
	var want []string
	for i := range 5 { // three pages
		r.store(call(fmt.Sprint(i), "acme", fmt.Sprint("m", i), noon.Add(time.Duration(i)*time.Second)))
		want = append(want, fmt.Sprint("m", i))
	}
	for moves := range 20 {
		l := &moving{r.ledger, moves}
		r.Ledger = l
		seen := map[string]bool{}
		_, err := r.unpricedGroups(t.Context(), inProject(""), 0, func(g *group) {
			seen[g.model] = true
			if g.Calls != 1 || !g.First.Equal(g.Last) {
				t.Errorf("group %+v", g)
			}
		})
		// Each try reads one page and, when costs changed, half of another one.
		switch settled := moves < 2*groupTries-1; {
		case settled && err != nil:
			t.Fatalf("after %d changes: %v", moves, err)
		case !settled && fault.CodeOf(err) != fault.Unavailable:
			t.Fatalf("with %d changes the error is %v, want one that asks for another try", moves, err)
		case settled:
			var got []string
			for model := range seen {
				got = append(got, model)
			}
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("after %d changes the groups are %v, want %v", moves, got, want)
			}
		}
	}
}

// The groups of a later page belong to the same moment as those of the first.
func TestGroupsAreOfOneMoment(t *testing.T) {
	r := newRig(t)
	for i := range 5 {
		r.store(call(fmt.Sprint(i), "acme", fmt.Sprint("m", i), noon))
	}
	r.Ledger = &growing{fakeLedger: r.ledger}
	calls := int64(0)
	if _, err := r.unpricedGroups(t.Context(), inProject(""), 0, func(g *group) { calls += g.Calls }); err != nil {
		t.Fatal(err)
	}
	if calls != 5 {
		t.Errorf("the groups have %d calls, want the 5 of the first page's moment", calls)
	}
}

// growing is a ledger that gets a call of each model after each query.
type growing struct {
	*fakeLedger
	n int
}

func (l *growing) Query(ctx context.Context, q analytics.Query) (analytics.Table, error) {
	t, err := l.fakeLedger.Query(ctx, q)
	l.n++
	for i := range 5 {
		e := call(fmt.Sprintf("late%d-%d", l.n, i), "acme", fmt.Sprint("m", i), noon)
		e.ProviderID, e.ModelID = e.Provider, e.Model
		if _, err := l.Append(ctx, []usage.Record{{ID: e.Identity(), Event: e}}); err != nil {
			return t, err
		}
	}
	return t, err
}
