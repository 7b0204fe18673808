package cli

import (
	"fmt"
	"net/url"
	"time"

	"github.com/costprof/costprof/client"
)

type traceCmd struct {
	ID       string `arg:"" help:"The trace's id, as costprof traces shows it."`
	Project  string `placeholder:"NAME" help:"The trace's project; needed when several have one with this id."`
	MaxSpans int    `default:"2000" help:"Most spans to show, the dearest ones, 1 to 10000."`
	TZ       string `name:"tz" placeholder:"ZONE" help:"Time zone of times, for example Europe/Berlin (default UTC)."`
}

func (*traceCmd) Help() string {
	return `Spans stand below their parents, in the order in which they began. COST is a span's own, TOTAL that with all
below it. A span that only sums its children is marked with (sum) and adds nothing to a total; one whose parent is not
there stands at the top, marked with (orphan).

Examples:

  costprof trace 7f0e6b2c4d1a
  costprof trace 7f0e6b2c4d1a --project shop --json`
}

func (t *traceCmd) Run(s *session) error {
	if err := between("--max-spans", t.MaxSpans, 1, 10_000); err != nil {
		return err
	}
	zone := time.UTC
	if t.TZ != "" {
		var err error
		if zone, err = time.LoadLocation(t.TZ); err != nil {
			return usagef("--tz %q must be an IANA time zone such as Europe/Berlin", t.TZ)
		}
	}
	if t.ID == "" {
		return usagef("the trace's id must not be empty")
	}
	c, err := s.connect()
	if err != nil {
		return err
	}
	request := client.TraceRequest{Project: t.Project, MaxSpans: t.MaxSpans}
	if s.root.JSON {
		return s.passOn(c, "traces/"+url.PathEscape(t.ID), request.Values())
	}
	trace, err := c.GetTrace(s.ctx, t.ID, request)
	if err != nil {
		return err
	}
	fmt.Fprintln(s.out, s.term.style(bold, fmt.Sprintf("%s: %s in %s", name(trace.Name), exactly(trace.TotalCost), several(trace.CallCount, "call")))+
		"   "+s.term.style(dim, fmt.Sprintf("%s, %s, project %s", clock(trace.Start.In(zone)), took(trace.Duration), printable(trace.Project))))
	drawSpans(s, trace)
	if trace.ReadSpans < trace.SpanCount {
		s.note("The trace has %s spans; this is made of the newest %s.", count(trace.SpanCount), count(trace.ReadSpans))
	}
	s.hint(trace.UnpricedCalls, trace.FallbackCalls)
	return nil
}

func drawSpans(s *session, trace client.Trace) {
	t := &table{columns: []column{
		{title: "SPAN", shrink: true, least: 30},
		{title: "COST", right: true},
		{title: "TOTAL", right: true, drop: 2},
		{title: "MODEL", shrink: true, drop: 1},
		{title: "INPUT", right: true, drop: 5},
		{title: "OUTPUT", right: true, drop: 6},
		{title: "AT", right: true, drop: 4},
		{title: "TOOK", right: true, drop: 3},
	}}
	hidden := func(indent string, h *client.HiddenSpans) {
		t.add(indent+fmt.Sprintf("└─ (%s not shown)", count(int64(h.SpanCount))), "", exactly(h.Cost), "", "", "", "", "")
	}
	var walk func(spans []client.Span, rest *client.HiddenSpans, indent string, top bool)
	walk = func(spans []client.Span, rest *client.HiddenSpans, indent string, top bool) {
		for i := range spans {
			n := &spans[i]
			branch, next := "├─ ", "│  "
			switch {
			case top:
				branch, next = "", ""
			case i == len(spans)-1 && rest == nil:
				branch, next = "└─ ", "   "
			}
			label := name(n.Name)
			for _, mark := range []struct {
				on   bool
				text string
			}{{n.Aggregate, " (sum)"}, {n.Orphan, " (orphan)"}, {n.IsError, " (error)"}} {
				if mark.on {
					label += mark.text
				}
			}
			t.add(indent+branch+label, exactly(n.Cost), exactly(n.TotalCost), printable(n.Model), count(n.InputTokens), count(n.OutputTokens), "+"+took(n.Offset), took(n.Latency))
			walk(n.Children, n.Hidden, indent+next, false)
		}
		if rest != nil {
			hidden(indent, rest)
		}
	}
	walk(trace.Spans, trace.Hidden, "", true)
	t.write(s.out, s.term)
}
