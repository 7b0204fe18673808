package httpapi

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/pprof/profile"
)

func TestFlamegraphFiles(t *testing.T) {
	f := setup(t)
	fill(f)
	const path = "/api/analytics/flamegraph?levels=feature,user&" + november
	a := f.get(path + "&format=pprof").want(200)
	if got := a.header.Get("Content-Type"); got != "application/octet-stream" {
		t.Errorf("pprof is %s", got)
	}
	if got := a.header.Get("Content-Disposition"); !strings.HasPrefix(got, `attachment; filename="costprof-20261101T000000Z-`) || !strings.HasSuffix(got, `.pb.gz"`) {
		t.Errorf("pprof is named %s", got)
	}
	p, err := profile.ParseData(a.body)
	if err != nil {
		t.Fatal(err)
	}
	var cost int64
	for _, s := range p.Sample {
		cost += s.Value[0]
	}
	if cost != 9_710_000_000 || p.SampleType[0].Unit != "picodollars" {
		t.Errorf("%d %s", cost, p.SampleType[0].Unit)
	}

	a = f.get(path + "&format=folded").want(200)
	if got := a.header.Get("Content-Type"); got != "text/plain; charset=utf-8" {
		t.Errorf("folded is %s", got)
	}
	if text := string(a.body); !strings.Contains(text, "chat;") || strings.Contains(text, "{") {
		t.Errorf("folded is %s", text)
	}
	var scope struct{ Profiles []struct{ Name string } }
	f.get(path + "&format=speedscope").want(200).into(&scope)
	if len(scope.Profiles) != 3 {
		t.Errorf("%d profiles", len(scope.Profiles))
	}
	f.get(path + "&format=speedscope&baseline=2026-10-01,2026-10-31").want(200).into(&scope)
	if len(scope.Profiles) != 6 {
		t.Errorf("%d profiles", len(scope.Profiles))
	}
	if a := f.get("/api/v1/analytics/flamegraph?format=pprof&feature=never").want(200); len(a.body) == 0 {
		t.Error("a profile of nothing is nothing")
	}
}

func TestFlamegraphBaseline(t *testing.T) {
	f := setup(t)
	fill(f)
	var got struct {
		Data struct {
			Value, Baseline, Delta json.Number
			BaselineCallCount      int
			Children               []struct{ Value, Baseline, Delta json.Number }
		}
		Meta struct{ Baseline struct{ From, To string } }
	}
	// All calls are of November 20 in UTC: once as the baseline, whose last day is
	// included, and once not.
	f.get("/api/v1/analytics/flamegraph?from=2026-11-21&to=2026-11-22&baseline=2026-11-01,2026-11-20&tz=Europe/Berlin").want(200).into(&got)
	d := got.Data
	if d.Value != "0" || d.Baseline != "0.00971" || d.Delta != "-0.00971" || d.BaselineCallCount != 4 || len(d.Children) == 0 {
		t.Errorf("got %+v", d)
	}
	if got.Meta.Baseline.From != "2026-11-01T00:00:00+01:00" || got.Meta.Baseline.To != "2026-11-21T00:00:00+01:00" {
		t.Errorf("baseline is %+v", got.Meta.Baseline)
	}
	f.get("/api/v1/analytics/flamegraph?" + november + "&baseline=2026-11-01T00:00:00Z,2026-11-20T00:00:00Z").want(200).says(`"baseline":0,"delta":0.00971`)
}
