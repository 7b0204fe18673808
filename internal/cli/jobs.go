package cli

import (
	"encoding/json"
	"fmt"
	"net/url"
	"time"

	"github.com/costprof/costprof/client"
)

type jobsCmd struct {
	ID    string `arg:"" optional:"" help:"Show this run."`
	State string `placeholder:"STATE" help:"Only runs that are running, done or failed."`
}

func (*jobsCmd) Help() string {
	return `A price that is set is applied to the calls that had none by a job; it shows what they cost before and after.

Examples:

  costprof jobs
  costprof jobs --state running
  costprof jobs --json | jq -r '.data[0].id'`
}

func (j *jobsCmd) Run(s *session) error {
	c, err := s.connect()
	if err != nil {
		return err
	}
	if j.ID != "" {
		if s.root.JSON {
			return s.passOn(c, "jobs/"+url.PathEscape(j.ID), nil)
		}
		job, err := c.GetJob(s.ctx, j.ID)
		if err != nil {
			return err
		}
		s.showJob(&job)
		return nil
	}
	if s.root.JSON {
		q := url.Values{}
		if j.State != "" {
			q.Set("state", j.State)
		}
		return s.passOn(c, "jobs", q)
	}
	page, err := c.ListJobs(s.ctx, j.State)
	if err != nil {
		return err
	}
	if len(page.Items) == 0 {
		s.note("No background work has run yet.")
		return nil
	}
	t := &table{columns: []column{{title: "ID"}, {title: "NAME", shrink: true}, {title: "STATE"}, {title: "STARTED (UTC)", drop: 1}, {title: "TOOK", right: true}}}
	for _, job := range page.Items {
		took := ""
		if job.Finished != nil {
			took = job.Finished.Sub(job.Started).Round(time.Millisecond).String()
		}
		t.add(printable(job.ID), printable(job.Name), printable(job.State), job.Started.UTC().Format("2006-01-02 15:04:05"), took)
	}
	t.write(s.out, s.term)
	return nil
}

func (s *session) showJob(j *client.Job) {
	fmt.Fprintf(s.out, "%s %s: %s, started %s\n", printable(j.Name), printable(j.ID), printable(j.State), j.Started.UTC().Format(time.RFC3339))
	if j.Error != "" {
		fmt.Fprintln(s.out, printable(j.Error))
	}
	for _, part := range []struct {
		title string
		value json.RawMessage
	}{{"input ", j.Input}, {"result", j.Result}} {
		if len(part.value) > 0 && string(part.value) != "null" {
			fmt.Fprintf(s.out, "%s %s\n", part.title, printable(string(part.value)))
		}
	}
}
