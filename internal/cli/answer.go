package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
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

// writeFile replaces a file as a whole: a reader never sees half of it.
func writeFile(path string, content []byte) (err error) {
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

// heading says what an answer covers, above its table.
func heading(w io.Writer, term terminal, m client.Meta) {
	text := ""
	if m.TotalCost != "" {
		text = term.style(bold, fmt.Sprintf("%s in %s calls", money(m.TotalCost), count(m.CallCount)))
	}
	if !m.From.IsZero() && !m.To.IsZero() {
		if text != "" {
			text += "   "
		}
		text += term.style(dim, fmt.Sprintf("%s to %s %s", clock(m.From), clock(m.To), printable(m.TZ)))
	}
	if text != "" {
		fmt.Fprintln(w, text)
	}
}

// clock shows an instant in its own offset, without the parts that are zero.
func clock(t time.Time) string {
	switch {
	case t.Nanosecond() != 0 || t.Second() != 0:
		return t.Format("2006-01-02 15:04:05")
	case t.Hour() != 0 || t.Minute() != 0:
		return t.Format("2006-01-02 15:04")
	}
	return t.Format("2006-01-02")
}

// hint says what makes a total less than the truth.
func (s *session) hint(unpriced int64) {
	if unpriced > 0 {
		s.note("%s calls have no price of ours (estimated, or counted as 0): see `costprof prices unpriced`.", count(unpriced))
	}
}
