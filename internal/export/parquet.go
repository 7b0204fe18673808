package export

import (
	"encoding/hex"
	"io"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/snappy"

	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/usage"
)

// amount is an integer of picodollars as DECIMAL(38, 12), big-endian: the 63 bits
// of an amount are more digits than a DECIMAL of 8 bytes may have.
type amount [16]byte

func amountOf(a money.USD) (d amount) {
	if a < 0 {
		for i := range 8 {
			d[i] = 0xff
		}
	}
	for i := range 8 {
		d[15-i] = byte(uint64(a) >> (8 * i))
	}
	return d
}

// parquetEvent is a row. What may be missing is null then, a text that is empty
// too.
type parquetEvent struct {
	ID                 string            `parquet:"id"`
	Timestamp          int64             `parquet:"timestamp,timestamp(microsecond)"`
	Feature            string            `parquet:"feature,dict"`
	Model              string            `parquet:"model,dict,optional"`
	InputTokens        int64             `parquet:"inputTokens"`
	OutputTokens       int64             `parquet:"outputTokens"`
	Cost               amount            `parquet:"cost,decimal(12:38)"`
	LatencyMicros      int64             `parquet:"latencyMicros"`
	Provider           string            `parquet:"provider,dict,optional"`
	Project            string            `parquet:"project,dict"`
	TraceID            string            `parquet:"traceId"`
	SpanID             string            `parquet:"spanId"`
	ParentSpanID       string            `parquet:"parentSpanId,optional"`
	Name               string            `parquet:"name,dict,optional"`
	Operation          string            `parquet:"operation,dict,optional"`
	CachedTokens       int64             `parquet:"cachedTokens"`
	CacheWriteTokens   int64             `parquet:"cacheWriteTokens"`
	CacheWrite1hTokens int64             `parquet:"cacheWrite1hTokens"`
	ReasoningTokens    int64             `parquet:"reasoningTokens"`
	Usage              map[string]int64  `parquet:"usage"`
	ServiceTier        string            `parquet:"serviceTier,dict,optional"`
	Region             string            `parquet:"region,dict,optional"`
	FirstTokenMicros   *int64            `parquet:"timeToFirstTokenMicros,optional"`
	Billed             *amount           `parquet:"billedCostUsd,decimal(12:38),optional"`
	Estimated          *amount           `parquet:"estimatedCostUsd,decimal(12:38),optional"`
	UserID             string            `parquet:"userId,dict,optional"`
	SessionID          string            `parquet:"sessionId,optional"`
	Department         string            `parquet:"department,dict,optional"`
	Environment        string            `parquet:"environment,dict,optional"`
	Tags               map[string]string `parquet:"tags"`
	IsStreaming        bool              `parquet:"isStreaming"`
	IsError            bool              `parquet:"isError"`
	Aggregate          bool              `parquet:"aggregate"`
	ErrorCode          string            `parquet:"errorCode,dict,optional"`
	RetryCount         int64             `parquet:"retryCount"`
	Metadata           string            `parquet:"metadata,optional"`
	EventID            string            `parquet:"eventId,optional"`
	ProviderID         string            `parquet:"providerId,dict,optional"`
	ModelID            string            `parquet:"modelId,dict,optional"`
	CostSource         string            `parquet:"costSource,dict"`
	PriceID            string            `parquet:"priceId,dict,optional"`
	Fallback           bool              `parquet:"fallback"`
	CostInput          amount            `parquet:"costInput,decimal(12:38)"`
	CostCacheRead      amount            `parquet:"costCacheRead,decimal(12:38)"`
	CostCacheWrite     amount            `parquet:"costCacheWrite,decimal(12:38)"`
	CostOutput         amount            `parquet:"costOutput,decimal(12:38)"`
	CostReasoning      amount            `parquet:"costReasoning,decimal(12:38)"`
	CostMedia          amount            `parquet:"costMedia,decimal(12:38)"`
	CostUnits          amount            `parquet:"costUnits,decimal(12:38)"`
	CostUnsplit        amount            `parquet:"costUnsplit,decimal(12:38)"`
	CacheSavings       amount            `parquet:"cacheSavings,decimal(12:38)"`
	ReceivedAt         int64             `parquet:"receivedAt,timestamp(microsecond)"`
}

