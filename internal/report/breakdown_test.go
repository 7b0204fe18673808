package report

import (
	"context"
	"fmt"
	"math"
	"math/big"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/store/reference"
)

// Pages of a ranking are those of its first moment, while events arrive and the
// default window slides.
func TestBreakdownPages(t *testing.T) {
	records := sample(600, 1)
	late := sample(600, 2)
	l := ledgerOf(t, records)
	s, now := service(l)
	r := BreakdownRequest{
		Filter: window, GroupBy: []analytics.Dimension{analytics.User},
		Measures: analytics.MeasureTokens | analytics.MeasureErrors | analytics.MeasureSource, Limit: 7,
	}
	want := reference.Query(records, analytics.Query{Filter: window, GroupBy: r.GroupBy, Measures: r.Measures})
	var got []analytics.Row
	for page := 0; ; page++ {
		b, err := s.Breakdown(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		if b.Cost != want.Cost || b.Calls != want.Calls || !b.From.Equal(begin) || !b.To.Equal(end) {
			t.Fatalf("page %d: %v, %d calls from %v to %v; want %v, %d", page, b.Cost, b.Calls, b.From, b.To, want.Cost, want.Calls)
		}
		for _, row := range b.Rows {
			got = append(got, row.Row)
		}
		if b.NextCursor == "" {
			break
		}
		if len(b.Rows) != r.Limit {
			t.Fatalf("page %d has %d rows and goes on", page, len(b.Rows))
		}
		r.Cursor = b.NextCursor
		r.Limit = 7 + page%3 // the size of a page may change
		r.From, r.To = r.From.Add(time.Hour), r.To.Add(time.Hour)
		mustAppend(t, l, late[page])
		now.Time = now.Add(time.Second)
	}
	if diff := cmp.Diff(want.Rows, got, totals); diff != "" {
		t.Errorf("pages together, want -, got +:\n%s", diff)
	}
}

func TestBreakdownShares(t *testing.T) {
	s, _ := service(ledgerOf(t, sample(300, 3)))
	b, err := s.Breakdown(t.Context(), BreakdownRequest{Filter: window, GroupBy: []analytics.Dimension{analytics.Feature, analytics.Model}, Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	if len(b.Rows) < 30 {
		t.Fatalf("only %d rows", len(b.Rows))
	}
	for _, row := range b.Rows {
		// Half-even is the text that big.Rat gives, but for ties.
		exact := new(big.Rat).SetFrac(row.Cost.Big(), b.Cost.Big())
		want := exact.FloatString(6)
		if got := fmt.Sprintf("%d.%06d", row.Share/1e6, row.Share%1e6); got != want {
			t.Errorf("%q: share %s, want %s", row.Names, got, want)
		}
	}
	for _, c := range []struct{ part, whole, want int64 }{
		{1, 2_000_000, 0}, {3, 2_000_000, 2}, {5, 2_000_000, 2}, {1, 3, 333_333}, {2, 3, 666_667}, {7, 7, 1_000_000}, {0, 0, 0}, {5, 0, 0},
	} {
		if got := share(money.TotalOf(money.USD(c.part)), money.TotalOf(money.USD(c.whole))); got != c.want {
			t.Errorf("share of %d in %d = %d, want %d", c.part, c.whole, got, c.want)
		}
	}
}

func TestBreakdownOfNothing(t *testing.T) {
	s, _ := service(&reference.Ledger{})
	b, err := s.Breakdown(t.Context(), BreakdownRequest{Filter: window, GroupBy: []analytics.Dimension{analytics.Feature}})
	if err != nil || b.Rows == nil || len(b.Rows) != 0 || b.NextCursor != "" || b.Cost.Sign() != 0 {
		t.Errorf("empty ledger: %+v, %v", b, err)
	}
}

func TestBreakdownRefuses(t *testing.T) {
	s, _ := service(&reference.Ledger{})
	by := func(ds ...analytics.Dimension) BreakdownRequest { return BreakdownRequest{Filter: window, GroupBy: ds} }
	for name, c := range map[string]struct {
		request BreakdownRequest
		field   string
	}{
		"no dimension":       {by(), "groupBy"},
		"three":              {by(analytics.Feature, analytics.Model, analytics.User), "groupBy"},
		"one twice":          {by(analytics.Feature, analytics.Feature), "groupBy"},
		"an unknown one":     {by("colour"), "groupBy"},
		"limit below 1":      {BreakdownRequest{GroupBy: []analytics.Dimension{"user"}, Limit: -1}, "limit"},
		"limit beyond 1000":  {BreakdownRequest{GroupBy: []analytics.Dimension{"user"}, Limit: 1001}, "limit"},
		"cursor that is not": {BreakdownRequest{GroupBy: []analytics.Dimension{"user"}, Cursor: "x"}, "cursor"},
	} {
		_, err := s.Breakdown(t.Context(), c.request)
		wantFault(t, name, err, fault.Invalid, c.field)
	}
	s.Ledger = broken{}
	_, err := s.Breakdown(t.Context(), by(analytics.Feature))
	wantFault(t, "ledger down", err, fault.Unavailable, "")
}

// tooMany is a ledger that counted more tokens than fit.
type tooMany struct{ store.Ledger }

func (tooMany) Query(context.Context, analytics.Query) (analytics.Table, error) {
	return analytics.Table{Rows: []analytics.Row{{Names: []string{"a"}, Input: math.MaxInt64, Output: 1}}}, nil
}

func TestBreakdownRefusesWrongNumbers(t *testing.T) {
	s, _ := service(tooMany{})
	_, err := s.Breakdown(t.Context(), BreakdownRequest{Filter: window, GroupBy: []analytics.Dimension{analytics.Feature}})
	wantFault(t, "more tokens than fit", err, fault.Invalid, "")
}

func TestRankingEnds(t *testing.T) {
	records := sample(100, 4)
	l := ledgerOf(t, records)
	s, now := service(l)
	first := BreakdownRequest{Filter: window, GroupBy: []analytics.Dimension{analytics.User}, Limit: 5}
	page, err := s.Breakdown(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	next := first
	next.Cursor = page.NextCursor

	now.Time = now.Add(RankingLife)
	second, err := s.Breakdown(t.Context(), next)
	if err != nil {
		t.Fatalf("after just 10 minutes: %v", err)
	}
	now.Time = now.Add(time.Nanosecond)
	_, err = s.Breakdown(t.Context(), next)
	wantFault(t, "after 10 minutes", err, fault.Gone, "")
	later := first
	later.Cursor = second.NextCursor
	_, err = s.Breakdown(t.Context(), later)
	wantFault(t, "a later page does not renew the ranking", err, fault.Gone, "")

	if page, err = s.Breakdown(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	next.Cursor = page.NextCursor
	correct(t, l, &records[0])
	_, err = s.Breakdown(t.Context(), next)
	wantFault(t, "after a correction", err, fault.Gone, "")
}
