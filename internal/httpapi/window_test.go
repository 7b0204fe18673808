package httpapi

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/usage"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 123_456_789, time.UTC)

func asked(raw string) *query {
	return readQuery(raw, append(append([]param{}, windowParams...), filterParams...))
}

func details(err error) map[string][]string {
	var f *fault.Error
	if errors.As(err, &f) {
		return f.Details
	}
	return nil
}

func TestWindow(t *testing.T) {
	for _, tc := range []struct{ name, query, from, to string }{
		{"default", "", "2026-10-23T12:00:00.123457Z", "2026-11-22T12:00:00.123457Z"},
		{"from alone", "from=2026-11-01T00:00:00Z", "2026-11-01T00:00:00Z", "2026-11-22T12:00:00.123457Z"},
		{"to alone", "to=2026-11-01T00:00:00Z", "2026-10-02T00:00:00Z", "2026-11-01T00:00:00Z"},
		{"instants", "from=2026-11-01T00:00:00%2B02:00&to=2026-11-01T01:00:00Z", "2026-10-31T22:00:00Z", "2026-11-01T01:00:00Z"},
		{"synonyms", "startDate=2026-11-01&endDate=2026-11-01", "2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z"},
		{"mixed", "from=2026-11-01&endDate=2026-11-02", "2026-11-01T00:00:00Z", "2026-11-03T00:00:00Z"},
		{"finer than a microsecond", "from=2026-11-01T00:00:00.0000001Z&to=2026-11-01T00:00:00.0000021Z", "2026-11-01T00:00:00.000001Z", "2026-11-01T00:00:00.000003Z"},
		{"one microsecond", "from=2026-11-01T00:00:00Z&to=2026-11-01T00:00:00.000001Z", "2026-11-01T00:00:00Z", "2026-11-01T00:00:00.000001Z"},
		{"local dates", "from=2026-11-01&to=2026-11-01&tz=Asia/Kathmandu", "2026-10-31T18:15:00Z", "2026-11-01T18:15:00Z"},
		{"a day of 23 hours", "from=2026-03-29&to=2026-03-29&tz=Europe/Berlin", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"},
		{"a day of 25 hours", "from=2026-10-25&to=2026-10-25&tz=Europe/Berlin", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"},
		{"a day without midnight", "from=2018-11-04&to=2018-11-04&tz=America/Sao_Paulo", "2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z"},
		{"midnight twice", "from=2020-11-01&to=2020-11-01&tz=America/Havana", "2020-11-01T04:00:00Z", "2020-11-02T05:00:00Z"},
		{"a date that never was", "from=2011-12-30&to=2011-12-31&tz=Pacific/Apia", "2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z"},
		{"the beginning of time", "from=1970-01-01&to=2026-11-01T00:00:00Z&tz=Asia/Kolkata", "1969-12-31T18:30:00Z", "2026-11-01T00:00:00Z"},
		{"lower case", "from=2026-11-01t00:00:00z&to=2026-11-01T01:00:00Z", "2026-11-01T00:00:00Z", "2026-11-01T01:00:00Z"},
		{"leap day", "from=2028-02-29&to=2028-02-29", "2028-02-29T00:00:00Z", "2028-03-01T00:00:00Z"},
		{"end of year", "from=2026-12-31&to=2026-12-31", "2026-12-31T00:00:00Z", "2027-01-01T00:00:00Z"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			q := asked(tc.query)
			w := q.window(noon)
			if err := q.err(); err != nil {
				t.Fatal(details(err))
			}
			if got := w.from.UTC().Format(time.RFC3339Nano); got != tc.from {
				t.Errorf("from %s, want %s", got, tc.from)
			}
			if got := w.to.UTC().Format(time.RFC3339Nano); got != tc.to {
				t.Errorf("to %s, want %s", got, tc.to)
			}
		})
	}
}

func TestBadWindows(t *testing.T) {
	for raw, field := range map[string]string{
		"from=yesterday":                                    "from",
		"from=":                                             "from",
		"from=2026-02-30":                                   "from",
		"from=2026-11-01T00:00:00":                          "from",
		"from=2026-11-01T00:00:00+02:00":                    "from", // the + is a space
		"from=1700000000":                                   "from",
		"from=0001-01-01":                                   "from",
		"from=1969-12-31":                                   "from",
		"from=1969-12-31T23:59:59Z":                         "from",
		"to=9999-01-01T00:00:00Z":                           "to",
		"from=2026-11-01T00:00:00,5Z":                       "from",
		"from=2026-11-01T00:00:00%2B24:00":                  "from",
		"from=2026-11-01T00:00:00%2B02:60":                  "from",
		"from=2026-11-01T24:00:00Z":                         "from",
		"to=9999-12-31":                                     "to",
		"from=2026-11-02&to=2026-11-01":                     "from",
		"from=2026-11-01T00:00:00Z&to=2026-11-01T00:00:00Z": "from",
		"startDate=2027-01-01":                              "startDate",
		"from=2026-11-01&startDate=2026-11-01":              "startDate",
		"to=2026-11-01&endDate=2026-11-01":                  "endDate",
		"from=2026-11-01&from=2026-11-02":                   "from",
		"tz=Local":                                          "tz",
		"tz=":                                               "tz",
		"tz=localtime":                                      "tz",
		"tz=../../etc/passwd":                               "tz",
		"tz=/etc/localtime":                                 "tz",
		"tz=posix/Europe/Berlin":                            "tz",
		"tz=right/UTC":                                      "tz",
		"tz=Mars/Olympus":                                   "tz",
		"tz=./UTC":                                          "tz",
		"tz=Europe//Berlin":                                 "tz",
		"tz=Europe/Berlin/":                                 "tz",
		"tz=Europe%5CBerlin":                                "tz",
		"tz=UTC&tz=UTC":                                     "tz",
	} {
		q := asked(raw)
		q.window(noon)
		if _, ok := details(q.err())[field]; !ok {
			t.Errorf("%s: problems %v, want one with %s", raw, q.problems, field)
		}
	}
}

// A provider is found under its aliases, provider and model under the names that
// were sent, and nothing is counted twice.
func TestFilterByOtherNames(t *testing.T) {
	f := setup(t)
	f.post("/api/v1/events", batch(
		event(1, `{"provider":"azure-openai","model":"openai/gpt-4o"}`),
		event(2, `{"provider":"azure","model":"gpt-4o"}`),
		event(3, `{"provider":"openai","model":"gpt-4o"}`),
		event(4, `{"provider":"litellm","model":"anthropic/claude-sonnet-4-5"}`),
	)).want(202)
	for filter, want := range map[string]int64{
		"provider=azure-openai":                2,
		"provider=Azure":                       2,
		"provider=azure-openai&provider=azure": 2,
		"provider=openai":                      1,
		"provider=litellm":                     1,
		"provider=anthropic":                   1,
		"provider=nobody":                      0,
		"provider=":                            0,
		"model=gpt-4o":                         3,
		"model=openai%2Fgpt-4o":                1,
		"model=openai%2Fgpt-4o&model=gpt-4o":   3,
		"model=claude-sonnet-4-5":              1,
		"model=openai%2Fgpt-4o&provider=azure": 1,
		"model=gpt-4o&provider=litellm":        0,
		"model=":                               0,
	} {
		var a struct{ Meta struct{ CallCount int64 } }
		f.get("/api/v1/analytics/cost-breakdown?groupBy=provider&" + november + "&" + filter).want(200).into(&a)
		if a.Meta.CallCount != want {
			t.Errorf("%s selects %d calls, want %d", filter, a.Meta.CallCount, want)
		}
	}
}

func TestFilter(t *testing.T) {
	q := asked("feature=a&feature=&tag:team=x&tag:team=y&tag:%C3%A4=&user=u%26v&status=ok&costSource=unpriced&costSource=client")
	w := q.window(noon)
	got := q.filter(w)
	if err := q.err(); err != nil {
		t.Fatal(details(err))
	}
	want := analytics.Filter{
		From: w.from, To: w.to, Status: analytics.StatusOK, Sources: []usage.Source{usage.SourceUnpriced, usage.SourceClient},
		Any: map[analytics.Dimension][]string{"feature": {"a", ""}, "tag:team": {"x", "y"}, "tag:ä": {""}, "user": {"u&v"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("filter (-want +got):\n%s", diff)
	}
	q = asked("status=ok&status=error")
	if f := q.filter(w); q.err() != nil || f.Status != analytics.StatusAny || f.Any != nil {
		t.Errorf("both statuses: %+v, %v", f, q.problems)
	}
}

// Offsets with seconds, which RFC 3339 cannot write, would move the instant.
func TestMetaInAnOldZone(t *testing.T) {
	q := asked("from=1971-06-01&to=1971-06-01&tz=Africa/Monrovia")
	m := q.window(noon).meta()
	if err := q.err(); err != nil {
		t.Fatal(details(err))
	}
	for _, got := range []time.Time{m.From, m.To} {
		read, err := time.Parse(time.RFC3339Nano, got.Format(time.RFC3339Nano))
		if err != nil || !read.Equal(got) {
			t.Errorf("%v is written as %v (%v)", got, read, err)
		}
	}
}

// What would keep the engine planning for minutes is refused.
func TestTooManyTags(t *testing.T) {
	tags := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "&tag:k%d=v&tag:k%d=", i, i)
		}
		return b.String()
	}
	q := asked(tags(maxTags))
	if f := q.filter(q.window(noon)); q.err() != nil || len(f.Any) != maxTags {
		t.Errorf("%d tags: %v", maxTags, details(q.err()))
	}
	q = asked(tags(maxTags + 1))
	q.filter(q.window(noon))
	if len(details(q.err())[tagParam]) != 1 {
		t.Errorf("%d tags: %v", maxTags+1, details(q.err()))
	}
}

