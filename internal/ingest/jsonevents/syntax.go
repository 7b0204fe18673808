package jsonevents

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/usage"
)

var errTrailing = errors.New("the line holds more than one value")

// malformed says where in body the JSON breaks and why.
func malformed(body []byte, err error) *fault.Error {
	what, offset, where := explain(err, int64(len(body)))
	line := 1 + bytes.Count(body[:offset], []byte("\n"))
	if where != "" {
		where = ", in " + where
	}
	return &fault.Error{
		Code:    fault.Invalid,
		Message: fmt.Sprintf("Malformed JSON at line %d, byte %d%s: %s", line, offset, where, what),
	}
}

func brokenLine(number int, err error) string {
	what, _, where := explain(err, 0)
	if where != "" {
		what = where + ": " + what
	}
	return fmt.Sprintf("line %d is not one JSON object: %s", number, what)
}

func explain(err error, size int64) (what string, offset int64, where string) {
	var syntax *jsontext.SyntacticError
	if !errors.As(err, &syntax) {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return "it ends too early", size, ""
		}
		return clip(err.Error()), 0, ""
	}
	offset = min(max(syntax.ByteOffset, 0), size)
	where = path(syntax.JSONPointer)
	switch {
	case errors.Is(syntax.Err, jsontext.ErrDuplicateName):
		return "duplicate field", offset, where
	case errors.Is(syntax.Err, io.ErrUnexpectedEOF):
		return "it ends too early", size, ""
	case syntax.Err == nil:
		return "syntax error", offset, where
	}
	return clip(syntax.Err.Error()), offset, where
}

// path turns /events/3/tags/a into events[3].tags.a.
func path(p jsontext.Pointer) string {
	const longest = 160
	var b strings.Builder
	for token := range p.Tokens() {
		if b.Len() > longest {
			b.WriteString("…")
			break
		}
		if _, err := strconv.Atoi(token); err == nil {
			b.WriteString("[" + usage.Shorten(token) + "]")
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		b.WriteString(usage.Shorten(token))
	}
	return b.String()
}

// clip bounds text that may quote the input.
func clip(s string) string {
	s = strings.ToValidUTF8(s, "?")
	if utf8.RuneCountInString(s) > 160 {
		s = string([]rune(s)[:160]) + "…"
	}
	return s
}
