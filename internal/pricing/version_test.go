package pricing

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/costprof/costprof/internal/usage"
)

// The same price has one form and one id, however it is written, and sealing it
// changes nothing that the caller holds.
func TestSealedIsCanonical(t *testing.T) {
	written := func() Version {
		return Version{
			Provider: "p", Model: "m", From: time.Unix(1, 1999).In(time.FixedZone("x", 3600)), To: time.Unix(2, 999),
			Window: &Window{Start: time.Hour, End: 2 * time.Hour, Weekdays: []time.Weekday{time.Friday, time.Monday, time.Friday}, Zone: "UTC"},
			Rates:  []Rate{{Unit: usage.Output, Price: 7}, {Unit: usage.Input, Price: 5}},
		}
	}
	v := written()
	got := v.sealed()
	if diff := cmp.Diff(written(), v); diff != "" {
		t.Errorf("sealing changed the version (-before +after):\n%s", diff)
	}
	want := Version{
		ID: got.ID, Provider: "p", Model: "m", From: time.Unix(1, 1000).UTC(), To: time.Unix(2, 0).UTC(),
		Window: &Window{Start: time.Hour, End: 2 * time.Hour, Weekdays: []time.Weekday{time.Monday, time.Friday}},
		Rates:  []Rate{{Unit: usage.Input, Price: 5}, {Unit: usage.Output, Price: 7}},
	}
	if diff := cmp.Diff(want, got); diff != "" || got.ID != want.sealed().ID {
		t.Errorf("sealed (-want +got), id %s, in its own form %s:\n%s", got.ID, want.sealed().ID, diff)
	}
	daily := want
	daily.Window = &Window{Start: time.Hour, End: 2 * time.Hour}
	for _, days := range [][]time.Weekday{{}, {6, 5, 4, 3, 2, 1, 0}, {0, 1, 2, 3, 4, 5, 6, 6, 0}} {
		same := want
		same.Window = &Window{Start: time.Hour, End: 2 * time.Hour, Weekdays: slices.Clone(days)}
		if sealed := same.sealed(); sealed.ID != daily.sealed().ID || sealed.Window.Weekdays != nil {
			t.Errorf("every day written as %v is %v with the id %s", days, sealed.Window.Weekdays, sealed.ID)
		}
	}
}

func TestBoundsOfAVersion(t *testing.T) {
	window := func(start, end time.Duration) Version { return Version{Window: &Window{Start: start, End: end}} }
	rates := func(r ...Rate) Version { return Version{Rates: r} }
	const day = 24 * time.Hour
	for name, v := range map[string]Version{
		"the highest price":     rates(Rate{Price: MaxPrice}),
		"the highest step":      rates(Rate{Above: []Step{{1, MaxPrice}}}),
		"the highest threshold": rates(Rate{Above: []Step{{1, 0}, {usage.MaxCount, 0}}}),
		"the highest minimum":   rates(Rate{Unit: usage.Messages, Minimum: usage.MaxCount}),
		"all day":               window(0, day),
		"the last second":       window(day-time.Second, 0),
	} {
		v.Provider, v.Model = "p", "m"
		if _, err := prepare(v); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, v := range map[string]Version{
		"a step below 0":             rates(Rate{Above: []Step{{1, -1}}}),
		"a step too high":            rates(Rate{Above: []Step{{1, MaxPrice + 1}}}),
		"a threshold of 0":           rates(Rate{Above: []Step{{0, 1}}}),
		"a threshold too high":       rates(Rate{Above: []Step{{usage.MaxCount + 1, 1}}}),
		"a minimum below 0":          rates(Rate{Unit: usage.Messages, Minimum: -1}),
		"a minimum too high":         rates(Rate{Unit: usage.Messages, Minimum: usage.MaxCount + 1}),
		"a minimum of a whole":       rates(Rate{Unit: usage.Pages, Minimum: 1}),
		"a minimum of a part":        rates(Rate{Unit: usage.AnnotatedPages, Minimum: 1}),
		"a window from before 0":     window(-time.Second, time.Hour),
		"a window from 24:00":        window(day, time.Hour),
		"a window to before 0":       window(0, -time.Second),
		"a window to after 24:00":    window(0, day+time.Second),
		"a window from a fraction":   window(time.Millisecond, time.Hour),
		"a window to a fraction":     window(0, time.Hour+time.Millisecond),
		"a weekday before Sunday":    {Window: &Window{End: time.Hour, Weekdays: []time.Weekday{-1}}},
		"a weekday behind Saturday":  {Window: &Window{End: time.Hour, Weekdays: []time.Weekday{7}}},
		"an end where it starts":     {From: time.Unix(1, 0), To: time.Unix(1, 0)},
		"a unit below the first one": rates(Rate{Unit: usage.None}),
	} {
		v.Provider, v.Model = "p", "m"
		if _, err := prepare(v); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
