// Package flamefile writes flame trees in the forms that other tools open:
// pprof, speedscope and folded stacks. It owns those forms and how names and
// amounts are said in them; it knows no question and no transport.
package flamefile

import (
	"io"
	"math/big"
	"time"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/money"
)

// Format is a form of file.
type Format struct {
	Name string
	// Media is the Content-Type, Suffix ends the file's name.
	Media, Suffix string

	write func(w io.Writer, f *File) error
}

// The formats.
var (
	Pprof      = Format{"pprof", "application/octet-stream", ".pb.gz", writePprof}
	Speedscope = Format{"speedscope", "application/json", ".speedscope.json", writeSpeedscope}
	Folded     = Format{"folded", "text/plain; charset=utf-8", ".folded", writeFolded}
)

// File is what is written: a tree, and what it is of.
type File struct {
	Root *analytics.Node
	// Levels names what each level below the root is; a deeper one is Level.
	Levels []string
	Level  string
	// From and To are the period of the tree, Before that of its baseline.
	From, To     time.Time
	BeforeFrom   time.Time
	BeforeTo     time.Time
	Exporter     string // program and version
	Explanations []string
}

// Write writes the tree in the format.
func Write(w io.Writer, format Format, f *File) error { return format.write(w, f) }

// level is what the names at a depth are of; the root's children have depth 0.
func (f *File) level(depth int) string {
	if depth < len(f.Levels) {
		return f.Levels[depth]
	}
	return f.Level
}

// frame is one name at one level.
type frame struct {
	name, level string
	folded      bool
}

// label is the name for people; a missing one gets a name, too.
func (f frame) label() string {
	if f.name == "" {
		return missing
	}
	return f.name
}

const missing = "(none)"

// side is a period's part of a stack.
type side struct {
	cost          money.Total
	tokens, calls int64
}

func (s side) zero() bool { return s == side{} }

// stack is what was spent at one place of the tree itself, not below it.
type stack struct {
	frames        []frame // the root's child first
	now, baseline side
}

// stacks lists where in the tree something was spent, depth first in the order
// of the tree. Their sums are exactly the root's.
func (f *File) stacks() []stack {
	var out []stack
	var walk func(n *analytics.Node, frames []frame)
	walk = func(n *analytics.Node, frames []frame) {
		s := stack{frames: frames, now: side{n.Value, n.Tokens, n.Calls}}
		if n.Change != nil {
			s.baseline = side{n.Baseline, n.BaselineTokens, n.BaselineCalls}
		}
		for _, c := range n.Children {
			s.now = s.now.less(side{c.Value, c.Tokens, c.Calls})
			if c.Change != nil {
				s.baseline = s.baseline.less(side{c.Baseline, c.BaselineTokens, c.BaselineCalls})
			}
		}
		if !s.now.zero() || !s.baseline.zero() {
			out = append(out, s)
		}
		for _, c := range n.Children {
			// A full slice: siblings share the beginning and nothing else.
			walk(c, append(frames[:len(frames):len(frames)], frame{c.Name, f.level(len(frames)), c.Folded}))
		}
	}
	walk(f.Root, nil)
	return out
}

func (s side) less(o side) side {
	return side{s.cost.Sub(o.cost), s.tokens - o.tokens, s.calls - o.calls}
}

// unit is what whole numbers of cost count.
type unit struct {
	name string
	pico int64
}

// units are tried in this order until the sum fits 63 bits.
var units = []unit{
	{"picodollars", 1},
	{"nanodollars", 1e3},
	{"microdollars", 1e6},
	{"millidollars", 1e9},
	{"dollars", 1e12},
}

// unitFor is the finest unit in which the sum of all costs, whatever their sign,
// fits 63 bits.
func unitFor(stacks []stack) unit {
	sum := new(big.Int)
	for i := range stacks {
		for _, t := range [...]money.Total{stacks[i].now.cost, stacks[i].baseline.cost} {
			b := t.Big()
			sum.Add(sum, b.Abs(b))
		}
	}
	for _, u := range units {
		// Rounding can add one to a sum.
		whole := new(big.Int).Div(sum, big.NewInt(u.pico))
		if whole.Add(whole, big.NewInt(2)).IsInt64() {
			return u
		}
	}
	return units[len(units)-1]
}

// rounder gives amounts in a unit such that the sum of what it gave is the sum
// of the amounts, rounded half-even: what one loses, the next one gets.
type rounder struct {
	unit  unit
	exact money.Total
	given int64
}

func (r *rounder) whole(t money.Total) int64 {
	r.exact = r.exact.Plus(t)
	sum, _ := r.exact.RatioHalfEven(1, r.unit.pico).Int64() // unitFor saw to it that it fits
	v := sum - r.given
	r.given = sum
	return v
}

// period says a range of time in UTC, as short as it can be said.
func period(from, to time.Time) string {
	from, to = from.UTC(), to.UTC()
	layout := time.RFC3339
	if day := 24 * time.Hour; from.Truncate(day).Equal(from) && to.Truncate(day).Equal(to) {
		layout, to = time.DateOnly, to.Add(-day)
		if from.Equal(to) {
			return from.Format(layout)
		}
	}
	return from.Format(layout) + " to " + to.Format(layout)
}

// FileName is a name for the file, without anything that a file system refuses.
func (f *File) FileName(format Format) string {
	const layout = "20060102T150405Z"
	name := "costprof-" + f.From.UTC().Format(layout) + "-" + f.To.UTC().Format(layout)
	if f.Root.Change != nil {
		name += "-diff"
	}
	return name + format.Suffix
}
