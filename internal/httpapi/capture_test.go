package httpapi

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/costprof/costprof/internal/auth"
	"github.com/costprof/costprof/internal/redact"
)

// oneEvent finds the one event of a feature by itself.
func (f *fixture) oneEvent(feature string) *answer {
	f.Helper()
	var page struct{ Data []struct{ ID string } }
	f.get("/api/v1/events?feature=" + feature).want(200).into(&page)
	if len(page.Data) != 1 {
		f.Fatalf("%d events of %s", len(page.Data), feature)
	}
	return f.get("/api/v1/events/" + page.Data[0].ID).want(200)
}

// A prompt is named by its redacted text always, and kept where an admin said so.
func TestCapture(t *testing.T) {
	f := setup(t)
	put := func(body string, status int) *answer {
		t.Helper()
		return f.do(http.MethodPut, "/api/v1/admin/capture", body).want(status)
	}
	f.get("/api/v1/admin/capture").want(200).says(`"data":[{"capture":false,"redact":[]}]`)
	const prompt = `"prompt":"Answer bob@example.com, order E-4711"`
	f.post("/api/v1/events", batch(event(1, `{"feature":"one",`+prompt+`}`))).want(202)
	dropped := f.oneEvent("one").says(`"promptId":"`, `"promptBytes":28`).lacks(`"prompt":`, "bob@")

	put(`{"capture":true,"redact":[{"name":"order","pattern":"\\bE-\\d+\\b"}]}`, 200).says(`{"capture":true,"redact":[{"name":"order","pattern":"\\bE-\\d+\\b"}]}`)
	f.get("/api/v1/admin/audit").want(200).says(`"prompts.capture"`, `"redact":["order"]`, `"capture":true`).lacks(`E-`)
	put(`{"project":"quiet","capture":false,"redact":[{"name":"who","pattern":"Answer"}]}`, 200).says(`"project":"quiet"`)
	f.get("/api/v1/admin/capture").want(200).says(`[{"capture":true,`, `{"project":"quiet","capture":false,`)

	f.post("/api/v1/events", batch(
		event(2, `{"feature":"two",`+prompt+`,"metadata":{"to":"bob@example.com","order":"E-1"},"tags":{"who":"bob@example.com"},"errorCode":"E-77","isError":true}`),
		event(3, `{"feature":"three",`+prompt+`}`),
		event(4, `{"feature":"four","project":"quiet",`+prompt+`}`),
	)).want(202)
	two := f.oneEvent("two").says(`"prompt":"Answer [email], order [order]"`, `"metadata":{"order":"[order]","to":"[email]"}`, `"tags":{"who":"[email]"}`, `"errorCode":"[order]"`, `"promptBytes":29`)
	three := f.oneEvent("three").says(`"prompt":"Answer [email], order [order]"`)
	four := f.oneEvent("four").says(`"promptBytes":28`).lacks(`"prompt":`)
	id := func(a *answer) string {
		var got struct{ Data struct{ PromptID string } }
		a.into(&got)
		return got.Data.PromptID
	}
	if id(two) != id(three) || id(two) == id(dropped) || id(two) == id(four) || len(id(two)) != 32 {
		t.Errorf("ids %s %s %s %s", id(dropped), id(two), id(three), id(four))
	}
	f.get("/api/v1/events?feature=two").want(200).says(`"promptId":"` + id(two))
	if strings.Contains(f.log.String(), "bob@") {
		t.Error("the log has a prompt")
	}

	for body, want := range map[string]string{
		`{}`: "capture: is required", `{"capture":1}`: "true or false", `{"capture":true,"project":" "}`: "must name a project", `{"capture":true,"x":1}`: "is not a field",
		`{"capture":true,"redact":{}}`: "must be a list", `{"capture":true,"redact":[1]}`: "redact[0]", `{"capture":true,"redact":[{"name":"x"}]}`: "redact[0].pattern",
		`{"capture":true,"redact":[{"name":"x","pattern":"("}]}`: "redact[0].pattern", `{"capture":true,"redact":[{"name":"email","pattern":"x"}]}`: "redact[0].name",
		`{"capture":true,"redact":[` + strings.TrimSuffix(strings.Repeat(`{"name":"x","pattern":"x"},`, redact.MaxPatterns+1), ",") + `]}`: "at most 20 patterns",
		fmt.Sprintf(`{"capture":true,"project":%q}`, strings.Repeat("x", 129)):                                                             "project",
	} {
		a := put(body, 400)
		field, rule, both := strings.Cut(want, ": ")
		if !strings.Contains(string(a.body), field) || both && !strings.Contains(string(a.body), rule) {
			t.Errorf("%s: %s", body, a.body)
		}
	}
}

// A change of rules makes no other event of a retry.
func TestCaptureOfRetries(t *testing.T) {
	f := setup(t)
	e := event(1, `{"eventId":"own","prompt":"for bob@example.com E-1","metadata":{"x":"E-1"}}`)
	f.post("/api/v1/events", batch(e)).want(202).says(`"accepted":1`)
	f.do(http.MethodPut, "/api/v1/admin/capture", `{"capture":true,"redact":[{"name":"order","pattern":"E-1"}]}`).want(200)
	f.post("/api/v1/events", batch(e)).want(202).says(`"duplicates":1`).lacks("conflicts")
	// The same after redaction is not the same as it was sent.
	f.post("/api/v1/events", batch(event(1, `{"eventId":"own","prompt":"for eve@example.com E-1","metadata":{"x":"E-1"}}`))).want(202).says("conflicts")
}

func TestCaptureOfOneProject(t *testing.T) {
	f := closed(t)
	put := func(project, body string) *answer {
		return f.do(http.MethodPut, "/api/v1/admin/capture", body, as(auth.Admin, project))
	}
	put("", `{"capture":false}`).want(200)
	put("", `{"project":"b","capture":true}`).want(200)
	put("a", `{"project":"b","capture":true}`).want(403)
	put("a", `{"capture":true}`).want(200).says(`"project":"a"`)
	f.get("/api/v1/admin/capture", as(auth.Admin, "a")).want(200).says(`"capture":false`, `"project":"a"`).lacks(`"b"`)
	f.get("/api/v1/admin/capture", as(auth.Admin, "")).want(200).says(`"project":"b"`)
	f.do(http.MethodPut, "/api/v1/admin/capture", `{"capture":true}`, as(auth.Editor, "")).want(403)
}
