package httpapi

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/costprof/costprof/internal/money"
)

type totalsAnswer struct {
	Data struct {
		totalsPart
		Today, LastHour, LastMinute totalsPart
	}
	Meta struct {
		From, To                              time.Time
		TZ                                    string
		OtherCount, OtherFeatures, OtherUsers int64
	}
}

type totalsPart struct {
	TotalCost       money.Total
	CallCount       int64
	UnpricedCalls   int64
	Features, Users map[string]money.Total
}

func TestRealtimeTotals(t *testing.T) {
	f := setup(t) // the clock stands at noon of 22 November, and 123 ms
	var empty totalsAnswer
	f.get("/api/v1/analytics/realtime-totals").want(200).into(&empty)
	if empty.Data.CallCount != 0 || empty.Data.Features == nil || empty.Data.Today.Users == nil || empty.Meta.TZ != "UTC" {
		t.Errorf("of an empty ledger: %+v", empty)
	}
	at := func(n int, timestamp, more string) string {
		return event(n, fmt.Sprintf(`{"timestamp":%q}`, timestamp), more)
	}
	f.post("/api/v1/events", batch(
		at(1, "2020-01-01T00:00:00Z", `{"model":"unheard-of"}`),
		at(2, "2026-11-21T23:30:00Z", `{"feature":"search","userId":"ann"}`), // the 22nd in Berlin
		at(3, "2026-11-22T00:00:00Z", `{}`),
		at(4, "2026-11-22T11:00:00.123456Z", `{}`), // an hour ago to the microsecond: not in the last one
		at(5, "2026-11-22T11:00:00.123457Z", `{}`),
		at(6, "2026-11-22T11:59:30Z", `{"feature":"search"}`),
		at(7, "2026-11-22T12:00:00.123456Z", `{"userId":"bob"}`), // this very microsecond
		at(8, "2026-11-22T18:00:00Z", `{}`),                      // a clock that is ahead
		at(9, "2026-11-23T12:00:00Z", `{}`),                      // the furthest there is
		at(10, "2026-11-22T11:59:59Z", `{"aggregate":true}`),
	)).want(202)
	each := total(t, "0.0035")
	times := func(n int) (sum money.Total) {
		for range n {
			sum = sum.Plus(each)
		}
		return sum
	}
	for path, want := range map[string]struct{ all, today, hour, minute int64 }{
		"/api/v1/analytics/realtime-totals":                                      {9, 6, 3, 2},
		"/api/analytics/realtime-totals":                                         {9, 6, 3, 2},
		"/api/v1/analytics/realtime-totals?tz=Europe/Berlin":                     {9, 7, 3, 2},
		"/api/v1/analytics/realtime-totals?feature=search":                       {2, 1, 1, 1},
		"/api/v1/analytics/realtime-totals?user=":                                {7, 5, 2, 1},
		"/api/v1/analytics/realtime-totals?from=2026-11-22":                      {7, 6, 3, 2},
		"/api/v1/analytics/realtime-totals?to=2026-11-22":                        {8, 6, 3, 2},
		"/api/v1/analytics/realtime-totals?from=2026-11-22T11:59:00Z&feature=no": {0, 0, 0, 0},
	} {
		var a totalsAnswer
		f.get(path).want(200).into(&a)
		got := []int64{a.Data.CallCount, a.Data.Today.CallCount, a.Data.LastHour.CallCount, a.Data.LastMinute.CallCount}
		if d := cmp.Diff([]int64{want.all, want.today, want.hour, want.minute}, got); d != "" {
			t.Errorf("%s: calls (-want +got):\n%s", path, d)
		}
	}
	var a totalsAnswer
	f.get("/api/v1/analytics/realtime-totals").want(200).into(&a)
	if a.Data.TotalCost != times(8) || a.Data.UnpricedCalls != 1 || a.Data.Features["search"] != times(2) || a.Data.Users["ann"] != each ||
		a.Data.Users[""] != times(6) || a.Data.LastMinute.Features["search"] != each || a.Data.LastMinute.Users["bob"] != each {
		t.Errorf("sums: %+v", a.Data)
	}
	if a.Meta.From.Year() != 2020 || !a.Meta.To.After(f.now.Add(24*time.Hour)) || a.Meta.OtherCount != 0 {
		t.Errorf("meta %+v", a.Meta)
	}

	var many []string
	for i := range 130 {
		many = append(many, event(100+i, fmt.Sprintf(`{"feature":"f%d","userId":"u%d"}`, i, i%105)))
	}
	f.post("/api/v1/events", batch(many...)).want(202)
	f.get("/api/v1/analytics/realtime-totals").want(200).into(&a)
	if n := len(a.Data.Features); n != 101 || a.Meta.OtherFeatures != 32 || a.Meta.OtherUsers != 8 || a.Meta.OtherCount != 40 || a.Data.Features["(other)"] != times(32) {
		t.Errorf("%d features, other %s, meta %+v", n, a.Data.Features["(other)"], a.Meta)
	}
	f.get("/api/v1/analytics/realtime-totals?tz=Mars").want(400).says("tz")
	f.get("/api/v1/analytics/realtime-totals?limit=3").want(400).says("limit")
}
