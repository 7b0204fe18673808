package flamefile

import (
	"bufio"
	"io"
	"strconv"
	"strings"
)

// writeFolded writes a line for each stack: names with semicolons between them, a
// space, and the cost in whole units. In a difference two numbers end the line,
// the baseline's first: what tools for differences read.
//
// Percent-decoding a name gives it back as it was. Encoded is what would be read
// as something else: %, ;, control characters, a # that begins a line, and
// spaces beside which a number could be taken for the cost. "(none)" stands for
// a missing name and "(other)" for what was folded; real names like these are
// written with %28.
func writeFolded(w io.Writer, f *File) error {
	b := bufio.NewWriter(w)
	stacks := f.stacks()
	now := rounder{unit: unitFor(stacks)}
	before := now
	for i := range stacks {
		s := &stacks[i]
		for depth, frame := range s.frames {
			if depth > 0 {
				b.WriteByte(';')
			}
			b.WriteString(escape(frame, depth == 0))
		}
		if len(s.frames) == 0 {
			b.WriteString(missing)
		}
		if f.Root.Change != nil {
			b.WriteByte(' ')
			b.WriteString(strconv.FormatInt(before.whole(s.baseline.cost), 10))
		}
		b.WriteByte(' ')
		b.WriteString(strconv.FormatInt(now.whole(s.now.cost), 10))
		b.WriteByte('\n')
	}
	return b.Flush()
}

const hex = "0123456789ABCDEF"

func escape(f frame, first bool) string {
	if f.name == "" {
		return missing
	}
	if !f.folded && (f.name == missing || f.name == "(other)") {
		return "%28" + f.name[1:]
	}
	var b strings.Builder
	for i := range len(f.name) {
		c := f.name[i]
		encode := c == '%' || c == ';' || c < ' ' || c == 0x7f || c == '#' && i == 0 && first
		if c == ' ' {
			encode = i == 0 || i == len(f.name)-1 || strings.IndexByte("0123456789+-. ", f.name[i+1]) >= 0
		}
		// U+0085, U+00A0, U+2028 and U+2029 end lines or words for some readers.
		if !encode && (c == 0xc2 || c == 0xe2) {
			encode = strings.HasPrefix(f.name[i:], "\u0085") || strings.HasPrefix(f.name[i:], "\u00a0") ||
				strings.HasPrefix(f.name[i:], "\u2028") || strings.HasPrefix(f.name[i:], "\u2029")
		}
		if encode {
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}
