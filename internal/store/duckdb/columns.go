package duckdb

import (
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	duck "github.com/duckdb/duckdb-go/v2"

	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/usage"
)

// row is one stored event between usage.Record and the table.
type row struct {
	rec    *usage.Record
	cell   int64
	tagset int64 // 0 for none
}

// values fills dst with the row's values, in the order of the table's columns.
func (r row) values(dst []driver.Value, seq int64) ([]driver.Value, error) {
	e := r.rec
	b, bad := e.Counts.Buckets()
	if len(bad) > 0 {
		return nil, fmt.Errorf("event %s: %s %s", e.ID, bad[0].Field, bad[0].Rule)
	}
	counts, err := encodeUsage(&e.Counts)
	if err != nil {
		return nil, err
	}
	var content, tagset, firstToken, prompt, promptID, billed, estimated driver.Value
	if e.EventID != "" {
		content = e.Content()
	}
	if r.tagset != 0 {
		tagset = r.tagset
	}
	if e.TimeToFirstToken >= 0 {
		firstToken = e.TimeToFirstToken.Microseconds()
	}
	if e.PromptBytes != 0 {
		prompt = int32(e.PromptBytes)
	}
	if e.PromptID != (usage.ID{}) {
		promptID = duck.UUID(e.PromptID)
	}
	if e.Billed != nil {
		billed = int64(*e.Billed)
	}
	if e.Estimated != nil {
		estimated = int64(*e.Estimated)
	}
	dst = append(dst[:0],
		duck.UUID(e.ID), e.Timestamp, seq, e.ReceivedAt, r.cell, e.TraceID, e.SpanID, text(e.ParentSpanID), text(e.Name), text(e.EventID), content,
		text(e.UserID), text(e.SessionID), tagset,
		b[usage.Input], b[usage.CacheRead]+b[usage.CachedAudio]+b[usage.CachedImage], b[usage.CacheWrite], b[usage.CacheWrite1h],
		b[usage.InputAudio]+b[usage.InputImage]+b[usage.InputVideo],
		b[usage.Output]+b[usage.Citation], b[usage.Reasoning], b[usage.OutputAudio]+b[usage.OutputImage]+b[usage.OutputVideo], counts,
		e.Latency.Microseconds(), firstToken, e.Streaming, e.Error, e.Aggregate, text(e.ErrorCode), int32(e.RetryCount), text(string(e.Metadata)), prompt,
		billed, estimated,
	)
	for _, c := range e.Classes {
		dst = append(dst, int64(c))
	}
	return append(dst, int64(e.Total()), int64(e.CacheSaving), uint8(e.Source), e.Fallback, text(e.PriceID), promptID), nil
}

// text maps "" to NULL.
func text(s string) driver.Value {
	if s == "" {
		return nil
	}
	return s
}

// encodeUsage gives the counts that have no column of their own as a JSON
// object, or nil when there are none.
func encodeUsage(c *usage.Counts) (driver.Value, error) {
	var m map[string]int64
	for u := range usage.NumUnits {
		if n := c[u]; n != 0 && !u.IsTotal() {
			if m == nil {
				m = map[string]int64{}
			}
			m[usage.Units[u].Count] = n
		}
	}
	if m == nil {
		return nil, nil
	}
	b, err := json.Marshal(m)
	return string(b), err
}

// readColumns are the columns that a record is made of, in the order in which
// record takes them.
var readColumns = []string{
	"id", "ts", "received", "cell", "tagset", "trace", "span", "parent_span", "name", "event_id",
	"user_id", "session_id", "error_code", "price_id", "metadata", "usage", "prompt_id", "prompt_bytes",
	"t_input", "t_cache_read", "t_cache_write", "t_cache_write_1h", "t_media_in", "t_output", "t_reasoning", "t_media_out",
	"latency", "first_token", "is_streaming", "is_error", "is_aggregate", "is_fallback", "retries", "source", "billed", "estimated", "saving",
	"c_input", "c_cache_read", "c_cache_write", "c_cache_write_1h", "c_output", "c_reasoning", "c_media", "c_units", "c_unsplit",
}

