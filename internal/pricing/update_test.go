package pricing

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/usage"
)

var update0 = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// listOf makes a list of models of the provider "acme", each "id versions" in the
// book's form.
func listOf(t testing.TB, source string, models ...string) []byte {
	t.Helper()
	return []byte(`{"format":"` + Format + `","source":"` + source + `","version":"1","listed":"2026-01-01","license":"","providers":[{"id":"acme","models":[` +
		strings.Join(models, ",") + `]}]}`)
}

func model1(id, versions string) string {
	return `{"id":"` + id + `","versions":[` + versions + `]}`
}

func loaded(t testing.TB, text []byte) *Book {
	t.Helper()
	b, err := Load(text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return b
}

func updated(t testing.TB, b *Book, list []byte, how Updating) (*Book, *Updated) {
	t.Helper()
	d, err := Decode(list)
	if err != nil {
		t.Fatal(err)
	}
	u, err := b.Update(d, how)
	if err != nil {
		t.Fatal(err)
	}
	text, err := Encode(u.Data)
	if err != nil {
		t.Fatal(err)
	}
	return loaded(t, text), u
}

// costAt is what 1,000,000 input tokens cost, or "none".
func costAt(t testing.TB, b *Book, model, tier string, at time.Time) string {
	t.Helper()
	c := Call{Provider: "acme", Model: model, At: at, ServiceTier: tier}
	c.Counts[usage.Input] = 1_000_000
	q, err := b.Quote(c)
	if err != nil {
		t.Fatal(err)
	}
	if q.Source == usage.SourceUnpriced {
		return "none"
	}
	return q.Total().String()
}

// What a newer list means for calls before, at and after the update.
func TestUpdateLeavesThePast(t *testing.T) {
	const one, two = `{"prices":{"input":1}}`, `{"prices":{"input":2}}`
	dated := func(from, price string) string {
		return `{"effectiveFrom":"` + from + `T00:00:00Z","prices":{"input":` + price + `}}`
	}
	until := func(to, price string) string {
		return `{"effectiveTo":"` + to + `T00:00:00Z","prices":{"input":` + price + `}}`
	}
	tests := map[string]struct {
		before, after string // versions of the model m, "" for none
		// want is the price on 2026-01-01, 2026-05-01, the instant before the update,
		// at the update, on 2026-07-01 and on 2026-09-01.
		want    string
		changes int
	}{
		"the same":                        {one, one, "1 1 1 1 1 1", 0},
		"another, undated":                {one, two, "1 1 1 2 2 2", 1},
		"a new one, undated":              {"", two, "2 2 2 2 2 2", 1},
		"gone":                            {one, "", "1 1 1 none none none", 1},
		"dated in the past":               {one, until("2026-05-01", "1") + "," + dated("2026-05-01", "2"), "1 2 2 2 2 2", 1},
		"dated in the future":             {one, until("2026-08-01", "1") + "," + dated("2026-08-01", "2"), "1 1 1 1 1 2", 1},
		"undated now and dated later":     {one, until("2026-08-01", "3") + "," + dated("2026-08-01", "2"), "1 1 1 3 3 2", 2},
		"the past told otherwise":         {one, until("2026-05-01", "3") + "," + dated("2026-05-01", "1"), "1 1 1 1 1 1", 0},
		"an end in the future":            {one, until("2026-08-01", "1"), "1 1 1 1 1 none", 1},
		"an end in the past":              {one, until("2026-05-01", "1"), "1 none none none none none", 1},
		"starts only later":               {one, dated("2026-08-01", "2"), "1 1 1 1 1 2", 1},
		"a gap filled":                    {until("2026-02-01", "1") + "," + dated("2026-08-01", "1"), one, "1 1 1 1 1 1", 1},
		"a planned change taken back":     {until("2026-08-01", "1") + "," + dated("2026-08-01", "2"), one, "1 1 1 1 1 1", 1},
		"a past change that was not told": {until("2026-02-01", "1") + "," + dated("2026-02-01", "2"), one, "1 2 2 1 1 1", 1},
		"a new window":                    {one, one + `,{"window":{"start":"00:00","end":"24:00"},"prices":{"input":5}}`, "1 1 1 5 5 5", 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			list := func(versions string) []byte {
				models := []string{model1("other", one), model1("third", one)}
				if versions != "" {
					models = append(models, model1("m", versions))
				}
				return listOf(t, "s", models...)
			}
			b, u := updated(t, loaded(t, list(test.before)), list(test.after), Updating{At: update0})
			day := func(s string) time.Time {
				d, err := time.Parse(time.DateOnly, s)
				if err != nil {
					t.Fatal(err)
				}
				return d
			}
			var got []string
			for _, at := range []time.Time{
				day("2026-01-01"), day("2026-05-01"), update0.Add(-time.Microsecond), update0, day("2026-07-01"), day("2026-09-01"),
			} {
				got = append(got, costAt(t, b, "m", "", at))
			}
			if diff := cmp.Diff(test.want, strings.Join(got, " ")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if len(u.Changes) != test.changes {
				t.Errorf("%d changes, want %d: %+v", len(u.Changes), test.changes, u.Changes)
			}
		})
	}
}

// A tier that gets a price of its own had the standard one until then.
func TestUpdateOfATier(t *testing.T) {
	b := loaded(t, listOf(t, "s", model1("m", `{"prices":{"input":2}}`)))
	b, _ = updated(t, b, listOf(t, "s", model1("m", `{"prices":{"input":2}},{"serviceTier":"batch","prices":{"input":1}}`)), Updating{At: update0})
	for at, want := range map[time.Time]string{update0.Add(-time.Microsecond): "2", update0: "1"} {
		if got := costAt(t, b, "m", "batch", at); got != want {
			t.Errorf("%v: %s, want %s", at, got, want)
		}
	}
}

// Names decide too: what was found under another model keeps that price for the
// past, and a model that became an alias goes on at its new price.
func TestUpdateOfNames(t *testing.T) {
	rule := func(id, match, price string) string {
		return `{"id":"` + id + `","match":` + match + `,"versions":[{"prices":{"input":` + price + `}}]}`
	}
	b := loaded(t, listOf(t, "s", rule("m", `{"starts_with":"m-"}`, "1"), model1("x", `{"prices":{"input":4}}`), model1("y", `{"prices":{"input":7}}`)))
	b, u := updated(t, b, listOf(t, "s", rule("m", `{"or":[{"starts_with":"m-"},{"equals":"x"}]}`, "1"), model1("m-2", `{"prices":{"input":3}}`), model1("y", `{"prices":{"input":7}}`)), Updating{At: update0})
	before, after := update0.Add(-time.Microsecond), update0
	for _, test := range []struct {
		model string
		at    time.Time
		want  string
	}{{"m-2", before, "1"}, {"m-2", after, "3"}, {"x", before, "4"}, {"x", after, "1"}, {"m-3", after, "1"}, {"y", after, "7"}} {
		if got := costAt(t, b, test.model, "", test.at); got != test.want {
			t.Errorf("%s at %v: %s, want %s", test.model, test.at, got, test.want)
		}
	}
	if u.Changed != 2 || u.Added != 0 || u.Removed != 0 || u.Same != 2 {
		t.Errorf("%+v", u.Difference)
	}
}

// Another source, and a part, take nothing away.
func TestUpdateFromElsewhere(t *testing.T) {
	first := listOf(t, "s", model1("a", `{"prices":{"input":1}}`), model1("b", `{"prices":{"input":1}}`), model1("c", `{"prices":{"input":1}}`))
	b := loaded(t, first)
	part := listOf(t, "s", model1("a", `{"prices":{"input":2}}`))
	other := listOf(t, "o", model1("a", `{"prices":{"input":2}}`), model1("d", `{"prices":{"input":2}}`))
	d, err := Decode(part)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Update(d, Updating{At: update0}); fault.CodeOf(err) != fault.Invalid || !strings.Contains(err.Error(), "lacks 2 of the 3") {
		t.Errorf("a cut-off list: %v", err)
	}
	for name, list := range map[string][]byte{"part": part, "other": other} {
		got, u := updated(t, b, list, Updating{At: update0, Partial: name == "part"})
		if u.Removed != 0 || costAt(t, got, "b", "", update0) != "1" || costAt(t, got, "a", "", update0) != "2" {
			t.Errorf("%s: %+v", name, u.Difference)
		}
	}
	// Each source takes back what is its own.
	b, _ = updated(t, b, other, Updating{At: update0})
	b, u := updated(t, b, listOf(t, "o", model1("a", `{"prices":{"input":2}}`)), Updating{At: update0.Add(time.Hour)})
	if u.Removed != 1 || costAt(t, b, "d", "", update0.Add(time.Hour)) != "none" || costAt(t, b, "d", "", update0) != "2" || costAt(t, b, "b", "", update0.Add(time.Hour)) != "1" {
		t.Errorf("the other source again: %+v", u.Difference)
	}
}

// The very list that the book was built from changes nothing, in any way.
func TestUpdateWithItself(t *testing.T) {
	b, err := Shipped()
	if err != nil {
		t.Fatal(err)
	}
	got, u := updated(t, b, shipped, Updating{At: update0})
	if len(u.Changes) != 0 || u.Same != b.Info().Models {
		t.Errorf("%d changes, %d the same of %d", len(u.Changes), u.Same, b.Info().Models)
	}
	for id, v := range b.versions {
		if _, ok := got.Version(id); !ok {
			t.Fatalf("%s %s lost its price %s", v.Provider, v.Model, id)
		}
	}
}

// For any two histories: where the list dates its price it decides; before the
// update the old price decides wherever there was one; and from the update on the
// list does, wherever it says something.
func TestUpdateProperty(t *testing.T) {
	day := func(n int) time.Time { return time.Date(2026, 1, 1+n, 0, 0, 0, 0, time.UTC) }
	history := func(rt *rapid.T, name string) string {
		var out []string
		from := rapid.IntRange(-1, 3).Draw(rt, name+" from")
		for i := range rapid.IntRange(1, 4).Draw(rt, name) {
			to := from + rapid.IntRange(1, 4).Draw(rt, fmt.Sprint(name, " length ", i))
			v := fmt.Sprintf(`"prices":{"input":%d}`, rapid.IntRange(1, 3).Draw(rt, fmt.Sprint(name, " price ", i)))
			if from >= 0 {
				v = fmt.Sprintf(`"effectiveFrom":%q,`, day(from).Format(time.RFC3339)) + v
			}
			open := rapid.Bool().Draw(rt, fmt.Sprint(name, " open ", i))
			if !open {
				v = fmt.Sprintf(`"effectiveTo":%q,`, day(to).Format(time.RFC3339)) + v
			}
			out = append(out, "{"+v+"}")
			if open {
				break
			}
			from = to + rapid.IntRange(0, 1).Draw(rt, fmt.Sprint(name, " gap ", i))
		}
		return strings.Join(out, ",")
	}
	rapid.Check(t, func(rt *rapid.T) {
		at := day(rapid.IntRange(0, 12).Draw(rt, "at")).Add(time.Hour)
		oldText, newText := listOf(t, "s", model1("m", history(rt, "old"))), listOf(t, "s", model1("m", history(rt, "new")))
		older, err := Load(oldText)
		if err != nil {
			rt.Skip() // the same price twice
		}
		newer, err := Load(newText)
		if err != nil {
			rt.Skip()
		}
		got, u := updated(t, older, newText, Updating{At: at})
		changed := false
		for n := range 24 * 20 {
			now := day(-2).Add(time.Duration(n) * time.Hour)
			was, is, says := costAt(t, older, "m", "", now), costAt(t, got, "m", "", now), costAt(t, newer, "m", "", now)
			changed = changed || was != is
			if is != was && is != says {
				rt.Fatalf("%v: %s, which neither %s nor %s says", now, is, was, says)
			}
			if q, _ := newer.Quote(Call{Provider: "acme", Model: "m", At: now}); says != "none" {
				v, _ := newer.Version(q.PriceID)
				if want := says; !v.From.IsZero() && is != want || !now.Before(at) && is != want || was == "none" && is != want {
					rt.Fatalf("%v: %s, want %s; before it was %s", now, is, want, was)
				}
				if v.From.IsZero() && now.Before(at) && was != "none" && is != was {
					rt.Fatalf("%v: %s, and it was %s", now, is, was)
				}
			}
		}
		if changed != (len(u.Changes) > 0) {
			rt.Fatalf("changed %v, told %+v", changed, u.Changes)
		}
		// Once in force, the same list changes nothing more.
		if _, again := updated(t, got, newText, Updating{At: at.Add(time.Hour)}); len(again.Changes) != 0 {
			rt.Fatalf("again: %+v", again.Changes)
		}
	})
}
