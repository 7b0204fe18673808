package rating

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"

	"github.com/costprof/costprof/internal/fault"
)

// place is where a cursor continues a ranking.
type place struct {
	issued         time.Time // of the first page
	asOf, revision int64
	offset         int
}

const (
	cursorForm   = "costprof/unpriced/1"
	cursorLife   = 10 * time.Minute
	checksumSize = 8
)

var errCursor = fault.Field("cursor", "is not a cursor of this list")

// place reads the query's cursor; without one it is the start.
func (q *UnpricedQuery) place(now time.Time) (place, error) {
	if q.Cursor == "" {
		return place{issued: now}, nil
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(q.Cursor)
	if err != nil || len(b) < checksumSize {
		return place{}, errCursor
	}
	b, check := b[:len(b)-checksumSize], b[len(b)-checksumSize:]
	if !bytes.Equal(check, q.checksum(b)) {
		return place{}, errCursor
	}
	var numbers [4]int64
	for i := range numbers {
		v, n := binary.Varint(b)
		if n <= 0 {
			return place{}, errCursor
		}
		numbers[i], b = v, b[n:]
	}
	p := place{time.UnixMilli(numbers[0]), numbers[1], numbers[2], int(numbers[3])}
	if p.offset < 0 || p.asOf < 0 || len(b) > 0 {
		return place{}, errCursor
	}
	if now.Sub(p.issued) > cursorLife {
		return place{}, fault.New(fault.Gone, "This list is older than 10 minutes; start again without the cursor")
	}
	return p, nil
}

func (q *UnpricedQuery) cursor(p place) string {
	var b []byte
	for _, n := range [...]int64{p.issued.UnixMilli(), p.asOf, p.revision, int64(p.offset)} {
		b = binary.AppendVarint(b, n)
	}
	return base64.RawURLEncoding.EncodeToString(append(b, q.checksum(b)...))
}

// checksum ties a cursor to its question. It is no secret: what a cursor may
// show is decided by the question it comes with.
func (q *UnpricedQuery) checksum(b []byte) []byte {
	h := sha256.New()
	text := func(s string) {
		h.Write(binary.AppendUvarint(nil, uint64(len(s))))
		h.Write([]byte(s))
	}
	text(cursorForm)
	for _, t := range [...]time.Time{q.From, q.To} {
		text(t.UTC().Format(time.RFC3339Nano))
	}
	for _, p := range q.Projects {
		text(p)
	}
	text(string(b))
	return h.Sum(nil)[:checksumSize]
}
