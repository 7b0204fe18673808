package analytics

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/costprof/costprof/internal/fault"
)

func zone(t interface{ Fatal(...any) }, name string) *time.Location {
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

func instant(t *testing.T, s string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestEdgesOfRealZones(t *testing.T) {
	for _, c := range []struct {
		name, zone string
		g          Granularity
		from, to   string
		want       string
	}{
		{
			"an hour lost", "Europe/Berlin", Hour, "2026-03-29T00:30:00Z", "2026-03-29T02:30:00Z",
			"2026-03-29T01:00:00+01:00 2026-03-29T03:00:00+02:00 2026-03-29T04:00:00+02:00",
		},
		{
			"an hour twice", "America/New_York", Hour, "2026-11-01T05:00:00Z", "2026-11-01T07:30:00Z",
			"2026-11-01T01:00:00-04:00 2026-11-01T01:00:00-05:00 2026-11-01T02:00:00-05:00",
		},
		{
			"a 23-hour day", "Europe/Berlin", Day, "2026-03-28T12:00:00Z", "2026-03-30T12:00:00Z",
			"2026-03-28T00:00:00+01:00 2026-03-29T00:00:00+01:00 2026-03-30T00:00:00+02:00",
		},
		{
			"half an hour back", "Australia/Lord_Howe", Hour, "2026-04-04T14:00:00Z", "2026-04-04T17:00:00Z",
			"2026-04-05T01:00:00+11:00 2026-04-05T01:30:00+10:30 2026-04-05T02:00:00+10:30 2026-04-05T03:00:00+10:30",
		},
		{
			"half an hour forward", "Australia/Lord_Howe", Hour, "2026-10-03T14:30:00Z", "2026-10-03T17:00:00Z",
			"2026-10-04T01:00:00+10:30 2026-10-04T02:30:00+11:00 2026-10-04T03:00:00+11:00",
		},
		{
			"from in the half hour that is left", "Australia/Lord_Howe", Hour, "2026-04-04T15:10:00Z", "2026-04-04T16:00:00Z",
			"2026-04-05T01:30:00+10:30 2026-04-05T02:00:00+10:30",
		},
		{
			"45 minutes off", "Asia/Kathmandu", Day, "2026-01-01T18:14:59Z", "2026-01-02T18:15:01Z",
			"2026-01-01T00:00:00+05:45 2026-01-02T00:00:00+05:45 2026-01-03T00:00:00+05:45",
		},
		{
			"a day that never was", "Pacific/Apia", Day, "2011-12-29T12:00:00Z", "2012-01-01T00:00:00Z",
			"2011-12-29T00:00:00-10:00 2011-12-31T00:00:00+14:00 2012-01-01T00:00:00+14:00",
		},
		{
			"no midnight", "America/Asuncion", Month, "2023-09-15T00:00:00Z", "2023-10-15T00:00:00Z",
			"2023-09-01T00:00:00-04:00 2023-10-01T01:00:00-03:00",
		},
		{
			"no midnight in Cairo", "Africa/Cairo", Day, "2026-04-23T12:00:00Z", "2026-04-24T12:00:00Z",
			"2026-04-23T00:00:00+02:00 2026-04-24T01:00:00+03:00",
		},
		{
			"midnight twice", "America/Havana", Day, "2026-10-31T12:00:00Z", "2026-11-02T12:00:00Z",
			"2026-10-31T00:00:00-04:00 2026-11-01T00:00:00-04:00 2026-11-02T00:00:00-05:00",
		},
		{
			"back over midnight", "America/St_Johns", Day, "1990-10-28T02:40:00Z", "1990-10-29T12:00:00Z",
			"1990-10-28T00:00:00-02:30 1990-10-29T00:00:00-03:30",
		},
		{
			"Monday", "Asia/Tokyo", Week, "2026-01-01T00:00:00Z", "2026-01-13T00:00:00Z",
			"2025-12-29T00:00:00+09:00 2026-01-05T00:00:00+09:00 2026-01-12T00:00:00+09:00",
		},
		{
			"Sunday is the week's last day", "UTC", Week, "2026-01-04T23:59:59Z", "2026-01-05T00:00:01Z",
			"2025-12-29T00:00:00Z 2026-01-05T00:00:00Z",
		},
		{
			"leap February", "UTC", Month, "2028-01-31T00:00:00Z", "2028-03-01T00:00:01Z",
			"2028-01-01T00:00:00Z 2028-02-01T00:00:00Z 2028-03-01T00:00:00Z",
		},
		{
			"to is not in", "UTC", Hour, "2026-01-01T00:00:00Z", "2026-01-01T02:00:00Z",
			"2026-01-01T00:00:00Z 2026-01-01T01:00:00Z",
		},
		{
			"a nanosecond more", "UTC", Minute, "2026-01-01T00:00:59.999999999Z", "2026-01-01T00:01:00.000000001Z",
			"2026-01-01T00:00:00Z 2026-01-01T00:01:00Z",
		},
		{
			"same offset, other name", "Europe/Lisbon", Hour, "1992-09-27T00:30:00Z", "1992-09-27T02:00:00Z",
			"1992-09-27T01:00:00+01:00 1992-09-27T02:00:00+01:00",
		},
	} {
		edges, err := Edges(instant(t, c.from), instant(t, c.to), c.g, zone(t, c.zone))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var got []string
		for _, e := range edges {
			got = append(got, e.Format(time.RFC3339))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.name, strings.Join(got, " "), c.want)
		}
	}
}

func TestEdgesRefusesWhatIsTooMuch(t *testing.T) {
	from, to := instant(t, "2020-01-01T00:00:00Z"), instant(t, "2100-01-01T00:00:00Z")
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, c := range []struct {
		g    Granularity
		hint string
	}{{Minute, "use week"}, {Hour, "use week"}, {Day, "use week"}} {
		_, err := Edges(from, to, c.g, zone(t, "Europe/Berlin"))
		if fault.CodeOf(err) != fault.Invalid || !strings.Contains(fmt.Sprint(err.(*fault.Error).Details), c.hint) {
			t.Errorf("80 years by %s: %v, want Invalid with %q", c.g, err, c.hint)
		}
	}
	if _, err := Edges(time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), Month, nil); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("10,000 years by month: %v, want Invalid", err)
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 64<<20 {
		t.Errorf("took %d bytes: the buckets were made before they were counted", used)
	}
	edges, err := Edges(from, from.Add(10_000*time.Minute), Minute, nil)
	if err != nil || len(edges) != maxPoints {
		t.Errorf("exactly the most: %d edges, %v", len(edges), err)
	}
	if _, err := Edges(from, from.Add(10_000*time.Minute+1), Minute, nil); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("one more: %v, want Invalid", err)
	}
	for _, to := range []time.Time{from, from.Add(-1)} {
		if _, err := Edges(from, to, Day, nil); fault.CodeOf(err) != fault.Invalid {
			t.Errorf("to %v: %v, want Invalid", to, err)
		}
	}
}

