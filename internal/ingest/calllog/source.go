package calllog

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/costprof/costprof/internal/ingest/textrows"
)

// MaxRecord bounds one record in bytes, and with it the memory. Transcripts hold
// pictures.
const MaxRecord = 32 << 20

// record is one value of a source.
type record struct {
	line int
	raw  []byte
	// problem says why there is no value.
	problem string
	// done is the end of a stream of server-sent events.
	done bool
	// event is the name of a server-sent event's line, nothing else is in it.
	event bool
}

// records gives the values of a source. The error is io.EOF at the end.
type records interface {
	next() (record, error)
}

// layout finds out how a source is laid out: one value a line (also as
// server-sent events), an array or values over several lines, or CSV.
func layout(head []byte) string {
	head = bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")), " \t\r\n")
	switch {
	case len(head) == 0 || isEventLine(head):
		return "lines"
	case head[0] == '[':
		return "values"
	case head[0] != '{':
		return "csv"
	}
	line, _, whole := bytes.Cut(head, []byte("\n"))
	d := jsontext.NewDecoder(bytes.NewBuffer(line), lenient...)
	if _, err := d.ReadValue(); whole && (errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)) {
		return "values" // the first line opens what later lines close
	}
	return "lines"
}

func isEventLine(line []byte) bool {
	for _, prefix := range []string{"data:", "event:", "id:", "retry:", ": "} {
		if bytes.HasPrefix(line, []byte(prefix)) {
			return true
		}
	}
	return false
}

// lines are one value a line, or server-sent events.
type lines struct{ rows *textrows.Reader }

func (l *lines) next() (record, error) {
	line, err := l.rows.NextLine()
	var bad *textrows.Error
	switch {
	case errors.Is(err, textrows.ErrEnd):
		return record{}, io.EOF
	case errors.As(err, &bad):
		return record{line: line, problem: bad.Problem}, nil
	case err != nil:
		return record{}, err
	}
	raw := l.rows.Cells()[0]
	if isEventLine(raw) {
		data, ok := bytes.CutPrefix(raw, []byte("data:"))
		data = bytes.TrimSpace(data)
		switch {
		case !ok || len(data) == 0:
			return record{line: line, event: true}, nil
		case string(data) == "[DONE]":
			return record{line: line, done: true}, nil
		}
		raw = data
	}
	return record{line: line, raw: raw}, nil
}

// values are the objects of an array, or one after another, over any number of
// lines. They are told apart by their braces, so that a broken one does not hide
// those behind it.
type values struct {
	r    *bufio.Reader
	line int
	buf  []byte
}

func (v *values) next() (record, error) {
	for {
		b, err := v.r.ReadByte()
		if err != nil {
			return record{}, err
		}
		switch b {
		case '\n':
			v.line++
		case ' ', '\t', '\r', ',', '[', ']':
		case '{':
			return v.object()
		default:
			rec := record{line: v.line + 1, problem: "is not a JSON object"}
			for b != '\n' && b != '{' && err == nil {
				b, err = v.r.ReadByte()
			}
			if err == nil {
				_ = v.r.UnreadByte() // always possible after ReadByte
			}
			return rec, nil
		}
	}
}

func (v *values) object() (record, error) {
	rec := record{line: v.line + 1}
	v.buf = append(v.buf[:0], '{')
	depth, quoted, escaped, large := 1, false, false, false
	for depth > 0 {
		b, err := v.r.ReadByte()
		if err == io.EOF { //nolint:errorlint // a wrapped one is a failure of the source
			rec.problem = "ends in the middle of a JSON object"
			return rec, nil
		}
		if err != nil {
			return record{}, err
		}
		if b == '\n' {
			v.line++
		}
		switch {
		case escaped:
			escaped = false
		case quoted:
			escaped, quoted = b == '\\', b != '"'
		case b == '"':
			quoted = true
		case b == '{' || b == '[':
			depth++
		case b == '}' || b == ']':
			depth--
		}
		if len(v.buf) < MaxRecord {
			v.buf = append(v.buf, b)
		} else {
			large = true
		}
	}
	if large {
		rec.problem = fmt.Sprintf("is longer than %d bytes", MaxRecord)
		v.buf = nil
		return rec, nil
	}
	rec.raw = v.buf
	return rec, nil
}

// table is a CSV whose first line names the members.
type table struct {
	rows   *textrows.Reader
	header []string
	buf    []byte
}

func (t *table) next() (record, error) {
	line, err := t.rows.Next()
	var bad *textrows.Error
	switch {
	case errors.Is(err, textrows.ErrEnd):
		return record{}, io.EOF
	case errors.As(err, &bad):
		return record{line: line, problem: bad.Problem}, nil
	case err != nil:
		return record{}, err
	}
	cells := t.rows.Cells()
	if t.header == nil {
		for i, cell := range cells {
			name := strings.TrimSpace(strings.ToValidUTF8(string(cell), "\uFFFD"))
			if i == 0 {
				name = strings.TrimPrefix(name, "\uFEFF")
			}
			t.header = append(t.header, name)
		}
		return t.next()
	}
	if len(cells) != len(t.header) {
		return record{line: line, problem: fmt.Sprintf("has %d cells, the header has %d", len(cells), len(t.header))}, nil
	}
	t.buf = append(t.buf[:0], '{')
	for i, cell := range cells {
		if len(cell) == 0 {
			continue
		}
		if !utf8.Valid(cell) {
			cell = bytes.ToValidUTF8(cell, []byte("\uFFFD"))
		}
		if len(t.buf) > 1 {
			t.buf = append(t.buf, ',')
		}
		t.buf, _ = jsontext.AppendQuote(t.buf, t.header[i]) // valid, by the above
		t.buf = append(t.buf, ':')
		t.buf, _ = jsontext.AppendQuote(t.buf, cell)
	}
	t.buf = append(t.buf, '}')
	return record{line: line, raw: t.buf}, nil
}

func open(source io.Reader, head []byte) records {
	switch layout(head) {
	case "values":
		return &values{r: bufio.NewReaderSize(source, 64<<10)}
	case "csv":
		return &table{rows: textrows.New(source, MaxRecord)}
	}
	rows := textrows.New(source, MaxRecord)
	if bytes.HasPrefix(head, []byte("\xef\xbb\xbf")) {
		if _, err := rows.Peek(); err == nil {
			rows.SkipBOM()
		}
	}
	return &lines{rows: rows}
}
