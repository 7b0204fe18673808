package httpapi

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/auth"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/report"
	"github.com/costprof/costprof/internal/usage"
)

// Reports answer the questions of charts and lists.
type Reports interface {
	Breakdown(ctx context.Context, r report.BreakdownRequest) (report.Breakdown, error)
	Timeseries(ctx context.Context, r report.TimeseriesRequest) (report.Timeseries, error)
	Compare(ctx context.Context, r report.CompareRequest) (report.Comparison, error)
	Flamegraph(ctx context.Context, r report.FlamegraphRequest) (*analytics.Node, error)
	Traces(ctx context.Context, r report.TracesRequest) (report.Traces, error)
	Trace(ctx context.Context, r report.TraceRequest) (report.Trace, error)
	Prompts(ctx context.Context, r report.PromptsRequest) (report.Prompts, error)
	Growth(ctx context.Context, r report.GrowthRequest) (report.Growths, error)
	History(ctx context.Context, r report.HistoryRequest) (report.Histories, error)
	Totals(ctx context.Context, r report.TotalsRequest) ([]report.Total, error)
	Events(ctx context.Context, r report.EventsRequest) (report.Events, error)
	Event(ctx context.Context, id usage.ID, f analytics.Filter) (usage.Record, error)
	Export(ctx context.Context, r report.ExportRequest) (*report.Export, error)
	ExportBreakdown(ctx context.Context, r report.BreakdownRequest) (*report.Ranking[report.BreakdownRow], error)
	ExportPrompts(ctx context.Context, r report.PromptsRequest) (*report.Ranking[report.Prompt], error)
}

func (s *server) analyticsRoutes() []*route {
	common := concat(windowParams, filterParams)
	ranked := concat(common, []param{fieldsParam}, pageParams)
	rows := s.envelope(arrayOf(schemaOf[breakdownRow](s)), schemaOf[breakdownMeta](s), paged)
	ask := func(name string, rt route) *route {
		rt.id, rt.method, rt.tag, rt.need = "get-"+strings.ReplaceAll(name, "/", "-"), http.MethodGet, "Analytics", auth.Read
		rt.path, rt.alias = "/api/v1/analytics/"+name, "/api/analytics/"+name
		rt.status = http.StatusOK
		if rt.weigh == nil {
			rt.weigh = weighChart
		}
		return &rt
	}
	fixed := func(name string, d analytics.Dimension) *route {
		return ask(name, route{
			summary: "Spend by " + string(d), params: ranked, answer: rows, errors: []int{http.StatusGone},
			serve: func(c *call) (*reply, error) { return s.breakdown(c, []analytics.Dimension{d}) },
		})
	}
	return []*route{
		ask("cost-breakdown", route{
			summary: "Spend by one dimension, or by two as a matrix",
			doc:     "Dearest first, then by name in byte order. The first page fixes range and ranking for 10 minutes; after that, and when stored costs were corrected, the answer is 410.",
			params: concat([]param{{
				name: "groupBy", schema: withDefault(text(), "feature"),
				doc: "One dimension, or two with a comma: feature, model, provider, user, department, project, environment, session, operation, tag:NAME.",
			}}, ranked),
			answer: rows, errors: []int{http.StatusGone},
			serve: func(c *call) (*reply, error) {
				return s.breakdown(c, c.q.dimensions("groupBy", []analytics.Dimension{analytics.Feature}, report.MaxGroupBy))
			},
		}),
		fixed("features", analytics.Feature),
		fixed("models", analytics.Model),
		fixed("users", analytics.User),
		ask("timeseries", route{
			summary: "Spend over time",
			doc:     "Every bucket is there, empty ones with zeros. With groupBy data is a list of series, dearest first, the rest of them as (other).",
			params: concat([]param{
				{name: "granularity", doc: "Width of a bucket; weeks start on Monday.", schema: withDefault(text("minute", "hour", "day", "week", "month"), "hour")},
				{name: "groupBy", doc: "A dimension: a series for each of its values.", schema: dimensionList(1)},
				{name: "series", doc: "The most series with groupBy.", schema: wholeNumber(report.DefaultSeries, 1, report.MaxSeries)},
			}, common),
			answer: s.envelope(anyOf(arrayOf(schemaOf[point](s)), arrayOf(schemaOf[series](s))), schemaOf[timeseriesMeta](s)),
			serve:  s.timeseries,
		}),
		ask("flamegraph", s.flamegraphRoute(common)),
		ask("compare", s.compareRoute()),
		ask("prompts", route{
			summary: "Calls with far more input than their like",
			doc:     "Calls whose input is at least twice the median of their feature and model, the most wasteful first. Where the texts of prompts are kept, longPart says of the first hundred rows which part of the prompt is the long one.",
			params: concat(common, []param{{
				name: "spread", doc: "Adds medianAbsDeviationTokens, deviations and medianInputOutputRatio, for which the calls are read once more: it takes about twice as long.", schema: withDefault(&huma.Schema{Type: huma.TypeBoolean}, false),
			}}, pageParams), answer: s.envelope(arrayOf(schemaOf[prompt](s)), schemaOf[WindowMeta](s), paged),
			errors: []int{http.StatusGone}, serve: s.prompts,
		}),
		ask("prompts/growth", s.growthRoute(common)),
		ask("prompts/history", s.historyRoute(common)),
		s.totalsRoute(),
		ask("events", route{
			summary: "Events, newest first", doc: eventsDoc,
			params: concat(common, pageParams), answer: s.eventsSchema(), weigh: weighList, serve: s.events,
		}),
		{
			id: "list-events", method: http.MethodGet, path: "/api/v1/events", alias: "/api/events", tag: "Events", need: auth.Read, summary: "Events, newest first", doc: eventsDoc,
			params: concat(common, pageParams), status: http.StatusOK, answer: s.eventsSchema(), weigh: weighList, serve: s.events,
		},
		{
			id: "get-event", method: http.MethodGet, path: "/api/v1/events/{id}", alias: "/api/events/{id}", tag: "Events", need: auth.Read, summary: "One event with its price lines",
			status: http.StatusOK, answer: s.envelope(schemaOf[storedEvent](s), nil), errors: []int{http.StatusNotFound}, weigh: weighChart, serve: s.event,
		},
	}
}