func TestCheckPoints(t *testing.T) {
	from := instant(t, "2026-01-01T00:00:00Z")
	to := from.Add(1000 * time.Hour)
	edges, err := Edges(from, to, Hour, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := CheckPoints(edges, to, Hour, 10); err != nil {
		t.Errorf("1000 × 10: %v", err)
	}
	err = CheckPoints(edges, to, Hour, 11)
	if fault.CodeOf(err) != fault.Invalid || !strings.Contains(fmt.Sprint(err.(*fault.Error).Details), "use day") {
		t.Errorf("1000 × 11: %v, want Invalid naming day", err)
	}
}

var zones = []string{
	"UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Asia/Kolkata", "Australia/Lord_Howe",
	"Australia/Eucla", "Pacific/Apia", "Pacific/Chatham", "America/Asuncion", "America/Havana", "Africa/Cairo",
	"Africa/Casablanca", "America/St_Johns", "Asia/Tehran", "Europe/Dublin", "America/Santiago", "Asia/Gaza",
	"Antarctica/Troll", "Pacific/Kwajalein", "Europe/Amsterdam", "Asia/Beirut", "America/Nuuk",
}

// label is the local name of t's bucket: what a person reads on the axis.
func label(t time.Time, g Granularity) string {
	switch g {
	case Minute:
		return t.Format("2006-01-02T15:04 -07:00:00")
	case Hour:
		return t.Format("2006-01-02T15 -07:00:00")
	case Day:
		return t.Format("2006-01-02")
	case Week:
		year, week := t.ISOWeek()
		return fmt.Sprintf("%d-W%d", year, week)
	}
	return t.Format("2006-01")
}

func TestEdgesCoverTheRange(t *testing.T) {
	locations := map[string]*time.Location{}
	for _, name := range zones {
		locations[name] = zone(t, name)
	}
	rapid.Check(t, func(t *rapid.T) {
		loc := locations[rapid.SampledFrom(zones).Draw(t, "zone")]
		g := rapid.SampledFrom(granularities).Draw(t, "granularity")
		unit := map[Granularity]time.Duration{Minute: time.Minute, Hour: time.Hour, Day: 24 * time.Hour, Week: 168 * time.Hour, Month: 731 * time.Hour}[g]
		year := rapid.IntRange(1960, 2060).Draw(t, "year")
		// Every kind of place, but often near a change of the clock.
		from := time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(rapid.Int64Range(0, int64(365*24*time.Hour)).Draw(t, "within")))
		if _, change := from.In(loc).ZoneBounds(); !change.IsZero() && rapid.Bool().Draw(t, "near a change") {
			from = change.Add(time.Duration(rapid.Int64Range(-3*int64(unit), int64(unit)).Draw(t, "distance")))
		}
		to := from.Add(time.Duration(rapid.Int64Range(1, 8*int64(unit)).Draw(t, "length")))

		edges, err := Edges(from, to, g, loc)
		if err != nil {
			t.Fatal(err)
		}
		if edges[0].After(from) {
			t.Fatalf("first edge %v is after from %v", edges[0], from)
		}
		if len(edges) > 1 && !edges[1].After(from) {
			t.Fatalf("the first bucket %v ends at %v, before from %v", edges[0], edges[1], from)
		}
		if last := edges[len(edges)-1]; !last.Before(to) {
			t.Fatalf("last edge %v is not before to %v", last, to)
		}
		for i, e := range edges {
			if e.Location() != loc {
				t.Fatalf("edge %v is not local", e)
			}
			if i > 0 && !edges[i-1].Before(e) {
				t.Fatalf("edges %v, %v do not increase", edges[i-1], e)
			}
			// An edge starts its bucket: just before it the label was another one.
			if before := e.Add(-time.Nanosecond); label(before.In(loc), g) == label(e, g) {
				t.Fatalf("edge %v is inside its bucket", e)
			}
			// And no other bucket starts inside: the label lasts until the next edge.
			// (Only where clocks went back over midnight does a date come twice.)
			end := to
			if i+1 < len(edges) {
				end = edges[i+1]
			}
			if last := end.Add(-time.Nanosecond).In(loc); label(last, g) != label(e, g) {
				t.Fatalf("bucket %v still open at %v", e, last)
			}
		}
		if grain, _ := GrainFor(edges); grain == 0 && !edges[0].Before(time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)) {
			t.Fatalf("no grain for %v", edges)
		}
	})
}

