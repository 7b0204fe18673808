// Package calllog reads logs of model calls that others wrote, one folder a wire
// format below it, and turns them into wire events. It owns what the formats
// share: records of a source, members of a record, what providers' usage objects
// mean, calls that are told in pieces, and the identity of a call. It runs in the
// client; the server judges the events.
//
// A call is known again by the id that its provider or logger gave it. One without
// an id takes its identity from what its record says and how many identical
// records stood before it in the source, as rows of csvevents do.
package calllog

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"
)

// Format reads the records of one source in one wire format.
type Format interface {
	// Read looks at one record and tells the sink what it is. One that it tells
	// nothing about is unknown to the format.
	Read(record Object, to *Sink)
}

// Ender is a Format that wants to know where a stream of server-sent events
// ends.
type Ender interface {
	Done(to *Sink)
}

// Kind is a wire format as a user names it.
type Kind struct {
	// Name is what --format takes.
	Name string
	// Feature is what calls are for when neither log nor user says.
	Feature string
	// Recognise says whether a record is of this format. It must not take those
	// of another.
	Recognise func(Object) bool
	// New makes a Format for one source.
	New func() Format
	// Survey, where a format has it, wants to see every record of all sources
	// before the first is read.
	Survey func(Object)
}

// Survey shows the records of a source to a format that wants it. Broken ones are
// left out: reading reports them.
func Survey(source io.Reader, o Options) error {
	records := open(source, o.Head)
	for {
		rec, err := records.next()
		switch {
		case err == io.EOF: //nolint:errorlint // a wrapped one is a failure of the source
			return nil
		case err != nil:
			return err
		case rec.raw == nil:
			continue
		}
		if in, err := parse(rec.raw, &reading{location: o.Location}); err == nil {
			o.Kind.Survey(in)
		}
	}
}

// Recognise finds the first of kinds that a record near the beginning of a source
// is of. head must be as the source begins.
func Recognise(head []byte, kinds []Kind) (Kind, bool) {
	if i := bytes.LastIndexByte(head, '\n'); i >= 0 && layout(head) != "values" {
		head = head[:i+1] // a line that breaks off tells nothing
	}
	records := open(bytes.NewReader(head), head)
	for range 200 {
		rec, err := records.next()
		if err != nil {
			break
		}
		if rec.raw == nil {
			continue
		}
		o, err := parse(rec.raw, &reading{})
		if err != nil {
			continue
		}
		for _, k := range kinds {
			if k.Recognise(o) {
				return k, true
			}
		}
	}
	return Kind{}, false
}

// Options say how a source is read.
type Options struct {
	Kind Kind
	// Set is a wire event whose members every event takes over its own, but for a
	// timestamp, which only fills a gap.
	Set json.RawMessage
	// Changed is when the source was last written: the time of calls whose log
	// tells none.
	Changed time.Time
	// Location is the zone of times that name none; nil is UTC.
	Location *time.Location
	// Growing says that the source may still be written: a call at its end that
	// is told in part is left for the next import.
	Growing bool
	// Head are the first bytes of the source, which show how it is laid out.
	Head []byte
}

// Event is one call as a wire event.
type Event struct {
	Line int
	// ID is its eventId.
	ID   string
	JSON json.RawMessage
	// Aggregate events only sum up others.
	Aggregate bool
	// Input and Output are its totals of tokens, Day its UTC day.
	Input, Output int64
	Day           string
}

// RecordError is a record that holds no event though it should.
type RecordError struct {
	Line    int
	Problem string
}

func (e *RecordError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Problem) }

// Tally counts what became of the records. Each is in exactly one of Calls,
// Parts, NoUsage, Malformed, Unknown and Unfinished.
type Tally struct {
	Records int
	// Calls are records that became an event, Parts those that told more of a
	// call.
	Calls, Parts int
	// NoUsage are records of the format that speak of no usage.
	NoUsage int
	// Malformed records are broken or impossible, Unknown ones belong to no
	// format.
	Malformed, Unknown int
	// Unfinished calls are left for the next import.
	Unfinished int
	// Undated calls took the time of the source.
	Undated int
	// FirstUnknown is the line of the first unknown record.
	FirstUnknown int
	// Silent are streams whose log ends without their usage; they count as NoUsage.
	Silent int
}

// Add adds another source's tally.
func (t *Tally) Add(o Tally) {
	t.Records += o.Records
	t.Calls += o.Calls
	t.Parts += o.Parts
	t.NoUsage += o.NoUsage
	t.Malformed += o.Malformed
	t.Unknown += o.Unknown
	t.Unfinished += o.Unfinished
	t.Undated += o.Undated
	t.Silent += o.Silent
}

// Reader reads one source.
type Reader struct {
	options  Options
	records  records
	format   Format
	sink     Sink
	ordinals map[[16]byte]uint32
	// torn is the last record, when it broke off.
	torn *RecordError
}

// Open reads a source. Head may be empty only for an empty source.
func Open(source io.Reader, o Options) *Reader {
	r := &Reader{options: o, records: open(source, o.Head), format: o.Kind.New(), ordinals: make(map[[16]byte]uint32)}
	r.sink.open = make(map[string]*pending)
	return r
}

