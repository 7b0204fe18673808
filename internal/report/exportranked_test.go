package report

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/store/reference"
	"github.com/costprof/costprof/internal/usage"
)

func collect[T any](t *testing.T, r *Ranking[T], each func(n int)) (rows []T, err error) {
	t.Helper()
	for row, err := range r.Rows(t.Context()) {
		if err != nil {
			return rows, err
		}
		rows = append(rows, *row)
		if each != nil {
			each(len(rows))
		}
	}
	return rows, nil
}

// An exported ranking is the whole ranking of its first moment, however many
// questions it takes, whatever arrives, and however long somebody reads.
func TestExportedRankings(t *testing.T) {
	records, late := sample(600, 1), sample(600, 2)
	l := ledgerOf(t, records)
	s, now := service(l)
	s.exportRows = 7
	q := analytics.Query{Filter: window, GroupBy: []analytics.Dimension{analytics.User}, Measures: analytics.MeasureTokens | analytics.MeasureSource}
	want := reference.Query(records, q)
	r, err := s.ExportBreakdown(t.Context(), BreakdownRequest{Filter: window, GroupBy: q.GroupBy, Measures: q.Measures})
	if err != nil {
		t.Fatal(err)
	}
	if r.Total != int64(len(want.Rows)) || len(want.Rows) < 100 || !r.From.Equal(begin) || !r.To.Equal(end) {
		t.Fatalf("%d rows of %d, from %v to %v", r.Total, len(want.Rows), r.From, r.To)
	}
	rows, err := collect(t, r, func(n int) {
		now.Time = now.Add(time.Minute)
		mustAppend(t, l, late[n])
	})
	if err != nil || r.NextCursor() != "" {
		t.Fatal(err, r.NextCursor())
	}
	got := make([]analytics.Row, len(rows))
	for i := range rows {
		got[i] = rows[i].Row
	}
	if diff := cmp.Diff(want.Rows, got, totals); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}

	// In parts, of any size.
	request := BreakdownRequest{Filter: window, GroupBy: q.GroupBy, Measures: q.Measures, Limit: 10}
	request.AsOf = 6 // what the 600 records were
	var parts []analytics.Row
	for {
		r, err := s.ExportBreakdown(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := collect(t, r, nil)
		if err != nil || len(rows) > 10 || (r.Total < 0) != (request.Cursor != "") {
			t.Fatalf("%d rows, %v, total %d", len(rows), err, r.Total)
		}
		for i := range rows {
			parts = append(parts, rows[i].Row)
		}
		if request.Cursor = r.NextCursor(); request.Cursor == "" {
			break
		}
		if len(rows) != 10 {
			t.Fatalf("a part has %d rows and goes on", len(rows))
		}
	}
	if diff := cmp.Diff(want.Rows, parts, totals); diff != "" {
		t.Errorf("parts, want -, got +:\n%s", diff)
	}

	calls := PromptsRequest{Filter: window, MinRatio: 1100, MinCalls: 1}
	bloat, err := l.Bloat(t.Context(), analytics.BloatQuery{Filter: window, MinRatio: 1100, MinCalls: 1})
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.ExportPrompts(t.Context(), calls)
	if err != nil {
		t.Fatal(err)
	}
	prompts, err := collect(t, p, nil)
	if err != nil || len(prompts) != len(bloat.Rows) || len(prompts) < 50 {
		t.Fatalf("%d of %d prompts, %v", len(prompts), len(bloat.Rows), err)
	}
	for i := range prompts {
		if diff := cmp.Diff(bloat.Rows[i], prompts[i].Bloat); diff != "" {
			t.Fatalf("prompt %d, want -, got +:\n%s", i, diff)
		}
	}
}

// A correction on the way is an error, never a file of two rankings.
func TestExportedRankingIsCorrected(t *testing.T) {
	records := sample(600, 1)
	l := ledgerOf(t, records)
	s, _ := service(l)
	s.exportRows = 7
	r, err := s.ExportBreakdown(t.Context(), BreakdownRequest{Filter: window, GroupBy: []analytics.Dimension{analytics.User}})
	if err != nil {
		t.Fatal(err)
	}
	rows, err := collect(t, r, func(n int) {
		if n != 3 {
			return
		}
		e := &records[0]
		change := store.CostChange{ID: e.ID, Timestamp: e.Timestamp, WasSource: e.Source, WasPriceID: e.PriceID, Now: usage.Costing{Source: usage.SourceBilled}}
		if _, err := l.Correct(t.Context(), store.Correction{Reason: "test", At: begin, Changes: []store.CostChange{change}}); err != nil {
			t.Fatal(err)
		}
	})
	if fault.CodeOf(err) != fault.Gone || len(rows) != 7 {
		t.Errorf("%d rows, %v", len(rows), err)
	}
	for _, limit := range []int{-1, MaxExport + 1} {
		if _, err := s.ExportPrompts(t.Context(), PromptsRequest{Limit: limit}); fault.CodeOf(err) != fault.Invalid {
			t.Errorf("limit %d: %v", limit, err)
		}
	}
}
