package cli

import (
	"io"
	"os"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/width"
)

// terminal is what a writer can show.
type terminal struct {
	// tty says that a person watches.
	tty bool
	// width is in cells; 0 is no limit.
	width  int
	colour bool
}

func newTerminal(w io.Writer) terminal {
	f, ok := w.(*os.File)
	if !ok {
		return terminal{}
	}
	cells, ok := windowWidth(f)
	if !ok {
		return terminal{}
	}
	if n, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && n > 0 {
		cells = n
	}
	if cells <= 0 {
		cells = 80
	}
	return terminal{tty: true, width: cells, colour: os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

const (
	bold = "\x1b[1m"
	dim  = "\x1b[2m"
)

func (t terminal) style(code, text string) string {
	if !t.colour || text == "" {
		return text
	}
	return code + text + "\x1b[0m"
}

// printable makes text from outside safe to show: control characters, other
// invisible ones (they could reverse or hide what stands beside them) and broken
// UTF-8 become escapes, so that a name cannot drive the terminal.
func printable(s string) string {
	clean := true
	for _, r := range s {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			clean = false
			break
		}
	}
	if clean {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1:
			b.WriteString(`\x` + strconv.FormatUint(uint64(s[0])|0x100, 16)[1:])
		case unicode.IsPrint(r):
			b.WriteString(s[:n])
		default:
			quoted := strconv.QuoteRuneToASCII(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		s = s[n:]
	}
	return b.String()
}

// name is printable text for a value that may be missing.
func name(s string) string {
	if s == "" {
		return "(none)"
	}
	return printable(s)
}

// cells is how wide text is in a terminal.
func cells(s string) int {
	n := 0
	for _, r := range s {
		n += runeCells(r)
	}
	return n
}

func runeCells(r rune) int {
	switch {
	case r < 0x300:
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me):
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// cut shortens text to at most n cells, with an ellipsis.
func cut(s string, n int) string {
	if cells(s) <= n {
		return s
	}
	if n <= 0 {
		return ""
	}
	used := 0
	for i, r := range s {
		if used+runeCells(r) > n-1 {
			return s[:i] + "…"
		}
		used += runeCells(r)
	}
	return s
}

// bar draws a share (0 to 1) in n cells, in eighths.
func bar(share float64, n int) string {
	if !(share > 0) {
		return ""
	}
	eighths := int(min(share, 1)*float64(n)*8 + 0.5)
	if eighths == 0 {
		eighths = 1 // something is not nothing
	}
	b := strings.Repeat("█", eighths/8)
	if rest := eighths % 8; rest > 0 {
		b += string([]rune(" ▏▎▍▌▋▊▉")[rest])
	}
	return b
}

// sparkline draws values as blocks, at most n of them; neighbours that share a
// block are added up.
func sparkline(values []float64, n int) string {
	if len(values) == 0 || n <= 0 {
		return ""
	}
	n = min(n, len(values))
	sums := make([]float64, n)
	most := 0.0
	for i, v := range values {
		j := i * n / len(values)
		sums[j] += v
		most = max(most, sums[j])
	}
	blocks := []rune("▁▂▃▄▅▆▇█")
	out := make([]rune, n)
	for i, v := range sums {
		out[i] = ' '
		if v > 0 {
			out[i] = blocks[min(int(v/most*float64(len(blocks))), len(blocks)-1)]
		}
	}
	return string(out)
}