var columnList = strings.Join(readColumns, ", ")

// scanned holds one row of readColumns as the driver gives it: database/sql
// converts into typed targets by reflection, which took longer than reading.
type scanned []any

func newScanned() (s scanned, targets []any) {
	s = make(scanned, len(readColumns))
	for i := range s {
		targets = append(targets, &s[i])
	}
	return s, targets
}

// record fills r but for what stands in its cell and its tag set, 0 for none; the
// caller resolves those.
func (s scanned) record(r *usage.Record) (cell, tagset int64, err error) {
	at := 0
	next := func() any {
		at++
		return s[at-1]
	}
	text, whole := value[string](&err, next), value[int64](&err, next)
	flag, instant := value[bool](&err, next), value[time.Time](&err, next)
	amount := func() *money.USD {
		if s[at] == nil {
			at++
			return nil
		}
		v := money.USD(whole())
		return &v
	}
	id := value[[]byte](&err, next)()
	if len(id) != len(r.ID) {
		return 0, 0, fmt.Errorf("an event's id has %d bytes", len(id))
	}
	copy(r.ID[:], id)
	r.Timestamp, r.ReceivedAt = instant(), instant()
	cell, tagset = whole(), whole()
	r.TraceID, r.SpanID, r.ParentSpanID, r.Name, r.EventID = text(), text(), text(), text(), text()
	r.UserID, r.SessionID, r.ErrorCode, r.PriceID = text(), text(), text(), text()
	if metadata := text(); metadata != "" {
		r.Metadata = json.RawMessage(metadata)
	}
	if counts := text(); counts != "" {
		if err := decodeUsage(counts, &r.Counts); err != nil {
			return 0, 0, fmt.Errorf("event %s: %w", r.ID, err)
		}
	}
	if prompt := value[[]byte](&err, next)(); len(prompt) == len(r.PromptID) {
		copy(r.PromptID[:], prompt)
	}
	r.PromptBytes = int64(value[int32](&err, next)())
	c := &r.Counts
	input := whole()
	c[usage.CacheRead], c[usage.CacheWrite], c[usage.CacheWrite1h] = whole(), whole(), whole()
	c[usage.Input] = input + c[usage.CacheRead] + c[usage.CacheWrite] + c[usage.CacheWrite1h] + whole()
	output := whole()
	c[usage.Reasoning] = whole()
	c[usage.Output] = output + c[usage.Reasoning] + whole()
	r.Latency, r.TimeToFirstToken = time.Duration(whole())*time.Microsecond, -1
	if s[at] == nil {
		at++
	} else {
		r.TimeToFirstToken = time.Duration(whole()) * time.Microsecond
	}
	r.Streaming, r.Error, r.Aggregate, r.Fallback = flag(), flag(), flag(), flag()
	retries, source := value[int32](&err, next)(), value[uint8](&err, next)()
	r.RetryCount, r.Source = int64(retries), usage.Source(source)
	r.Billed, r.Estimated = amount(), amount()
	r.CacheSaving = money.USD(whole())
	for i := range r.Classes {
		r.Classes[i] = money.USD(whole())
	}
	return cell, tagset, err
}

// value takes the next value, whose type the table says; NULL is the zero value.
// Another type is an error and never a zero.
func value[T any](err *error, next func() any) func() T {
	return func() (v T) {
		switch n := next().(type) {
		case nil:
		case T:
			v = n
		default:
			*err = errors.Join(*err, fmt.Errorf("a stored value is a %T and not a %T", n, v))
		}
		return v
	}
}

// decodeUsage reads what encodeUsage wrote.
func decodeUsage(text string, c *usage.Counts) error {
	var m map[string]int64
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		return fmt.Errorf("stored usage: %w", err)
	}
	for name, n := range m {
		u, ok := usage.UnitByCount(name)
		if !ok {
			return fmt.Errorf("stored usage has the unknown count %q", name)
		}
		c[u] = n
	}
	return nil
}
