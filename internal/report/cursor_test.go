package report

import (
	"encoding/base64"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/google/go-cmp/cmp"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/usage"
)

func TestCursorRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		moment := func(name string) time.Time {
			if rapid.Bool().Draw(t, name+" zero") {
				return time.Time{}
			}
			return time.Unix(rapid.Int64Range(-1<<35, 1<<35).Draw(t, name), rapid.Int64Range(0, 999_999_999).Draw(t, name+" ns")).UTC()
		}
		q := question{kind: rapid.SampledFrom([]byte{kindBreakdown, kindPrompts, kindEvents}).Draw(t, "kind")}
		want := position{from: moment("from"), to: moment("to")}
		if q.kind == kindEvents {
			want.after.Timestamp = moment("after")
			copy(want.after.ID[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
		} else {
			want.issued = moment("issued")
			want.asOf = rapid.Int64Range(0, 1<<62).Draw(t, "asOf")
			want.revision = rapid.Int64().Draw(t, "revision")
			want.offset = rapid.Int64Range(0, maxOffset).Draw(t, "offset")
		}
		got, err := q.decode(q.encode(want))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(position{})); diff != "" {
			t.Fatalf("want -, got +:\n%s", diff)
		}
	})
}

// Any damage to a cursor is told, whatever it is.
func TestCursorDamage(t *testing.T) {
	q := question{kind: kindEvents, filter: window}
	whole := q.encode(position{from: begin, to: end, after: store.EventKey{Timestamp: begin, ID: usage.ID{7}}})
	refuse := func(name, s string) {
		t.Helper()
		_, err := q.decode(s)
		wantFault(t, name, err, fault.Invalid, "cursor")
	}
	raw, err := base64.RawURLEncoding.DecodeString(whole)
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		for bit := range 8 {
			damaged := append([]byte(nil), raw...)
			damaged[i] ^= 1 << bit
			refuse("a bit", base64.RawURLEncoding.EncodeToString(damaged))
		}
		refuse("cut", base64.RawURLEncoding.EncodeToString(raw[:i]))
	}
	refuse("longer", base64.RawURLEncoding.EncodeToString(append(raw, 0)))
	refuse("padded", whole+"==")
	refuse("blank", " ")
	refuse("huge", string(make([]byte, 1<<20)))
}

// A cursor serves only the question it was made for.
func TestCursorBinding(t *testing.T) {
	any := func(d analytics.Dimension, vs ...string) analytics.Filter {
		return analytics.Filter{Any: map[analytics.Dimension][]string{d: vs}}
	}
	questions := []question{
		{kind: kindBreakdown},
		{kind: kindPrompts},
		{kind: kindEvents},
		{kind: kindBreakdown, groupBy: []analytics.Dimension{"feature"}},
		{kind: kindBreakdown, groupBy: []analytics.Dimension{"feature", "model"}},
		{kind: kindBreakdown, groupBy: []analytics.Dimension{"model", "feature"}},
		{kind: kindBreakdown, groupBy: []analytics.Dimension{"tag:ab"}},
		{kind: kindBreakdown, numbers: []int64{1}},
		{kind: kindBreakdown, numbers: []int64{2}},
		{kind: kindBreakdown, filter: any("feature", "a")},
		{kind: kindBreakdown, filter: any("feature", "")},
		{kind: kindBreakdown, filter: any("feature")},
		{kind: kindBreakdown, filter: any("feature", "a", "b")},
		{kind: kindBreakdown, filter: any("feature", "ab")},
		{kind: kindBreakdown, filter: any("model", "a")},
		{kind: kindBreakdown, filter: analytics.Filter{Called: map[analytics.Dimension][]string{"model": {"a"}}}},
		{kind: kindBreakdown, filter: any("project", "a")},
		{kind: kindBreakdown, filter: analytics.Filter{Status: analytics.StatusOK}},
		{kind: kindBreakdown, filter: analytics.Filter{Status: analytics.StatusError}},
		{kind: kindBreakdown, filter: analytics.Filter{Aggregates: true}},
		{kind: kindBreakdown, filter: analytics.Filter{Sources: []usage.Source{usage.SourceUnpriced}}},
		{kind: kindBreakdown, filter: analytics.Filter{Sources: []usage.Source{usage.SourceClient}}},
	}
	for i, made := range questions {
		for j, asked := range questions {
			_, err := asked.decode(made.encode(position{from: begin, to: end}))
			if i == j && err != nil {
				t.Errorf("its own question %d: %v", i, err)
			}
			if i != j {
				wantFault(t, "another question", err, fault.Invalid, "cursor")
			}
		}
	}
	// Equal questions are equal however they are written.
	a := question{kind: kindEvents, filter: any("feature", "a", "b", "a")}
	b := question{kind: kindEvents, filter: any("feature", "b", "a")}
	if _, err := a.decode(b.encode(position{})); err != nil {
		t.Errorf("the same values in another order: %v", err)
	}
}

func FuzzCursor(f *testing.F) {
	q := question{kind: kindBreakdown}
	f.Add(q.encode(position{from: begin, to: end, issued: end, asOf: 5, revision: 1, offset: 100}))
	f.Add("")
	f.Add("AAAA")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := q.decode(s)
		if err != nil {
			if fault.CodeOf(err) != fault.Invalid {
				t.Fatalf("%q: %v", s, err)
			}
			return
		}
		if p.offset < 0 || p.asOf < 0 {
			t.Fatalf("%q: %+v", s, p)
		}
	})
}
