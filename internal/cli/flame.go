package cli

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/costprof/costprof/client"
)

type flameCmd struct {
	Levels   []string `default:"feature,model" placeholder:"DIM" help:"Dimensions from the root outwards, any order: feature, model, provider, user, department, project, environment, session, operation, tag:NAME. Or trace: the calls of traces by span name."`
	MaxNodes int      `default:"5000" help:"Most nodes the server answers; smaller siblings become (other)."`
	Min      float64  `default:"0.5" placeholder:"PERCENT" help:"Sum up branches below this share of the whole."`
	Baseline string   `placeholder:"FROM,TO" help:"Compare with another period: two dates, the last one included, or two instants."`
	Output   string   `short:"o" placeholder:"FILE" help:"Write a file instead (- for standard output)."`
	Format   string   `placeholder:"FORMAT" help:"Form of the file: json, pprof, speedscope or folded. Default: by its ending (.json, .pb.gz, .speedscope.json, .folded)."`
	filterFlags
}

func (*flameCmd) Help() string {
	return `A parent is exactly the sum of its children.

Examples:

  costprof flame --levels department,feature,model --last 7d
  costprof flame --levels feature,tag:team --min 0
  costprof flame --levels trace              # call trees: what each span and all below it cost
  costprof flame --from 2026-11-01 --to 2026-11-30 --baseline 2026-10-01,2026-10-31
  costprof flame -o cost.pb.gz && go tool pprof -top -cum cost.pb.gz
  costprof flame -o cost.speedscope.json     # opens on speedscope.app
  costprof flame -o cost.folded              # for flamegraph.pl, inferno and the like`
}

func (f *flameCmd) Run(s *session) error {
	filter, err := f.filter(time.Now())
	if err != nil {
		return err
	}
	if err := between("--max-nodes", f.MaxNodes, 1, math.MaxInt32); err != nil {
		return err
	}
	if f.Min < 0 || f.Min > 100 {
		return usagef("--min must be between 0 and 100")
	}
	format, err := f.format()
	if err != nil {
		return err
	}
	c, err := s.connect()
	if err != nil {
		return err
	}
	request := client.FlamegraphRequest{Filter: filter, Levels: f.Levels, MaxNodes: f.MaxNodes, Baseline: f.Baseline}
	if s.root.JSON && format == "" {
		return s.passOn(c, "analytics/flamegraph", request.Values())
	}
	if format != "" {
		return f.write(s, c, request, format)
	}
	tree, meta, err := c.Flamegraph(s.ctx, request)
	if err != nil {
		return err
	}
	heading(s.out, s.term, meta)
	if len(tree.Children) == 0 {
		s.note("%s", f.nothing())
		return nil
	}
	drawTree(s, tree, f.Min/100)
	return nil
}

// flameEndings are tried in this order.
var flameEndings = []struct{ ending, format string }{
	{".pb.gz", "pprof"},
	{".pprof", "pprof"},
	{".prof", "pprof"},
	{".speedscope.json", "speedscope"},
	{".speedscope", "speedscope"},
	{".folded", "folded"},
	{".collapsed", "folded"},
	{".json", "json"},
}

// format is the form of the file to write, "" when there is none to write.
func (f *flameCmd) format() (string, error) {
	switch f.Format {
	case "json", "pprof", "speedscope", "folded":
		return f.Format, nil
	case "":
	default:
		return "", usagef("--format %q must be json, pprof, speedscope or folded", f.Format)
	}
	switch f.Output {
	case "":
		return "", nil
	case "-":
		return "json", nil
	}
	for _, e := range flameEndings {
		if strings.HasSuffix(strings.ToLower(f.Output), e.ending) {
			return e.format, nil
		}
	}
	if strings.HasSuffix(strings.ToLower(f.Output), ".svg") {
		return "", usagef("there is no SVG to write, but `costprof flame -o cost.folded && flamegraph.pl cost.folded > cost.svg` makes one; cost.speedscope.json opens in the browser on speedscope.app")
	}
	return "", usagef("the ending of %q says no format: .json, .pb.gz, .speedscope.json or .folded do, or give --format", f.Output)
}

