package httpapi

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/costprof/costprof/internal/fault"
)

// maxBody is the most bytes of an event batch, compressed and decompressed;
// maxSmallBody of any other request.
const (
	maxBody      = 5 << 20
	maxSmallBody = 1 << 20
)

// mediaType checks that the body is of one of the given types, in UTF-8.
func mediaType(r *http.Request, allowed ...string) (string, error) {
	wrong := fault.New(fault.Unsupported, "Content-Type must be %s", strings.Join(allowed, " or "))
	values := r.Header.Values("Content-Type")
	if len(values) != 1 {
		return "", wrong
	}
	kind, params, err := mime.ParseMediaType(values[0])
	if err != nil {
		return "", wrong
	}
	if charset, ok := params["charset"]; ok && !strings.EqualFold(charset, "utf-8") && !strings.EqualFold(charset, "utf8") {
		return "", fault.New(fault.Unsupported, "The body must be in UTF-8")
	}
	for _, a := range allowed {
		if kind == a {
			return kind, nil
		}
	}
	return "", wrong
}

// bodies reads whole request bodies within a budget of memory.
type bodies struct {
	budget *budget
	small  sync.Pool // of *body
	gzip   sync.Pool // of *gzip.Reader
	zstd   sync.Pool // of *zstd.Decoder
}

// body is a request's decompressed body. Its bytes are another request's once it
// is released.
type body struct {
	bytes []byte
	held  int64
	from  *bodies
}

const (
	// firstBuffer holds 100 events of the usual size.
	firstBuffer = 64 << 10
	// keepBuffer is the largest buffer kept for the next request.
	keepBuffer = 512 << 10
)

func (b *body) release() {
	b.from.budget.give(b.held)
	b.held = 0
	if cap(b.bytes) <= keepBuffer {
		b.bytes = b.bytes[:0]
		b.from.small.Put(b)
	}
}

// read reads and decompresses the body, at most limit bytes on either side. An
// error leaves nothing to release.
func (bs *bodies) read(ctx context.Context, w http.ResponseWriter, r *http.Request, limit int64) (*body, error) {
	if r.ContentLength > limit {
		return nil, errTooLarge(limit)
	}
	raw := &remembering{Reader: http.MaxBytesReader(w, r.Body, limit)}
	in, done, err := bs.decoder(r.Header, raw)
	if err != nil {
		return nil, err
	}
	defer done()
	b, _ := bs.small.Get().(*body)
	if b == nil {
		b = &body{from: bs, bytes: make([]byte, 0, firstBuffer)}
	}
	if err := bs.budget.take(ctx, int64(cap(b.bytes))); err != nil {
		return nil, err
	}
	b.held = int64(cap(b.bytes))
	for {
		if len(b.bytes) == cap(b.bytes) {
			if err := b.grow(ctx, limit); err != nil {
				b.release()
				return nil, err
			}
		}
		n, err := in.Read(b.bytes[len(b.bytes):cap(b.bytes)])
		b.bytes = b.bytes[:len(b.bytes)+n]
		switch {
		case int64(len(b.bytes)) > limit:
			b.release()
			return nil, errTooLarge(limit)
		case err == io.EOF:
			return b, nil
		case err != nil:
			b.release()
			return nil, bodyError(raw.err, err)
		}
	}
}

func (b *body) grow(ctx context.Context, limit int64) error {
	size := min(2*int64(cap(b.bytes)), limit+512) // room to see that it is too large
	if size <= int64(cap(b.bytes)) {
		return errTooLarge(limit)
	}
	if err := b.from.budget.take(ctx, size-b.held); err != nil {
		return err
	}
	b.held = size
	b.bytes = append(make([]byte, 0, size), b.bytes...)
	return nil
}

// remembering keeps the error of the connection apart from what a decompressor
// makes of it.
type remembering struct {
	io.Reader
	err error
}

func (r *remembering) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}

func bodyError(connection, decoding error) error {
	var tooLarge *http.MaxBytesError
	switch {
	case connection == nil && errors.Is(decoding, zstd.ErrDecoderSizeExceeded), errors.Is(decoding, zstd.ErrWindowSizeExceeded):
		return fault.New(fault.TooLarge, "The zstd body needs a window of more than 8 MiB")
	case connection == nil:
		return fault.New(fault.Invalid, "The compressed body is truncated or corrupt")
	case errors.As(connection, &tooLarge):
		return errTooLarge(tooLarge.Limit)
	case errors.Is(connection, os.ErrDeadlineExceeded):
		return &refusal{http.StatusRequestTimeout, fault.New(fault.Invalid, "The body did not arrive in time")}
	}
	return &fault.Error{Code: fault.Invalid, Message: "The body could not be read to its end", Err: connection}
}

// decoder wraps the body in what Content-Encoding names. done returns it for the
// next request.
func (bs *bodies) decoder(h http.Header, raw io.Reader) (in io.Reader, done func(), err error) {
	corrupt := func(err error) (io.Reader, func(), error) {
		return nil, nil, bodyError(raw.(*remembering).err, err)
	}
	switch encoding := strings.ToLower(strings.Join(h.Values("Content-Encoding"), ",")); encoding {
	case "", "identity":
		return raw, func() {}, nil
	case "gzip", "x-gzip":
		z, _ := bs.gzip.Get().(*gzip.Reader)
		if z == nil {
			z = new(gzip.Reader)
		}
		if err := z.Reset(raw); err != nil {
			return corrupt(err)
		}
		return z, func() { bs.gzip.Put(z) }, nil
	case "zstd":
		z, _ := bs.zstd.Get().(*zstd.Decoder)
		if z == nil {
			// One goroutine less and a bound on what a frame may ask for.
			z, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
				zstd.WithDecoderMaxWindow(8<<20), zstd.WithDecoderMaxMemory(16<<20))
			if err != nil {
				return nil, nil, err
			}
		}
		if err := z.Reset(raw); err != nil {
			return corrupt(err)
		}
		return z, func() {
			_ = z.Reset(nil)
			bs.zstd.Put(z)
		}, nil
	default:
		return nil, nil, fault.New(fault.Unsupported, "Content-Encoding must be gzip, zstd or identity")
	}
}
