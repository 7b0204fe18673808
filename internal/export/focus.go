package export

import (
	"encoding/hex"
	"io"
	"strconv"
	"time"

	"github.com/costprof/costprof/internal/usage"
)

// The columns of FOCUS 1.2 that a model call can fill, then our own. All 21 that
// are mandatory are there.
const focusHeader = "BilledCost,BillingAccountId,BillingAccountName,BillingAccountType,BillingCurrency,BillingPeriodEnd,BillingPeriodStart," +
	"ChargeCategory,ChargeClass,ChargeDescription,ChargeFrequency,ChargePeriodEnd,ChargePeriodStart,ConsumedQuantity,ConsumedUnit," +
	"ContractedCost,EffectiveCost,InvoiceIssuerName,ListCost,PricingCategory,PricingQuantity,PricingUnit,ProviderName,PublisherName," +
	"RegionId,RegionName,ServiceCategory,ServiceName,ServiceSubcategory,SkuId,SkuMeter,SkuPriceId,Tags," +
	"x_EventId,x_Timestamp,x_CostClass,x_CostSource,x_Feature,x_Operation,x_UserId,x_SessionId,x_Department,x_Environment,x_ServiceTier,x_TraceId,x_SpanId\r\n"

// focusClasses say of each class of cost what it is called, and which units it
// counts; a class without one counts requests.
var focusClasses = [usage.NumClasses]struct {
	name, meter, unit string
	tokens            []usage.Unit
}{
	usage.ClassInput:        {"input", "Input Tokens", tokenUnit, []usage.Unit{usage.Input}},
	usage.ClassCacheRead:    {"cacheRead", "Cache Read Input Tokens", tokenUnit, []usage.Unit{usage.CacheRead, usage.CachedAudio, usage.CachedImage}},
	usage.ClassCacheWrite:   {"cacheWrite", "Cache Write Input Tokens", tokenUnit, []usage.Unit{usage.CacheWrite}},
	usage.ClassCacheWrite1h: {"cacheWrite1h", "Cache Write 1h Input Tokens", tokenUnit, []usage.Unit{usage.CacheWrite1h}},
	usage.ClassOutput:       {"output", "Output Tokens", tokenUnit, []usage.Unit{usage.Output, usage.Citation}},
	usage.ClassReasoning:    {"reasoning", "Reasoning Output Tokens", tokenUnit, []usage.Unit{usage.Reasoning}},
	usage.ClassMedia: {"media", "Media Tokens", tokenUnit, []usage.Unit{
		usage.InputAudio, usage.InputImage, usage.InputVideo, usage.OutputAudio, usage.OutputImage, usage.OutputVideo,
	}},
	usage.ClassUnits:   {"units", "Tools and Units", requestUnit, nil},
	usage.ClassUnsplit: {"unsplit", "Requests", requestUnit, nil},
}

const (
	tokenUnit   = "Tokens"
	requestUnit = "Requests"
)

type focusWriter struct {
	buffer
	scratch []byte
}

func newFocus(w io.Writer, o Options) Writer[usage.Record] {
	f := &focusWriter{buffer: buffer{w: w}}
	f.begin(o, focusHeader)
	return f
}

// Write implements Writer: a row for each class that cost something or counted
// tokens, at least one.
func (f *focusWriter) Write(r *usage.Record) error {
	buckets, _ := r.Counts.Buckets() // stored events have possible counts
	rows := 0
	whole := r.Classes[usage.ClassUnsplit] != 0
	for class := range usage.NumClasses {
		var tokens int64
		for _, u := range focusClasses[class].tokens {
			tokens += buckets[u]
		}
		// A cost of one sum has no share for the tokens; they stand in no row then,
		// as if they had been free.
		if r.Classes[class] == 0 && (tokens == 0 || whole) {
			continue
		}
		f.row(r, class, tokens)
		rows++
	}
	if rows == 0 {
		f.row(r, usage.ClassUnsplit, 0)
	}
	return f.spill()
}

func (f *focusWriter) row(r *usage.Record, class usage.Class, tokens int64) {
	b := f.b
	c := &focusClasses[class]
	text := func(s string) { b = append(appendCell(b, s), ',') }
	when := func(t time.Time) { b = append(t.UTC().AppendFormat(b, time.RFC3339), ',') }
	cost := func() { b = append(r.Classes[class].AppendText(b), ',') }
	quantity := func() {
		n := tokens
		if c.unit == requestUnit {
			n = 1
		}
		b = append(strconv.AppendInt(b, n, 10), ',')
		text(c.unit)
	}
	at := r.Timestamp.UTC()
	month := time.Date(at.Year(), at.Month(), 1, 0, 0, 0, 0, time.UTC)
	hour := at.Truncate(time.Hour)
	provider := orUnknown(r.ProviderID)
	price := r.PriceID
	if price == "" {
		price = r.ModelID
	}

	cost()
	text(r.Project)
	text(r.Project)
	text("Project")
	text("USD")
	when(month.AddDate(0, 1, 0))
	when(month)
	text("Usage")
	text("") // ChargeClass: no correction of an earlier period
	text(orUnknown(r.ModelID) + " " + c.meter)
	text("Usage-Based")
	when(hour.Add(time.Hour))
	when(hour)
	quantity()
	cost()
	cost()
	text(provider)
	cost()
	text("Standard")
	quantity()
	text(provider)
	text(provider)
	text(r.Region)
	text(r.Region)
	text("AI and Machine Learning")
	text(provider)
	text("Generative AI")
	text(orUnknown(r.ModelID))
	text(c.meter)
	text(orUnknown(price) + "/" + c.name)
	f.scratch = appendTags(f.scratch[:0], r.Tags)
	text(string(f.scratch))

	b = append(hex.AppendEncode(b, r.ID[:]), ',')
	b = append(appendTime(b, r.Timestamp), ',')
	text(c.name)
	text(r.Source.String())
	text(r.Feature)
	text(r.Operation)
	text(r.UserID)
	text(r.SessionID)
	text(r.Department)
	text(r.Environment)
	text(r.ServiceTier)
	text(r.TraceID)
	f.b = append(appendCell(b, r.SpanID), "\r\n"...)
}

// orUnknown fills a column that must not be empty.
func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

// Close implements Writer.
func (f *focusWriter) Close(string) error { return f.flush() }
