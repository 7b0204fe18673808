package httpapi

import (
	"net/http"
	"time"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/report"
)

func (s *server) compareRoute() route {
	return route{
		summary: "What changed between two periods, and why",
		doc: "Rows come by how far their cost moved, up or down, then by name in byte order. The terms of a row sum to its delta exactly; they are found by replacing, in their order, " +
			"the number of calls, the share of calls per provider, model and tier, the tokens per call, the split of the input by what the cache did, and the mean cost of a token. " +
			"A row that one period does not have is all volume. meta.total is all calls as one row, with terms of its own. The first page fixes range and ranking for 10 minutes; after that, and when stored costs were corrected, the answer is 410.",
		params: concat([]param{
			{
				name: "groupBy", schema: withDefault(dimensionList(report.MaxGroupBy), "feature"),
				doc: "One dimension, or two with a comma: feature, model, provider, user, department, project, environment, session, operation, tag:NAME.",
			},
			{name: "baselineFrom", schema: instantOrDate(fromEpoch), doc: "Start of the period to compare with, as from is given. Default: as long before baselineTo as the range is; a range of whole days is so many days."},
			{name: "baselineTo", schema: instantOrDate(fromEpoch), doc: "End of the period to compare with, as to is given. Default: from."},
		}, windowParams, filterParams, pageParams),
		answer: s.envelope(arrayOf(schemaOf[compareRow](s)), schemaOf[compareMeta](s), paged), errors: []int{http.StatusGone},
		serve: s.compare,
	}
}

type compareRow struct {
	Name  *string  `json:"name,omitempty" doc:"Value of the dimension; empty for calls without one."`
	Names []string `json:"names,omitempty" doc:"Instead of name: the values of two dimensions."`
	CompareFigures
}

// CompareFigures are what a row says about its two periods.
type CompareFigures struct {
	Cost     money.Total      `json:"cost"`
	Baseline money.Total      `json:"baseline" doc:"Cost in the baseline."`
	Delta    money.Total      `json:"delta" doc:"Cost less baseline."`
	Terms    compareTerms     `json:"terms" doc:"What the delta is made of, exactly."`
	MainTerm analytics.Term   `json:"mainTerm" enum:",volume,modelMix,tokensPerCall,cacheMix,price,other" doc:"The term that goes furthest in the direction of the delta; empty when nothing changed."`
	Calls    int64            `json:"callCount"`
	Input    int64            `json:"inputTokens"`
	Output   int64            `json:"outputTokens"`
	Cached   int64            `json:"cachedTokens"`
	Errors   int64            `json:"errorCount"`
	Unpriced int64            `json:"unpricedCalls" doc:"Calls whose cost is an estimate of the caller or unknown."`
	Fallback int64            `json:"fallbackCalls" doc:"Calls whose tier or region had no price and took the standard one."`
	Before   CompareBaselines `json:"baselines" doc:"The same counts in the baseline."`
}

// CompareBaselines are the counts of a row in the baseline.
type CompareBaselines struct {
	Calls    int64 `json:"callCount"`
	Input    int64 `json:"inputTokens"`
	Output   int64 `json:"outputTokens"`
	Cached   int64 `json:"cachedTokens"`
	Errors   int64 `json:"errorCount"`
	Unpriced int64 `json:"unpricedCalls"`
	Fallback int64 `json:"fallbackCalls"`
}

// compareTerms are the terms as they are written.
type compareTerms struct {
	Volume        money.Total `json:"volume" doc:"More or fewer calls, each costing what it did."`
	ModelMix      money.Total `json:"modelMix" doc:"Other shares of calls per provider, model and tier."`
	TokensPerCall money.Total `json:"tokensPerCall" doc:"Longer or shorter input and output of a call."`
	CacheMix      money.Total `json:"cacheMix" doc:"Another split of the input into uncached, cache reads and cache writes."`
	Price         money.Total `json:"price" doc:"Another mean cost per token of a class."`
	Other         money.Total `json:"other" doc:"Per-unit fees, billed and estimated costs, and what rounding left."`
}

type compareMeta struct {
	WindowMeta
	BaselineFrom time.Time             `json:"baselineFrom" doc:"Start of the baseline, included."`
	BaselineTo   time.Time             `json:"baselineTo" doc:"End of the baseline, excluded."`
	GroupBy      []analytics.Dimension `json:"groupBy"`
	Total        CompareFigures        `json:"total" doc:"All calls as one row, beyond this page too."`
	// What is missing at the ends of the periods shows in these.
	FirstBaselineCall *time.Time `json:"firstBaselineCall,omitempty" doc:"The first call of the baseline, when it has one."`
	LastCall          *time.Time `json:"lastCall,omitempty" doc:"The last call of the range, when it has one."`
}

func (s *server) compare(c *call) (*reply, error) {
	w := c.q.window(s.now())
	req := report.CompareRequest{
		Filter: c.q.filter(w), Location: w.loc,
		GroupBy: c.q.dimensions("groupBy", []analytics.Dimension{analytics.Feature}, report.MaxGroupBy),
		Baseline: report.Period{
			From: c.q.bound("baselineFrom", "", w.loc, startOfDay),
			To:   c.q.bound("baselineTo", "", w.loc, endOfDay),
		},
		Limit: c.q.limit(), Cursor: c.q.cursor(),
	}
	if err := c.q.err(); err != nil {
		return nil, err
	}
	answer, err := s.reports.Compare(c, req)
	if err != nil {
		return nil, err
	}
	rows := make([]compareRow, len(answer.Rows))
	for i := range answer.Rows {
		r := &answer.Rows[i]
		rows[i].CompareFigures = figures(r)
		if len(r.Names) == 1 {
			rows[i].Name = &r.Names[0]
		} else {
			rows[i].Names = r.Names
		}
	}
	if err := c.q.continues(&w, answer.Period.From, answer.Period.To); err != nil {
		return nil, err
	}
	local := func(t time.Time) time.Time { return shown(t.In(w.loc)) }
	seen := func(t time.Time) *time.Time {
		if t.IsZero() {
			return nil
		}
		t = local(t)
		return &t
	}
	return &reply{
		Data: rows, Pagination: pages(answer.NextCursor),
		Meta: compareMeta{
			WindowMeta: w.meta().truncated(answer.TruncatedBefore), BaselineFrom: local(answer.Baseline.From), BaselineTo: local(answer.Baseline.To),
			GroupBy: req.GroupBy, Total: figures(&answer.Total),
			FirstBaselineCall: seen(answer.Total.Was.First), LastCall: seen(answer.Total.Is.Last),
		},
	}, nil
}

func figures(c *report.Change) CompareFigures {
	was, is := &c.Was, &c.Is
	return CompareFigures{
		Cost: is.Cost, Baseline: was.Cost, Delta: c.Delta, Terms: compareTerms(c.Terms), MainTerm: c.Main(),
		Calls: is.Calls, Input: is.Input, Output: is.Output, Cached: is.Cached, Errors: is.Errors, Unpriced: is.Unpriced, Fallback: is.Fallback,
		Before: CompareBaselines{
			Calls: was.Calls, Input: was.Input, Output: was.Output, Cached: was.Cached, Errors: was.Errors, Unpriced: was.Unpriced, Fallback: was.Fallback,
		},
	}
}