func (s *server) eventsSchema() *huma.Schema {
	return s.envelope(arrayOf(schemaOf[storedEvent](s)), schemaOf[WindowMeta](s), paged)
}

func concat(lists ...[]param) []param { return slices.Concat(lists...) }

const eventsDoc = "Then by descending id. Spans that only sum their children are listed too. No event stored before the first page comes twice or is left out, whatever arrives in between."

type breakdownMeta struct {
	WindowMeta
	GroupBy   []analytics.Dimension `json:"groupBy"`
	TotalCost money.Total           `json:"totalCost" doc:"Cost of the whole answer, beyond this page too."`
	CallCount int64                 `json:"callCount" doc:"Calls of the whole answer, beyond this page too."`
	Unpriced  int64                 `json:"unpricedCalls" doc:"Those whose cost is an estimate of the caller or unknown."`
	Fallback  int64                 `json:"fallbackCalls" doc:"Those whose tier or region had no price and took the standard one."`
	Truncated []string              `json:"truncatedFields,omitempty" doc:"With truncatedBefore: the only fields that lack the removed calls."`
}

func lacking(percentile bool) []string {
	if percentile {
		return []string{"p95Latency"}
	}
	return nil
}

func (s *server) breakdown(c *call, by []analytics.Dimension) (*reply, error) {
	w := c.q.window(s.now())
	columns := c.q.columns()
	req := report.BreakdownRequest{
		Filter: c.q.filter(w), GroupBy: by, Measures: measuresOf(columns), Limit: c.q.limit(), Cursor: c.q.cursor(),
	}
	if err := c.q.err(); err != nil {
		return nil, err
	}
	b, err := s.reports.Breakdown(c, req)
	if err != nil {
		return nil, err
	}
	rows := make([]breakdownRow, len(b.Rows))
	for i := range b.Rows {
		rows[i] = breakdownRow{&b.Rows[i], columns}
	}
	if err := c.q.continues(&w, b.From, b.To); err != nil {
		return nil, err
	}
	return &reply{
		Data: rows, Meta: breakdownMeta{w.meta().truncated(b.TruncatedBefore), by, b.Cost, b.Calls, b.Unpriced, b.Fallback, lacking(b.TruncatedP95)}, Pagination: pages(b.NextCursor),
	}, nil
}

