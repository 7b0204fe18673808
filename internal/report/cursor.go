package report

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"maps"
	"slices"
	"time"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/usage"
)

// A cursor is base64url text of: a version, a kind, the fingerprint of the
// question, the window, the place, and a checksum over all of it. The checksum
// tells a broken cursor, it is no secret: whatever a made-up cursor asks, the
// question it comes with decides what may be seen.
const (
	cursorVersion = 1

	kindBreakdown = 'b'
	kindPrompts   = 'p'
	kindGrowth    = 'g'
	kindHistory   = 'h'
	kindCompare   = 'c'
	kindEvents    = 'e'
	kindTraces    = 't'
	kindExport    = 'x'

	fingerprintSize = 8
	checksumSize    = 6

	// RankingLife is how long the ranking of a first page can be continued.
	RankingLife = 10 * time.Minute

	// maxOffset is more rows than anyone turns pages through.
	maxOffset = 1 << 40
)

func errCursor() error { return fault.Field("cursor", "is not a cursor of this list") }

func errStartAgain(why string) error {
	return fault.New(fault.Gone, "%s; start again without the cursor", why)
}

// question is what a cursor is bound to: everything of a request that decides
// which rows there are and how they are ranked, but the window, which the cursor
// carries itself so that a default one does not slide, and the size of a page.
type question struct {
	kind    byte
	filter  analytics.Filter
	groupBy []analytics.Dimension
	numbers []int64
}

func (q question) fingerprint() []byte {
	b := []byte{q.kind}
	text := func(s string) {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	b = binary.AppendUvarint(b, uint64(len(q.groupBy)))
	for _, d := range q.groupBy {
		text(string(d))
	}
	b = binary.AppendUvarint(b, uint64(len(q.numbers)))
	for _, n := range q.numbers {
		b = binary.AppendVarint(b, n)
	}
	b = append(b, byte(q.filter.Status))
	if q.filter.Aggregates {
		b = append(b, 1)
	} else {
		b = append(b, 0)
	}
	sources := slices.Compact(slices.Sorted(slices.Values(q.filter.Sources)))
	b = binary.AppendUvarint(b, uint64(len(sources)))
	for _, s := range sources {
		b = append(b, byte(s))
	}
	lists := func(byDimension map[analytics.Dimension][]string) {
		b = binary.AppendUvarint(b, uint64(len(byDimension)))
		for _, d := range slices.Sorted(maps.Keys(byDimension)) {
			text(string(d))
			values := slices.Compact(slices.Sorted(slices.Values(byDimension[d])))
			b = binary.AppendUvarint(b, uint64(len(values)))
			for _, v := range values {
				text(v)
			}
		}
	}
	lists(q.filter.Any)
	lists(q.filter.Called)
	sum := sha256.Sum256(b)
	return sum[:fingerprintSize]
}

// position is where a cursor continues. A list uses the part that it needs.
type position struct {
	from, to time.Time

	// Of a ranking.
	issued         time.Time // of the first page
	asOf, revision int64
	offset         int64

	// Of events.
	after store.EventKey
}

func (q question) encode(p position) string {
	b := append([]byte{cursorVersion, q.kind}, q.fingerprint()...)
	b = appendTime(b, p.from)
	b = appendTime(b, p.to)
	switch q.kind {
	case kindExport:
		b = binary.AppendVarint(b, p.asOf)
		fallthrough
	case kindEvents:
		b = appendTime(b, p.after.Timestamp)
		b = append(b, p.after.ID[:]...)
	default:
		b = appendTime(b, p.issued)
		b = binary.AppendVarint(b, p.asOf)
		b = binary.AppendVarint(b, p.revision)
		b = binary.AppendVarint(b, p.offset)
	}
	sum := sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(append(b, sum[:checksumSize]...))
}

// decode reads a cursor. What is not one is fault.Invalid, one of another
// question too.
func (q question) decode(s string) (position, error) {
	var p position
	if len(s) > 512 {
		return p, errCursor()
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) < 2+fingerprintSize+checksumSize {
		return p, errCursor()
	}
	b, check := b[:len(b)-checksumSize], b[len(b)-checksumSize:]
	if sum := sha256.Sum256(b); !slices.Equal(sum[:checksumSize], check) || b[0] != cursorVersion || b[1] != q.kind {
		return p, errCursor()
	}
	if !slices.Equal(b[2:2+fingerprintSize], q.fingerprint()) {
		return p, fault.Field("cursor", "belongs to a list with other parameters")
	}
	r := reader{b[2+fingerprintSize:], false}
	p.from, p.to = r.time(), r.time()
	switch q.kind {
	case kindExport:
		p.asOf = r.varint()
		r.bad = r.bad || p.asOf == 0
		fallthrough
	case kindEvents:
		p.after.Timestamp = r.time()
		copy(p.after.ID[:], r.take(len(usage.ID{})))
	default:
		p.issued, p.asOf, p.revision, p.offset = r.time(), r.varint(), r.varint(), r.varint()
	}
	if r.bad || len(r.b) > 0 || p.asOf < 0 || p.offset < 0 || p.offset > maxOffset {
		return p, errCursor()
	}
	return p, nil
}

// rank gives the place of a ranked page: the first one, or the cursor's.
func (q question) rank(cursor string, now time.Time) (position, error) {
	if cursor == "" {
		return position{from: q.filter.From, to: q.filter.To, issued: now, asOf: q.filter.AsOf}, nil
	}
	p, err := q.decode(cursor)
	if err != nil {
		return p, err
	}
	if now.Sub(p.issued) > RankingLife {
		return p, errStartAgain("This ranking is older than 10 minutes")
	}
	return p, nil
}

// next gives the cursor behind a ranked page, "" after the last one, or
// fault.Gone when the page does not belong to the ranking any more.
func (q question) next(p position, cursor string, page rankedPage) (string, error) {
	if cursor != "" && page.revision != p.revision {
		return "", errStartAgain("Stored costs were corrected since the first page")
	}
	if !page.more {
		return "", nil
	}
	p.asOf, p.revision = page.asOf, page.revision
	p.offset += int64(page.rows)
	return q.encode(p), nil
}

type rankedPage struct {
	rows           int
	more           bool
	asOf, revision int64
}

// A time is a flag and nanoseconds beside seconds, so that any time comes back
// as it was; the flag tells a zero time.
func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(b, 0)
	}
	b = binary.AppendVarint(append(b, 1), t.Unix())
	return binary.AppendUvarint(b, uint64(t.Nanosecond()))
}

type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if len(r.b) < n {
		r.bad, r.b = true, nil
		return make([]byte, n)
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) time() time.Time {
	if r.take(1)[0] == 0 {
		return time.Time{}
	}
	seconds := r.varint()
	nanos, n := binary.Uvarint(r.b)
	if n <= 0 || nanos >= 1e9 || seconds < -1<<40 || seconds > 1<<40 {
		r.bad, r.b = true, nil
		return time.Time{}
	}
	r.b = r.b[n:]
	return time.Unix(seconds, int64(nanos)).UTC()
}
