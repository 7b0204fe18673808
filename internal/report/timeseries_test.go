package report

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/store/reference"
	"github.com/costprof/costprof/internal/usage"
)

func location(t *testing.T, name string) *time.Location {
	t.Helper()
	loc, err := analytics.ParseLocation("tz", name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

// naive makes a series by asking for each bucket alone.
func naive(records []usage.Record, f analytics.Filter, edges []time.Time) []analytics.Row {
	var points []analytics.Row
	for i, e := range edges {
		q := analytics.Query{Filter: f, Measures: seriesMeasures}
		if e.After(f.From) {
			q.From = e
		}
		if i+1 < len(edges) {
			q.To = edges[i+1]
		}
		row := reference.Query(records, q).Rows[0]
		row.Bucket = e
		points = append(points, row)
	}
	return points
}

func TestTimeseriesIsExact(t *testing.T) {
	records := sample(800, 5)
	s, _ := service(ledgerOf(t, records))
	for _, zone := range []string{"UTC", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe"} {
		for _, g := range []analytics.Granularity{analytics.Hour, analytics.Day, analytics.Week, analytics.Month} {
			for _, by := range []analytics.Dimension{"", analytics.Feature, analytics.User} {
				name := fmt.Sprintf("%s by %s and %q", zone, g, by)
				// Bounds inside buckets.
				r := TimeseriesRequest{Filter: window, Granularity: g, Location: location(t, zone), GroupBy: by, Series: 4}
				r.From, r.To = begin.Add(1234567*time.Microsecond), end.Add(-7654321*time.Microsecond)
				got, err := s.Timeseries(t.Context(), r)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				edges, err := analytics.Edges(r.From, r.To, g, r.Location)
				if err != nil {
					t.Fatal(err)
				}
				want := Timeseries{From: r.From, To: r.To}
				all := naive(records, r.Filter, edges)
				if by == "" {
					want.Series = []Series{{Points: all}}
				} else {
					ranked := reference.Query(records, analytics.Query{Filter: r.Filter, GroupBy: []analytics.Dimension{by}})
					var rest []string
					for i, row := range ranked.Rows {
						if i >= 4 {
							rest = append(rest, row.Names[0])
							continue
						}
						want.Series = append(want.Series, Series{Name: row.Names[0], Points: naive(records, only(r.Filter, by, row.Names[0]), edges)})
					}
					want.Series = append(want.Series, Series{Name: analytics.Other, Rest: true, Points: naive(records, only(r.Filter, by, rest...), edges)})
				}
				if diff := cmp.Diff(want, got, totals); diff != "" {
					t.Fatalf("%s, want -, got +:\n%s", name, diff)
				}
			}
		}
	}
}

func only(f analytics.Filter, d analytics.Dimension, values ...string) analytics.Filter {
	f.Any = map[analytics.Dimension][]string{d: values}
	return f
}

func TestTimeseriesRest(t *testing.T) {
	records := sample(400, 6)
	s, _ := service(ledgerOf(t, records))
	features := map[string]bool{}
	for _, r := range records {
		features[r.Feature] = true
	}
	r := TimeseriesRequest{Filter: window, Granularity: analytics.Day, GroupBy: analytics.Feature, Series: len(features)}
	got, err := s.Timeseries(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, line := range got.Series {
		if line.Rest {
			t.Error("a rest although every series is shown")
		}
		found = found || line.Name == analytics.Other
	}
	if !found || len(got.Series) != len(features) {
		t.Errorf("%d series, want %d with the feature that is named (other)", len(got.Series), len(features))
	}
	// The user's own filter on the grouped dimension holds.
	r.Filter = only(window, analytics.Feature, "chat", "search", "nothing")
	r.Series = 1
	if got, err = s.Timeseries(t.Context(), r); err != nil || len(got.Series) != 2 || !got.Series[1].Rest {
		t.Fatalf("two of three values: %+v, %v", got.Series, err)
	}
	want := reference.Query(records, analytics.Query{Filter: r.Filter})
	var calls int64
	for _, line := range got.Series {
		for _, p := range line.Points {
			calls += p.Calls
		}
	}
	if calls != want.Calls {
		t.Errorf("%d calls, want %d", calls, want.Calls)
	}
}

// Answers are of one moment while events arrive, and are asked again when stored
// costs change in between.
func TestTimeseriesIsOfOneMoment(t *testing.T) {
	records, late := sample(300, 7), sample(300, 8)
	l := ledgerOf(t, records)
	r := TimeseriesRequest{Filter: window, Granularity: analytics.Day, GroupBy: analytics.User, Series: 3}
	quiet, _ := service(l)
	want, err := quiet.Timeseries(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	arriving := &meddler{Ledger: l}
	arriving.before = func(asked int) {
		if asked > 0 {
			mustAppend(t, l, late[asked])
		}
	}
	s, _ := service(arriving)
	got, err := s.Timeseries(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, totals); diff != "" {
		t.Errorf("while events arrive, want -, got +:\n%s", diff)
	}
	if arriving.asked < 3 {
		t.Errorf("asked %d questions; the test means nothing", arriving.asked)
	}

	once := &meddler{Ledger: l}
	once.before = func(asked int) {
		if asked == 2 {
			correct(t, l, &records[0])
		}
	}
	s, _ = service(once)
	if got, err = s.Timeseries(t.Context(), r); err != nil {
		t.Fatalf("corrected once: %v", err)
	}
	if want, err = quiet.Timeseries(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, totals); diff != "" {
		t.Errorf("corrected once, want -, got +:\n%s", diff)
	}

	always := &meddler{Ledger: l, before: func(int) { correct(t, l, &records[0]) }}
	s, _ = service(always)
	_, err = s.Timeseries(t.Context(), r)
	wantFault(t, "corrected all the time", err, fault.Unavailable, "")
}

// The first event arriving between two questions to an empty ledger is not there.
func TestTimeseriesOfNothing(t *testing.T) {
	l := &reference.Ledger{}
	m := &meddler{Ledger: l}
	m.before = func(asked int) {
		if asked == 1 {
			mustAppend(t, l, sample(40, 9)...)
		}
	}
	s, _ := service(m)
	got, err := s.Timeseries(t.Context(), TimeseriesRequest{Filter: window, Granularity: analytics.Day, GroupBy: analytics.User})
	if err != nil || got.Series == nil || len(got.Series) != 0 {
		t.Errorf("grouped: %+v, %v; want no series", got, err)
	}
	s.Ledger = &reference.Ledger{}
	got, err = s.Timeseries(t.Context(), TimeseriesRequest{Filter: window, Granularity: analytics.Day})
	if err != nil || len(got.Series) != 1 || len(got.Series[0].Points) != 20 || got.Series[0].Points[19].Calls != 0 {
		t.Errorf("one series: %+v, %v; want 20 empty points", got, err)
	}
}

// Decades in a zone whose clocks move by half an hour are asked for in pieces.
func TestTimeseriesOfDecades(t *testing.T) {
	f := analytics.Filter{From: time.Date(2020, 1, 1, 3, 0, 0, 0, time.UTC), To: time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC)}
	howe := location(t, "Australia/Lord_Howe")
	records := sample(400, 10)
	for i := range 240 { // on the edge of every month, where the pieces meet
		records[i].Timestamp = time.Date(2020, time.Month(2+i), 1, 0, 0, 0, 0, howe).UTC()
		records[i].ID = records[i].Identity()
	}
	m := &meddler{Ledger: ledgerOf(t, records)}
	s, _ := service(m)
	got, err := s.Timeseries(t.Context(), TimeseriesRequest{Filter: f, Granularity: analytics.Month, Location: howe, GroupBy: analytics.Feature, Series: 5})
	if err != nil {
		t.Fatal(err)
	}
	if m.asked < 10 {
		t.Errorf("%d questions: not in pieces", m.asked)
	}
	edges, err := analytics.Edges(f.From, f.To, analytics.Month, howe)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range got.Series[:5] {
		if diff := cmp.Diff(naive(records, only(f, analytics.Feature, line.Name), edges), line.Points, totals); diff != "" {
			t.Errorf("%s, want -, got +:\n%s", line.Name, diff)
		}
	}
}

// Pieces asked of a ledger that was empty find it empty to the end.
func TestTimeseriesOfNothingInPieces(t *testing.T) {
	l := &reference.Ledger{}
	m := &meddler{Ledger: l}
	m.before = func(asked int) {
		if asked > 0 {
			mustAppend(t, l, sample(40, 9)...)
		}
	}
	s, _ := service(m)
	f := analytics.Filter{From: begin.AddDate(-20, 0, 0), To: end}
	got, err := s.Timeseries(t.Context(), TimeseriesRequest{Filter: f, Granularity: analytics.Month, Location: location(t, "Australia/Lord_Howe")})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range got.Series[0].Points {
		if p.Calls != 0 {
			t.Errorf("%v has a call that came after the first question", p.Bucket)
		}
	}
}

func TestTimeseriesRefuses(t *testing.T) {
	s, _ := service(&reference.Ledger{})
	for name, c := range map[string]struct {
		change func(*TimeseriesRequest)
		field  string
	}{
		"no granularity":      {func(r *TimeseriesRequest) { r.Granularity = "" }, "granularity"},
		"an unknown one":      {func(r *TimeseriesRequest) { r.Granularity = "year" }, "granularity"},
		"too fine":            {func(r *TimeseriesRequest) { r.Granularity = analytics.Minute }, "granularity"},
		"too many series":     {func(r *TimeseriesRequest) { r.Granularity, r.Series = analytics.Hour, 21; r.GroupBy = "user" }, "granularity"},
		"series beyond 50":    {func(r *TimeseriesRequest) { r.Series, r.GroupBy = 51, "user" }, "series"},
		"series below 1":      {func(r *TimeseriesRequest) { r.Series, r.GroupBy = -1, "user" }, "series"},
		"unknown dimension":   {func(r *TimeseriesRequest) { r.GroupBy = "colour" }, "groupBy"},
		"to before from":      {func(r *TimeseriesRequest) { r.From, r.To = r.To, r.From }, "from"},
		"no window":           {func(r *TimeseriesRequest) { r.From, r.To = time.Time{}, time.Time{} }, "from"},
		"a zone with seconds": {func(r *TimeseriesRequest) { r.Location = time.FixedZone("odd", 3601) }, "tz"},
	} {
		r := TimeseriesRequest{Filter: window, Granularity: analytics.Day}
		c.change(&r)
		_, err := s.Timeseries(t.Context(), r)
		wantFault(t, name, err, fault.Invalid, c.field)
	}
	r := TimeseriesRequest{Filter: window, Granularity: analytics.Hour, GroupBy: "user", Series: 20} // 480 × 20
	if _, err := s.Timeseries(t.Context(), r); err != nil {
		t.Errorf("480 buckets × 20: %v", err)
	}
	s.Ledger = broken{}
	_, err := s.Timeseries(t.Context(), r)
	wantFault(t, "ledger down", err, fault.Unavailable, "")
}
