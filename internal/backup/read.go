package backup

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/store"
)

// Read passes a backup's rows on and returns without error only when the file is
// whole and nothing in it was changed. What is wrong with the file is
// fault.Invalid; errors of r and to are returned as they are. Memory is bounded
// whatever the bytes are.
func Read(ctx context.Context, r io.Reader, to store.Sink) (Summary, error) {
	source := &noted{r: r}
	s, err := read(ctx, source, to)
	if err != nil && source.err != nil {
		err = source.err // what the decoder made of it does not matter
	}
	return s, err
}

// noted remembers why reading failed.
type noted struct {
	r   io.Reader
	err error
}

func (n *noted) Read(b []byte) (int, error) {
	c, err := n.r.Read(b)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		n.err = err
	}
	return c, err
}

func damaged(format string, args ...any) error {
	return fault.New(fault.Invalid, "the backup is damaged or cut off: %s", fmt.Sprintf(format, args...))
}

func read(ctx context.Context, r io.Reader, to store.Sink) (Summary, error) {
	head := make([]byte, len(magic))
	if n, err := io.ReadFull(r, head); err != nil || string(head) != magic {
		if n > 0 && string(head[:min(n, len(magic)-2)]) == magic[:min(n, len(magic)-2)] {
			if err != nil {
				return Summary{}, damaged("it has a beginning only")
			}
			return Summary{}, fault.New(fault.Invalid, "the backup has a form that this version does not know; use the version of costprof that made it, or a newer one")
		}
		return Summary{}, fault.New(fault.Invalid, "this is not a backup of costprof")
	}
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(8<<20))
	if err != nil {
		return Summary{}, err
	}
	defer z.Close()
	in := &reader{in: bufio.NewReaderSize(z, 64<<10), hash: sha256.New(), to: to, rows: map[string]int64{}}
	for {
		if err := ctx.Err(); err != nil {
			return Summary{}, err
		}
		done, err := in.next()
		if err != nil {
			return Summary{}, err
		}
		if done {
			return Summary{in.header, in.rows}, nil
		}
	}
}

type reader struct {
	in     *bufio.Reader
	hash   hash.Hash
	frame  []byte
	header Header
	begun  bool
	to     store.Sink
	rows   map[string]int64

	table *store.Table
	// from maps the columns of the table to those of the file, -1 where the file
	// has none; kinds are the file's.
	from   []int
	width  int
	kinds  []store.Kind
	read   []any
	values []any
}

// next reads a frame; done after the end.
func (r *reader) next() (done bool, err error) {
	letter, err := r.in.ReadByte()
	if err != nil {
		return false, damaged("its end is missing")
	}
	size, err := binary.ReadUvarint(r.in)
	if err != nil {
		return false, damaged("its end is missing")
	}
	if size > maxFrame {
		return false, damaged("a part is too large")
	}
	sum := r.hash.Sum(nil)
	r.hash.Write(binary.AppendUvarint([]byte{letter}, size))
	// A claim of a size is no reason to take the memory before the bytes come.
	r.frame = r.frame[:0]
	for left := int(size); left > 0; {
		n := min(left, 1<<20)
		at := len(r.frame)
		r.frame = append(r.frame, make([]byte, n)...)
		if _, err := io.ReadFull(r.in, r.frame[at:]); err != nil {
			return false, damaged("its end is missing")
		}
		left -= n
	}
	r.hash.Write(r.frame)
	if !r.begun && letter != frameHeader {
		return false, damaged("its header is missing")
	}
	switch letter {
	case frameHeader:
		if r.begun {
			return false, damaged("it has two headers")
		}
		r.begun = true
		if err := json.Unmarshal(r.frame, &r.header); err != nil {
			return false, damaged("its header cannot be read")
		}
	case frameTable:
		return false, r.beginTable()
	case frameRows:
		return false, r.readRows()
	case frameEnd:
		return true, r.end(sum)
	default:
		return false, damaged("it has an unknown part")
	}
	return false, nil
}

func (r *reader) end(sum []byte) error {
	var e endFrame
	if err := json.Unmarshal(r.frame, &e); err != nil {
		return damaged("its end cannot be read")
	}
	if e.SHA256 != hex.EncodeToString(sum) || !maps.Equal(e.Rows, r.rows) {
		return damaged("its checksum is not that of its content")
	}
	for _, t := range store.Tables() {
		if _, there := r.rows[t.Name]; !there && (t.Name == store.PositionTable || t.Name == store.EventsTable) {
			return damaged("it has no table %s", t.Name)
		}
	}
	if _, err := r.in.ReadByte(); !errors.Is(err, io.EOF) {
		return damaged("something follows its end")
	}
	return nil
}

