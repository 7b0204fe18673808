package httpapi

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/costprof/costprof/internal/auth"
	"github.com/costprof/costprof/internal/usage"
)

// What is older than its project keeps is refused and removed; the days answer as
// they did, and what they cannot answer says so.
func TestRetention(t *testing.T) {
	f := setup(t)
	put := func(body string, status int) *answer {
		t.Helper()
		return f.do(http.MethodPut, "/api/v1/admin/retention", body).want(status)
	}
	f.get("/api/v1/admin/retention").want(200).says(`"data":[]`)
	old := event(1, `{"timestamp":"2026-09-01T10:30:00Z","project":"shop","userId":"ann"}`)
	f.post("/api/v1/events", batch(old, event(2, `{"project":"shop","userId":"ann"}`), event(3, `{"timestamp":"2026-09-01T10:30:00Z"}`))).want(202)
	const days = "?from=2026-08-20&to=2026-11-30&project=shop"
	totals := func() string {
		t.Helper()
		var got struct {
			Data []struct {
				TotalCost any
				CallCount int
			}
		}
		a := f.get("/api/v1/analytics/cost-breakdown" + days + "&fields=totalCost,callCount").want(200)
		a.into(&got)
		if len(got.Data) != 1 || got.Data[0].CallCount != 2 {
			t.Fatalf("%s", a.body)
		}
		return string(a.body)
	}
	before := totals()

	long := strings.Repeat("x", usage.MaxIDLength+1)
	for bad, says := range map[string]string{
		`{}`: `"eventDays":["or promptDays is required"]`, `{"eventDays":-1}`: "eventDays", `{"eventDays":1.5}`: "eventDays", `{"eventDays":36501}`: "must be between 0 (for ever) and 36500, or null",
		`{"promptDays":36501}`: "promptDays", `{"eventDays":"30"}`: "eventDays", `{"project":" ","eventDays":1}`: "must name a project", `{"eventDays":1,"days":3}`: `"days"`,
		`{"project":"` + long + `","eventDays":1}`: `"project"`, `{"project":1,"eventDays":1}`: `"project"`,
	} {
		put(bad, 400).says(says)
	}
	f.get("/api/v1/admin/retention?days=3").want(400).says(`"days"`)
	f.get("/api/v1/admin/retention").want(200).says(`"data":[]`)
	put(`{"project":"shop","eventDays":30}`, 200).says(`"project":"shop","eventDays":30,"promptDays":null`)
	f.get("/api/v1/admin/audit").want(200).says(`"retention.set"`, `"eventDays":30`, `"project":"shop"`)
	f.post("/api/v1/events", batch(event(9), old)).want(400).says("events[1].timestamp", "is older than the project's retention")
	f.post("/api/v1/events?partial=true", batch(event(9), old)).want(202).says(`"accepted":1`, `"index":1`)

	if err := f.keeping.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.get("/api/v1/admin/audit").want(200).says(`"retention.removed"`, `"events":1`, `"shop":"2026-10-23T00:00:00Z"`)
	f.get("/api/v1/admin/retention").want(200).says(`"removedBefore":"2026-10-23T00:00:00Z"`)
	if after := totals(); after != before {
		t.Errorf("breakdown was %s\nand is %s", before, after)
	}
	// A whole series, tree and comparison stay too.
	for _, path := range []string{"timeseries" + days + "&granularity=day&groupBy=model", "flamegraph" + days + "&levels=feature,model", "compare" + days} {
		f.get("/api/v1/analytics/" + path).want(200).lacks("truncatedBefore")
	}
	const gone = `"truncatedBefore":"2026-10-23T00:00:00Z"`
	for _, path := range []string{
		"analytics/users" + days, "analytics/cost-breakdown" + days + "&groupBy=tag:x", "analytics/timeseries" + days + "&granularity=hour",
		"analytics/timeseries" + days + "&granularity=day&groupBy=session", "analytics/flamegraph" + days + "&levels=user", "analytics/flamegraph" + days + "&levels=trace",
		"analytics/prompts" + days, "analytics/prompts/growth" + days, "analytics/prompts/history" + days, "events" + days, "traces" + days, "analytics/realtime-totals?project=shop", "analytics/compare" + days + "&groupBy=user",
	} {
		f.get("/api/v1/" + path).want(200).says(gone)
	}
	f.get("/api/v1/analytics/features"+days).want(200).says(gone, `"truncatedFields":["p95Latency"]`, `"callCount":2`)
	f.get("/api/v1/analytics/features?fields=totalCost&project=shop&from=2026-09-01T10:00:00Z&to=2026-11-30").want(200).says(`"truncatedBefore":"2026-09-02T00:00:00Z"`)
	if a := f.get("/api/v1/export/events" + days + "&format=ndjson").want(200); a.header.Get(truncatedHeader) != "2026-10-23T00:00:00Z" || a.header.Get(totalHeader) != "1" {
		t.Errorf("export: %v", a.header)
	}
	// Others are not told of it.
	f.get("/api/v1/events?from=2026-08-20&project=default").want(200).lacks("truncatedBefore")

	// Keeping more from now on does not let in again what was removed, and counted.
	put(`{"project":"shop","eventDays":0}`, 200)
	f.post("/api/v1/events", batch(old)).want(400).says("is older than the project's retention")
	// For all projects that have none of their own.
	put(`{"eventDays":7}`, 200).lacks(`"project"`)
	f.post("/api/v1/events", batch(event(4, `{"timestamp":"2026-11-10T10:30:00Z"}`))).want(400)
	f.post("/api/v1/events", batch(event(4, `{"timestamp":"2026-11-10T10:30:00Z","project":"shop"}`))).want(202)
	if err := f.keeping.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := f.stored(); left != 3 {
		t.Errorf("%d events are left, want 3", left)
	}
}

