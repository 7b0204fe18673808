// Package jsonevents decodes the JSON and NDJSON forms of the wire event. It
// reports every problem of every event by field and goes on; what a value means
// for a bill is none of its business.
package jsonevents

import (
	"bytes"
	"errors"
	"io"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/ingest"
)

// Format is how events are laid out in a body.
type Format int

// The formats.
const (
	// JSON is {"events":[…]}; other members of that object are ignored, but named.
	JSON Format = iota
	// NDJSON is one event a line; blank lines are skipped.
	NDJSON
)

// Decode reads the Events and Unknown of a batch. It reads at most
// ingest.MaxBatch events; more are an error. Problems of an event are in its
// Input; so is a line of NDJSON that is not JSON. A JSON body that is malformed
// yields one error that says where. The batch does not refer to body, whose bytes
// must be whole: size limits are the caller's.
func Decode(body []byte, f Format) (ingest.Batch, error) {
	body = bytes.TrimPrefix(body, []byte("\xef\xbb\xbf"))
	d := decoder{inputs: make([]ingest.Input, 0, min(ingest.MaxBatch, len(body)/250+1))}
	if f == NDJSON {
		if err := d.lines(body); err != nil {
			return ingest.Batch{}, err
		}
		return ingest.Batch{Events: d.inputs}, nil
	}
	if err := d.document(body); err != nil {
		var known *fault.Error
		if errors.As(err, &known) {
			return ingest.Batch{}, known
		}
		return ingest.Batch{}, malformed(body, err)
	}
	return ingest.Batch{Events: d.inputs, Unknown: d.unknown}, nil
}

type decoder struct {
	json    *jsontext.Decoder
	inputs  []ingest.Input
	unknown ingest.Unknown
	strings interned
	scratch []byte
}

func (d *decoder) document(body []byte) error {
	d.json = jsontext.NewDecoder(bytes.NewBuffer(body))
	switch d.json.PeekKind() {
	case '{':
	case jsontext.KindInvalid:
		if len(bytes.TrimLeft(body, " \t\r\n")) == 0 {
			return fault.New(fault.Invalid, `The body is empty; it must be {"events":[…]}`)
		}
	default:
		return fault.New(fault.Invalid, `The body must be a JSON object {"events":[…]}`)
	}
	if _, err := d.json.ReadToken(); err != nil {
		return err
	}
	for d.json.PeekKind() != '}' {
		name, err := d.json.ReadValue()
		if err != nil {
			return err
		}
		if name := d.unquoted(name); string(name) != "events" {
			if d.json.PeekKind() != 'n' {
				d.unknown.Add(name)
			}
			if err := d.json.SkipValue(); err != nil {
				return err
			}
			continue
		}
		if err := d.events(); err != nil {
			return err
		}
	}
	if _, err := d.json.ReadToken(); err != nil {
		return err
	}
	if _, err := d.json.ReadToken(); !errors.Is(err, io.EOF) {
		return fault.New(fault.Invalid, "The body goes on after its JSON object; send NDJSON as application/x-ndjson")
	}
	return nil
}

func (d *decoder) events() error {
	switch d.json.PeekKind() {
	case '[', jsontext.KindInvalid:
	default:
		if err := d.json.SkipValue(); err != nil {
			return err
		}
		return fault.Field("events", "must be an array")
	}
	if _, err := d.json.ReadToken(); err != nil {
		return err
	}
	for d.json.PeekKind() != ']' {
		if len(d.inputs) == ingest.MaxBatch {
			return ingest.BatchSizeError()
		}
		in := ingest.NewInput()
		if err := d.event(&in); err != nil {
			return err
		}
		d.inputs = append(d.inputs, in)
	}
	_, err := d.json.ReadToken()
	return err
}

func (d *decoder) lines(body []byte) error {
	d.json = jsontext.NewDecoder(bytes.NewBuffer(nil))
	for number := 1; len(body) > 0; number++ {
		var line []byte
		line, body, _ = bytes.Cut(body, []byte("\n"))
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		if len(d.inputs) == ingest.MaxBatch {
			return ingest.BatchSizeError()
		}
		d.json.Reset(bytes.NewBuffer(line))
		in := ingest.NewInput()
		err := d.event(&in)
		if err == nil {
			if _, err = d.json.ReadToken(); errors.Is(err, io.EOF) {
				err = nil
			} else {
				err = errTrailing
			}
		}
		if err != nil {
			in = ingest.NewInput()
			in.AddProblem("", brokenLine(number, err))
		}
		d.inputs = append(d.inputs, in)
	}
	return nil
}
