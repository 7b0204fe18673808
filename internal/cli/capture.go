package cli

import (
	"strings"

	"github.com/costprof/costprof/client"
)

type captureCmd struct {
	Show captureShowCmd `cmd:"" default:"1" help:"Show which projects keep prompts."`
	Set  captureSetCmd  `cmd:"" help:"Say whether a project keeps prompts, and what is redacted there."`
}

func (*captureCmd) Help() string {
	return `Without it only a keyed hash and the length of a prompt are kept, so that equal prompts are known to be equal. E-mail
addresses, telephone and card numbers and keys of known vendors are always redacted, before anything is stored, in prompts,
metadata, values of tags and error codes. It needs an admin key.`
}

type captureShowCmd struct{}

func (*captureShowCmd) Run(s *session) error {
	c, err := s.connect()
	if err != nil {
		return err
	}
	if s.root.JSON {
		return s.passOn(c, "admin/capture", nil)
	}
	list, err := c.ListCapture(s.ctx)
	if err != nil {
		return err
	}
	s.showCapture(list)
	return nil
}

func (s *session) showCapture(list []client.Capture) {
	t := &table{columns: []column{{title: "PROJECT", shrink: true}, {title: "PROMPTS"}, {title: "ALSO REDACTED", shrink: true}}}
	for _, c := range list {
		project, kept := "(all others)", "not kept"
		if c.Project != "" {
			project = printable(c.Project)
		}
		if c.Capture {
			kept = "kept"
		}
		names := make([]string, len(c.Redact))
		for i, p := range c.Redact {
			names[i] = printable(p.Name)
		}
		t.add(project, kept, strings.Join(names, ", "))
	}
	t.write(s.out, s.term)
}

type captureSetCmd struct {
	Project *string  `placeholder:"NAME" help:"The project (default: all that have no setting of their own)."`
	Prompts string   `required:"" enum:"keep,drop" placeholder:"keep|drop" help:"Whether the texts of prompts are kept."`
	Redact  []string `sep:"none" placeholder:"NAME=PATTERN" help:"Also replace what a regular expression (RE2) matches by [NAME]; may be given several times."`
}

func (*captureSetCmd) Help() string {
	return `It replaces what was set for the project, patterns included, and holds for events that arrive from then on. What is
stored already stays.

Examples:

  costprof capture set --project search --prompts keep
  costprof capture set --project hr --prompts keep --redact 'employee=\bE-\d{5}\b'
  costprof capture set --prompts drop                     # all projects without a setting of their own`
}

func (c *captureSetCmd) Run(s *session) error {
	in := client.Capture{Capture: c.Prompts == "keep"}
	if c.Project != nil {
		if strings.TrimSpace(*c.Project) == "" {
			return usagef("--project must name a project; leave it out for all projects without a setting of their own")
		}
		in.Project = *c.Project
	}
	for _, text := range c.Redact {
		name, pattern, ok := strings.Cut(text, "=")
		if !ok {
			return usagef("--redact %q must be NAME=PATTERN", text)
		}
		in.Redact = append(in.Redact, client.CapturePattern{Name: name, Pattern: pattern})
	}
	api, err := s.connect()
	if err != nil {
		return err
	}
	put, err := api.PutCapture(s.ctx, in)
	if err != nil {
		return err
	}
	if s.root.JSON {
		return s.writeValue(map[string]any{"data": put})
	}
	s.showCapture([]client.Capture{put})
	return nil
}
