package cli

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/zstd"
)

// source is a file to import, unpacked while it is read.
type source struct {
	io.Reader
	close []func() error
	// size is the file's length as it lies on disk, 0 when it is not known.
	size int64
	// changed is when the file was last written, zero when that is not known.
	changed time.Time
	taken   atomic.Int64
}

// read is how much of size has been read.
func (s *source) read() int64 { return s.taken.Load() }

func (s *source) Close() error {
	var first error
	for _, f := range s.close {
		if err := f(); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// openSource opens a file, or in for "-". How it is packed its first bytes tell.
func openSource(ctx context.Context, path string, in io.Reader) (*source, error) {
	s := &source{}
	raw := in
	waits := true
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		s.close = append(s.close, f.Close)
		raw = f
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			s.size, s.changed, waits = info.Size(), info.ModTime(), false
		}
	}
	if waits {
		raw = newAbandoned(ctx, raw)
	}
	buffered := bufio.NewReaderSize(&counter{ctx: ctx, r: raw, n: &s.taken}, 256<<10)
	s.Reader = buffered
	magic, err := buffered.Peek(4)
	if err != nil && len(magic) == 0 && err != io.EOF {
		_ = s.Close()
		return nil, err
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(buffered)
		if err != nil {
			_ = s.Close()
			return nil, err
		}
		s.Reader = whole{z}
	case bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(buffered, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(128<<20))
		if err != nil {
			_ = s.Close()
			return nil, err
		}
		s.Reader = whole{z}
		s.close = append(s.close, func() error { z.Close(); return nil })
	}
	return s, nil
}

// whole gives a packed file that ends too early an error of its own, so that it
// cannot be taken for one that ends there.
type whole struct{ io.Reader }

var errCut = errors.New("the file is cut short; the rows before that are imported")

func (w whole) Read(p []byte) (int, error) {
	n, err := w.Reader.Read(p)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = errCut
	}
	return n, err
}

// counter counts what is read and stops when the command is.
type counter struct {
	ctx context.Context
	r   io.Reader
	n   *atomic.Int64
}

func (c *counter) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// abandoned reads from a terminal or pipe, where a Read may wait for ever, and
// gives up when ctx ends. The Read itself cannot be interrupted; its goroutine
// ends with it or with the process.
type abandoned struct {
	ctx    context.Context
	chunks chan chunk
	rest   []byte
	err    error
}

type chunk struct {
	b   []byte
	err error
}

func newAbandoned(ctx context.Context, r io.Reader) *abandoned {
	a := &abandoned{ctx: ctx, chunks: make(chan chunk)}
	go func() {
		for {
			b := make([]byte, 64<<10)
			n, err := r.Read(b)
			select {
			case a.chunks <- chunk{b[:n], err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return a
}

func (a *abandoned) Read(p []byte) (int, error) {
	for len(a.rest) == 0 {
		if a.err != nil {
			return 0, a.err
		}
		select {
		case c := <-a.chunks:
			a.rest, a.err = c.b, c.err
		case <-a.ctx.Done():
			return 0, a.ctx.Err()
		}
	}
	n := copy(p, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}