// Tally is what became of the records so far.
func (r *Reader) Tally() Tally { return r.sink.tally }

// Events yields the calls, once. A *RecordError is about one record; after any
// other error the sequence ends.
func (r *Reader) Events() iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		for {
			err := r.read()
			last := err == io.EOF //nolint:errorlint // a wrapped one is a failure of the source
			if last {
				r.sink.finish(r.options.Growing)
				if r.torn != nil {
					r.sink.tally.Unfinished++ // the rest of the line is being written
				}
			}
			for _, p := range r.sink.ready {
				e, problem := r.event(p)
				if problem != "" {
					r.sink.tally.Calls--
					r.sink.tally.Malformed++
					if !yield(Event{}, &RecordError{p.line, problem}) {
						return
					}
					continue
				}
				if !yield(e, nil) {
					return
				}
			}
			r.sink.ready = r.sink.ready[:0]
			for _, bad := range r.sink.bad {
				if !yield(Event{}, &bad) {
					return
				}
			}
			r.sink.bad = r.sink.bad[:0]
			switch {
			case last:
				return
			case err != nil:
				yield(Event{}, err)
				return
			}
		}
	}
}

// read takes one record.
func (r *Reader) read() error {
	rec, err := r.records.next()
	if err != nil {
		return err
	}
	s := &r.sink
	if r.torn != nil {
		s.bad = append(s.bad, *r.torn)
		s.tally.Malformed++
		r.torn = nil
	}
	s.begin(rec)
	switch {
	case rec.problem != "":
		s.Malformed(rec.problem)
	case rec.event:
		s.NoUsage()
	case rec.done:
		if e, ok := r.format.(Ender); ok {
			e.Done(s)
		}
		s.NoUsage()
	default:
		about := &reading{location: r.options.Location}
		o, err := parse(rec.raw, about)
		if err != nil && r.options.Growing && errors.Is(err, io.ErrUnexpectedEOF) {
			r.torn = &RecordError{rec.line, syntax(err)}
			return nil
		}
		if err != nil {
			s.Malformed(syntax(err))
			break
		}
		s.reading = about
		r.format.Read(o, s)
		if len(about.bad) > 0 && s.said == nothingSaid {
			s.Malformed(strings.Join(about.bad, "; "))
		}
	}
	s.end()
	return nil
}

// event makes a call's wire event.
func (r *Reader) event(p *pending) (Event, string) {
	c := &p.call
	w := c.event()
	if w.Feature == "" {
		w.Feature = r.options.Kind.Feature
	}
	dated := w.Timestamp != ""
	if len(r.options.Set) > 0 {
		stamp := w.Timestamp
		if err := json.Unmarshal(r.options.Set, &w); err != nil {
			return Event{}, err.Error()
		}
		if dated {
			w.Timestamp = stamp
		}
		dated = w.Timestamp != ""
	}
	if w.EventID == "" {
		w.EventID = r.identify(w, p, dated)
	}
	if !dated {
		w.Timestamp = r.options.Changed.UTC().Truncate(time.Microsecond).Format(time.RFC3339Nano)
		r.sink.tally.Undated++
	}
	if w.TraceID == "" {
		w.TraceID = key(w.EventID, 128)
	}
	if w.SpanID == "" {
		w.SpanID = key(w.EventID, 128)
	}
	if w.ParentSpanID == w.SpanID {
		w.ParentSpanID = ""
	}
	if !w.Aggregate {
		for _, need := range []struct{ field, value string }{{"provider", w.Provider}, {"model", w.Model}} {
			if need.value == "" {
				return Event{}, fmt.Sprintf("no %s is known for this call; give one with --set %s=…", need.field, need.field)
			}
		}
	}
	text, err := json.Marshal(&w)
	if err != nil {
		return Event{}, err.Error()
	}
	return Event{
		Line: p.line, ID: w.EventID, JSON: text, Aggregate: w.Aggregate, Input: w.InputTokens, Output: w.OutputTokens, Day: w.Timestamp[:min(len(w.Timestamp), len(time.DateOnly))],
	}, ""
}

// importForm names the rule by which calls without an id get one. A form never
// changes, or a log imported before would be stored again.
const importForm = "costprof/calllog/1"

// identify gives a call without an id one: by what it says and how many
// that said the same stood before. Where not even a time is in it, its whole
// record speaks, so that two short calls are not taken for one.
func (r *Reader) identify(w wire, p *pending, dated bool) string {
	text, _ := json.Marshal(&w) // it was marshalled from the same types before
	if !dated {
		text = append(text, p.digest[:]...)
	}
	sum := sha256.Sum256(append([]byte(importForm), text...))
	k := [16]byte(sum[:16])
	before := r.ordinals[k]
	r.ordinals[k] = before + 1
	id := sha256.Sum256(binary.AppendUvarint(k[:], uint64(before)))
	return "import-" + hex.EncodeToString(id[:16])
}
