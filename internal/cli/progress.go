package cli

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// progress draws one line that is drawn over again, when a person watches.
type progress struct {
	w     io.Writer
	term  terminal
	begin time.Time

	mu    sync.Mutex
	last  time.Time
	drawn bool
}

func newProgress(w io.Writer) *progress {
	return &progress{w: w, term: newTerminal(w), begin: time.Now()}
}

// show draws how far it is: done of all units (all 0 is unknown), and how many
// rows have come back.
func (p *progress) show(what string, done, all int64, rows func() int) {
	if !p.term.tty {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if now.Sub(p.last) < 100*time.Millisecond {
		return
	}
	p.last = now
	n := rows()
	elapsed := now.Sub(p.begin)
	text := fmt.Sprintf("%s rows, %s/s", count(int64(n)), count(int64(float64(n)/max(elapsed.Seconds(), 0.001))))
	if all > 0 && done <= all {
		share := float64(done) / float64(all)
		width := 20
		filled := bar(share, width)
		text = fmt.Sprintf("▕%s%s▏ %4s  %s", filled, strings.Repeat(" ", width-cells(filled)), fmt.Sprintf("%.0f%%", share*100), text)
		if share > 0.01 && elapsed > time.Second {
			left := time.Duration(float64(elapsed) * (1 - share) / share)
			text += ", " + left.Round(time.Second).String() + " left"
		}
	}
	fmt.Fprintf(p.w, "\r\x1b[K%s", cut(what+" "+text, p.term.width-1))
	p.drawn = true
}

// say writes a line of its own above the drawn one.
func (p *progress) say(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.erase()
	fmt.Fprintln(p.w, text)
}

// clear removes the drawn line.
func (p *progress) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.erase()
}

func (p *progress) erase() {
	if p.drawn {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.drawn = false
	}
}

// shellWord quotes a word for a POSIX shell when it needs it.
func shellWord(s string) string {
	plain := s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:@%+=,", r))
	})
	if plain {
		return s
	}
	return "'" + strings.ReplaceAll(printable(s), "'", `'\''`) + "'"
}