// Texts of prompts go before their events, and with them.
func TestPromptDays(t *testing.T) {
	f := setup(t)
	put := func(body string) {
		t.Helper()
		f.do(http.MethodPut, "/api/v1/admin/retention", body).want(200)
		if err := f.keeping.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	f.do(http.MethodPut, "/api/v1/admin/capture", `{"capture":true}`).want(200)
	send := func(feature, more string) {
		t.Helper()
		f.post("/api/v1/events", batch(event(1, `{"feature":"`+feature+`","prompt":"of `+feature+`"`+more+`}`))).want(202)
	}
	const old = `,"timestamp":"2026-11-01T10:30:00Z"`
	send("young", "")
	send("old", old)
	send("older-project", old+`,"project":"shop"`)
	kept := func(feature string, want bool) {
		t.Helper()
		if got := bytes.Contains(f.oneEvent(feature).says(`"promptId"`).body, []byte(`"prompt":"of `+feature)); got != want {
			t.Errorf("the prompt of %s is kept: %v", feature, got)
		}
	}
	put(`{"promptDays":0}`)
	put(`{"project":"shop","promptDays":36500}`)
	kept("old", true)
	put(`{"promptDays":7}`)
	kept("young", true)
	kept("old", false)
	kept("older-project", true)
	f.get("/api/v1/admin/audit").want(200).says(`"retention.removed"`, `"prompts":1`)
	put(`{"project":"shop","promptDays":20}`)
	kept("older-project", false)
}

// Something removed between the look and the store is refused all the same, and
// the rest of a partial batch is stored.
func TestRetentionMeanwhile(t *testing.T) {
	f := setup(t)
	old := event(1, `{"timestamp":"2026-09-01T10:30:00Z"}`)
	f.post("/api/v1/events", batch(old)).want(202)
	// As another server does it: this one was told nothing.
	if _, err := f.ledger.Prune(t.Context(), map[string]time.Time{"default": time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC)}); err != nil {
		t.Fatal(err)
	}
	f.post("/api/v1/events?partial=true", batch(old, event(2))).want(202).says(`"accepted":1`, `"index":0`)
	f.post("/api/v1/events", batch(old, event(2))).want(400).says("events[0].timestamp")
}

