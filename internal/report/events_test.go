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

// No event stored before the first page comes twice or is left out while others,
// also of the same instants, arrive and the default window slides.
func TestEventsPages(t *testing.T) {
	records, late := sample(500, 15), sample(500, 16)
	l := ledgerOf(t, records)
	s, _ := service(l)
	all := window
	all.Aggregates = true
	want := reference.Events(records, store.EventQuery{Filter: all})
	old := map[usage.ID]bool{}
	for _, r := range records {
		old[r.ID] = true
	}
	r := EventsRequest{Filter: window, Limit: 9}
	seen := map[usage.ID]bool{}
	var got []usage.Record
	for page := 0; ; page++ {
		p, err := s.Events(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		if !p.From.Equal(begin) || !p.To.Equal(end) {
			t.Fatalf("page %d is from %v to %v", page, p.From, p.To)
		}
		for _, row := range p.Rows {
			if seen[row.ID] {
				t.Fatalf("event %v twice", row.ID)
			}
			seen[row.ID] = true
			if old[row.ID] {
				got = append(got, row)
			}
		}
		if p.NextCursor == "" {
			break
		}
		r.Cursor = p.NextCursor
		r.Limit = 9 + page%4
		r.From, r.To = r.From.Add(time.Hour), r.To.Add(time.Hour)
		twin := late[page]
		twin.Timestamp = records[page].Timestamp
		twin.ID = twin.Identity()
		mustAppend(t, l, late[page+100], twin)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("pages together, want -, got +:\n%s", diff)
	}
}

func TestEventsLastPageIsFull(t *testing.T) {
	s, _ := service(ledgerOf(t, sample(20, 17)))
	p, err := s.Events(t.Context(), EventsRequest{Filter: window, Limit: 20})
	if err != nil || len(p.Rows) != 20 || p.NextCursor != "" {
		t.Errorf("%d rows, cursor %q, %v; want all 20 and no cursor", len(p.Rows), p.NextCursor, err)
	}
	s.Ledger = &reference.Ledger{}
	p, err = s.Events(t.Context(), EventsRequest{Filter: window})
	if err != nil || p.Rows == nil || len(p.Rows) != 0 || p.NextCursor != "" {
		t.Errorf("empty ledger: %+v, %v", p, err)
	}
}

func TestEventsRefuses(t *testing.T) {
	s, _ := service(ledgerOf(t, sample(20, 18)))
	p, err := s.Events(t.Context(), EventsRequest{Filter: window, Limit: 5})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Events(t.Context(), EventsRequest{Filter: only(window, analytics.Project, "other"), Cursor: p.NextCursor})
	wantFault(t, "cursor of another filter", err, fault.Invalid, "cursor")
	_, err = s.Events(t.Context(), EventsRequest{Cursor: "?"})
	wantFault(t, "broken cursor", err, fault.Invalid, "cursor")
	_, err = s.Events(t.Context(), EventsRequest{Limit: 1001})
	wantFault(t, "limit", err, fault.Invalid, "limit")
	s.Ledger = broken{}
	_, err = s.Events(t.Context(), EventsRequest{})
	wantFault(t, "ledger down", err, fault.Unavailable, "")
}

func TestEvent(t *testing.T) {
	records := sample(50, 19)
	s, _ := service(ledgerOf(t, records))
	for _, want := range records { // aggregates too, and whatever the window
		got, err := s.Event(t.Context(), want.ID, analytics.Filter{To: begin})
		if err != nil || got.ID != want.ID {
			t.Errorf("event %v: %v, %v", want.ID, got.ID, err)
		}
	}
	_, err := s.Event(t.Context(), usage.ID{1}, analytics.Filter{})
	wantFault(t, "unknown id", err, fault.NotFound, "")
	_, err = s.Event(t.Context(), records[0].ID, only(analytics.Filter{}, analytics.Project, "other"))
	wantFault(t, "another project's id", err, fault.NotFound, "")
}