func (r *reader) beginTable() error {
	var f tableFrame
	if err := json.Unmarshal(r.frame, &f); err != nil {
		return damaged("a table cannot be read")
	}
	r.table = nil
	for _, t := range store.Tables() {
		if t.Name == f.Name {
			r.table = t
		}
	}
	newer := func(what string) error {
		return fault.New(fault.Invalid, "the backup was made by %s, which stores %q; this version does not know it and cannot restore it", r.header.Program, what)
	}
	if r.table == nil {
		return newer(f.Name)
	}
	if _, twice := r.rows[f.Name]; twice {
		return damaged("the table %s comes twice", f.Name)
	}
	r.rows[f.Name] = 0
	r.width, r.kinds = len(f.Columns), make([]store.Kind, len(f.Columns))
	at := map[string]int{}
	for i, c := range f.Columns {
		r.kinds[i] = store.Kind(c.Kind)
		at[c.Name] = i
	}
	r.from = make([]int, len(r.table.Columns))
	known := 0
	for i, c := range r.table.Columns {
		j, there := at[c.Name]
		switch {
		case there && r.kinds[j] != c.Kind:
			return newer(f.Name + "." + c.Name)
		case there:
			r.from[i] = j
			known++
		case c.Required && c.Before == nil:
			return fault.New(fault.Invalid, "the backup was made by %s and lacks %s.%s, without which it cannot be restored", r.header.Program, f.Name, c.Name)
		default:
			r.from[i] = -1
		}
	}
	if known != len(f.Columns) {
		for _, c := range f.Columns {
			if !hasColumn(r.table, c.Name) {
				return newer(f.Name + "." + c.Name)
			}
		}
		return damaged("the table %s has a column twice", f.Name)
	}
	r.read, r.values = make([]any, r.width), make([]any, len(r.table.Columns))
	return r.to.Table(r.table)
}

func hasColumn(t *store.Table, name string) bool {
	for _, c := range t.Columns {
		if c.Name == name {
			return true
		}
	}
	return false
}

var errRow = errors.New("bad row")

func (r *reader) readRows() error {
	if r.table == nil {
		return damaged("rows stand before their table")
	}
	for b := r.frame; len(b) > 0; {
		for i := range r.read {
			var err error
			if r.read[i], b, err = readValue(b, r.kinds[i]); err != nil {
				return damaged("a row of %s cannot be read", r.table.Name)
			}
		}
		for i, j := range r.from {
			r.values[i] = r.table.Columns[i].Before
			if j >= 0 {
				r.values[i] = r.read[j]
			}
			if r.values[i] == nil && r.table.Columns[i].Required {
				return damaged("a row of %s lacks %s", r.table.Name, r.table.Columns[i].Name)
			}
		}
		r.rows[r.table.Name]++
		if err := r.to.Row(r.values); err != nil {
			return err
		}
	}
	return nil
}

// readValue takes one value of a kind off the bytes.
func readValue(b []byte, kind store.Kind) (v any, rest []byte, err error) {
	if len(b) == 0 {
		return nil, nil, errRow
	}
	tag := b[0]
	b = b[1:]
	integer := func() int64 {
		n, size := binary.Varint(b)
		if size <= 0 {
			err = errRow
			return 0
		}
		b = b[size:]
		return n
	}
	bytes := func() []byte {
		n, size := binary.Uvarint(b)
		if size <= 0 || n > uint64(len(b)-size) {
			err = errRow
			return nil
		}
		out := b[size : size+int(n)]
		b = b[size+int(n):]
		return out
	}
	fits := false
	switch tag {
	case tagNull:
		fits = true
	case tagInt:
		v, fits = integer(), kind == store.Int || kind == store.Moment
	case tagFalse, tagTrue:
		v, fits = tag == tagTrue, kind == store.Bool
	case tagText:
		text := bytes()
		v, fits = string(text), kind == store.Text && utf8.Valid(text)
	case tagBytes:
		v, fits = bytes(), kind == store.Bytes
	case tagUUID:
		if len(b) < 16 {
			return nil, nil, errRow
		}
		v, fits = [16]byte(b[:16]), kind == store.UUID
		b = b[16:]
	case tagInts:
		n, size := binary.Uvarint(b)
		if size <= 0 || n > uint64(len(b)-size) {
			return nil, nil, errRow
		}
		b = b[size:]
		list := make([]int64, n)
		for i := range list {
			list[i] = integer()
		}
		v, fits = list, kind == store.Ints
	}
	if err == nil && !fits {
		err = errRow
	}
	return v, b, err
}
