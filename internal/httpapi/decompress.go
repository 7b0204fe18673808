package httpapi

import (
	"bytes"
	"io"
	"net/http"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/costprof/costprof/internal/fault"
)

// decompressor gives a reader of what the bytes decompress to; done keeps the
// reader for a later request.
type decompressor func(sent []byte) (in io.Reader, done func(), err error)

// decompressor is the one for Content-Encoding, nil where there is none.
func (bs *bodies) decompressor(h http.Header) (decompressor, error) {
	switch strings.ToLower(strings.Join(h.Values("Content-Encoding"), ",")) {
	case "", "identity":
		return nil, nil
	case "gzip", "x-gzip":
		return bs.gunzip, nil
	case "zstd":
		return bs.unzstd, nil
	}
	return nil, fault.New(fault.Unsupported, "Content-Encoding must be gzip, zstd or identity")
}

type gunzip struct {
	gzip.Reader
	sent bytes.Reader
}

func (bs *bodies) gunzip(sent []byte) (io.Reader, func(), error) {
	z, _ := bs.gzip.Get().(*gunzip)
	if z == nil {
		z = new(gunzip)
	}
	done := func() {
		z.sent.Reset(nil)
		bs.gzip.Put(z)
	}
	z.sent.Reset(sent)
	if err := z.Reset(&z.sent); err != nil {
		done()
		return nil, nil, err
	}
	return z, done, nil
}

type unzstd struct {
	*zstd.Decoder
	sent bytes.Reader
}

func (bs *bodies) unzstd(sent []byte) (io.Reader, func(), error) {
	z, _ := bs.zstd.Get().(*unzstd)
	if z == nil {
		// One goroutine less and a bound on what a frame may ask for.
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(8<<20), zstd.WithDecoderMaxMemory(16<<20))
		if err != nil {
			return nil, nil, err
		}
		z = &unzstd{Decoder: d}
	}
	done := func() {
		z.sent.Reset(nil)
		_ = z.Reset(nil)
		bs.zstd.Put(z)
	}
	z.sent.Reset(sent)
	if err := z.Reset(&z.sent); err != nil {
		done()
		return nil, nil, err
	}
	return z, done, nil
}
