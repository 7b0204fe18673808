package cli

import (
	"strconv"
	"strings"

	"github.com/costprof/costprof/client"
)

type retentionCmd struct {
	Show retentionShowCmd `cmd:"" default:"1" help:"Show how long projects keep events."`
	Set  retentionSetCmd  `cmd:"" help:"Say how many days a project keeps events."`
}

func (*retentionCmd) Help() string {
	return `Events older than their project's retention are refused, and removed in the background by whole UTC days. The sums of
removed days by project, feature, provider, model, department and environment stay. What was removed does not come back.
It needs an admin key.`
}

type retentionShowCmd struct{}

func (*retentionShowCmd) Run(s *session) error {
	c, err := s.connect()
	if err != nil {
		return err
	}
	if s.root.JSON {
		return s.passOn(c, "admin/retention", nil)
	}
	list, err := c.ListRetention(s.ctx)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		s.note("Every project keeps its events for ever.")
		return nil
	}
	s.showRetention(list)
	return nil
}

func (s *session) showRetention(list []client.Retention) {
	t := &table{columns: []column{{title: "PROJECT", shrink: true}, {title: "EVENTS"}, {title: "PROMPTS"}, {title: "REMOVED BEFORE (UTC)"}}}
	for _, r := range list {
		project, removed := "(all others)", ""
		if r.Project != "" {
			project = printable(r.Project)
		}
		if r.RemovedBefore != nil {
			removed = r.RemovedBefore.UTC().Format("2006-01-02 15:04")
		}
		t.add(project, daysText(r.EventDays), daysText(r.PromptDays), removed)
	}
	t.write(s.out, s.term)
}

func daysText(n *int64) string {
	switch {
	case n == nil:
		return ""
	case *n == 0:
		return "for ever"
	case *n == 1:
		return "1 day"
	}
	return strconv.FormatInt(*n, 10) + " days"
}

type retentionSetCmd struct {
	Project *string `placeholder:"NAME" help:"The project (default: all that have no setting of their own)."`
	Events  string  `placeholder:"DAYS" help:"How many days events are kept: a number, forever, or default for what is set for all projects."`
	Prompts string  `placeholder:"DAYS" help:"How many days the texts of prompts are kept after the last call that had them; never longer than events."`
}

func (*retentionSetCmd) Help() string {
	return `It replaces what was set for the project; what is not named is left to the setting for all projects.

Examples:

  costprof retention set --project search --events 90
  costprof retention set --events 400                       # all projects without a setting of their own
  costprof retention set --project billing --events forever`
}

func (r *retentionSetCmd) Run(s *session) error {
	var in client.Retention
	if r.Project != nil {
		if strings.TrimSpace(*r.Project) == "" {
			return usagef("--project must name a project; leave it out for all projects without a setting of their own")
		}
		in.Project = *r.Project
	}
	if r.Events == "" && r.Prompts == "" {
		return usagef("--events or --prompts is required")
	}
	var err error
	if in.EventDays, err = parseDays("--events", r.Events); err != nil {
		return err
	}
	if in.PromptDays, err = parseDays("--prompts", r.Prompts); err != nil {
		return err
	}
	c, err := s.connect()
	if err != nil {
		return err
	}
	put, err := c.PutRetention(s.ctx, in)
	if err != nil {
		return err
	}
	if s.root.JSON {
		return s.writeValue(map[string]any{"data": put})
	}
	s.showRetention([]client.Retention{put})
	return nil
}

func parseDays(flag, text string) (*int64, error) {
	var n int64
	switch text {
	case "", "default":
		return nil, nil
	case "forever":
		return &n, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 {
		return nil, usagef("%s must be a number of days, forever or default", flag)
	}
	return &n, nil
}