// Every problem is in the one answer.
func TestBadFilters(t *testing.T) {
	q := asked("status=maybe&costSource=guess&tag:=x&nonsense=1&feature=%00&model=%ff&from=x&tz=y")
	q.filter(q.window(noon))
	got := details(q.err())
	for _, field := range []string{"status", "costSource", "tag:", "nonsense", "feature", "model", "from", "tz"} {
		if len(got[field]) == 0 {
			t.Errorf("no problem with %s in %v", field, got)
		}
	}
	for _, raw := range []string{"a=%zz", "a;b=1"} {
		if q := asked(raw); q.err() == nil {
			t.Errorf("%s was accepted", raw)
		}
	}
	q = asked(strings.Repeat("x", 500) + "=1")
	for name := range details(q.err()) {
		if len(name) > 100 {
			t.Errorf("a problem of %d characters", len(name))
		}
	}
}

func FuzzWindow(f *testing.F) {
	f.Add("2026-11-01", "2026-11-01T00:00:00Z", "Europe/Berlin")
	f.Add("2011-12-30", "2011-12-30", "Pacific/Apia")
	f.Fuzz(func(t *testing.T, from, to, tz string) {
		q := asked(url.Values{"from": {from}, "to": {to}, "tz": {tz}}.Encode())
		w := q.window(noon)
		if q.err() == nil && (!w.from.Before(w.to) || w.from.Nanosecond()%1000 != 0 || w.to.Nanosecond()%1000 != 0) {
			t.Errorf("from %v to %v", w.from, w.to)
		}
	})
}
