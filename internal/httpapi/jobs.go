package httpapi

import (
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/costprof/costprof/internal/auth"
	"github.com/costprof/costprof/internal/rating"
	"github.com/costprof/costprof/internal/store"
)

func (s *server) jobRoutes() []*route {
	return []*route{
		{
			id: "get-unpriced", method: http.MethodGet, path: "/api/v1/prices/unpriced", tag: "Prices", need: auth.Read, summary: "Models seen without a price",
			doc:    "By provider and model as sent, those with the largest estimates first, then those with most calls. Without from and to, of all time.",
			params: concat(windowParams, []param{{name: "project", repeat: true, schema: text(), doc: "Only calls of this project; given again, any of them."}}, pageParams),
			status: http.StatusOK, answer: s.envelope(arrayOf(schemaOf[rating.UnpricedModel](s)), nil, paged),
			errors: []int{http.StatusGone}, weigh: weighChart, serve: s.getUnpriced,
		},
		{
			id: "list-jobs", method: http.MethodGet, path: "/api/v1/jobs", tag: "Jobs", need: auth.Read, summary: "Runs of background work, newest first",
			params: concat([]param{{name: "state", doc: "Only runs in this state.", schema: text("running", "done", "failed")}}, pageParams),
			status: http.StatusOK, answer: s.envelope(arrayOf(schemaOf[job](s)), nil, paged), errors: []int{http.StatusGone},
			weigh: weighChart, serve: s.listJobs,
		},
		{
			id: "get-job", method: http.MethodGet, path: "/api/v1/jobs/{id}", tag: "Jobs", need: auth.Read, summary: "One run of background work",
			status: http.StatusOK, answer: s.envelope(schemaOf[job](s), nil), errors: []int{http.StatusNotFound}, serve: s.getJob,
		},
	}
}

func (s *server) getUnpriced(c *call) (*reply, error) {
	w := c.q.window(s.now())
	ask := rating.UnpricedQuery{Projects: c.q.projects(), Limit: c.q.limit(), Cursor: c.q.cursor()}
	// The range of a question about money defaults to 30 days; what has no price
	// has none whenever it was called.
	if c.q.has("from") || c.q.has("startDate") {
		ask.From = w.from
	}
	if c.q.has("to") || c.q.has("endDate") {
		ask.To = w.to
	}
	if err := c.q.err(); err != nil {
		return nil, err
	}
	page, err := s.prices.Unpriced(c, ask)
	if err != nil {
		return nil, err
	}
	return &reply{Data: append([]rating.UnpricedModel{}, page.Models...), Pagination: pages(page.NextCursor)}, nil
}

// job is one run of background work.
type job struct {
	ID       string          `json:"id"`
	Name     string          `json:"name"`
	State    string          `json:"state" enum:"running,done,failed"`
	Started  time.Time       `json:"started"`
	Finished time.Time       `json:"finished,omitzero"`
	Input    json.RawMessage `json:"input,omitempty"`
	Result   json.RawMessage `json:"result,omitempty"`
	Error    string          `json:"error,omitempty"`
}

func jobJSON(r *store.Run) job {
	return job{r.ID, r.Name, r.State, r.Started.UTC(), r.Finished.UTC(), r.Input, r.Result, r.Error}
}

// knows says whether who asks may know of the run: one for all projects tells
// about every project's money.
func (q *query) knows(r *store.Run) bool {
	var in struct {
		Project string `json:"project"`
	}
	return q.within == "" || json.Unmarshal(r.Input, &in) == nil && in.Project == q.within
}

// maxJobs is how many runs back the list goes.
const maxJobs = 10_000

func (s *server) listJobs(c *call) (*reply, error) {
	state, limit := c.q.oneOf("state", "running", "done", "failed"), c.q.limit()
	shape := shapeOf("jobs", state)
	cur := readCursor(c.q, shape)
	if err := c.q.err(); err != nil {
		return nil, err
	}
	wanted := limit + 1
	if cur.Last != "" {
		wanted = maxJobs
	}
	runs, err := s.prices.Jobs(c, state, wanted)
	if err != nil {
		return nil, err
	}
	if cur.Last != "" {
		at := slices.IndexFunc(runs, func(r store.Run) bool { return r.ID == cur.Last })
		if at < 0 {
			return nil, errStartAgain
		}
		runs = runs[at+1:]
	}
	next := ""
	if len(runs) > limit {
		runs = runs[:limit]
		next = cursor{Shape: shape, Last: runs[limit-1].ID}.String()
	}
	data := make([]job, 0, len(runs))
	for i := range runs {
		if c.q.knows(&runs[i]) {
			data = append(data, jobJSON(&runs[i]))
		}
	}
	return &reply{Data: data, Pagination: pages(next)}, nil
}

func (s *server) getJob(c *call) (*reply, error) {
	if err := c.q.err(); err != nil {
		return nil, err
	}
	run, err := s.prices.Job(c, c.PathValue("id"))
	if err != nil {
		return nil, notFound(err)
	}
	if !c.q.knows(&run) {
		return nil, errNoThing
	}
	return &reply{Data: jobJSON(&run)}, nil
}
