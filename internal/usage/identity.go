package usage

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"maps"
	"slices"
	"time"
)

// ID is an event's identity: the first 16 bytes of a SHA-256.
type ID [16]byte

// String is 32 lower-case hexadecimal digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// MarshalText gives the form of String.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// ErrID reports text that is not an identity.
var ErrID = errors.New("must be 32 hexadecimal digits")

// ParseID reads the form of String, in either case.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) != 2*len(id) {
		return ID{}, ErrID
	}
	if _, err := hex.Decode(id[:], []byte(s)); err != nil {
		return ID{}, ErrID
	}
	return id, nil
}

// The versions of the canonical forms. A form never changes; another one gets
// another name, so that identities already stored keep their meaning.
const (
	derivedForm  = "costprof/event/1"
	explicitForm = "costprof/eventid/1"
	contentForm  = "costprof/content/1"
)

// Identity is the event's id. With an EventID it is a function of project and
// EventID alone. Without one it is a function of project, trace, span, timestamp
// in microseconds, provider and model as sent, feature, operation, latency in
// microseconds and every non-zero count sorted by name.
//
// The canonical form is a sequence of fields, each a string preceded by its
// length in bytes as a varint, or an integer as a zig-zag varint; the first
// field names the form. docs/adr describes it, testdata holds golden vectors.
func (e *Event) Identity() ID {
	return sum(e.canonical(make([]byte, 0, 256)))
}

func (e *Event) canonical(buf []byte) []byte {
	if e.EventID != "" {
		buf = appendString(buf, explicitForm)
		buf = appendString(buf, e.Project)
		return appendString(buf, e.EventID)
	}
	return e.appendIdentity(appendString(buf, derivedForm))
}

func (e *Event) appendIdentity(buf []byte) []byte {
	buf = appendString(buf, e.Project)
	buf = appendString(buf, e.TraceID)
	buf = appendString(buf, e.SpanID)
	buf = binary.AppendVarint(buf, e.Timestamp.UnixMicro())
	buf = appendString(buf, e.Provider)
	buf = appendString(buf, e.Model)
	buf = appendString(buf, e.Feature)
	buf = appendString(buf, e.Operation)
	buf = binary.AppendVarint(buf, e.Latency.Microseconds())
	for _, u := range unitsByCount {
		if n := e.Counts[u]; n != 0 {
			buf = appendString(buf, Units[u].Count)
			buf = binary.AppendVarint(buf, n)
		}
	}
	return buf
}

// Fingerprints are those of an event's content: as a call, and as an aggregate.
type Fingerprints struct{ Call, Aggregate uint64 }

// Seal keeps the fingerprints of the content as it is now, so that what is taken
// out of the event afterwards does not make another one of it. Only an event with
// an EventID needs that.
func (e *Event) Seal() {
	if e.EventID == "" || e.Sent != nil {
		return
	}
	call, aggregate := *e, *e
	call.Aggregate, aggregate.Aggregate = false, true
	e.Sent = &Fingerprints{Call: call.Content(), Aggregate: aggregate.Content()}
}

// Content is a fingerprint of everything that was sent, so that a second event
// with the same EventID can be told to be the same or another one. A timestamp
// that the server filled in is left out: it differs on every retry.
func (e *Event) Content() uint64 {
	switch {
	case e.Sent == nil:
	case e.Aggregate:
		return e.Sent.Aggregate
	default:
		return e.Sent.Call
	}
	buf := make([]byte, 0, 512)
	buf = appendString(buf, contentForm)
	c := *e
	if c.TimestampDefaulted {
		c.Timestamp = time.Time{}
	}
	// The counts are a list in the middle here: without its length, other fields
	// could be read as counts.
	buf = binary.AppendUvarint(buf, uint64(e.nonZero()))
	buf = c.appendIdentity(buf)
	for _, s := range [...]string{
		e.ParentSpanID, e.Name, e.ServiceTier, e.Region, e.UserID, e.SessionID, e.Department,
		e.Environment, e.ErrorCode, e.Prompt, string(e.Metadata),
	} {
		buf = appendString(buf, s)
	}
	buf = binary.AppendVarint(buf, int64(e.TimeToFirstToken))
	buf = binary.AppendVarint(buf, e.RetryCount)
	for _, p := range [...]*int64{(*int64)(e.Billed), (*int64)(e.Estimated)} {
		if p == nil {
			buf = append(buf, 0)
		} else {
			buf = binary.AppendVarint(append(buf, 1), *p)
		}
	}
	for _, b := range [...]bool{e.Streaming, e.Error, e.Aggregate} {
		if b {
			buf = append(buf, 1)
		} else {
			buf = append(buf, 0)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(e.Tags)) {
		buf = appendString(buf, name)
		buf = appendString(buf, e.Tags[name])
	}
	id := sum(buf)
	return binary.BigEndian.Uint64(id[:])
}

// SameContent says whether a fingerprint is that of the event, whether or not it
// was sent as an aggregate then: the mark may come later.
func (e *Event) SameContent(fingerprint uint64) bool {
	if e.Content() == fingerprint {
		return true
	}
	other := *e
	other.Aggregate = !e.Aggregate
	return other.Content() == fingerprint
}

func (e *Event) nonZero() (n int) {
	for _, count := range e.Counts {
		if count != 0 {
			n++
		}
	}
	return n
}

// unitsByCount lists the units in the byte order of their counts' names.
var unitsByCount = func() []Unit {
	us := make([]Unit, NumUnits)
	for u := range NumUnits {
		us[u] = u
	}
	slices.SortFunc(us, func(a, b Unit) int {
		if Units[a].Count < Units[b].Count {
			return -1
		}
		return 1
	})
	return us
}()

func sum(b []byte) ID {
	h := sha256.Sum256(b)
	return ID(h[:16])
}

func appendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}
