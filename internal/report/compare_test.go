package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	cmpdiff "github.com/google/go-cmp/cmp"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/pricing"
	"github.com/costprof/costprof/internal/store/reference"
	"github.com/costprof/costprof/internal/usage"
)

var lastWeek = analytics.Filter{From: end.AddDate(0, 0, -7), To: end}

// tiered gives records tiers, some of which are the same.
func tiered(n int, seed uint64) []usage.Record {
	records := sample(n, seed)
	for i := range records {
		records[i].ServiceTier = [...]string{"", "standard", "Batch", "batch"}[i%4]
		records[i].ID = records[i].Identity()
	}
	return records
}

// comparedNaively looks at every record.
func comparedNaively(t *testing.T, records []usage.Record, by []analytics.Dimension, was, is Period, f analytics.Filter) (rows []Change, total Change) {
	t.Helper()
	type key struct{ row, cell string }
	pairs := map[key]*analytics.Pair{}
	names := map[string][]string{}
	for i := range records {
		r := &records[i]
		var name []string
		for _, d := range by {
			name = append(name, reference.Value(r, d, false))
		}
		k := key{fmt.Sprintf("%q", name), fmt.Sprintf("%q %q %q", r.ProviderID, r.ModelID, pricing.TierName(r.ServiceTier))}
		for s, p := range []Period{was, is} {
			f.From, f.To = p.From, p.To
			if !reference.Match(r, f) {
				continue
			}
			names[k.row] = name
			if pairs[k] == nil {
				pairs[k] = &analytics.Pair{}
			}
			row := []*analytics.Row{&pairs[k].Was, &pairs[k].Is}[s]
			one := reference.Query(records[i:i+1], analytics.Query{Measures: compareMeasures}).Rows[0]
			if err := row.Merge(&one); err != nil {
				t.Fatal(err)
			}
		}
	}
	byRow, all := map[string][]analytics.Pair{}, map[string]analytics.Pair{}
	for k, p := range pairs {
		byRow[k.row] = append(byRow[k.row], *p)
		whole := all[k.cell]
		if err := whole.Was.Merge(&p.Was); err != nil {
			t.Fatal(err)
		}
		if err := whole.Is.Merge(&p.Is); err != nil {
			t.Fatal(err)
		}
		all[k.cell] = whole
	}
	explained := func(name []string, cells []analytics.Pair) Change {
		c, err := change(name, cells)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for row, cells := range byRow {
		rows = append(rows, explained(names[row], cells))
	}
	slices.SortFunc(rows, func(a, b Change) int {
		return cmp.Or(magnitude(b.Delta).Cmp(magnitude(a.Delta)), slices.Compare(a.Names, b.Names))
	})
	var cells []analytics.Pair
	for _, p := range all {
		cells = append(cells, p)
	}
	return rows, explained(nil, cells)
}

func TestCompareIsWhatEveryRecordSays(t *testing.T) {
	records := tiered(900, 11)
	s, _ := service(ledgerOf(t, records))
	was, is := Period{lastWeek.From.AddDate(0, 0, -7), lastWeek.From}, Period{lastWeek.From, lastWeek.To}
	for _, by := range [][]analytics.Dimension{
		{analytics.Feature}, {analytics.Model}, {analytics.User}, {analytics.Feature, analytics.Model},
		{analytics.User, analytics.Feature}, {analytics.Tag("none")},
	} {
		for _, any := range []map[analytics.Dimension][]string{nil, {analytics.Feature: {"chat", "search"}, analytics.Model: {"gpt-1", "gpt-2"}}} {
			f := lastWeek
			f.Any = any
			got, err := s.Compare(t.Context(), CompareRequest{Filter: f, GroupBy: by, Limit: MaxLimit})
			if err != nil {
				t.Fatal(err)
			}
			rows, total := comparedNaively(t, records, by, was, is, f)
			if len(rows) == 0 || got.NextCursor != "" {
				t.Fatalf("%v: %d rows, cursor %q", by, len(rows), got.NextCursor)
			}
			if d := cmpdiff.Diff(rows, got.Rows, totals); d != "" {
				t.Fatalf("by %v of %v, naively -, got +:\n%s", by, any, d)
			}
			if d := cmpdiff.Diff(total, got.Total, totals); d != "" {
				t.Fatalf("total by %v of %v, naively -, got +:\n%s", by, any, d)
			}
			var delta money.Total
			for i := range got.Rows {
				delta = delta.Plus(got.Rows[i].Delta)
				if got.Rows[i].Sum() != got.Rows[i].Delta {
					t.Fatalf("terms of %v sum to %v, want %v", got.Rows[i].Names, got.Rows[i].Sum(), got.Rows[i].Delta)
				}
			}
			if delta != got.Total.Delta || got.Total.Sum() != delta {
				t.Fatalf("rows moved by %v, the total by %v, its terms %v", delta, got.Total.Delta, got.Total.Sum())
			}
		}
	}
}

// Ranking a page first gives the pages that looking at all cells gives.
func TestCompareRanksFirst(t *testing.T) {
	records := tiered(250, 16)
	for i := range records { // steady users, some dear, some new, many alike
		records[i].UserID = fmt.Sprint("u", i%(7+i/3))
		records[i].ID = records[i].Identity()
	}
	l := ledgerOf(t, records)
	was, is := Period{lastWeek.From.AddDate(0, 0, -7), lastWeek.From}, Period{lastWeek.From, lastWeek.To}
	for _, by := range [][]analytics.Dimension{{analytics.User}, {analytics.Feature}, {analytics.User, analytics.Model}, {analytics.Tag("none"), analytics.Feature}} {
		want, total := comparedNaively(t, records, by, was, is, lastWeek)
		ranked := map[bool]bool{}
		for _, few := range []int{1, 4, 4000} {
			m := &meddler{Ledger: l}
			s, _ := service(m)
			s.fewCells = few
			r := CompareRequest{Filter: lastWeek, GroupBy: by, Limit: 4}
			var got []Change
			for {
				m.queries = nil
				c, err := s.Compare(t.Context(), r)
				if err != nil {
					t.Fatal(err)
				}
				ranked[slices.ContainsFunc(m.queries, func(q analytics.Query) bool { return q.Baseline != (analytics.Window{}) })] = true
				got = append(got, c.Rows...)
				if d := cmpdiff.Diff(total, c.Total, totals); d != "" {
					t.Fatalf("total by %v from %d, want -, got +:\n%s", by, few, d)
				}
				if r.Cursor = c.NextCursor; r.Cursor == "" {
					break
				}
			}
			if d := cmpdiff.Diff(want, got, totals); d != "" {
				t.Fatalf("by %v from %d, want -, got +:\n%s", by, few, d)
			}
		}
		if user := by[0] == analytics.User; !ranked[true] || ranked[false] == user {
			t.Errorf("by %v pages were ranked first: %v", by, ranked)
		}
	}
}

// Pages together are the whole, as of the first one's moment.
func TestComparePages(t *testing.T) {
	records, late := tiered(600, 12), sample(600, 13)
	l := ledgerOf(t, records)
	s, now := service(l)
	r := CompareRequest{Filter: lastWeek, GroupBy: []analytics.Dimension{analytics.User}, Limit: MaxLimit}
	want, err := s.Compare(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	var got []Change
	r.Limit = 7
	for page := 0; ; page++ {
		c, err := s.Compare(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmpdiff.Diff(want.Total, c.Total, totals); d != "" {
			t.Fatalf("total of page %d, want -, got +:\n%s", page, d)
		}
		if c.Period != want.Period || c.Baseline != want.Baseline {
			t.Fatalf("page %d is of %v against %v", page, c.Period, c.Baseline)
		}
		got = append(got, c.Rows...)
		if c.NextCursor == "" {
			break
		}
		r.Cursor = c.NextCursor
		r.From, r.To = r.From.Add(time.Hour), r.To.Add(time.Hour)
		mustAppend(t, l, late[page])
		now.Time = now.Add(time.Second)
	}
	if d := cmpdiff.Diff(want.Rows, got, totals); d != "" {
		t.Errorf("pages together, want -, got +:\n%s", d)
	}

	r.Cursor = ""
	first, err := s.Compare(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	r.Cursor = first.NextCursor
	for name, other := range map[string]func(*CompareRequest){
		"baseline":   func(r *CompareRequest) { r.Baseline.To = begin.AddDate(0, 0, 3) },
		"zone":       func(r *CompareRequest) { r.Location = time.FixedZone("elsewhere", 3600) },
		"dimensions": func(r *CompareRequest) { r.GroupBy = []analytics.Dimension{analytics.Feature} },
	} {
		wrong := r
		other(&wrong)
		_, err := s.Compare(t.Context(), wrong)
		wantFault(t, "a cursor with another "+name, err, fault.Invalid, "cursor")
	}
	correct(t, l, &records[0])
	_, err = s.Compare(t.Context(), r)
	wantFault(t, "after a correction", err, fault.Gone, "")
	now.Time = now.Add(RankingLife + time.Second)
	_, err = s.Compare(t.Context(), r)
	wantFault(t, "after 10 minutes", err, fault.Gone, "")
}

// A correction between two of the questions starts the comparison again.
func TestCompareIsOfOneMoment(t *testing.T) {
	records := tiered(300, 14)
	for by, questions := range map[analytics.Dimension]int{analytics.Feature: 2, analytics.User: 5} {
		l := ledgerOf(t, records)
		m := &meddler{Ledger: l}
		m.before = func(asked int) {
			if asked == 1 {
				correct(t, l, &records[0])
			}
			mustAppend(t, l, sample(50, uint64(100+asked))...)
		}
		s, _ := service(m)
		got, err := s.Compare(t.Context(), CompareRequest{Filter: lastWeek, GroupBy: []analytics.Dimension{by}, Limit: MaxLimit})
		if err != nil {
			t.Fatal(err)
		}
		if m.asked != 2+questions {
			t.Errorf("%d questions, want 2 that were given up and %d", m.asked, questions)
		}
		var delta money.Total
		for i := range got.Rows {
			delta = delta.Plus(got.Rows[i].Delta)
		}
		if delta != got.Total.Delta {
			t.Errorf("rows moved by %v, the total by %v", delta, got.Total.Delta)
		}
	}
}

func TestCompareBounds(t *testing.T) {
	s, _ := service(ledgerOf(t, sample(50, 15)))
	by := []analytics.Dimension{analytics.Feature}
	for name, c := range map[string]struct {
		r     CompareRequest
		field string
	}{
		"no dimension":    {CompareRequest{Filter: lastWeek}, "groupBy"},
		"three":           {CompareRequest{Filter: lastWeek, GroupBy: []analytics.Dimension{"feature", "model", "user"}}, "groupBy"},
		"tier":            {CompareRequest{Filter: lastWeek, GroupBy: []analytics.Dimension{analytics.Tier}}, "groupBy"},
		"limit":           {CompareRequest{Filter: lastWeek, GroupBy: by, Limit: MaxLimit + 1}, "limit"},
		"empty baseline":  {CompareRequest{Filter: lastWeek, GroupBy: by, Baseline: Period{begin, begin}}, "baselineFrom"},
		"baseline begins": {CompareRequest{Filter: lastWeek, GroupBy: by, Baseline: Period{From: lastWeek.To}}, "baselineFrom"},
	} {
		_, err := s.Compare(t.Context(), c.r)
		wantFault(t, name, err, fault.Invalid, c.field)
	}
	down, _ := service(broken{})
	_, err := down.Compare(t.Context(), CompareRequest{Filter: lastWeek, GroupBy: by})
	wantFault(t, "a ledger that is down", err, fault.Unavailable, "")

	empty, _ := service(&reference.Ledger{})
	got, err := empty.Compare(t.Context(), CompareRequest{Filter: lastWeek, GroupBy: by})
	if err != nil || len(got.Rows) != 0 || got.Rows == nil || got.Total.Terms != (analytics.Terms{}) {
		t.Errorf("an empty ledger: %+v, %v", got, err)
	}
}

func TestBaselineByDefault(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	at := func(s string) time.Time {
		t, err := time.Parse(time.RFC3339, s)
		if err != nil {
			panic(err)
		}
		return t.UTC()
	}
	for _, c := range []struct {
		name     string
		from, to string
		loc      *time.Location
		want     string
	}{
		{"a week", "2026-03-08T00:00:00Z", "2026-03-15T00:00:00Z", nil, "2026-03-01T00:00:00Z"},
		{"90 minutes", "2026-03-08T10:30:00Z", "2026-03-08T12:00:00Z", nil, "2026-03-08T09:00:00Z"},
		// Clocks go forward on 2026-03-29: the week before has an hour more.
		{"a week across a change", "2026-03-28T23:00:00Z", "2026-04-04T22:00:00Z", berlin, "2026-03-21T23:00:00Z"},
		{"a day of 23 hours", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z", berlin, "2026-03-27T23:00:00Z"},
		{"hours across a change", "2026-03-29T00:30:00Z", "2026-03-29T03:30:00Z", berlin, "2026-03-28T21:30:00Z"},
		{"before 1970", "1970-01-03T00:00:00Z", "2026-01-01T00:00:00Z", nil, "1970-01-01T00:00:00Z"},
	} {
		p := Period{at(c.from), at(c.to)}
		if got := Before(p.From, p, c.loc); !got.Equal(at(c.want)) {
			t.Errorf("%s: the baseline begins at %v, want %v", c.name, got, c.want)
		}
	}
}

// What a page must not do: ask for more than is allowed to be held.
func TestTooMuchToCompare(t *testing.T) {
	s, _ := service(crowd{})
	_, err := s.Compare(t.Context(), CompareRequest{Filter: lastWeek, GroupBy: []analytics.Dimension{analytics.User}})
	wantFault(t, "too many models of a page", err, fault.Invalid, "limit")
	if !strings.Contains(err.(*fault.Error).Details["limit"][0], "filter") {
		t.Errorf("%v names no way out", err)
	}
}
