package cli

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
)

// column describes one column of a table.
type column struct {
	title string
	// right aligns numbers.
	right bool
	// shrink lets the column be cut to the terminal's width, but to less than
	// least (0 is narrowest) only when no other column can be dropped.
	shrink bool
	least  int
	// idle is what a cell says that says nothing; a column of nothing else is not
	// shown.
	idle string
	// drop says which columns go first when the terminal is too narrow: the
	// highest; 0 stays.
	drop int
}

// table is what people read. Cells are printable already.
type table struct {
	columns []column
	rows    [][]string
}

const (
	gap = 2
	// narrowest is how far a column shrinks before others are dropped: most
	// models' names fit.
	narrowest = 20
)

func (t *table) add(row ...string) { t.rows = append(t.rows, row) }

// write draws the table, no wider than the terminal if it can be helped.
func (t *table) write(w io.Writer, term terminal) {
	shown, widths := t.layout(term.width)
	line := func(cell func(int) string, style string) {
		var b strings.Builder
		for k, i := range shown {
			text := cut(cell(i), widths[i])
			pad := strings.Repeat(" ", max(0, widths[i]-cells(text)))
			if k > 0 {
				b.WriteString(strings.Repeat(" ", gap))
			}
			if t.columns[i].right {
				b.WriteString(pad + text)
			} else {
				b.WriteString(text + pad)
			}
		}
		text := strings.TrimRight(b.String(), " ")
		if style != "" {
			text = term.style(style, text)
		}
		fmt.Fprintln(w, text)
	}
	line(func(i int) string { return t.columns[i].title }, bold)
	for _, row := range t.rows {
		line(func(i int) string { return row[i] }, "")
	}
}

// hidden are the titles of columns that say something and have no room.
func (t *table) hidden(limit int) []string {
	shown, _ := t.layout(limit)
	all, _ := t.layout(0)
	var out []string
	for _, i := range all {
		if !slices.Contains(shown, i) && t.columns[i].title != "" {
			out = append(out, t.columns[i].title)
		}
	}
	return out
}

// layout chooses the columns to show and their widths; limit 0 is none.
func (t *table) layout(limit int) (shown, widths []int) {
	widths = make([]int, len(t.columns))
	for i, c := range t.columns {
		widths[i] = cells(c.title)
		idle := c.idle != "" && len(t.rows) > 0
		for _, row := range t.rows {
			widths[i] = max(widths[i], cells(row[i]))
			idle = idle && row[i] == c.idle
		}
		if !idle {
			shown = append(shown, i)
		}
	}
	if limit <= 0 {
		return shown, widths
	}
	for {
		over := -limit - gap
		slack := 0
		for _, i := range shown {
			over += widths[i] + gap
			if t.columns[i].shrink {
				slack += max(0, widths[i]-cmp.Or(t.columns[i].least, narrowest))
			}
		}
		if over <= slack {
			t.squeeze(shown, widths, over)
			return shown, widths
		}
		worst := -1
		for k, i := range shown {
			if d := t.columns[i].drop; d > 0 && (worst < 0 || d > t.columns[shown[worst]].drop) {
				worst = k
			}
		}
		if worst < 0 {
			t.squeeze(shown, widths, over)
			return shown, widths
		}
		shown = append(shown[:worst:worst], shown[worst+1:]...)
	}
}

// squeeze takes cells away from the widest columns that may shrink, first from
// those that are wider than they need.
func (t *table) squeeze(shown, widths []int, over int) {
	for ; over > 0; over-- {
		widest, spare := -1, 0
		for _, i := range shown {
			if !t.columns[i].shrink {
				continue
			}
			if more := widths[i] - cmp.Or(t.columns[i].least, narrowest); widest < 0 || more > spare {
				widest, spare = i, more
			}
		}
		if widest < 0 || widths[widest] <= 1 {
			return
		}
		widths[widest]--
	}
}
