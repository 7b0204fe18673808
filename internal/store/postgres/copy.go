package postgres

import (
	"encoding/binary"
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/usage"
)

// eventColumns lists the columns in which events are written and read; row.append
// and scanned follow its order.
func eventColumns() []string {
	return []string{
		"id", "ts", "seq", "received", "cell", "tagset",
		"trace", "span", "parent_span", "name", "event_id", "content", "user_id", "session_id", "error_code", "price_id", "usage", "metadata",
		"t_input", "t_cache_read", "t_cache_write", "t_cache_write_1h", "t_media_in", "t_output", "t_reasoning", "t_media_out",
		"latency", "first_token", "billed", "estimated",
		"c_input", "c_cache_read", "c_cache_write", "c_cache_write_1h", "c_output", "c_reasoning", "c_media", "c_units", "c_unsplit",
		"cost", "saving", "retries", "prompt_bytes", "source", "is_fallback", "is_streaming", "is_error", "is_aggregate", "prompt_id",
	}
}

// copier writes rows in the binary form of COPY. Through the driver's own
// encoding, value by value, the same takes four times as long.
type copier struct{ b []byte }

func (c *copier) begin() {
	c.b = append(c.b[:0], "PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00"...)
}

func (c *copier) end() { c.b = append(c.b, 0xff, 0xff) }

func (c *copier) row(columns int) { c.b = binary.BigEndian.AppendUint16(c.b, uint16(columns)) }

func (c *copier) size(n int) { c.b = binary.BigEndian.AppendUint32(c.b, uint32(n)) }

func (c *copier) null() { c.b = append(c.b, 0xff, 0xff, 0xff, 0xff) }

func (c *copier) int64(v int64) {
	c.size(8)
	c.b = binary.BigEndian.AppendUint64(c.b, uint64(v))
}

func (c *copier) int32(v int32) {
	c.size(4)
	c.b = binary.BigEndian.AppendUint32(c.b, uint32(v))
}

func (c *copier) int16(v int16) {
	c.size(2)
	c.b = binary.BigEndian.AppendUint16(c.b, uint16(v))
}

func (c *copier) bool(v bool) {
	c.size(1)
	if v {
		c.b = append(c.b, 1)
	} else {
		c.b = append(c.b, 0)
	}
}

func (c *copier) id(v usage.ID) {
	c.size(len(v))
	c.b = append(c.b, v[:]...)
}

func (c *copier) text(s string) {
	c.size(len(s))
	c.b = append(c.b, s...)
}

// optional writes NULL for what was not sent.
func (c *copier) optional(s string) {
	if s == "" {
		c.null()
	} else {
		c.text(s)
	}
}

func (c *copier) optionalInt(v int64, sent bool) {
	if sent {
		c.int64(v)
	} else {
		c.null()
	}
}

// row is one event on its way to the table.
type row struct {
	rec    *usage.Record
	tokens [8]int64 // the columns t_input to t_media_out
	usage  string
	cell   int64
	tagset int64 // 0 for none
}

// newRow makes a row of a record that store.CheckRecords let pass. The engine
// cannot hold U+0000 in a text.
func newRow(r *usage.Record) (row, error) {
	for _, s := range [...]string{
		r.Project, r.TraceID, r.SpanID, r.ParentSpanID, r.Name, r.EventID, r.Feature, r.Provider, r.Model, r.ProviderID, r.ModelID, r.ServiceTier,
		r.Region, r.UserID, r.SessionID, r.Department, r.Environment, r.Operation, r.ErrorCode, r.PriceID, r.Prompt, string(r.Metadata),
	} {
		if strings.IndexByte(s, 0) >= 0 {
			return row{}, unstorable(r)
		}
	}
	for name, value := range r.Tags {
		if strings.IndexByte(name, 0) >= 0 || strings.IndexByte(value, 0) >= 0 {
			return row{}, unstorable(r)
		}
	}
	b, bad := r.Counts.Buckets()
	if len(bad) > 0 {
		return row{}, fault.New(fault.Internal, "event %s: %s %s", r.ID, bad[0].Field, bad[0].Rule)
	}
	counts, err := encodeUsage(&r.Counts)
	return row{rec: r, tokens: tokens(&b), usage: counts}, err
}

func unstorable(r *usage.Record) error {
	return fault.New(fault.Invalid, "The event %s cannot be stored: a text has a U+0000", r.ID)
}

// holds says whether the database can hold a text.
func holds(s string) bool { return strings.IndexByte(s, 0) < 0 && utf8.ValidString(s) }

// event appends a row in the order of eventColumns.
func (c *copier) event(r *row, seq int64) {
	e := r.rec
	c.row(49)
	c.id(e.ID)
	c.int64(e.Timestamp.UnixMicro())
	c.int64(seq)
	c.int64(e.ReceivedAt.UnixMicro())
	c.int64(r.cell)
	c.optionalInt(r.tagset, r.tagset != 0)
	c.text(e.TraceID)
	c.text(e.SpanID)
	c.optional(e.ParentSpanID)
	c.optional(e.Name)
	c.optional(e.EventID)
	if e.EventID != "" {
		c.int64(int64(e.Content()))
	} else {
		c.null()
	}
	c.optional(e.UserID)
	c.optional(e.SessionID)
	c.optional(e.ErrorCode)
	c.optional(e.PriceID)
	c.optional(r.usage)
	c.optional(string(e.Metadata))
	for _, n := range r.tokens {
		c.int64(n)
	}
	c.int64(e.Latency.Microseconds())
	c.optionalInt(e.TimeToFirstToken.Microseconds(), e.TimeToFirstToken >= 0)
	for _, amount := range [...]*int64{(*int64)(e.Billed), (*int64)(e.Estimated)} {
		if amount == nil {
			c.null()
		} else {
			c.int64(*amount)
		}
	}
	for _, v := range e.Classes {
		c.int64(int64(v))
	}
	c.int64(int64(e.Total()))
	c.int64(int64(e.CacheSaving))
	c.int32(int32(e.RetryCount))
	if e.PromptBytes != 0 {
		c.int32(int32(e.PromptBytes))
	} else {
		c.null()
	}
	c.int16(int16(e.Source))
	c.bool(e.Fallback)
	c.bool(e.Streaming)
	c.bool(e.Error)
	c.bool(e.Aggregate)
	if e.PromptID != (usage.ID{}) {
		c.id(e.PromptID)
	} else {
		c.null()
	}
}

// tokens gives the disjoint counts of tokens by class of cost.
func tokens(b *usage.Buckets) [8]int64 {
	return [8]int64{
		b[usage.Input], b[usage.CacheRead] + b[usage.CachedAudio] + b[usage.CachedImage], b[usage.CacheWrite], b[usage.CacheWrite1h],
		b[usage.InputAudio] + b[usage.InputImage] + b[usage.InputVideo],
		b[usage.Output] + b[usage.Citation], b[usage.Reasoning], b[usage.OutputAudio] + b[usage.OutputImage] + b[usage.OutputVideo],
	}
}

// encodeUsage gives the counts that have no column of their own as a JSON
// object, or "" when there are none.
func encodeUsage(c *usage.Counts) (string, error) {
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
		return "", nil
	}
	b, err := json.Marshal(m)
	return string(b), err
}
