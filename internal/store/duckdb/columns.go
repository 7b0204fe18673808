package duckdb

import (
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	duck "github.com/duckdb/duckdb-go/v2"

	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/usage"
)

// columns lists the columns of events in the order of the table; appendRow
// writes and scanRecord reads in this order.
var columns = []string{
	"id", "ts", "seq", "received", "cell", "trace", "span", "parent_span", "name", "event_id", "content",
	"user_id", "session_id", "tagset",
	"t_input", "t_cache_read", "t_cache_write", "t_cache_write_1h", "t_media_in", "t_output", "t_reasoning", "t_media_out", "usage",
	"latency", "first_token", "is_streaming", "is_error", "is_aggregate", "error_code", "retries", "metadata", "prompt_bytes",
	"billed", "estimated",
	"c_input", "c_cache_read", "c_cache_write", "c_cache_write_1h", "c_output", "c_reasoning", "c_media", "c_units", "c_unsplit",
	"cost", "saving", "source", "is_fallback", "price_id",
}

var columnList = strings.Join(columns, ", ")

// row is one stored event between usage.Record and the table.
type row struct {
	rec    *usage.Record
	cell   int64
	tagset int64 // 0 for none
}

// values fills dst with the row's values, in the order of columns.
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
	var content, tagset, firstToken, prompt, billed, estimated driver.Value
	if e.EventID != "" {
		content = e.Content()
	}
	if r.tagset != 0 {
		tagset = r.tagset
	}
	if e.TimeToFirstToken >= 0 {
		firstToken = e.TimeToFirstToken.Microseconds()
	}
	if e.Prompt != "" {
		prompt = int32(len(e.Prompt))
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
	return append(dst, int64(e.Total()), int64(e.CacheSaving), uint8(e.Source), e.Fallback, text(e.PriceID)), nil
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

// scanned holds what one row of columns scans into.
type scanned struct {
	rec                                                    usage.Record
	id                                                     duck.UUID
	seq                                                    int64
	cell                                                   int64
	parent, name, eventID, user, session, errorCode        sql.NullString
	usage, metadata, priceID                               sql.NullString
	content                                                any
	tagset, firstToken, promptBytes, billed, estimated     sql.NullInt64
	tInput, tRead, tWrite, tWrite1h, tMediaIn, tOutput     int64
	tReasoning, tMediaOut, latency, retries, total, saving int64
	classes                                                [usage.NumClasses]int64
	source                                                 uint8
}

func (s *scanned) targets() []any {
	r := &s.rec
	t := []any{
		&s.id, &r.Timestamp, &s.seq, &r.ReceivedAt, &s.cell, &r.TraceID, &r.SpanID, &s.parent, &s.name, &s.eventID, &s.content,
		&s.user, &s.session, &s.tagset,
		&s.tInput, &s.tRead, &s.tWrite, &s.tWrite1h, &s.tMediaIn, &s.tOutput, &s.tReasoning, &s.tMediaOut, &s.usage,
		&s.latency, &s.firstToken, &r.Streaming, &r.Error, &r.Aggregate, &s.errorCode, &s.retries, &s.metadata, &s.promptBytes,
		&s.billed, &s.estimated,
	}
	for i := range s.classes {
		t = append(t, &s.classes[i])
	}
	return append(t, &s.total, &s.saving, &s.source, &r.Fallback, &s.priceID)
}

// record completes the record but for what stands in its cell and its tag set;
// the caller resolves those.
func (s *scanned) record() (usage.Record, error) {
	r := s.rec
	r.ID = usage.ID(s.id)
	r.Timestamp, r.ReceivedAt = r.Timestamp.UTC(), r.ReceivedAt.UTC()
	r.ParentSpanID, r.Name, r.EventID = s.parent.String, s.name.String, s.eventID.String
	r.UserID, r.SessionID, r.ErrorCode = s.user.String, s.session.String, s.errorCode.String
	r.PriceID = s.priceID.String
	r.RetryCount = s.retries
	r.Latency = time.Duration(s.latency) * time.Microsecond
	r.TimeToFirstToken = -1
	if s.firstToken.Valid {
		r.TimeToFirstToken = time.Duration(s.firstToken.Int64) * time.Microsecond
	}
	if s.metadata.Valid {
		r.Metadata = json.RawMessage(s.metadata.String)
	}
	r.Billed, r.Estimated = amount(s.billed), amount(s.estimated)
	for i, c := range s.classes {
		r.Classes[i] = money.USD(c)
	}
	r.CacheSaving, r.Source = money.USD(s.saving), usage.Source(s.source)

	if s.usage.Valid {
		var m map[string]int64
		if err := json.Unmarshal([]byte(s.usage.String), &m); err != nil {
			return r, fmt.Errorf("event %s: stored usage: %w", r.ID, err)
		}
		for name, n := range m {
			u, ok := usage.UnitByCount(name)
			if !ok {
				return r, fmt.Errorf("event %s: stored usage has the unknown count %q", r.ID, name)
			}
			r.Counts[u] = n
		}
	}
	c := &r.Counts
	c[usage.Input] = s.tInput + s.tRead + s.tWrite + s.tWrite1h + s.tMediaIn
	c[usage.CacheRead], c[usage.CacheWrite], c[usage.CacheWrite1h] = s.tRead, s.tWrite, s.tWrite1h
	c[usage.Output] = s.tOutput + s.tReasoning + s.tMediaOut
	c[usage.Reasoning] = s.tReasoning
	return r, nil
}

func amount(n sql.NullInt64) *money.USD {
	if !n.Valid {
		return nil
	}
	v := money.USD(n.Int64)
	return &v
}
