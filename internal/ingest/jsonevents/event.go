package jsonevents

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/costprof/costprof/internal/ingest"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/usage"
)

// event reads one event object into in. An error is a broken document; broken
// rules are noted in in.
func (d *decoder) event(in *ingest.Input) error {
	if !d.opens('{') {
		in.AddProblem("", "must be an object")
		return d.json.SkipValue()
	}
	if _, err := d.json.ReadToken(); err != nil {
		return err
	}
	var seen sent
	for d.json.PeekKind() != '}' {
		raw, err := d.json.ReadValue()
		if err != nil {
			return err
		}
		name := d.unquoted(raw)
		if string(name) == "tags" || string(name) == "usage" {
			if err := d.object(in, string(name)); err != nil {
				return err
			}
			continue
		}
		value, err := d.json.ReadValue()
		if err != nil {
			return err
		}
		if value[0] != 'n' {
			d.field(in, &seen, name, value)
		}
	}
	if _, err := d.json.ReadToken(); err != nil {
		return err
	}
	if !seen.input && !in.Event.Aggregate {
		in.AddProblem("inputTokens", "is required")
	}
	if !seen.output && !in.Event.Aggregate {
		in.AddProblem("outputTokens", "is required")
	}
	if !seen.latency {
		in.AddProblem("latencyMs", "is required")
	}
	return nil
}

// sent remembers which of the required numbers were there, right or wrong.
type sent struct{ input, output, latency bool }

// field reads one member that is neither tags, usage nor null.
//
// name may live in scratch: it is not used after value is read.
func (d *decoder) field(in *ingest.Input, seen *sent, name, value []byte) {
	e := &in.Event
	switch string(name) {
	case "traceId":
		e.TraceID = d.text(in, "traceId", value)
	case "spanId":
		e.SpanID = d.text(in, "spanId", value)
	case "parentSpanId":
		e.ParentSpanID = d.text(in, "parentSpanId", value)
	case "name":
		e.Name = d.text(in, "name", value)
	case "timestamp":
		d.timestamp(in, value)
	case "feature":
		e.Feature = d.text(in, "feature", value)
	case "provider":
		e.Provider = d.text(in, "provider", value)
	case "model":
		e.Model = d.text(in, "model", value)
	case "inputTokens":
		seen.input = true
		e.Counts[usage.Input] = d.whole(in, "inputTokens", value)
	case "outputTokens":
		seen.output = true
		e.Counts[usage.Output] = d.whole(in, "outputTokens", value)
	case "cachedTokens":
		e.Counts[usage.CacheRead] = d.whole(in, "cachedTokens", value)
	case "cacheWriteTokens":
		e.Counts[usage.CacheWrite] = d.whole(in, "cacheWriteTokens", value)
	case "cacheWrite1hTokens":
		e.Counts[usage.CacheWrite1h] = d.whole(in, "cacheWrite1hTokens", value)
	case "reasoningTokens":
		e.Counts[usage.Reasoning] = d.whole(in, "reasoningTokens", value)
	case "serviceTier":
		e.ServiceTier = d.text(in, "serviceTier", value)
	case "region":
		e.Region = d.text(in, "region", value)
	case "latencyMs":
		seen.latency = true
		e.Latency = d.milliseconds(in, "latencyMs", value)
	case "timeToFirstTokenMs":
		e.TimeToFirstToken = d.milliseconds(in, "timeToFirstTokenMs", value)
	case "billedCostUsd":
		e.Billed = d.dollars(in, "billedCostUsd", value)
	case "estimatedCostUsd":
		e.Estimated = d.dollars(in, "estimatedCostUsd", value)
	case "userId":
		e.UserID = d.text(in, "userId", value)
	case "sessionId":
		e.SessionID = d.text(in, "sessionId", value)
	case "department":
		e.Department = d.text(in, "department", value)
	case "environment":
		e.Environment = d.text(in, "environment", value)
	case "operation":
		e.Operation = d.text(in, "operation", value)
	case "isStreaming":
		e.Streaming = d.boolean(in, "isStreaming", value)
	case "isError":
		e.Error = d.boolean(in, "isError", value)
	case "aggregate":
		e.Aggregate = d.boolean(in, "aggregate", value)
	case "errorCode":
		e.ErrorCode = d.text(in, "errorCode", value)
	case "retryCount":
		e.RetryCount = d.whole(in, "retryCount", value)
	case "prompt":
		e.Prompt = d.text(in, "prompt", value)
	case "metadata":
		d.metadata(in, value)
	case "project":
		e.Project = d.text(in, "project", value)
	case "eventId":
		e.EventID = d.text(in, "eventId", value)
	default:
		in.Unknown.Add(name)
	}
}

