// Package textrows splits a text source into CSV records or lines, in bounded
// memory, and says on which line each starts. It knows nothing of what they mean.
package textrows

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// Error is a record or line that is broken. Those behind it still can be read.
type Error struct {
	Line    int
	Problem string
}

func (e *Error) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Problem) }

// Reader splits a source into CSV records (RFC 4180, and bare quotes inside of
// unquoted cells) or lines. After a broken record it goes on with the next line.
type Reader struct {
	// Comma separates the cells of a CSV.
	Comma  []byte
	source io.Reader
	// most bounds a row, and with it the memory: a stray quote must not swallow
	// the rest of a large file.
	most int
	// window[start:] is read but not consumed; consumed counts what came before.
	window   []byte
	start    int
	consumed int64
	ended    bool
	// failure is why the source gives no more, when that was not its end.
	failure error
	// line is the number of lines consumed.
	line int
	// cells are the last record's; they are good until the next one.
	cells [][]byte
	text  []byte
	ends  []int
}

// New reads source, whose rows may have most bytes.
func New(source io.Reader, most int) *Reader {
	return &Reader{Comma: []byte(","), source: source, most: most}
}

// Cells are those of the last record, or the last line as the only one. They
// are good until the next is read.
func (r *Reader) Cells() [][]byte { return r.cells }

var (
	// ErrEnd is not io.EOF, which a source may wrap into a failure of its own.
	ErrEnd   = errors.New("textrows: the end")
	errMore  = errors.New("more input is needed")
	errQuote = errors.New("a quoted cell goes on after its closing quote")
	errOpen  = errors.New("a quoted cell is never closed")
)

func (r *Reader) tooBig() string { return fmt.Sprintf("is longer than %d bytes", r.most) }

// Held is how many bytes of memory the source takes at the moment.
func (r *Reader) Held() int { return cap(r.window) }

// Offset is how many bytes of the source are consumed.
func (r *Reader) Offset() int64 { return r.consumed }

func (r *Reader) rest() []byte { return r.window[r.start:] }

// fill reads at least as much as is there already, so that starting a record
// over after each read stays linear.
func (r *Reader) fill() error {
	if r.ended {
		return nil
	}
	if r.start > 0 {
		r.window = r.window[:copy(r.window, r.rest())]
		r.start = 0
	}
	have := len(r.window)
	size := max(64<<10, 2*have)
	if cap(r.window) < size {
		r.window = append(make([]byte, 0, size), r.window...)
	}
	for r.failure == nil && len(r.window) < have+max(1, have) {
		var n int
		n, r.failure = r.source.Read(r.window[len(r.window):size])
		r.window = r.window[:len(r.window)+n]
	}
	switch {
	case r.failure == io.EOF: //nolint:errorlint // a wrapped one is a failure, as it is to the io package
		// Nothing else is an end. With io.ErrUnexpectedEOF the source says that it
		// was cut off, and what is missing must not look imported.
		r.ended, r.failure = true, nil
		return nil
	case len(r.window) > have:
		return nil // what came before the failure counts
	}
	return r.failure
}

// Peek gives what is read and not consumed, at least four bytes of it unless the
// source is shorter.
func (r *Reader) Peek() ([]byte, error) {
	for len(r.rest()) < 4 && !r.ended {
		if err := r.fill(); err != nil {
			return nil, err
		}
	}
	return r.rest(), nil
}

// SkipBOM steps over a byte order mark and gives what Peek does.
func (r *Reader) SkipBOM() []byte {
	if bytes.HasPrefix(r.rest(), []byte("\xef\xbb\xbf")) {
		r.start += 3
		r.consumed += 3
	}
	return r.rest()
}

// consume steps over n bytes.
func (r *Reader) consume(n int) {
	r.line += bytes.Count(r.rest()[:n], []byte("\n"))
	r.start += n
	r.consumed += int64(n)
}

// skipLine steps over the next line feed, or to the end.
func (r *Reader) skipLine() error {
	for {
		if i := bytes.IndexByte(r.rest(), '\n'); i >= 0 {
			r.consume(i + 1)
			return nil
		}
		r.consume(len(r.rest()))
		if r.ended {
			return nil
		}
		if err := r.fill(); err != nil {
			return err
		}
	}
}