func TestRetentionOfOneProject(t *testing.T) {
	f := closed(t)
	put := func(project, body string) *answer {
		return f.do(http.MethodPut, "/api/v1/admin/retention", body, as(auth.Admin, project))
	}
	put("", `{"eventDays":400}`).want(200)
	put("", `{"project":"b","eventDays":10}`).want(200)
	put("a", `{"project":"b","eventDays":10}`).want(403)
	put("a", `{"eventDays":20}`).want(200).says(`"project":"a"`)
	f.get("/api/v1/admin/retention", as(auth.Admin, "a")).want(200).says(`"eventDays":400`, `"eventDays":20`).lacks(`"b"`)
	f.get("/api/v1/admin/retention", as(auth.Admin, "")).want(200).says(`"project":"b"`)
}

// A person is gone from every answer, the totals stay, and nothing names them:
// not the audit log, nor a late retry.
func TestErase(t *testing.T) {
	f := closed(t)
	admin := as(auth.Admin, "")
	const person = "person-4711"
	mine := event(1, `{"userId":"`+person+`","sessionId":"s-0815","metadata":{"about":"them"},"tags":{"who":"`+person+`","team":"red"},"eventId":"own"}`)
	f.post("/api/v1/events", batch(mine, event(2, `{"sessionId":"s-0815"}`), event(3, `{"project":"a","userId":"`+person+`"}`)), admin).want(202)
	erase := func(body string, status int, who ...option) *answer {
		t.Helper()
		return f.post("/api/v1/admin/erase", body, append(who, admin)[0]).want(status)
	}
	long := strings.Repeat("x", usage.MaxIDLength+1)
	for bad, says := range map[string]string{
		`{}`: `"userId"`, `{"userId":""}`: `"userId"`, `{"userId":" "}`: `"userId"`, `{"userId":1}`: `"userId"`, `{"userId":"` + long + `"}`: `"userId"`,
		`{"userId":"a","project":" "}`: `"project":["must name a project`, `{"userId":"a","project":"` + long + `"}`: `"project"`, `{"userId":"a","reason":"x"}`: `"reason"`,
	} {
		erase(bad, 400).says(says)
	}
	f.get("/api/v1/jobs", admin).want(200).says(`"data":[]`)
	erase(`{"userId":"`+person+`","project":"b"}`, 403, as(auth.Admin, "a"))
	erase(`{"userId":"`+person+`"}`, 202, as(auth.Admin, "a")).says(`"events":1`)
	f.get("/api/v1/analytics/users", admin).want(200).says(person)
	before := f.get("/api/v1/analytics/features?fields=totalCost,callCount,totalTokens&from=2026-11-01&to=2026-11-21", admin).want(200)
	erase(`{"userId":"`+person+`"}`, 202).says(`"events":2`)
	for _, path := range []string{"analytics/users", "events", "admin/audit", "jobs", "analytics/cost-breakdown?groupBy=tag:who", "analytics/cost-breakdown?groupBy=session", "traces"} {
		f.get("/api/v1/"+path, admin).want(200).lacks(person, "s-0815", "them")
	}
	if after := f.get("/api/v1/analytics/features?fields=totalCost,callCount,totalTokens&from=2026-11-01&to=2026-11-21", admin).want(200); string(after.body) != string(before.body) {
		t.Errorf("totals were %s\nand are %s", before.body, after.body)
	}
	f.get("/api/v1/events", admin).want(200).says(`"team":"red"`)
	f.get("/api/v1/admin/audit", admin).want(200).says(`"action":"erasure"`, `"person":"`)
	f.post("/api/v1/events", batch(mine), admin).want(202).says(`"accepted":0`, `"duplicates":1`).lacks("conflicts")
	f.get("/api/v1/analytics/users", admin).want(200).lacks(person)
	f.get("/api/v1/jobs?state=running", admin).want(200).says(`"erasure"`)
	if left, err := f.keeping.Finish(t.Context()); err != nil || left {
		t.Fatal(left, err)
	}
	f.get("/api/v1/jobs?state=running", admin).want(200).lacks(`"erasure"`)
	f.get("/api/v1/jobs?state=done", admin).want(200).says(`"erasure"`)
}