// A row group is held in memory until it is written: so many rows, or so many
// bytes of texts of any length.
const (
	groupRows  = 25_000
	groupBytes = 8 << 20
)

type parquetWriter struct {
	w     *parquet.GenericWriter[parquetEvent]
	rows  [100]parquetEvent
	n     int
	group int
	bytes int
}

func newParquet(w io.Writer, _ Options) Writer[usage.Record] {
	return &parquetWriter{w: parquet.NewGenericWriter[parquetEvent](w,
		parquet.Compression(&snappy.Codec{}), parquet.PageBufferSize(bufferSize), parquet.CreatedBy("costprof", "1", "0"))}
}

// Write implements Writer.
func (p *parquetWriter) Write(r *usage.Record) error {
	p.rows[p.n] = rowOf(r)
	p.n++
	p.group++
	p.bytes += sizeOf(r)
	if p.group >= groupRows || p.bytes >= groupBytes {
		if err := p.put(); err != nil {
			return err
		}
		p.group, p.bytes = 0, 0
		return p.w.Flush()
	}
	if p.n == len(p.rows) {
		return p.put()
	}
	return nil
}

func (p *parquetWriter) put() error {
	_, err := p.w.Write(p.rows[:p.n])
	p.n = 0
	return err
}

// Close implements Writer.
func (p *parquetWriter) Close(string) error {
	if err := p.put(); err != nil {
		return err
	}
	return p.w.Close()
}

// sizeOf is about what a row takes in a group.
func sizeOf(r *usage.Record) int {
	n := 320 + len(r.TraceID) + len(r.SpanID) + len(r.ParentSpanID) + len(r.SessionID) + len(r.Metadata) + len(r.EventID) + len(r.UserID)
	for name, value := range r.Tags {
		n += len(name) + len(value) + 16
	}
	return n
}

func rowOf(r *usage.Record) parquetEvent {
	row := parquetEvent{
		ID: hex.EncodeToString(r.ID[:]), Timestamp: r.Timestamp.UnixMicro(), Feature: r.Feature, Model: r.Model,
		InputTokens: r.Counts[usage.Input], OutputTokens: r.Counts[usage.Output], Cost: amountOf(r.Total()), LatencyMicros: r.Latency.Microseconds(),
		Provider: r.Provider, Project: r.Project, TraceID: r.TraceID, SpanID: r.SpanID, ParentSpanID: r.ParentSpanID, Name: r.Name, Operation: r.Operation,
		CachedTokens: r.Counts[usage.CacheRead], CacheWriteTokens: r.Counts[usage.CacheWrite], CacheWrite1hTokens: r.Counts[usage.CacheWrite1h],
		ReasoningTokens: r.Counts[usage.Reasoning], ServiceTier: r.ServiceTier, Region: r.Region,
		UserID: r.UserID, SessionID: r.SessionID, Department: r.Department, Environment: r.Environment, Tags: r.Tags,
		IsStreaming: r.Streaming, IsError: r.Error, Aggregate: r.Aggregate, ErrorCode: r.ErrorCode, RetryCount: r.RetryCount,
		Metadata: string(r.Metadata), EventID: r.EventID, ProviderID: r.ProviderID, ModelID: r.ModelID,
		CostSource: r.Source.String(), PriceID: r.PriceID, Fallback: r.Fallback, CacheSavings: amountOf(r.CacheSaving), ReceivedAt: r.ReceivedAt.UnixMicro(),
	}
	for i, to := range [...]*amount{
		&row.CostInput, &row.CostCacheRead, &row.CostCacheWrite, &row.CostOutput, &row.CostReasoning, &row.CostMedia, &row.CostUnits, &row.CostUnsplit,
	} {
		*to = amountOf(classCost(&r.Costing, i))
	}
	if r.TimeToFirstToken >= 0 {
		micros := r.TimeToFirstToken.Microseconds()
		row.FirstTokenMicros = &micros
	}
	optional := func(a *money.USD) *amount {
		if a == nil {
			return nil
		}
		d := amountOf(*a)
		return &d
	}
	row.Billed, row.Estimated = optional(r.Billed), optional(r.Estimated)
	for u, n := range r.Counts {
		if unit := usage.Unit(u); n != 0 && !unit.IsTotal() {
			if row.Usage == nil {
				row.Usage = map[string]int64{}
			}
			row.Usage[usage.Units[unit].Count] = n
		}
	}
	return row
}