// Next reads a record into cells and says on which line it starts. The error is
// ErrEnd at the end and a *Error for a broken record, which is stepped over.
func (r *Reader) Next() (line int, err error) {
	for {
		n, err := r.record(r.rest())
		switch {
		case errors.Is(err, errMore) && len(r.rest()) < r.most:
			if err := r.fill(); err != nil {
				return 0, err
			}
			continue
		case errors.Is(err, errMore):
			err = errors.New(r.tooBig())
		case err == nil && n > r.most:
			err = errors.New(r.tooBig())
		case err == nil && n == 0:
			return 0, ErrEnd
		}
		line = r.line + 1
		if err != nil {
			if skipped := r.skipLine(); skipped != nil {
				return 0, skipped
			}
			return line, &Error{Line: line, Problem: err.Error()}
		}
		blank := len(bytes.TrimRight(r.rest()[:n], "\r\n")) == 0
		r.consume(n)
		if !blank {
			return line, nil
		}
	}
}

// record parses one record at the start of b and returns its length. It returns
// errMore while the source may hold more of it.
func (r *Reader) record(b []byte) (n int, err error) {
	r.text, r.ends = r.text[:0], r.ends[:0]
	if len(b) == 0 {
		if r.ended {
			return 0, nil
		}
		return 0, errMore
	}
	i := 0
	for last := false; !last; {
		quoted := i < len(b) && b[i] == '"'
		if quoted {
			if i, err = r.quoted(b, i+1); err != nil {
				return 0, err
			}
		}
		// What is left of the cell goes up to a comma or the end of the line.
		j, stop := r.stop(b, i)
		if stop == atMore {
			return 0, errMore
		}
		end := j
		if stop != atComma && end > i && b[end-1] == '\r' {
			end--
		}
		if quoted && end > i {
			return 0, errQuote
		}
		r.text = append(r.text, b[i:end]...)
		r.ends = append(r.ends, len(r.text))
		switch stop {
		case atComma:
			i = j + len(r.Comma)
		case atLine:
			i, last = j+1, true
		default:
			i, last = j, true
		}
	}
	r.cells = r.cells[:0]
	from := 0
	for _, end := range r.ends {
		r.cells = append(r.cells, r.text[from:end:end])
		from = end
	}
	return i, nil
}

// quoted appends the cell whose opening quote is before i and returns where its
// closing quote ends.
func (r *Reader) quoted(b []byte, i int) (int, error) {
	for {
		j := bytes.IndexByte(b[i:], '"')
		if j < 0 {
			if r.ended {
				return 0, errOpen
			}
			return 0, errMore
		}
		r.text = append(r.text, b[i:i+j]...)
		i += j + 1
		if i == len(b) && !r.ended {
			return 0, errMore
		}
		if i == len(b) || b[i] != '"' {
			return i, nil
		}
		r.text = append(r.text, '"')
		i++
	}
}

type stop int

const (
	atEnd stop = iota
	atComma
	atLine
	atMore
)

func (r *Reader) stop(b []byte, i int) (int, stop) {
	first := r.Comma[0]
	for ; i < len(b); i++ {
		switch b[i] {
		case '\n':
			return i, atLine
		case first:
			if len(b)-i < len(r.Comma) && !r.ended {
				return i, atMore
			}
			if bytes.HasPrefix(b[i:], r.Comma) {
				return i, atComma
			}
		}
	}
	if r.ended {
		return i, atEnd
	}
	return i, atMore
}

// NextLine reads a line that is not blank into cells[0].
func (r *Reader) NextLine() (line int, err error) {
	for {
		n := bytes.IndexByte(r.rest(), '\n') + 1
		switch {
		case n == 0 && !r.ended && len(r.rest()) < r.most:
			if err := r.fill(); err != nil {
				return 0, err
			}
			continue
		case n == 0 && r.ended:
			n = len(r.rest())
		}
		if n == 0 && len(r.rest()) == 0 {
			return 0, ErrEnd
		}
		line = r.line + 1
		if n == 0 || n > r.most {
			if err := r.skipLine(); err != nil {
				return 0, err
			}
			return line, &Error{Line: line, Problem: r.tooBig()}
		}
		r.text = append(r.text[:0], bytes.TrimSpace(r.rest()[:n])...)
		r.consume(n)
		if len(r.text) == 0 {
			continue
		}
		if !utf8.Valid(r.text) {
			return line, &Error{Line: line, Problem: "is not valid UTF-8"}
		}
		r.cells = append(r.cells[:0], r.text)
		return line, nil
	}
}
