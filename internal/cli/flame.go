package cli

import (
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/costprof/costprof/client"
)

type flameCmd struct {
	Levels   []string `default:"feature,model" placeholder:"DIM" help:"Dimensions from the root outwards, any order: feature, model, provider, user, department, project, environment, session, operation, tag:NAME."`
	MaxNodes int      `default:"5000" help:"Most nodes the server answers; smaller siblings become (other)."`
	Min      float64  `default:"0.5" placeholder:"PERCENT" help:"Sum up branches below this share of the whole."`
	Output   string   `short:"o" placeholder:"FILE.json" help:"Write the tree as JSON to a file instead (- for standard output)."`
	filterFlags
}

func (*flameCmd) Help() string {
	return `A parent is exactly the sum of its children.

Examples:

  costprof flame --levels department,feature,model --last 7d
  costprof flame --levels feature,tag:team --min 0
  costprof flame -o flame.json`
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
	c, err := s.connect()
	if err != nil {
		return err
	}
	request := client.FlamegraphRequest{Filter: filter, Levels: f.Levels, MaxNodes: f.MaxNodes}
	if s.root.JSON && f.Output == "" {
		return s.passOn(c, "analytics/flamegraph", request.Values())
	}
	if f.Output != "" {
		return f.write(s, c, request)
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

// write puts the tree alone into a file: what flame graph viewers read.
func (f *flameCmd) write(s *session, c *client.Client, request client.FlamegraphRequest) error {
	answer, err := c.Get(s.ctx, "analytics/flamegraph", request.Values())
	if err != nil {
		return err
	}
	var envelope struct {
		Data json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(answer, &envelope); err != nil {
		return fmt.Errorf("reading the flame graph: %w", err)
	}
	if f.Output == "-" {
		return s.writeJSON(envelope.Data)
	}
	if err := writeFile(f.Output, append(envelope.Data, '\n')); err != nil {
		return err
	}
	s.note("Wrote %s.", printable(f.Output))
	return nil
}

func drawTree(s *session, tree client.Node, least float64) {
	t := &table{columns: []column{
		{title: "NAME", shrink: true, least: 30},
		{title: "COST", right: true},
		{title: "SHARE", right: true, drop: 1},
		{title: "CALLS", right: true, drop: 3},
		{title: "TOKENS", right: true, drop: 4},
		{title: "", drop: 2},
	}}
	row := func(label string, n *client.Node) {
		share := part(n.Value, tree.Value)
		t.add(label, money(n.Value), percent(share), count(n.Calls), count(n.Tokens), bar(share, 20))
	}
	// The root has a fixed name, which would read as one of the projects.
	row("all calls", &tree)
	var walk func(n *client.Node, indent string)
	walk = func(n *client.Node, indent string) {
		shown, small := n.Children, client.Node{}
		for i := range shown {
			// Dearest first: what follows is smaller still.
			if part(shown[i].Value, tree.Value) < least && len(shown)-i > 1 {
				small = addUp(shown[i:])
				small.Name = fmt.Sprintf("(%s smaller)", count(int64(len(shown)-i)))
				shown = shown[:i]
				break
			}
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

func addUp(nodes []client.Node) client.Node {
	var total client.Node
	amounts := make([]client.USD, len(nodes))
	for i, n := range nodes {
		amounts[i] = n.Value
		total.Calls += n.Calls
		total.Tokens += n.Tokens
	}
	total.Value = sum(amounts...)
	return total
}