func TestGrainFor(t *testing.T) {
	for _, c := range []struct {
		zone, from, to string
		g              Granularity
		grain, shift   time.Duration
	}{
		{"UTC", "2026-01-01", "2026-01-07", Day, 24 * time.Hour, 0},
		{"UTC", "2026-01-01", "2026-01-07", Month, 24 * time.Hour, 0},
		{"UTC", "2026-01-01", "2026-01-07", Hour, time.Hour, 0},
		{"UTC", "2026-01-01", "2026-01-07", Minute, time.Minute, 0},
		{"Europe/Berlin", "2026-01-01", "2026-01-07", Week, 24 * time.Hour, 23 * time.Hour},
		{"Europe/Berlin", "2026-03-01", "2026-04-30", Day, time.Hour, 0}, // clocks go forward
		{"Asia/Kolkata", "2026-01-01", "2026-01-07", Day, 24 * time.Hour, 18*time.Hour + 30*time.Minute},
		{"Asia/Kathmandu", "2026-01-01", "2026-01-07", Day, 24 * time.Hour, 18*time.Hour + 15*time.Minute},
		{"Asia/Kathmandu", "2026-01-01", "2026-01-07", Hour, time.Hour, 15 * time.Minute},
		{"Australia/Lord_Howe", "2026-03-01", "2026-05-30", Month, 30 * time.Minute, 0}, // +11:00 in summer, else +10:30
		{"Australia/Eucla", "2026-01-01", "2026-01-07", Month, 24 * time.Hour, 15*time.Hour + 15*time.Minute},
	} {
		edges, err := Edges(instant(t, c.from+"T00:10:00Z"), instant(t, c.to+"T12:00:00Z"), c.g, zone(t, c.zone))
		if err != nil {
			t.Fatal(err)
		}
		if grain, shift := GrainFor(edges); grain != c.grain || shift != c.shift {
			t.Errorf("%s by %s: grain %v shifted by %v, want %v by %v", c.zone, c.g, grain, shift, c.grain, c.shift)
		}
	}
	odd := []time.Time{instant(t, "2026-01-01T00:00:30Z")}
	if got, _ := GrainFor(odd); got != 0 {
		t.Errorf("half a minute: grain %v, want 0", got)
	}
	if got, _ := GrainFor([]time.Time{instant(t, "1930-01-01T00:00:30Z"), instant(t, "2026-01-01T00:00:00Z")}); got != 24*time.Hour {
		t.Errorf("before every event: grain %v, want 24h", got)
	}
}

