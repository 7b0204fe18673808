package cli

import (
	"strconv"

	"github.com/costprof/costprof/client"
)

type similarCmd struct {
	ID         string  `arg:"" help:"Id of an event or of a prompt (promptId)."`
	Threshold  float64 `default:"0.8" placeholder:"0…1" help:"The lowest similarity: 1 is the same."`
	Limit      int     `short:"n" default:"10" help:"Most rows, 1 to 100."`
	AnyFeature bool    `help:"Also prompts that are used in other features only."`
}

func (*similarCmd) Help() string {
	return `Prompts of the same project, whose texts are kept (costprof capture), are compared by the words they are made of, or by
the meaning that the model of OPENAI_API_KEY sees in them. COST is that of the calls with the prompt.

Examples:

  costprof similar 6ba0292fe17b97e69c42bebec5caf738
  costprof similar 6ba0292fe17b97e69c42bebec5caf738 --threshold 0.6 --any-feature --json`
}

func (p *similarCmd) Run(s *session) error {
	if err := between("-n", p.Limit, 1, 100); err != nil {
		return err
	}
	if !(p.Threshold >= 0 && p.Threshold <= 1) {
		return usagef("--threshold must be between 0 and 1")
	}
	c, err := s.connect()
	if err != nil {
		return err
	}
	request := client.SimilarRequest{ID: p.ID, Threshold: &p.Threshold, Limit: p.Limit, AnyFeature: p.AnyFeature}
	if s.root.JSON {
		return s.passOn(c, request.Path(), request.Values())
	}
	list, err := c.Similar(s.ctx, request)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		s.note("No prompt is as similar as that.")
		return nil
	}
	t := &table{columns: []column{
		{title: "SIMILARITY", right: true}, {title: "CALLS", right: true}, {title: "COST", right: true},
		{title: "FEATURE", shrink: true, drop: 2}, {title: "MODEL", shrink: true, drop: 1}, {title: "PROMPT", shrink: true, least: 40},
	}}
	for _, f := range list {
		t.add(strconv.FormatFloat(f.Similarity, 'f', 3, 64), count(f.Occurrences), money(f.TotalCost), name(f.Feature), name(f.Model), printable(f.Prompt))
	}
	t.write(s.out, s.term)
	return nil
}
