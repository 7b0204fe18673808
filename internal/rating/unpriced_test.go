package rating

import (
	"encoding/base64"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/pricing"
)

func TestUnpriced(t *testing.T) {
	r := newRig(t)
	estimate, paid := amount(t, "0.25"), amount(t, "1")
	guess, billed, elsewhere, sum := call("g", "Acme", "guess", noon), call("b", "acme", "billed", noon), call("e", "acme", "two", noon), call("s", "acme", "sum", noon)
	guess.Estimated, billed.Billed, elsewhere.Project, sum.Aggregate = &estimate, &paid, "other", true
	r.store(call("1", "acme", "one", noon), call("2", "acme", "two", noon.Add(-time.Hour)), call("3", "acme", "two", noon.Add(time.Minute)),
		call("4", "openai", "gpt-4o", noon), guess, billed, elsewhere, sum)

	got, err := r.Unpriced(t.Context(), UnpricedQuery{})
	if err != nil {
		t.Fatal(err)
	}
	want := UnpricedPage{Models: []UnpricedModel{
		{"Acme", "guess", 1, noon, noon, money.TotalOf(estimate)},
		{"acme", "two", 3, noon.Add(-time.Hour), noon.Add(time.Minute), money.Total{}},
		{"acme", "one", 1, noon, noon, money.Total{}},
	}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(money.Total{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got, err = r.Unpriced(t.Context(), UnpricedQuery{Projects: []string{"other"}, From: noon, To: noon.Add(time.Hour)}); err != nil || len(got.Models) != 1 || got.Models[0].Calls != 1 {
		t.Errorf("in one project: %+v, %v", got, err)
	}
	if got, err = r.Unpriced(t.Context(), UnpricedQuery{Projects: []string{"none"}}); err != nil || got.Models == nil || len(got.Models) != 0 {
		t.Errorf("in an empty project: %+v, %v", got, err)
	}
}

func TestUnpricedPages(t *testing.T) {
	r := newRig(t)
	for i := range 7 {
		r.store(call(fmt.Sprint(i), "acme", fmt.Sprint("m", i), noon))
	}
	var names []string
	q := UnpricedQuery{Limit: 3}
	for {
		page, err := r.Unpriced(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range page.Models {
			names = append(names, m.Model)
		}
		if page.NextCursor == "" {
			break
		}
		q.Cursor = page.NextCursor
		// What arrives between the pages is not in the list.
		r.store(call(fmt.Sprint("late", len(names)), "acme", "a-late", noon), call(fmt.Sprint("more", len(names)), "acme", "m6", noon))
	}
	if diff := cmp.Diff([]string{"m0", "m1", "m2", "m3", "m4", "m5", "m6"}, names); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	first, err := r.Unpriced(t.Context(), UnpricedQuery{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	valid, err := base64.RawURLEncoding.DecodeString(first.NextCursor)
	if err != nil {
		t.Fatal(err)
	}
	valid[0] ^= 1
	for _, cursor := range []string{"x", "####", "AAAAAAAAAAAA", base64.RawURLEncoding.EncodeToString(valid), first.NextCursor + "A"} {
		_, err := r.Unpriced(t.Context(), UnpricedQuery{Limit: 1, Cursor: cursor})
		if diff := cmp.Diff(fault.Field("cursor", "is not a cursor of this list"), err); diff != "" {
			t.Errorf("cursor %q (-want +got):\n%s", cursor, diff)
		}
	}
	if _, err := r.Unpriced(t.Context(), UnpricedQuery{Projects: []string{"p"}, Cursor: first.NextCursor}); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("a cursor of another question: %v", err)
	}
	r.now = r.now.Add(11 * time.Minute)
	if _, err := r.Unpriced(t.Context(), UnpricedQuery{Cursor: first.NextCursor}); fault.CodeOf(err) != fault.Gone {
		t.Errorf("an old cursor: %v", err)
	}
	r.now = noon
	r.put(pricing.PutRequest{Provider: "acme", Model: "m3", Prices: twoEight})
	r.settled()
	if _, err := r.Unpriced(t.Context(), UnpricedQuery{Cursor: first.NextCursor}); fault.CodeOf(err) != fault.Gone {
		t.Errorf("a cursor from before prices were applied: %v", err)
	}
}
