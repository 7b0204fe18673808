package export

import (
	"encoding/hex"
	"io"
	"strconv"

	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/usage"
)

// The first eight columns are fixed: by them the importer knows the file, and
// other programs of the kind begin with the same. It reads what follows by name,
// so that columns may be added at the end.
const csvHeader = "id,timestamp,feature,model,inputTokens,outputTokens,cost,latency," +
	"provider,project,traceId,spanId,parentSpanId,name,operation," +
	"cachedTokens,cacheWriteTokens,cacheWrite1hTokens,reasoningTokens,usage,serviceTier,region,timeToFirstTokenMs," +
	"billedCostUsd,estimatedCostUsd,userId,sessionId,department,environment,tags," +
	"isStreaming,isError,aggregate,errorCode,retryCount,metadata,eventId," +
	"providerId,modelId,costSource,priceId,fallback," +
	"costByClass.input,costByClass.cacheRead,costByClass.cacheWrite,costByClass.output,costByClass.reasoning,costByClass.media,costByClass.units,costByClass.unsplit," +
	"cacheSavings,receivedAt\r\n"

type csvWriter struct {
	buffer
	scratch []byte
}

func newCSV(w io.Writer, o Options) Writer[usage.Record] {
	c := &csvWriter{buffer: buffer{w: w}}
	c.begin(o, csvHeader)
	return c
}

func (f *buffer) begin(o Options, header string) {
	if o.BOM {
		f.b = append(f.b, "\xef\xbb\xbf"...)
	}
	if !o.Headless {
		f.b = append(f.b, header...)
	}
}

// Write implements Writer. Numbers stay numbers, also negative ones: only texts
// are guarded.
func (c *csvWriter) Write(r *usage.Record) error {
	b := c.b
	text := func(s string) { b = append(appendCell(b, s), ',') }
	count := func(n int64) { b = append(strconv.AppendInt(b, n, 10), ',') }
	usd := func(a money.USD) { b = append(a.AppendText(b), ',') }
	optional := func(a *money.USD) {
		if a != nil {
			b = a.AppendText(b)
		}
		b = append(b, ',')
	}
	flag := func(v bool) { b = append(strconv.AppendBool(b, v), ',') }
	object := func(content []byte) {
		c.scratch = content[:0]
		text(string(content))
	}

	b = append(hex.AppendEncode(b, r.ID[:]), ',')
	b = append(appendTime(b, r.Timestamp), ',')
	text(r.Feature)
	text(r.Model)
	count(r.Counts[usage.Input])
	count(r.Counts[usage.Output])
	usd(r.Total())
	b = append(appendMillis(b, r.Latency), ',')
	text(r.Provider)
	text(r.Project)
	text(r.TraceID)
	text(r.SpanID)
	text(r.ParentSpanID)
	text(r.Name)
	text(r.Operation)
	count(r.Counts[usage.CacheRead])
	count(r.Counts[usage.CacheWrite])
	count(r.Counts[usage.CacheWrite1h])
	count(r.Counts[usage.Reasoning])
	object(appendUsage(c.scratch, &r.Counts))
	text(r.ServiceTier)
	text(r.Region)
	if r.TimeToFirstToken >= 0 {
		b = appendMillis(b, r.TimeToFirstToken)
	}
	b = append(b, ',')
	optional(r.Billed)
	optional(r.Estimated)
	text(r.UserID)
	text(r.SessionID)
	text(r.Department)
	text(r.Environment)
	object(appendTags(c.scratch, r.Tags))
	flag(r.Streaming)
	flag(r.Error)
	flag(r.Aggregate)
	text(r.ErrorCode)
	count(r.RetryCount)
	text(string(r.Metadata))
	text(r.EventID)
	text(r.ProviderID)
	text(r.ModelID)
	text(r.Source.String())
	text(r.PriceID)
	flag(r.Fallback)
	for i := range classes {
		usd(classCost(&r.Costing, i))
	}
	usd(r.CacheSaving)
	c.b = append(appendTime(b, r.ReceivedAt), "\r\n"...)
	return c.spill()
}

// Close implements Writer.
func (c *csvWriter) Close(string) error { return c.flush() }
