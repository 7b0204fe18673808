package httpapi

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/analytics/flamefile"
	"github.com/costprof/costprof/internal/report"
)

func (s *server) flamegraphRoute(common []param) route {
	return route{
		summary: "Spend as a tree",
		doc: "Values of parents are exactly the sums of their children's. Beyond maxNodes the smaller siblings are folded into (other). " +
			"With baseline each node also has its baseline and delta. The formats pprof, speedscope and folded are files for those tools.",
		params: concat([]param{
			{name: "levels", doc: "Dimensions from the root on, with commas, in any order, at most 6. Or trace: the calls of traces by the names of their spans.", schema: withDefault(anyOf(dimensionList(report.MaxLevels), text("trace")), "feature,model")},
			{name: "maxNodes", doc: "The most nodes of the tree.", schema: wholeNumber(analytics.DefaultMaxNodes, 2, report.MaxNodes)},
			{name: "format", doc: "The form of the answer.", schema: withDefault(text("json", "folded", "speedscope", "pprof"), "json")},
			{name: "baseline", doc: "Another period to compare with: its two ends with a comma, each as from and to are.", schema: periodText()},
		}, common),
		answer: anyOf(s.envelope(schemaOf[analytics.Node](s), schemaOf[flameMeta](s)), scopeSchema()), serve: s.flamegraph,
		files: []fileAnswer{
			{flamefile.Folded.Media, "format=folded: a line for each stack, names with semicolons, then the cost in picodollars (baseline and cost in a difference).", text()},
			{flamefile.Pprof.Media, "format=pprof: a gzipped profile with the sample types cost, tokens and calls.", &huma.Schema{Type: huma.TypeString, Format: "binary"}},
		},
	}
}

// levels reads dimensions, or trace alone.
func (q *query) levels() []analytics.Dimension {
	if q.text("levels") == string(analytics.Trace) {
		return []analytics.Dimension{analytics.Trace}
	}
	return q.dimensions("levels", []analytics.Dimension{analytics.Feature, analytics.Model}, report.MaxLevels)
}

func scopeSchema() *huma.Schema {
	return &huma.Schema{
		Type: huma.TypeObject, Required: []string{"$schema"}, AdditionalProperties: true,
		Properties:  map[string]*huma.Schema{"$schema": text("https://www.speedscope.app/file-format-schema.json")},
		Description: "format=speedscope: a file of speedscope with a profile each of cost in USD, tokens and calls.",
	}
}

type flameMeta struct {
	WindowMeta
	Baseline *periodMeta `json:"baseline,omitempty" doc:"The period compared with."`
}

type periodMeta struct {
	From time.Time `json:"from" doc:"Start, included."`
	To   time.Time `json:"to" doc:"End, excluded."`
}

func (s *server) flamegraph(c *call) (*reply, error) {
	w := c.q.window(s.now())
	req := report.FlamegraphRequest{
		Filter:   c.q.filter(w),
		Levels:   c.q.levels(),
		MaxNodes: c.q.whole("maxNodes", analytics.DefaultMaxNodes, 2, report.MaxNodes),
		Baseline: c.q.period("baseline", w.loc),
	}
	form := c.q.oneOf("format", "json", flamefile.Folded.Name, flamefile.Speedscope.Name, flamefile.Pprof.Name)
	if err := c.q.err(); err != nil {
		return nil, err
	}
	root, err := s.reports.Flamegraph(c, req)
	if err != nil {
		return nil, err
	}
	for _, format := range []flamefile.Format{flamefile.Folded, flamefile.Speedscope, flamefile.Pprof} {
		if format.Name == form {
			return s.flameFile(format, root, &req)
		}
	}
	meta := flameMeta{WindowMeta: w.meta().truncated(root.TruncatedBefore)}
	if req.Baseline != nil {
		meta.Baseline = &periodMeta{shown(req.Baseline.From.In(w.loc)), shown(req.Baseline.To.In(w.loc))}
	}
	return &reply{Data: root, Meta: meta}, nil
}

func (s *server) flameFile(format flamefile.Format, root *analytics.Node, req *report.FlamegraphRequest) (*reply, error) {
	f := &flamefile.File{Root: root, Level: "span", From: req.From, To: req.To, Exporter: "costprof " + s.version}
	for _, d := range req.Levels {
		if d != analytics.Trace {
			f.Levels = append(f.Levels, string(d))
		}
	}
	const layout = time.RFC3339Nano
	f.Explanations = append(f.Explanations, fmt.Sprintf("costprof: %s, %s to %s", dimensionNames(req.Levels), f.From.UTC().Format(layout), f.To.UTC().Format(layout)))
	if req.Baseline != nil {
		f.BeforeFrom, f.BeforeTo = req.Baseline.From, req.Baseline.To
		f.Explanations = append(f.Explanations, fmt.Sprintf("less %s to %s", f.BeforeFrom.UTC().Format(layout), f.BeforeTo.UTC().Format(layout)))
	}
	var content bytes.Buffer
	if err := flamefile.Write(&content, format, f); err != nil {
		return nil, err
	}
	return &reply{file: &file{name: f.FileName(format), media: format.Media, content: content.Bytes()}}, nil
}

func dimensionNames(ds []analytics.Dimension) string {
	names := make([]string, len(ds))
	for i, d := range ds {
		names[i] = string(d)
	}
	return strings.Join(names, ", ")
}

// period reads the two ends of a range with a comma between them; nil when the
// parameter was not given.
func (q *query) period(name string, loc *time.Location) *report.Period {
	if !q.has(name) {
		return nil
	}
	from, to, both := strings.Cut(q.text(name), ",")
	if !both {
		q.bad(name, "must be two dates or instants with a comma between them, such as 2026-01-01,2026-01-31")
		return nil
	}
	p := &report.Period{From: q.instant(name, from, loc, startOfDay), To: q.instant(name, to, loc, endOfDay)}
	if len(q.problems[name]) == 0 && !p.From.Before(p.To) {
		q.bad(name, "must begin before it ends")
	}
	return p
}
