package calllog

import (
	"crypto/sha256"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// maxOpen is how many calls may be told in pieces at the same time. The oldest
// one is taken as it is when there are more.
const maxOpen = 2048

// tail is how many later calls may have begun for a call that is told in part to
// be still on its way at the end of a source.
const tail = 4

// pending is a call that may be told more of.
type pending struct {
	key  string
	call Call
	line int
	done bool
	// number counts the calls; last is the highest number when it was last told
	// of.
	number, last int
	digest       [32]byte
	// parts are the records that told of it.
	parts int
}

type said int

const (
	nothingSaid said = iota
	saidCall
	saidPart
	saidNoUsage
	saidMalformed
)

// Sink takes what a format finds in its records.
type Sink struct {
	tally   Tally
	reading *reading
	line    int
	raw     []byte
	said    said

	open   map[string]*pending
	order  []*pending
	number int

	ready []*pending
	bad   []RecordError
}

func (s *Sink) begin(rec record) {
	s.tally.Records++
	s.line, s.said, s.raw, s.reading = rec.line, nothingSaid, rec.raw, nil
}

func (s *Sink) end() {
	switch s.said {
	case saidCall:
	case saidPart:
		s.tally.Parts++
	case saidNoUsage:
		s.tally.NoUsage++
	case saidMalformed:
		s.tally.Malformed++
	case nothingSaid:
		s.tally.Unknown++
		if s.tally.FirstUnknown == 0 {
			s.tally.FirstUnknown = s.line
		}
	}
}

// Line is where the record begins.
func (s *Sink) Line() int { return s.line }

// NoUsage says that the record belongs to the format and speaks of no usage.
func (s *Sink) NoUsage() {
	if s.said == nothingSaid {
		s.said = saidNoUsage
	}
}

// Malformed says that the record is broken.
func (s *Sink) Malformed(problem string) {
	if s.said == saidMalformed {
		return
	}
	s.said = saidMalformed
	s.bad = append(s.bad, RecordError{Line: s.line, Problem: problem})
}

// wrong says whether a number of the record was impossible; it is malformed
// then, and nothing of it counts.
func (s *Sink) wrong() bool {
	if s.reading == nil || len(s.reading.bad) == 0 {
		return false
	}
	s.Malformed(strings.Join(s.reading.bad, "; "))
	return true
}

// Call takes a call that is whole.
func (s *Sink) Call(c Call) {
	if s.wrong() {
		return
	}
	s.number++
	p := &pending{call: c, line: s.line, done: true, number: s.number, digest: s.sum(), parts: 1}
	s.call()
	s.ready = append(s.ready, p)
}

// call counts a new call. A record that holds several counts once for each.
func (s *Sink) call() {
	s.tally.Calls++
	if s.said == saidCall {
		s.tally.Records++
	}
	s.said = saidCall
}

func (s *Sink) sum() [32]byte { return sha256.Sum256(s.raw) }

// Open is the call that was put under a key and may be told more of, or nil.
func (s *Sink) Open(key string) *Call {
	if p := s.open[key]; p != nil {
		return &p.call
	}
	return nil
}

// Finished says whether the open call under a key is whole already.
func (s *Sink) Finished(key string) bool {
	p := s.open[key]
	return p != nil && p.done
}

// Put takes a call, or what is known of it by now: it replaces what was put under
// the same key before, but for the time at which it began. done says that it is
// whole; more may come all the same.
func (s *Sink) Put(key string, c Call, done bool) {
	if s.wrong() {
		return
	}
	if p := s.open[key]; p != nil {
		if !p.call.Timestamp.IsZero() && (c.Timestamp.IsZero() || p.call.Timestamp.Before(c.Timestamp)) {
			c.Timestamp = p.call.Timestamp
		}
		p.call, p.done, p.last = c, p.done || done, s.number
		p.parts++
		if s.said == nothingSaid {
			s.said = saidPart
		}
		return
	}
	if len(s.open) >= maxOpen {
		s.evict()
	}
	s.number++
	p := &pending{key: key, call: c, line: s.line, done: done, number: s.number, last: s.number, digest: s.sum(), parts: 1}
	s.open[key] = p
	s.order = append(s.order, p)
	s.call()
}

// Part says that the record belongs to a call and tells nothing of its usage.
func (s *Sink) Part() {
	if s.said == nothingSaid {
		s.said = saidPart
	}
}

// Close ends a call: what comes under its key from now on is another one.
func (s *Sink) Close(key string) {
	p := s.open[key]
	if p == nil {
		return
	}
	delete(s.open, key)
	s.order = slices.DeleteFunc(s.order, func(o *pending) bool { return o == p })
	s.take(p)
}

// evict takes the half of the open calls that were begun first.
func (s *Sink) evict() {
	half := len(s.order) / 2
	for _, p := range s.order[:half] {
		delete(s.open, p.key)
		s.take(p)
	}
	s.order = slices.Delete(s.order, 0, half)
}

func (s *Sink) take(p *pending) {
	if p.call.NoUsage {
		s.tally.Calls--
		s.tally.NoUsage++
		s.tally.Silent++
		return
	}
	s.ready = append(s.ready, p)
}

// finish takes all open calls, but those that may still be on their way.
func (s *Sink) finish(growing bool) {
	for _, p := range s.order {
		if growing && !p.done && s.number-p.last < tail {
			s.tally.Calls--
			s.tally.Unfinished++
			continue
		}
		s.take(p)
	}
	s.order, s.open = nil, map[string]*pending{}
}

// syntax is why a record is not JSON.
func syntax(err error) string {
	var at *jsontext.SyntacticError
	switch {
	case errors.Is(err, errNoObject):
		return err.Error()
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return "is not a JSON object: it ends too early"
	case errors.As(err, &at) && at.Err != nil:
		return "is not a JSON object: " + cut(at.Err.Error(), 80)
	}
	return cut(err.Error(), 80)
}
