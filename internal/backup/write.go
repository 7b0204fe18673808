package backup

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"

	"github.com/klauspost/compress/zstd"

	"github.com/costprof/costprof/internal/store"
)

// Write writes a backup of what the dumper gives, as it gives it. After an error
// what was written has no end, and Read refuses it.
func Write(ctx context.Context, w io.Writer, from store.Dumper, h Header) (Summary, error) {
	out, err := newWriter(w, h)
	if err != nil {
		return Summary{}, err
	}
	if err := from.Dump(ctx, out); err != nil {
		out.z.Reset(nil) // what is buffered must not look like an end
		return Summary{}, err
	}
	return Summary{h, out.rows}, out.finish()
}

// writer is the sink that writes a backup.
type writer struct {
	z     *zstd.Encoder
	hash  hash.Hash
	table *store.Table
	buf   []byte
	rows  map[string]int64
}

func newWriter(w io.Writer, h Header) (*writer, error) {
	if _, err := io.WriteString(w, magic); err != nil {
		return nil, err
	}
	// One goroutine and a small window: a server goes on serving beside it.
	z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20), zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		return nil, err
	}
	out := &writer{z: z, hash: sha256.New(), rows: map[string]int64{}}
	return out, out.json(frameHeader, h)
}

func (w *writer) json(letter byte, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return w.frame(letter, b)
}

func (w *writer) frame(letter byte, content []byte) error {
	if len(content) > maxFrame {
		return fmt.Errorf("a row of %d bytes is too large for a backup", len(content))
	}
	head := binary.AppendUvarint([]byte{letter}, uint64(len(content)))
	for _, b := range [][]byte{head, content} {
		w.hash.Write(b)
		if _, err := w.z.Write(b); err != nil {
			return err
		}
	}
	return nil
}

// Table implements store.Sink.
func (w *writer) Table(t *store.Table) error {
	if err := w.flush(); err != nil {
		return err
	}
	w.table, w.rows[t.Name] = t, 0
	f := tableFrame{Name: t.Name}
	for _, c := range t.Columns {
		f.Columns = append(f.Columns, columnFrame{c.Name, string(c.Kind)})
	}
	return w.json(frameTable, f)
}

// Row implements store.Sink.
func (w *writer) Row(values []any) error {
	var err error
	if w.buf, err = appendRow(w.buf, w.table, values); err != nil {
		return err
	}
	w.rows[w.table.Name]++
	if len(w.buf) < rowsPerFrame {
		return nil
	}
	return w.flush()
}

func (w *writer) flush() error {
	if len(w.buf) == 0 {
		return nil
	}
	err := w.frame(frameRows, w.buf)
	w.buf = w.buf[:0]
	return err
}

func (w *writer) finish() error {
	if err := w.flush(); err != nil {
		return err
	}
	if err := w.json(frameEnd, endFrame{w.rows, hex.EncodeToString(w.hash.Sum(nil))}); err != nil {
		return err
	}
	return w.z.Close()
}

func appendRow(b []byte, t *store.Table, values []any) ([]byte, error) {
	if len(values) != len(t.Columns) {
		return b, fmt.Errorf("a row of %s has %d values instead of %d", t.Name, len(values), len(t.Columns))
	}
	for i, v := range values {
		c := &t.Columns[i]
		fits := false
		switch v := v.(type) {
		case nil:
			b, fits = append(b, tagNull), !c.Required
		case int64:
			b, fits = binary.AppendVarint(append(b, tagInt), v), c.Kind == store.Int || c.Kind == store.Moment
		case bool:
			tag := byte(tagFalse)
			if v {
				tag = tagTrue
			}
			b, fits = append(b, tag), c.Kind == store.Bool
		case string:
			b, fits = append(binary.AppendUvarint(append(b, tagText), uint64(len(v))), v...), c.Kind == store.Text
		case []byte:
			b, fits = append(binary.AppendUvarint(append(b, tagBytes), uint64(len(v))), v...), c.Kind == store.Bytes
		case [16]byte:
			b, fits = append(append(b, tagUUID), v[:]...), c.Kind == store.UUID
		case []int64:
			b, fits = binary.AppendUvarint(append(b, tagInts), uint64(len(v))), c.Kind == store.Ints
			for _, n := range v {
				b = binary.AppendVarint(b, n)
			}
		}
		if !fits {
			return b, fmt.Errorf("%s.%s of kind %s cannot hold a value of %T", t.Name, c.Name, c.Kind, v)
		}
	}
	return b, nil
}
