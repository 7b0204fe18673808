package httpapi

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"slices"
	"time"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/pricing"
)

// cursor continues a list of prices or jobs. Lists of events and rankings have cursors
// of their own, which the reports make.
type cursor struct {
	// Shape fingerprints the question: a cursor serves no other one.
	Shape uint64    `json:"s"`
	At    time.Time `json:"t"`
	// Last is the id of the last row of the page before.
	Last string `json:"l"`
	// Below is the number of the last row of a numbered list.
	Below int64 `json:"b,omitempty"`
}

const cursorVersion = 1

// String gives the opaque text: a version, a checksum and the content.
func (c cursor) String() string {
	body, err := json.Marshal(c)
	if err != nil {
		panic(err) // strings and numbers always marshal
	}
	sum := sha256.Sum256(body)
	return base64.RawURLEncoding.EncodeToString(slices.Concat([]byte{cursorVersion}, sum[:6], body))
}

const (
	notACursor  = "is not a cursor of this list"
	otherCursor = "belongs to a list with other parameters"
)

// cursor is the parameter's text, "" when it was not given. An empty one is
// refused: whoever turns pages and loses the cursor would begin again without end.
func (q *query) cursor() string {
	s := q.text("cursor")
	if q.has("cursor") && !cursorForm.MatchString(s) {
		q.bad("cursor", notACursor)
		return ""
	}
	return s
}

// continues takes the range that a list goes on with, unless the request names
// another one.
func (q *query) continues(w *window, from, to time.Time) error {
	given := func(name, synonym string) bool { return q.has(name) || q.has(synonym) }
	switch {
	case !q.has("cursor"):
	case !from.Before(to) || !inYears(from.UTC()) || to.UTC().Year() > maxYear+1:
		q.bad("cursor", notACursor)
	case given("from", "startDate") && !from.Equal(w.from), given("to", "endDate") && !to.Equal(w.to):
		q.bad("cursor", otherCursor)
	}
	w.from, w.to = from, to
	return q.err()
}

// readCursor reads the parameter; a missing one is the start of the list.
func readCursor(q *query, shape uint64) cursor {
	var c cursor
	text := q.cursor()
	if text == "" {
		return c
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) < 8 || b[0] != cursorVersion {
		q.bad("cursor", notACursor)
		return c
	}
	sum := sha256.Sum256(b[7:])
	if !slices.Equal(sum[:6], b[1:7]) || json.Unmarshal(b[7:], &c) != nil {
		q.bad("cursor", notACursor)
		return c
	}
	if c.Shape != shape {
		q.bad("cursor", otherCursor)
	}
	return c
}

var errStartAgain = fault.New(fault.Gone, "The list changed since the first page; start again without the cursor")

// resume gives the prices behind the last one seen.
func (c cursor) resume(versions []pricing.Version) ([]pricing.Version, error) {
	if c.Last == "" {
		return versions, nil
	}
	at := slices.IndexFunc(versions, func(v pricing.Version) bool { return v.ID == c.Last })
	if at < 0 {
		return nil, errStartAgain
	}
	return versions[at+1:], nil
}

// shapeOf fingerprints what a list was asked for.
func shapeOf(parts ...string) uint64 {
	h := sha256.New()
	for _, p := range parts {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(p)))
		h.Write(n[:])
		h.Write([]byte(p))
	}
	return binary.BigEndian.Uint64(h.Sum(nil))
}