// write puts the tree alone into a file: what flame graph viewers read.
func (f *flameCmd) write(s *session, c *client.Client, request client.FlamegraphRequest, format string) error {
	content, err := f.content(s, c, request, format)
	if err != nil {
		return err
	}
	if f.Output == "-" || f.Output == "" {
		if format == "pprof" && s.term.tty {
			return usagef("a profile is not for a terminal: give -o FILE.pb.gz, or send it into another program")
		}
		_, err := s.out.Write(content)
		return err
	}
	if err := writeFile(f.Output, content); err != nil {
		return err
	}
	s.note("Wrote %s.", printable(f.Output))
	return nil
}

func (f *flameCmd) content(s *session, c *client.Client, request client.FlamegraphRequest, format string) ([]byte, error) {
	if format != "json" {
		return c.FlamegraphFile(s.ctx, request, format)
	}
	answer, err := c.Get(s.ctx, "analytics/flamegraph", request.Values())
	if err != nil {
		return nil, err
	}
	var envelope struct {
		Data json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(answer, &envelope); err != nil {
		return nil, fmt.Errorf("reading the flame graph: %w", err)
	}
	return append(envelope.Data, '\n'), nil
}

func drawTree(s *session, tree client.Node, least float64) {
	t := &table{columns: []column{{title: "NAME", shrink: true, least: 30}, {title: "COST", right: true}}}
	compared := tree.Baseline != ""
	if compared {
		t.columns = append(t.columns, column{title: "BEFORE", right: true}, column{title: "CHANGE", right: true}, column{title: "CALLS", right: true, drop: 2}, column{title: "BEFORE", right: true, drop: 3})
	} else {
		t.columns = append(t.columns, column{title: "SHARE", right: true, drop: 1}, column{title: "CALLS", right: true, drop: 3}, column{title: "TOKENS", right: true, drop: 4}, column{title: "", drop: 2})
	}
	row := func(label string, n *client.Node) {
		if compared {
			t.add(label, money(n.Value), money(n.Baseline), signed(n.Delta), count(n.Calls), count(n.BaselineCalls))
			return
		}
		share := part(n.Value, tree.Value)
		t.add(label, money(n.Value), percent(share), count(n.Calls), count(n.Tokens), bar(share, 20))
	}
	isSmall := func(n client.Node) bool {
		return part(n.Value, tree.Value) < least && (!compared || part(n.Baseline, tree.Baseline) < least)
	}
	// The root has a fixed name, which would read as one of the projects.
	row("all calls", &tree)
	var walk func(n *client.Node, indent string)
	walk = func(n *client.Node, indent string) {
		shown, small := n.Children, client.Node{}
		var hidden []client.Node
		for _, c := range n.Children {
			if isSmall(c) {
				hidden = append(hidden, c)
			}
		}
		if len(hidden) > 1 {
			small = addUp(hidden, compared)
			small.Name = fmt.Sprintf("(%s smaller)", count(int64(len(hidden))))
			shown = slices.DeleteFunc(slices.Clone(shown), isSmall)
		}
		if n.Own != nil && len(shown) > 0 {
			row(indent+"├─ (itself)", &client.Node{
				Value: n.Own.Value, Calls: n.Own.Calls, Tokens: n.Own.Tokens, Baseline: n.Own.Baseline, Delta: n.Own.Delta, BaselineCalls: n.Own.BaselineCalls,
			})
		}
		for i := range shown {
			last := i == len(shown)-1 && small.Name == ""
			branch, next := "├─ ", "│  "
			if last {
				branch, next = "└─ ", "   "
			}
			row(indent+branch+name(shown[i].Name), &shown[i])
			walk(&shown[i], indent+next)
		}
		if small.Name != "" {
			row(indent+"└─ "+small.Name, &small)
		}
	}
	walk(&tree, "")
	t.write(s.out, s.term)
}

// signed is a change of money: with a plus when it grew.
func signed(delta client.USD) string {
	text := money(delta)
	if strings.HasPrefix(string(delta), "-") || text == money("0") {
		return text
	}
	return "+" + text
}

func addUp(nodes []client.Node, compared bool) client.Node {
	var total client.Node
	var amounts, before, changes []client.USD
	for _, n := range nodes {
		amounts, before, changes = append(amounts, n.Value), append(before, n.Baseline), append(changes, n.Delta)
		total.Calls += n.Calls
		total.Tokens += n.Tokens
		total.BaselineCalls += n.BaselineCalls
	}
	total.Value = sum(amounts...)
	if compared {
		total.Baseline, total.Delta = sum(before...), sum(changes...)
	}
	return total
}
