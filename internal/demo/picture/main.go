// Command picture draws the picture in the README: it reads the tree that
// `costprof flame -o -` writes and writes SVG, the same tree as the same bytes.
// Its arguments are the caption. flame.json is the tree of the demo that ends on
// 2026-11-22; with an empty ledger:
//
//	costprof demo --until 2026-11-22
//	costprof flame --levels department,feature,model --from 2026-10-23 --to 2026-11-21 -o docs/images/flame.json
//	go run ./internal/demo/picture costprof flame --levels department,feature,model < docs/images/flame.json > docs/images/flame.svg
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/costprof/costprof/client"
)

func main() {
	if err := run(os.Stdin, os.Stdout, strings.Join(os.Args[1:], " ")); err != nil {
		fmt.Fprintln(os.Stderr, "picture:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer, caption string) error {
	var root client.Node
	if err := json.NewDecoder(in).Decode(&root); err != nil {
		return fmt.Errorf("reading the tree: %w", err)
	}
	w := bufio.NewWriter(out)
	draw(w, &root, caption)
	return w.Flush()
}

// In pixels of the picture.
const (
	width  = 1000.0
	margin = 16.0
	top    = 52.0
	row    = 44.0
	gap    = 1.5
	// About how wide a letter of a name and a digit are: what does not fit is cut,
	// amounts only as a whole.
	letter = 7.2
	digit  = 6.5
	// least is the width of a frame that can hold a word.
	least = 46.0
)

// hues tell the branches apart; deeper frames are lighter.
var hues = [...]int{16, 204, 150, 268, 38, 340, 184, 96}

type frame struct {
	node       *client.Node
	x, w       float64
	depth, hue int
}

func draw(w io.Writer, root *client.Node, caption string) {
	total := amount(root.Value)
	frames := place(nil, frame{node: root, x: margin, w: width - 2*margin, hue: -1}, total)
	depth := 0
	for _, f := range frames {
		depth = max(depth, f.depth)
	}
	height := top + float64(depth+1)*row + margin - gap
	fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" role="img" aria-label="Where %s went, as a flame graph">
<style>
text{font:12.5px system-ui,-apple-system,"Segoe UI",Helvetica,Arial,sans-serif;fill:#1b1f24}
.n{font-weight:600}
.s{fill:#1b1f24;opacity:.72;font-size:11.5px}
.c{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
.b{fill:#fff;stroke:#d8dee4}
.r{fill:#e6e9ed}
@media (prefers-color-scheme:dark){.b{fill:#0d1117;stroke:#30363d}.c,.t{fill:#e6edf3}.r{fill:#9aa4ae}}
</style>
<rect class="b" x=".5" y=".5" width="%.0f" height="%.0f" rx="8"/>
`, width, height, usd(root.Value), width-1, height-1)
	fmt.Fprintf(w, "<text class=\"c\" x=\"%.0f\" y=\"32\">%s</text>\n", margin, escape(caption))
	fmt.Fprintf(w, "<text class=\"t\" x=\"%.0f\" y=\"32\" text-anchor=\"end\">%s in %s calls</text>\n", width-margin, usd(root.Value), grouped(root.Calls))
	for _, f := range frames {
		f.draw(w, total)
	}
	fmt.Fprintln(w, "</svg>")
}

// place gives every frame its width by its part of the total, in order.
func place(frames []frame, f frame, total *big.Rat) []frame {
	frames = append(frames, f)
	x := f.x
	for i := range f.node.Children {
		c := &f.node.Children[i]
		hue := f.hue
		if f.depth == 0 {
			hue = hues[i%len(hues)]
		}
		w := (width - 2*margin) * part(amount(c.Value), total)
		frames = place(frames, frame{node: c, x: x, w: w, depth: f.depth + 1, hue: hue}, total)
		x += w
	}
	return frames
}

func (f *frame) draw(w io.Writer, total *big.Rat) {
	y := top + float64(f.depth)*row
	wide := max(f.w-gap, 0.4)
	name := f.node.Name
	fill := ` class="r"`
	if f.depth == 0 {
		name = "all calls"
	} else {
		fill = fmt.Sprintf(` fill="hsl(%d 72%% %d%%)"`, f.hue, min(66+6*f.depth, 88))
	}
	share := fmt.Sprintf("%.1f%%", 100*part(amount(f.node.Value), total))
	fmt.Fprintf(w, `<g><title>%s: %s, %s</title><rect%s x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="3"/>`,
		escape(name), usd(f.node.Value), share, fill, f.x, y, wide, row-gap)
	if wide >= least {
		fmt.Fprintf(w, `<text class="n" x="%.1f" y="%.1f">%s</text>`, f.x+7, y+18, escape(cut(name, wide-12)))
		for _, text := range []string{usd(f.node.Value) + " · " + share, usd(f.node.Value)} {
			if float64(utf8.RuneCountInString(text))*digit <= wide-10 {
				fmt.Fprintf(w, `<text class="s" x="%.1f" y="%.1f">%s</text>`, f.x+7, y+34, text)
				break
			}
		}
	}
	fmt.Fprintln(w, "</g>")
}

func amount(u client.USD) *big.Rat {
	r, err := u.Rat()
	if err != nil {
		return new(big.Rat)
	}
	return r
}

// part is for drawing only.
func part(a, whole *big.Rat) float64 {
	if whole.Sign() <= 0 || a.Sign() <= 0 {
		return 0
	}
	f, _ := new(big.Rat).Quo(a, whole).Float64()
	return f
}

func usd(u client.USD) string { return "$" + amount(u).FloatString(2) }

func grouped(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func cut(s string, room float64) string {
	n := int(room / letter)
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	if n < 2 {
		return ""
	}
	return string([]rune(s)[:n-1]) + "…"
}

func escape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;").Replace(s)
}