func TestParse(t *testing.T) {
	for _, g := range granularities {
		if got, err := ParseGranularity("granularity", string(g)); err != nil || got != g {
			t.Errorf("%s: %v, %v", g, got, err)
		}
	}
	for _, s := range []string{"", "year", "Hour", "hour "} {
		if _, err := ParseGranularity("granularity", s); fault.CodeOf(err) != fault.Invalid {
			t.Errorf("granularity %q: %v, want Invalid", s, err)
		}
	}
	if loc, err := ParseLocation("tz", "Asia/Kathmandu"); err != nil || loc.String() != "Asia/Kathmandu" {
		t.Errorf("Kathmandu: %v, %v", loc, err)
	}
	for _, s := range []string{"", "Local", "Mars/Olympus", "../../etc/passwd", "right/Europe/Berlin", strings.Repeat("x", 1000), "Europe/Berlin\x00"} {
		if _, err := ParseLocation("tz", s); fault.CodeOf(err) != fault.Invalid {
			t.Errorf("zone %q: %v, want Invalid", s, err)
		}
	}
	for _, d := range append(slices.Clone(Dimensions), "tag:a", "tag:tag:a") {
		if got, err := ParseDimension("groupBy", string(d)); err != nil || got != d {
			t.Errorf("dimension %q: %q, %v", d, got, err)
		}
	}
	for _, s := range []string{"", "tag:", "trace", "Feature", "tag:a\x00b", "tag:" + strings.Repeat("x", 1000)} {
		if _, err := ParseDimension("groupBy", s); fault.CodeOf(err) != fault.Invalid {
			t.Errorf("dimension %q: %v, want Invalid", s, err)
		}
	}
}
