package cli

import (
	"strconv"
	"time"

	"github.com/costprof/costprof/client"
)

type clustersCmd struct {
	Threshold float64 `default:"0.8" placeholder:"0…1" help:"The lowest similarity: 1 is the same."`
	TTL       int     `name:"ttl" default:"60" placeholder:"MINUTES" help:"How long a cache of answers would keep one."`
	Limit     int     `short:"n" default:"20" help:"Most groups, 1 to 100."`
	filterFlags
}

func (*clustersCmd) Help() string {
	return `Prompts of each feature that are the same, or as similar as --threshold, with two calls or more. What caches would have
saved is simulated over the calls at the times and prices they had: NEAR by a cache of answers that takes all prompts of a
group for one, EXACT by one that knows the very same prompt only, PREFIX by the provider's cache of what they begin with,
against what was recorded (less than nothing: it would have cost more).

Examples:

  costprof clusters --last 7d
  costprof clusters --feature support-chat --threshold 0.9 --ttl 1440
  costprof clusters --json | jq '.data[].template'`
}

func (p *clustersCmd) Run(s *session) error {
	filter, err := p.filter(time.Now())
	if err != nil {
		return err
	}
	if err := between("-n", p.Limit, 1, 100); err != nil {
		return err
	}
	if err := between("--ttl", p.TTL, 1, 43_200); err != nil {
		return err
	}
	if !(p.Threshold >= 0 && p.Threshold <= 1) {
		return usagef("--threshold must be between 0 and 1")
	}
	c, err := s.connect()
	if err != nil {
		return err
	}
	request := client.ClustersRequest{Filter: filter, Threshold: &p.Threshold, TTLMinutes: p.TTL, Limit: p.Limit}
	if s.root.JSON {
		return s.passOn(c, "analytics/prompt-clusters", request.Values())
	}
	page, err := c.PromptClusters(s.ctx, request)
	if err != nil {
		return err
	}
	// Its counts are of the calls that were looked at, not of a cost.
	page.Meta.TotalCost = ""
	heading(s.out, s.term, page.Meta)
	if len(page.Items) == 0 {
		s.note("No prompt was sent twice, nor one that is as similar as that.")
		return nil
	}
	t := &table{columns: []column{
		{title: "NEAR", right: true}, {title: "EXACT", right: true}, {title: "PREFIX", right: true}, {title: "CALLS", right: true}, {title: "COST", right: true, drop: 1},
		{title: "PROMPTS", right: true, drop: 2}, {title: "SIMILARITY", right: true, drop: 3}, {title: "FEATURE", shrink: true}, {title: "PROMPT", shrink: true, least: 40, drop: 4},
	}}
	for _, g := range page.Items {
		text := ""
		for _, part := range g.Template {
			if part.Text == "" {
				text += "{…}"
			}
			text += part.Text
		}
		t.add(money(g.NearCache.Saved), money(g.ExactCache.Saved), money(g.PromptCache.Saved), count(g.CallCount), money(g.TotalCost),
			count(int64(g.Prompts)), strconv.FormatFloat(g.Similarity, 'f', 3, 64), name(g.Feature), printable(text))
	}
	t.write(s.out, s.term)
	return nil
}
