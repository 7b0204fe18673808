package report

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/store/reference"
	"github.com/costprof/costprof/internal/usage"
)

func TestTotals(t *testing.T) {
	l := &reference.Ledger{}
	s := &Service{Ledger: l}
	noon := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	spans := []Span{{usage.Epoch, noon.Add(24 * time.Hour)}, {noon.Add(-time.Hour), noon}}
	got, err := s.Totals(t.Context(), TotalsRequest{Spans: spans})
	if err != nil || len(got) != 2 || got[0].Calls != 0 || len(got[0].Features.Rows) != 0 || got[0].Features.Rest != 0 {
		t.Fatalf("of nothing: %+v, %v", got, err)
	}
	var records []usage.Record
	add := func(at time.Time, feature, user string, cost int64) {
		r := usage.Record{Event: usage.Event{Project: "default", TraceID: "t", SpanID: fmt.Sprint(len(records)), Timestamp: at, Feature: feature, UserID: user}}
		r.Classes[usage.ClassInput] = money.USD(cost)
		r.Source = usage.SourceCatalog
		r.ID = r.Identity()
		records = append(records, r)
	}
	for i := range 130 { // f129 is the dearest
		add(noon.Add(-48*time.Hour), fmt.Sprintf("f%d", i), fmt.Sprintf("u%d", i%110), int64(100+i))
	}
	add(noon.Add(-time.Hour), "f0", "", 7)
	add(noon, "f1", "", 1000) // the end is not part of a span
	if _, err := l.Append(t.Context(), records); err != nil {
		t.Fatal(err)
	}
	got, err = s.Totals(t.Context(), TotalsRequest{Spans: spans})
	if err != nil {
		t.Fatal(err)
	}
	all, hour := got[0], got[1]
	if all.Calls != 132 || all.Features.Rest != 30 || len(all.Features.Rows) != TotalsShown || all.Users.Rest != 11 || all.Features.Rows[0].Names[0] != "f1" {
		t.Errorf("all: %d calls; %d features beyond %d, %d users", all.Calls, all.Features.Rest, len(all.Features.Rows), all.Users.Rest)
	}
	for _, d := range []Dearest{all.Features, all.Users} {
		sum := d.Other
		for _, r := range d.Rows {
			sum = sum.Plus(r.Cost)
		}
		if sum != all.Cost {
			t.Errorf("the parts cost %s, the whole %s", sum, all.Cost)
		}
	}
	want := Total{Cost: money.TotalOf(7), Calls: 1,
		Features: Dearest{Rows: []analytics.Row{{Names: []string{"f0"}, Cost: money.TotalOf(7), Calls: 1}}},
		Users:    Dearest{Rows: []analytics.Row{{Names: []string{""}, Cost: money.TotalOf(7), Calls: 1}}}}
	if d := cmp.Diff(want, hour, cmp.AllowUnexported(money.Total{})); d != "" {
		t.Errorf("the hour (-want +got):\n%s", d)
	}
}