// point is one bucket.
type point struct {
	Timestamp     time.Time   `json:"timestamp" doc:"Local start of the bucket, with its offset."`
	Cost          money.Total `json:"cost"`
	Tokens        int64       `json:"tokens"`
	InputTokens   int64       `json:"inputTokens"`
	OutputTokens  int64       `json:"outputTokens"`
	CachedTokens  int64       `json:"cachedTokens"`
	CallCount     int64       `json:"callCount"`
	ErrorCount    int64       `json:"errorCount"`
	AvgLatency    millis      `json:"avgLatency"`
	CacheSavings  money.Total `json:"cacheSavings"`
	UnpricedCalls int64       `json:"unpricedCalls"`
	FallbackCalls int64       `json:"fallbackCalls"`
}

type series struct {
	Name   string  `json:"name"`
	Rest   bool    `json:"rest,omitempty" doc:"The sum of all series that are not shown."`
	Points []point `json:"points"`
}

type timeseriesMeta struct {
	WindowMeta
	Granularity analytics.Granularity `json:"granularity"`
}

func (s *server) timeseries(c *call) (*reply, error) {
	w := c.q.window(s.now())
	req := report.TimeseriesRequest{
		Filter: c.q.filter(w), Granularity: analytics.Hour, Location: w.loc,
		Series: c.q.whole("series", report.DefaultSeries, 1, report.MaxSeries),
	}
	if c.q.has("granularity") {
		g, err := analytics.ParseGranularity("granularity", c.q.text("granularity"))
		c.q.take(err)
		req.Granularity = g
	}
	if by := c.q.dimensions("groupBy", nil, 1); len(by) == 1 {
		req.GroupBy = by[0]
	}
	if err := c.q.err(); err != nil {
		return nil, err
	}
	t, err := s.reports.Timeseries(c, req)
	if err != nil {
		return nil, err
	}
	rep := &reply{Meta: timeseriesMeta{w.meta().truncated(t.TruncatedBefore), req.Granularity}}
	lines := make([]series, len(t.Series))
	for i, line := range t.Series {
		lines[i] = series{Name: line.Name, Rest: line.Rest, Points: points(line.Points)}
	}
	rep.Data = lines
	if req.GroupBy == "" {
		rep.Data = []point{}
		if len(lines) > 0 {
			rep.Data = lines[0].Points
		}
	}
	return rep, nil
}

func points(rows []analytics.Row) []point {
	out := make([]point, len(rows))
	for i := range rows {
		r := &rows[i]
		out[i] = point{
			Timestamp: shown(r.Bucket), Cost: r.Cost, Tokens: r.Input + r.Output, InputTokens: r.Input, OutputTokens: r.Output,
			CachedTokens: r.Cached, CallCount: r.Calls, ErrorCount: r.Errors, AvgLatency: millis(mean(r.LatencyMicros, r.Calls)),
			CacheSavings: r.Saving, UnpricedCalls: r.Unpriced, FallbackCalls: r.Fallback,
		}
	}
	return out
}

func (s *server) events(c *call) (*reply, error) {
	w := c.q.window(s.now())
	req := report.EventsRequest{Filter: c.q.filter(w), Limit: c.q.limit(), Cursor: c.q.cursor()}
	if err := c.q.err(); err != nil {
		return nil, err
	}
	page, err := s.reports.Events(c, req)
	if err != nil {
		return nil, err
	}
	data := make([]storedEvent, len(page.Rows))
	for i := range page.Rows {
		data[i] = eventJSON(&page.Rows[i])
	}
	if err := c.q.continues(&w, page.From, page.To); err != nil {
		return nil, err
	}
	return &reply{Data: data, Meta: w.meta().truncated(page.TruncatedBefore), Pagination: pages(page.NextCursor)}, nil
}

func (s *server) event(c *call) (*reply, error) {
	if err := c.q.err(); err != nil {
		return nil, err
	}
	id, err := usage.ParseID(c.PathValue("id"))
	if err != nil {
		return nil, errNoThing
	}
	record, err := s.reports.Event(c, id, c.q.own())
	if err != nil {
		return nil, notFound(err)
	}
	out := eventJSON(&record)
	if out.Lines, err = s.prices.Lines(c, record); err != nil {
		return nil, err
	}
	past, err := s.prices.History(c, record)
	if err != nil {
		return nil, err
	}
	out.History = historyJSON(past)
	if out.Prompt, err = s.promptOf(c, &record); err != nil {
		return nil, err
	}
	return &reply{Data: out}, nil
}
