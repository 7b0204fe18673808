package httpapi

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

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
	kept   [len(keptSizes)]sync.Pool // of *body
	gzip   sync.Pool                 // of *gunzip
	zstd   sync.Pool                 // of *unzstd
}

// keptSizes are the sizes of buffers that are kept for later requests. A body
// starts with the smallest and moves on as bytes arrive: who sends slowly holds
// little, however many of them there are.
var keptSizes = [...]int64{4 << 10, 16 << 10, 64 << 10, 256 << 10}

// body is a request's decompressed body. Its bytes are another request's once it
// is released.
type body struct {
	bytes []byte
	from  *bodies
}

// buffer gives an empty body of a size, which the budget pays for.
func (bs *bodies) buffer(ctx context.Context, size int64) (*body, error) {
	if err := bs.budget.take(ctx, size); err != nil {
		return nil, err
	}
	if i := slices.Index(keptSizes[:], size); i >= 0 {
		if b, ok := bs.kept[i].Get().(*body); ok {
			return b, nil
		}
	}
	return &body{bytes: make([]byte, 0, size), from: bs}, nil
}

func (b *body) release() {
	size := int64(cap(b.bytes))
	if i := slices.Index(keptSizes[:], size); i >= 0 {
		b.bytes = b.bytes[:0]
		b.from.kept[i].Put(b)
	}
	b.from.budget.give(size)
}

// read reads the body, at most limit bytes as sent and decompressed. A
// compressed one is decompressed once it is there: a few kilobytes that never end
// would otherwise hold megabytes. An error leaves nothing to release.
func (bs *bodies) read(ctx context.Context, w http.ResponseWriter, r *http.Request, limit int64) (*body, error) {
	if r.ContentLength > limit {
		overrun(w, r, limit)
		return nil, errTooLarge(limit)
	}
	decompressor, err := bs.decompressor(r.Header)
	if err != nil {
		return nil, err
	}
	sent, err := bs.fill(ctx, http.MaxBytesReader(w, r.Body, limit), limit)
	if err != nil {
		if f := (*http.MaxBytesError)(nil); errors.As(err, &f) {
			overrun(w, r, limit)
		}
		return nil, receivingError(err)
	}
	if decompressor == nil {
		return sent, nil
	}
	defer sent.release()
	in, done, err := decompressor(sent.bytes)
	if err != nil {
		return nil, corruptError(err)
	}
	defer done()
	plain, err := bs.fill(ctx, in, limit)
	if err != nil {
		return nil, corruptError(err)
	}
	return plain, nil
}

// overrun lets a body that is a little too large come to its end, once the answer
// is out: many clients read no answer before they sent everything, and would see
// a broken connection where it says what is wrong; others read it at once. Who
// asks before sending is told so.
func overrun(w http.ResponseWriter, r *http.Request, limit int64) {
	x := exchangeOf(r.Context())
	if r.Header.Get("Expect") != "" || http.NewResponseController(w).EnableFullDuplex() != nil {
		return
	}
	x.finish = func() {
		rc := http.NewResponseController(w)
		if rc.Flush() == nil && rc.SetReadDeadline(time.Now().Add(overrunWait)) == nil {
			_, _ = io.CopyN(io.Discard, r.Body, 2*limit)
		}
	}
}

// overrunWait is how long the rest of a body that is too large may take.
const overrunWait = 5 * time.Second

func (bs *bodies) fill(ctx context.Context, in io.Reader, limit int64) (*body, error) {
	b, err := bs.buffer(ctx, keptSizes[0])
	if err != nil {
		return nil, err
	}
	for {
		if len(b.bytes) == cap(b.bytes) {
			size := min(4*int64(cap(b.bytes)), limit+512) // room to see that it is too large
			wider, err := bs.buffer(ctx, size)
			if err != nil {
				b.release()
				return nil, err
			}
			wider.bytes = append(wider.bytes, b.bytes...)
			b.release()
			b = wider
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
			return nil, err
		}
	}
}

// receivingError says what kept a body from arriving; faults stay what they are.
func receivingError(err error) error {
	var f *fault.Error
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &f):
		return err
	case errors.As(err, &tooLarge):
		return errTooLarge(tooLarge.Limit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &refusal{http.StatusRequestTimeout, fault.New(fault.Invalid, "The body did not arrive in time")}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	}
	return &fault.Error{Code: fault.Invalid, Message: "The body could not be read to its end", Err: err}
}

// corruptError says why a body cannot be decompressed; faults stay what they are.
func corruptError(err error) error {
	var f *fault.Error
	switch {
	case errors.As(err, &f), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return fault.New(fault.TooLarge, "The zstd body needs a window of more than 8 MiB")
	}
	return fault.New(fault.Invalid, "The compressed body is truncated or corrupt")
}
