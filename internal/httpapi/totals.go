package httpapi

import (
	"net/http"
	"time"

	"github.com/costprof/costprof/internal/auth"
	"github.com/costprof/costprof/internal/live"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/report"
	"github.com/costprof/costprof/internal/usage"
)

// realtimeTotals are the sums of everything, and of the spans that a dashboard
// shows.
type realtimeTotals struct {
	SpanTotals
	Today      SpanTotals `json:"today" doc:"Calls of this day in tz."`
	LastHour   SpanTotals `json:"lastHour" doc:"Calls of the last 60 minutes."`
	LastMinute SpanTotals `json:"lastMinute" doc:"Calls of the last 60 seconds."`
}

// SpanTotals are the sums of one span of time.
type SpanTotals struct {
	TotalCost money.Total `json:"totalCost"`
	CallCount int64       `json:"callCount"`
	Unpriced  int64       `json:"unpricedCalls" doc:"Calls whose cost is an estimate of the caller or unknown."`
	Fallback  int64       `json:"fallbackCalls" doc:"Calls whose tier or region had no price and took the standard one."`
	Features  costs       `json:"features" doc:"Cost by feature, the 100 dearest; the rest is (other)."`
	Users     costs       `json:"users" doc:"Cost by user, the 100 dearest; the rest is (other)."`
}

type totalsMeta struct {
	WindowMeta
	OtherCount    int64 `json:"otherCount" doc:"How many features and users of the whole are in (other)."`
	OtherFeatures int64 `json:"otherFeatures" doc:"How many of them are features."`
	OtherUsers    int64 `json:"otherUsers" doc:"How many of them are users."`
}

func (s *server) totalsRoute() *route {
	return &route{
		id: "get-realtime-totals", method: http.MethodGet, tag: "Analytics", need: auth.Read,
		path: "/api/v1/analytics/realtime-totals", alias: "/api/analytics/realtime-totals",
		summary: "Spend so far, today, and in the last hour and minute",
		doc: "Exact sums of one moment of the ledger, by each call's own time. Without a range the whole is everything stored; a range bounds the whole only, " +
			"and today, lastHour and lastMinute go by the clock of the server.",
		params: concat(windowParams, filterParams), status: http.StatusOK, weigh: weighChart,
		answer: s.envelope(schemaOf[realtimeTotals](s), schemaOf[totalsMeta](s)), serve: s.realtimeTotals,
	}
}

// ahead is how far before its time an event may arrive.
const ahead = 24 * time.Hour

func (s *server) realtimeTotals(c *call) (*reply, error) {
	now := s.now()
	w := c.q.window(now)
	if !c.q.has("from") && !c.q.has("startDate") {
		w.from = usage.Epoch
	}
	end := now.UTC().Truncate(time.Microsecond).Add(time.Microsecond) // a call of this very microsecond is in
	if !c.q.has("to") && !c.q.has("endDate") {
		w.to = end.Add(ahead)
	}
	filter := c.q.filter(w)
	if err := c.q.err(); err != nil {
		return nil, err
	}
	year, month, day := now.In(w.loc).Date()
	today := civilDate{year, month, day}
	t, err := s.reports.Totals(c, report.TotalsRequest{Filter: filter, Spans: []report.Span{
		{From: w.from, To: w.to},
		{From: startOfDay(today, w.loc), To: endOfDay(today, w.loc)},
		{From: end.Add(-time.Hour), To: end},
		{From: end.Add(-time.Minute), To: end},
	}})
	if err != nil {
		return nil, err
	}
	whole := &t[0]
	meta := totalsMeta{w.meta().truncated(whole.TruncatedBefore), whole.Features.Rest + whole.Users.Rest, whole.Features.Rest, whole.Users.Rest}
	return &reply{Data: realtimeTotals{sumsOf(whole), sumsOf(&t[1]), sumsOf(&t[2]), sumsOf(&t[3])}, Meta: meta}, nil
}

func sumsOf(t *report.Total) SpanTotals {
	return SpanTotals{t.Cost, t.Calls, t.Unpriced, t.Fallback, costsOf(&t.Features), costsOf(&t.Users)}
}

func costsOf(d *report.Dearest) costs {
	out := costs{}
	if d.Rest > 0 {
		out[live.Other] = d.Other
	}
	for i := range d.Rows {
		name := d.Rows[i].Names[0]
		out[name] = out[name].Plus(d.Rows[i].Cost) // a value may be called (other)
	}
	return out
}