// object reads tags or usage member by member.
func (d *decoder) object(in *ingest.Input, field string) error {
	if d.opens('n') {
		return d.json.SkipValue()
	}
	if !d.opens('{') {
		in.AddProblem(field, "must be an object")
		return d.json.SkipValue()
	}
	if _, err := d.json.ReadToken(); err != nil {
		return err
	}
	for d.json.PeekKind() != '}' {
		raw, err := d.json.ReadValue()
		if err != nil {
			return err
		}
		name := d.unquoted(raw)
		value, err := d.json.ReadValue()
		if err != nil {
			return err
		}
		switch {
		case value[0] == 'n':
		case field == "tags":
			d.tag(in, d.intern(name), value)
		default:
			d.count(in, name, value)
		}
	}
	_, err := d.json.ReadToken()
	return err
}

func (d *decoder) tag(in *ingest.Input, name string, value []byte) {
	if value[0] != '"' {
		in.AddProblem("tags."+usage.Shorten(name), "must be a string")
		return
	}
	// One more than allowed is enough for Validate to refuse the event.
	if len(in.Event.Tags) > usage.MaxTags {
		return
	}
	if in.Event.Tags == nil {
		in.Event.Tags = make(map[string]string, 4)
	}
	in.Event.Tags[name] = d.intern(d.unquoted(value))
}

func (d *decoder) count(in *ingest.Input, name, value []byte) {
	unit, ok := usage.UnitByCount(string(name))
	switch {
	case ok && unit.IsTotal():
		in.AddProblem("usage."+unit.Field(), "is a field of the event, not of usage")
	case ok:
		in.Event.Counts[unit] = d.whole(in, unit.Field(), value)
	case len(in.Problems) >= ingest.MaxProblems:
		in.MoreProblems++
	default:
		in.AddProblem("usage."+usage.Shorten(string(name)), unknownCount)
	}
}

// unknownCount is one text, however many names a hostile body makes up.
var unknownCount = func() string {
	var names []string
	for u := range usage.NumUnits {
		if !u.IsTotal() {
			names = append(names, usage.Units[u].Count)
		}
	}
	return "must be one of " + strings.Join(names, ", ")
}()

func (d *decoder) timestamp(in *ingest.Input, value []byte) {
	in.Event.TimestampDefaulted = false
	if value[0] == '"' {
		if t, ok := usage.ParseInstant(d.unquoted(value)); ok {
			in.Event.Timestamp = t.Truncate(time.Microsecond)
			return
		}
	}
	in.AddProblem("timestamp", "must be an RFC 3339 time such as 2026-01-31T12:00:00Z")
}

func (d *decoder) text(in *ingest.Input, field string, value []byte) string {
	if value[0] != '"' {
		in.AddProblem(field, "must be a string")
		return ""
	}
	return d.intern(d.unquoted(value))
}

func (d *decoder) boolean(in *ingest.Input, field string, value []byte) bool {
	switch value[0] {
	case 't':
		return true
	case 'f':
		return false
	}
	in.AddProblem(field, "must be true or false")
	return true
}

// whole reads an integer in any JSON notation. One beyond 63 bits is clamped,
// which every range refuses.
func (d *decoder) whole(in *ingest.Input, field string, value []byte) int64 {
	n, ok := money.ParseDecimal(value, 0)
	switch {
	case !ok:
		in.AddProblem(field, "must be a number")
	case !n.Exact && !n.Over:
		in.AddProblem(field, "must be a whole number")
		return 0
	}
	return n.Value
}

// milliseconds rounds half-even to a microsecond. What is out of range becomes
// a duration that Validate refuses.
func (d *decoder) milliseconds(in *ingest.Input, field string, value []byte) time.Duration {
	n, ok := money.ParseDecimal(value, 3)
	switch {
	case !ok:
		in.AddProblem(field, "must be a number")
		return 0
	case n.Negative:
		return -time.Microsecond
	case n.Value > usage.MaxLatency.Microseconds():
		return usage.MaxLatency + time.Microsecond
	}
	return time.Duration(n.Value) * time.Microsecond
}

// dollars reads an amount, rounded half-even to a picodollar.
func (d *decoder) dollars(in *ingest.Input, field string, value []byte) *money.USD {
	amount, err := money.Parse(value)
	switch {
	case errors.Is(err, money.ErrSyntax):
		in.AddProblem(field, "must be a number, in US dollars")
		return nil
	case err != nil:
		in.AddProblem(field, err.Error())
		return nil
	}
	return &amount
}

func (d *decoder) metadata(in *ingest.Input, value []byte) {
	if value[0] != '{' {
		in.AddProblem("metadata", "must be an object")
		return
	}
	depth, null := scan(value)
	if depth > maxDepth {
		in.AddProblem("metadata", "must not be nested deeper than 64 levels")
	}
	if null {
		in.AddProblem("metadata", "must not contain U+0000")
	}
	object := jsontext.Value(bytes.Clone(value))
	if len(object) <= usage.MaxMetadataBytes && depth <= maxDepth {
		// One form for what means the same: a sender that writes its members in
		// another order when it tries again has not sent other content.
		if err := object.Format(jsontext.ReorderRawObjects(true)); err != nil {
			in.AddProblem("metadata", "must be a JSON object")
		}
	}
	in.Event.Metadata = json.RawMessage(object)
}
