package flamefile

import (
	"encoding/json"
	"io"
	"strconv"
)

// The parts of speedscope's file format that are used:
// https://www.speedscope.app/file-format-schema.json.
type (
	scopeFile struct {
		Schema   string         `json:"$schema"`
		Name     string         `json:"name"`
		Exporter string         `json:"exporter,omitempty"`
		Active   int            `json:"activeProfileIndex"`
		Shared   scopeShared    `json:"shared"`
		Profiles []scopeProfile `json:"profiles"`
	}
	scopeShared struct {
		Frames []scopeFrame `json:"frames"`
	}
	scopeFrame struct {
		Name string `json:"name"`
		File string `json:"file,omitempty"`
	}
	scopeProfile struct {
		Type    string            `json:"type"`
		Name    string            `json:"name"`
		Unit    string            `json:"unit"`
		Start   int               `json:"startValue"`
		End     json.RawMessage   `json:"endValue"`
		Samples [][]int           `json:"samples"`
		Weights []json.RawMessage `json:"weights"`
	}
)

// writeSpeedscope writes a profile of each measure: cost in USD with every digit,
// tokens and calls. speedscope has no differences; the baseline's profiles stand
// beside those of the period, to switch between.
func writeSpeedscope(w io.Writer, f *File) error {
	out := scopeFile{
		Schema: "https://www.speedscope.app/file-format-schema.json", Name: "costprof " + period(f.From, f.To), Exporter: f.Exporter,
		Shared: scopeShared{Frames: []scopeFrame{}},
	}
	stacks := f.stacks()
	index := map[frame]int{}
	paths := make([][]int, len(stacks))
	for i := range stacks {
		paths[i] = make([]int, len(stacks[i].frames))
		for depth, fr := range stacks[i].frames {
			at, known := index[fr]
			if !known {
				at = len(index)
				index[fr] = at
				out.Shared.Frames = append(out.Shared.Frames, scopeFrame{Name: fr.label(), File: fr.level})
			}
			paths[i][depth] = at
		}
	}
	add := func(suffix string, pick func(*stack) side) {
		cost := scopeProfile{Name: "cost in USD" + suffix}
		tokens := scopeProfile{Name: "tokens" + suffix}
		calls := scopeProfile{Name: "calls" + suffix}
		var sum side
		for i := range stacks {
			s := pick(&stacks[i])
			if s.zero() {
				continue
			}
			sum = side{sum.cost.Plus(s.cost), sum.tokens + s.tokens, sum.calls + s.calls}
			cost.add(paths[i], s.cost.AppendText(nil))
			tokens.add(paths[i], strconv.AppendInt(nil, s.tokens, 10))
			calls.add(paths[i], strconv.AppendInt(nil, s.calls, 10))
		}
		out.Profiles = append(out.Profiles,
			cost.ending(sum.cost.AppendText(nil)), tokens.ending(strconv.AppendInt(nil, sum.tokens, 10)), calls.ending(strconv.AppendInt(nil, sum.calls, 10)))
	}
	add("", func(s *stack) side { return s.now })
	if f.Root.Change != nil {
		add(", "+period(f.BeforeFrom, f.BeforeTo), func(s *stack) side { return s.baseline })
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(out)
}

func (p *scopeProfile) add(path []int, weight []byte) {
	p.Samples = append(p.Samples, path)
	p.Weights = append(p.Weights, weight)
}

func (p scopeProfile) ending(sum []byte) scopeProfile {
	p.Type, p.Unit, p.End = "sampled", "none", sum
	if p.Samples == nil {
		p.Samples, p.Weights = [][]int{}, []json.RawMessage{}
	}
	return p
}
