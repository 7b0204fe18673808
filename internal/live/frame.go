package live

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"

	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/usage"
)

// frame is what one server tells the others at once.
type frame struct {
	// From is the server, for as long as its process lives.
	From string
	// Number counts up by one for each frame; by more when something that others
	// might have wanted was not sent.
	Number uint64
	// Need is the Detail that the server needs of others.
	Need     Detail
	Messages []Message
}

// maxFrame is about how many bytes a frame has at most.
const maxFrame = 256 << 10

// appendHead and appendMessage write a frame: numbers as varints, texts behind
// their length.
func (f *frame) appendHead(b []byte) []byte {
	b = appendText(b, f.From)
	b = binary.AppendUvarint(b, f.Number)
	return binary.AppendUvarint(b, uint64(f.Need))
}

func appendMessage(b []byte, m *Message) []byte {
	b = binary.AppendVarint(b, m.Commit)
	b = binary.AppendUvarint(b, uint64(m.Detail))
	b = binary.AppendUvarint(b, uint64(len(m.Cells)))
	for i := range m.Cells {
		b = appendCell(b, &m.Cells[i], m.Detail)
	}
	return b
}

func appendCell(b []byte, c *Cell, d Detail) []byte {
	for t := range numTexts {
		if d&t.Detail() != 0 {
			b = appendText(b, c.Texts[t])
		}
	}
	if d&DetailTags != 0 {
		b = binary.AppendUvarint(b, uint64(len(c.Tags)))
		for _, name := range slices.Sorted(maps.Keys(c.Tags)) {
			b = appendText(appendText(b, name), c.Tags[name])
		}
	}
	failed := byte(0)
	if c.Error {
		failed = 1
	}
	b = append(b, failed, byte(c.Source))
	b = appendText(b, c.Cost.String())
	b = binary.AppendVarint(b, c.Calls)
	b = binary.AppendVarint(b, c.Unpriced)
	return binary.AppendVarint(b, c.Fallback)
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

var errFrame = errors.New("a message of another server cannot be read")

// readFrame reads what appendHead and appendMessage wrote.
func readFrame(b []byte) (frame, error) {
	r := frameReader{rest: b}
	f := frame{From: r.text(), Number: r.unsigned(), Need: Detail(r.unsigned()) & DetailAll}
	for len(r.rest) > 0 && !r.broken {
		m := Message{Commit: r.signed(), Detail: Detail(r.unsigned())}
		cells := r.unsigned()
		if m.Detail&^DetailAll != 0 || cells > uint64(len(r.rest)) { // a cell has at least a byte
			return frame{}, errFrame
		}
		for ; cells > 0 && !r.broken; cells-- {
			m.Cells = append(m.Cells, r.cell(m.Detail))
		}
		f.Messages = append(f.Messages, m)
	}
	if r.broken || f.From == "" {
		return frame{}, errFrame
	}
	return f, nil
}

type frameReader struct {
	rest   []byte
	broken bool
}

func (r *frameReader) fail() { r.broken, r.rest = true, nil }

func (r *frameReader) unsigned() uint64 {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

func (r *frameReader) signed() int64 {
	n, size := binary.Varint(r.rest)
	if size <= 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

func (r *frameReader) byte() byte {
	if len(r.rest) == 0 {
		r.fail()
		return 0
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b
}

func (r *frameReader) text() string {
	n := r.unsigned()
	if n > uint64(len(r.rest)) {
		r.fail()
		return ""
	}
	s := string(r.rest[:n])
	r.rest = r.rest[n:]
	return s
}

func (r *frameReader) cell(d Detail) (c Cell) {
	for t := range numTexts {
		if d&t.Detail() != 0 {
			c.Texts[t] = r.text()
		}
	}
	if d&DetailTags != 0 {
		for n := r.unsigned(); n > 0 && !r.broken; n-- {
			if c.Tags == nil {
				c.Tags = map[string]string{}
			}
			name := r.text()
			c.Tags[name] = r.text()
		}
	}
	c.Error, c.Source = r.byte() == 1, usage.Source(r.byte())
	cost, err := money.ParseTotal(r.text())
	if err != nil {
		r.fail()
	}
	c.Cost, c.Calls, c.Unpriced, c.Fallback = cost, r.signed(), r.signed(), r.signed()
	return c
}
