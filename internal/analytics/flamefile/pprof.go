package flamefile

import (
	"fmt"
	"io"
	"strings"

	"github.com/google/pprof/profile"
)

// diffBase marks the samples of a baseline, as `pprof -diff_base` does: the tool
// then gives percentages of the baseline and not of the difference.
const diffBase = "pprof::base"

// writePprof writes a gzipped profile with the sample types cost, tokens and
// calls. A difference is written as `go tool pprof -diff_base` makes it of two
// profiles: the baseline's samples are there with negative values.
func writePprof(w io.Writer, f *File) error {
	stacks := f.stacks()
	unit := unitFor(stacks)
	p := &profile.Profile{
		SampleType: []*profile.ValueType{
			{Type: "cost", Unit: unit.name},
			{Type: "tokens", Unit: "count"},
			{Type: "calls", Unit: "count"},
		},
		DefaultSampleType: "cost",
		TimeNanos:         f.From.UnixNano(),
		DurationNanos:     int64(f.To.Sub(f.From)),
		// Without a mapping that has its symbols the tool looks for a binary.
		Mapping:  []*profile.Mapping{{ID: 1, File: "costprof", HasFunctions: true, HasFilenames: true, HasLineNumbers: true}},
		Comments: f.Explanations,
	}
	locations := map[frame]*profile.Location{}
	at := func(fr frame) *profile.Location {
		if l := locations[fr]; l != nil {
			return l
		}
		id := uint64(len(locations) + 1)
		// A system name that differs from the name keeps the tool from demangling
		// what looks like a name of C++.
		fn := &profile.Function{ID: id, Name: oneLine(fr.label()), SystemName: fr.level + "=" + fr.name, Filename: fr.level}
		l := &profile.Location{ID: id, Mapping: p.Mapping[0], Line: []profile.Line{{Function: fn}}}
		p.Function, p.Location = append(p.Function, fn), append(p.Location, l)
		locations[fr] = l
		return l
	}
	now, before := rounder{unit: unit}, rounder{unit: unit}
	for i := range stacks {
		s := &stacks[i]
		path := make([]*profile.Location, len(s.frames))
		for depth, fr := range s.frames {
			path[len(path)-1-depth] = at(fr) // leaf first
		}
		if !s.now.zero() {
			p.Sample = append(p.Sample, &profile.Sample{Location: path, Value: []int64{now.whole(s.now.cost), s.now.tokens, s.now.calls}})
		}
		if !s.baseline.zero() {
			p.Sample = append(p.Sample, &profile.Sample{
				Location: path, Value: []int64{-before.whole(s.baseline.cost), -s.baseline.tokens, -s.baseline.calls},
				Label: map[string][]string{diffBase: {"true"}},
			})
		}
	}
	if err := p.CheckValid(); err != nil {
		return fmt.Errorf("make the profile: %w", err)
	}
	return p.Write(w)
}

// oneLine keeps reports of the tool readable: each name stays in its line.
func oneLine(name string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0x85 || r == 0x2028 || r == 0x2029 {
			return '�'
		}
		return r
	}, name)
}
