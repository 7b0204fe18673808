package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/costprof/costprof/client"
)

// passOn writes the server's JSON answer as it came, for programs.
func (s *session) passOn(c *client.Client, path string, query url.Values) error {
	answer, err := c.Get(s.ctx, path, query)
	if err != nil {
		return err
	}
	return s.writeJSON(answer)
}

func (s *session) writeJSON(answer json.RawMessage) error {
	_, err := fmt.Fprintf(s.out, "%s\n", bytes.TrimSpace(answer))
	return err
}

// writeValue writes what has no answer of the server's own.
func (s *session) writeValue(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return s.writeJSON(b)
}

// answered is the form of the server's answers, for what the client has read.
type answered[T any] struct {
	Data T `json:"data"`
}

// writeFile replaces a file as a whole: a reader never sees half of it.
func writeFile(path string, content []byte) (err error) {
	defer func() {
		if err != nil {
			// The temporary file's name would tell nobody anything.
			err = fmt.Errorf("writing %s: %w", path, withoutPath(err))
		}
	}()
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	if _, err := f.Write(content); err != nil {
		_ = f.Close()
		return err
	}
	if err := f.Chmod(0o644); err != nil {
		_ = f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// withoutPath is why a file's operation failed, for where its name is said.
func withoutPath(err error) error {
	var bad *fs.PathError
	if errors.As(err, &bad) {
		return bad.Err
	}
	return err
}

// heading says what an answer covers, above its table.
func heading(w io.Writer, term terminal, m client.Meta) {
	text := ""
	if m.TotalCost != "" {
		text = term.style(bold, fmt.Sprintf("%s in %s", money(m.TotalCost), several(m.CallCount, "call")))
	}
	if !m.From.IsZero() && !m.To.IsZero() {
		if text != "" {
			text += "   "
		}
		text += term.style(dim, window(m.From, m.To)+" "+printable(m.TZ))
	}
	if text != "" {
		fmt.Fprintln(w, text)
	}
}

// clock shows an instant in its own offset, without the parts that are zero.
func clock(t time.Time) string { return t.Format(clockLayout(t)) }

// clockLayout is the shortest layout that shows all of the times.
func clockLayout(times ...time.Time) string {
	layout := time.DateOnly
	for _, t := range times {
		switch {
		case t.Nanosecond() != 0 || t.Second() != 0:
			return time.DateTime
		case t.Hour() != 0 || t.Minute() != 0:
			layout = "2006-01-02 15:04"
		}
	}
	return layout
}

// clocks shows times that stand below each other: alike, and with their offsets
// when an hour happens twice.
func clocks(times []time.Time) []string {
	layout := clockLayout(times...)
	out := make([]string, len(times))
	for i, t := range times {
		out[i] = t.Format(layout)
		if i > 0 && out[i] == out[i-1] && !strings.HasSuffix(layout, "-07:00") {
			layout += " -07:00"
			for j := range times[:i+1] {
				out[j] = times[j].Format(layout)
			}
		}
	}
	return out
}

// window shows from when to when, with the last day included when it is days, as
// --to takes it.
func window(from, to time.Time) string {
	layout := clockLayout(from, to)
	if layout == time.DateOnly {
		to = to.AddDate(0, 0, -1)
		if to.Format(layout) == from.Format(layout) {
			return from.Format(layout)
		}
	}
	return from.Format(layout) + " to " + to.Format(layout)
}

// hint says what makes a total less than the truth.
func (s *session) hint(unpriced, fallback int64) {
	if unpriced > 0 {
		verb := "have"
		if unpriced == 1 {
			verb = "has"
		}
		s.note("%s %s no price (estimated, or counted as 0): see `costprof prices unpriced`.", several(unpriced, "call"), verb)
	}
	if fallback > 0 {
		s.note("%s took a standard price for want of one for their tier or region: `costprof events ID` shows it.", several(fallback, "call"))
	}
}

// several counts things by their name: 1 call, 2 calls.
func several(n int64, name string) string {
	if n == 1 {
		return "1 " + name
	}
	return count(n) + " " + name + "s"
}
