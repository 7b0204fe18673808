package httpapi

import (
	"context"
	"testing"
	"time"

	"github.com/costprof/costprof/internal/auth"
)

// working runs the background work until the test ends.
func (f *fixture) working() {
	f.Helper()
	ctx, stop := context.WithCancel(f.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := f.prices.Run(ctx); err != nil {
			f.Error(err)
		}
	}()
	f.Cleanup(func() {
		stop()
		<-done
	})
}

func TestRerate(t *testing.T) {
	f := setup(t)
	f.working()
	f.post("/api/v1/events", batch(event(0), event(1), event(2, `{"model":"gpt-4o-mini"}`), event(3, `{"billedCostUsd":5}`))).want(202)
	f.do("PUT", "/api/v1/prices", `{"provider":"openai","model":"gpt-4o","effectiveFrom":"2026-01-01","prices":{"input":2,"output":8}}`).want(200)
	const window = `"from":"2026-11-01","to":"2026-11-20"`
	var preview struct {
		Data struct{ Token, JobID string }
	}
	f.post("/api/v1/prices/rerate", `{`+window+`}`).want(200).into(&preview).says(
		`"state":"done","applied":false,"total":3,"scanned":3,"calls":2,"oldCost":0.007,"newCost":0.0056,"difference":-0.0014,"unpricedBefore":0,"unpricedAfter":0`,
		`"models":[{"provider":"openai","model":"gpt-4o","calls":2,"oldCost":0.007,"newCost":0.0056,"difference":-0.0014}]`)
	f.get("/api/v1/analytics/cost-breakdown?from=2026-11-01&to=2026-11-30").want(200).says(`"totalCost":5.00721`)
	f.post("/api/v1/prices/rerate", `{`+window+`,"apply":true,"token":"`+preview.Data.Token+`"}`).want(200).says(`"applied":true`, `"calls":2,"oldCost":0.007,"newCost":0.0056`)
	f.get("/api/v1/analytics/cost-breakdown?from=2026-11-01&to=2026-11-30").want(200).says(`"totalCost":5.00581`)
	f.post("/api/v1/prices/rerate", `{`+window+`}`).want(200).says(`"calls":0,"oldCost":0,"newCost":0,"difference":0`)
	f.get("/api/v1/jobs/" + preview.Data.JobID).want(200).says(`"name":"prices.rerate"`)

	var list struct {
		Data []struct{ ID, Model string }
	}
	f.get("/api/v1/events?model=gpt-4o&from=2026-11-01&to=2026-11-30").want(200).into(&list)
	f.get("/api/v1/events/"+list.Data[len(list.Data)-1].ID).want(200).says(`"cost":0.0028`, `"history":[{"at":`, `"reason":"rerate `,
		`"cost":0.0035,"costSource":"catalog"`, `"costByClass":{"input":0.0025,`, `"newCost":0.0028}]`)
	// The token does nothing twice.
	f.post("/api/v1/prices/rerate", `{`+window+`,"apply":true,"token":"`+preview.Data.Token+`"}`).want(409).says("nothing was applied")
}

func TestRerateRefusals(t *testing.T) {
	f := setup(t)
	for body, says := range map[string]string{
		`{}`:                    `"from":["is required"]`,
		`{"from":"2026-01-01"}`: `"to":["is required"]`,
		`{"from":"2026-01-02","to":"2026-01-01"}`:                          `"to":["must be after from"]`,
		`{"from":"yesterday","to":"2026-01-01"}`:                           `"from":["must be a date`,
		`{"from":"2026-01-01","to":"2026-01-02","apply":true}`:             `"token":["is required`,
		`{"from":"2026-01-01","to":"2026-01-02","token":"x"}`:              `"apply":["must be true`,
		`{"from":"2026-01-01","to":"2026-01-02","apply":"yes"}`:            `"apply":["must be true or false"]`,
		`{"from":"2026-01-01","to":"2026-01-02","apply":true,"token":"x"}`: `"token":["is not the token`,
		`{"from":"2026-01-01","to":"2026-01-02","models":["x"]}`:           `"models":["is not a field`,
		`{"from":"2026-01-01","to":"2026-01-02","model":3}`:                `"model":["must be a string"]`,
		`[]`: `must be an object`,
	} {
		f.post("/api/v1/prices/rerate", body).want(400).says(says)
	}
	f.do("GET", "/api/v1/prices/rerate", "").want(405)
}

// Nobody works here: the answer says that it goes on.
func TestRerateThatTakesLong(t *testing.T) {
	f := setup(t, func(p *Params) { p.RequestTimeout = 100 * time.Millisecond })
	f.post("/api/v1/prices/rerate", `{"from":"2026-01-01","to":"2026-01-02"}`).want(202).says(`"state":"running"`, `"jobId":"`)
}

// A key for one project rerates its project, and no list for all.
func TestRerateOfOneProject(t *testing.T) {
	f := closed(t)
	f.working()
	all, one := as(auth.Admin, ""), as(auth.Editor, "a")
	f.post("/api/v1/events", batch(event(0, `{"project":"a"}`), event(1, `{"project":"b"}`)), all).want(202)
	f.do("PUT", "/api/v1/prices", `{"provider":"openai","model":"gpt-4o","effectiveFrom":"2026-01-01","prices":{"input":2,"output":8}}`, all).want(200)
	const window = `"from":"2026-11-01","to":"2026-11-20"`
	var preview struct{ Data struct{ Token, JobID string } }
	f.post("/api/v1/prices/rerate", `{`+window+`}`, one).want(200).into(&preview).says(`"total":1,"scanned":1,"calls":1`)
	f.get("/api/v1/jobs/"+preview.Data.JobID, one).want(200)
	f.post("/api/v1/prices/rerate", `{`+window+`,"project":"b"}`, one).want(403)
	f.post("/api/v1/prices/rerate", `{`+window+`}`, as(auth.Viewer, "a")).want(403)
	var other struct{ Data struct{ Token, JobID string } }
	f.post("/api/v1/prices/rerate", `{`+window+`}`, all).want(200).into(&other).says(`"calls":2`)
	f.get("/api/v1/jobs/"+other.Data.JobID, one).want(404)
	f.post("/api/v1/prices/rerate", `{`+window+`,"apply":true,"token":"`+other.Data.Token+`"}`, one).want(400).says("token")
	f.post("/api/v1/prices/rerate", `{`+window+`,"apply":true,"token":"`+preview.Data.Token+`"}`, one).want(200).says(`"calls":1`)
	f.post("/api/v1/prices/rerate", `{`+window+`}`, all).want(200).says(`"calls":1`)

	book := newer(t, "2026-11-01", dearer)
	for _, key := range []option{as(auth.Admin, "a"), as(auth.Editor, ""), one} {
		f.do("PUT", "/api/v1/prices/list?dryRun=true", book, key).want(403)
		f.do("DELETE", "/api/v1/prices/list", "", key).want(403)
	}
	f.do("PUT", "/api/v1/prices/list", book, all).want(200).says(`"applied":true`)
	f.get("/api/v1/prices/list", as(auth.Viewer, "a")).want(200).says(`"version":"9.9"`)
}
