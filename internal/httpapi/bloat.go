package httpapi

import (
	"net/http"
	"time"

	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/report"
	"github.com/costprof/costprof/internal/usage"
)

type prompt struct {
	EventID           usage.ID     `json:"eventId"`
	Timestamp         time.Time    `json:"timestamp"`
	Feature           string       `json:"feature"`
	Model             string       `json:"model"`
	InputTokens       int64        `json:"inputTokens"`
	CachedTokens      int64        `json:"cachedTokens"`
	OutputTokens      int64        `json:"outputTokens"`
	MedianInputTokens int64        `json:"medianInputTokens" doc:"Median input of the feature and model in the range."`
	GroupCalls        int64        `json:"groupCalls" doc:"Calls that the median rests on."`
	BloatRatio        thousandths  `json:"bloatRatio" doc:"Input ÷ median."`
	RedundancyScore   thousandths  `json:"redundancyScore" doc:"The part of the input beyond the median, 0 to 1."`
	WastedCost        money.USD    `json:"wastedCost" doc:"What the input beyond the median cost."`
	InputOutputRatio  *thousandths `json:"inputOutputRatio" nullable:"true" doc:"Input ÷ output, rounded down to thousandths; null without output."`
	// Of spread=true.
	Deviation   *int64       `json:"medianAbsDeviationTokens,omitempty" doc:"With spread=true: the median of |input − median| over the feature's and model's calls."`
	Deviations  *thousandths `json:"deviations,omitempty" doc:"With spread=true: (input − median) ÷ medianAbsDeviationTokens; absent when that is 0."`
	MedianRatio *thousandths `json:"medianInputOutputRatio,omitempty" doc:"With spread=true: the median of inputOutputRatio over those calls that gave output; absent when none did."`
	LongPart    *longPart    `json:"longPart,omitempty" doc:"Where the prompt is longer than others of its project, feature and model. Absent where its text, or that of enough others, is not kept."`
	Suggestions []string     `json:"suggestions" doc:"Sentences; each names the figures it rests on."`
}

type longPart struct {
	Characters     int    `json:"characters" doc:"Length of the prompt."`
	Usual          int    `json:"usualCharacters" doc:"Median length of the prompts it is compared with."`
	Texts          int    `json:"prompts" doc:"How many those are."`
	Part           int    `json:"part" doc:"Which of the parts that vary is the long one, from 1; 0 when the prompt is not made like the others."`
	Parts          int    `json:"parts" doc:"How many parts vary."`
	PartCharacters int    `json:"partCharacters"`
	PartUsual      int    `json:"usualPartCharacters"`
	Behind         string `json:"behind" doc:"The end of what all have in front of that part, redacted."`
}

// ratioJSON is null of what there is none of.
func ratioJSON(n int64) *thousandths {
	if n < 0 {
		return nil
	}
	t := thousandths(n)
	return &t
}

func (s *server) prompts(c *call) (*reply, error) {
	w := c.q.window(s.now())
	req := report.PromptsRequest{Filter: c.q.filter(w), Spread: c.q.flag("spread", false), Limit: c.q.limit(), Cursor: c.q.cursor()}
	if err := c.q.err(); err != nil {
		return nil, err
	}
	p, err := s.reports.Prompts(c, req)
	if err != nil {
		return nil, err
	}
	data := make([]prompt, len(p.Rows))
	for i := range p.Rows {
		r := &p.Rows[i]
		data[i] = prompt{
			EventID: r.ID, Timestamp: r.Timestamp.UTC(), Feature: r.Feature, Model: r.Model, InputTokens: r.Input,
			CachedTokens: r.Cached, OutputTokens: r.Output, MedianInputTokens: r.Median, GroupCalls: r.GroupCalls,
			BloatRatio: thousandths(r.BloatRatio), RedundancyScore: thousandths(r.RedundancyScore), WastedCost: r.Wasted,
			InputOutputRatio: ratioJSON(r.InputRatio), Suggestions: append([]string{}, r.Suggestions...),
		}
		if req.Spread {
			data[i].Deviation, data[i].Deviations, data[i].MedianRatio = &r.Deviation, (*thousandths)(r.Deviations), ratioJSON(r.MedianRatio)
		}
		if p := r.LongPart; p != nil {
			data[i].LongPart = &longPart{p.Characters, p.Usual, p.Texts, p.Number, p.Parts, p.PartCharacters, p.PartUsual, p.Behind}
		}
	}
	if err := c.q.continues(&w, p.From, p.To); err != nil {
		return nil, err
	}
	return &reply{Data: data, Meta: w.meta().truncated(p.TruncatedBefore), Pagination: pages(p.NextCursor)}, nil
}

type growthRow struct {
	Feature     string       `json:"feature"`
	Model       string       `json:"model"`
	CallCount   int64        `json:"callCount" doc:"Calls with input, in the whole range."`
	InputCost   money.Total  `json:"inputCost" doc:"What their input cost, all cache classes together."`
	Growth      growth       `json:"growth"`
	Parts       []growthPart `json:"parts" doc:"All parts of the range, in order."`
	Suggestions []string     `json:"suggestions" doc:"Sentences; each names the figures it rests on."`
}

type growth struct {
	First     growthPart  `json:"first" doc:"The first part with five calls or more."`
	Last      growthPart  `json:"last" doc:"The last one."`
	Tokens    int64       `json:"tokens" doc:"Last median less first median."`
	Ratio     thousandths `json:"ratio" doc:"Last median ÷ first median."`
	AddedCost money.Total `json:"addedCost" doc:"What the difference cost in the last part: tokens × its calls × its input cost ÷ its input tokens. Negative where the input shrank."`
}

type growthPart struct {
	From        time.Time   `json:"from"`
	To          time.Time   `json:"to"`
	CallCount   int64       `json:"callCount"`
	Median      *int64      `json:"medianInputTokens" doc:"Null without calls."`
	InputTokens int64       `json:"inputTokens"`
	InputCost   money.Total `json:"inputCost"`
}

type growthMeta struct {
	WindowMeta
	Parts      int   `json:"parts"`
	Uncompared int64 `json:"notCompared" doc:"Features and models with fewer than two parts of five calls."`
	Left       int64 `json:"leftOut" doc:"Features and models beyond the thousand whose input cost most, which were not looked at."`
}

func (s *server) growthRoute(common []param) route {
	return route{
		summary: "How the input of features and models grew",
		doc: "The range is cut into parts of equal length, and the median input of each feature and model in the first part with five calls compared with that in the last one. What costs most comes first. " +
			"The first page fixes range and ranking for 10 minutes; after that, and when stored costs were corrected, the answer is 410.",
		params: concat(common, []param{{name: "parts", doc: "How many parts.", schema: wholeNumber(report.DefaultParts, 2, report.MaxParts)}}, pageParams),
		answer: s.envelope(arrayOf(schemaOf[growthRow](s)), schemaOf[growthMeta](s), paged), errors: []int{http.StatusGone}, serve: s.promptGrowth,
	}
}

func (s *server) promptGrowth(c *call) (*reply, error) {
	w := c.q.window(s.now())
	req := report.GrowthRequest{Filter: c.q.filter(w), Parts: c.q.whole("parts", report.DefaultParts, 2, report.MaxParts), Limit: c.q.limit(), Cursor: c.q.cursor()}
	if err := c.q.err(); err != nil {
		return nil, err
	}
	g, err := s.reports.Growth(c, req)
	if err != nil {
		return nil, err
	}
	if err := c.q.continues(&w, g.From, g.To); err != nil {
		return nil, err
	}
	part := func(p report.GrowthPart) growthPart {
		out := growthPart{From: shown(p.From.In(w.loc)), To: shown(p.To.In(w.loc)), CallCount: p.Calls, InputTokens: p.Input, InputCost: p.InputCost}
		if p.Calls > 0 {
			out.Median = &p.Median
		}
		return out
	}
	data := make([]growthRow, len(g.Rows))
	for i, r := range g.Rows {
		data[i] = growthRow{
			Feature: r.Feature, Model: r.Model, CallCount: r.Calls, InputCost: r.InputCost, Suggestions: r.Suggestions, Parts: make([]growthPart, len(r.Parts)),
			Growth: growth{part(r.First), part(r.Last), r.Last.Median - r.First.Median, thousandths(r.Ratio), r.Added},
		}
		for n, p := range r.Parts {
			data[i].Parts[n] = part(p)
		}
	}
	return &reply{Data: data, Meta: growthMeta{w.meta().truncated(g.TruncatedBefore), req.Parts, g.Uncompared, g.Left}, Pagination: pages(g.NextCursor)}, nil
}

type historyRow struct {
	Feature       string      `json:"feature"`
	Project       string      `json:"project,omitempty" doc:"With groupBy=session."`
	SessionID     string      `json:"sessionId,omitempty" doc:"With groupBy=session."`
	Sessions      int64       `json:"sessions"`
	CallCount     int64       `json:"callCount" doc:"Calls with a session and with input."`
	Turns         int64       `json:"turns" doc:"Those of them that another one of the session came before."`
	MaxTurns      int64       `json:"maxTurns" doc:"Of the longest session."`
	InputTokens   int64       `json:"inputTokens"`
	MaxInput      int64       `json:"maxInputTokens" doc:"Of the largest call."`
	Resent        int64       `json:"resentTokens" doc:"Input that was there in the turn before, at most: of each turn the smaller of its input and the input and output of the call before."`
	ResentCached  int64       `json:"resentCachedTokens" doc:"Those of them that came from the cache, which holds the first tokens of a call."`
	ResentShare   thousandths `json:"resentShare" doc:"resentTokens ÷ inputTokens."`
	ResentCost    money.Total `json:"resentCost" doc:"What they cost, at the prices really paid; cached ones at that for cached ones."`
	History       int64       `json:"historyTokens" doc:"Those of resentTokens beyond the input of the session's first call."`
	HistoryCached int64       `json:"historyCachedTokens"`
	HistoryShare  thousandths `json:"historyShare" doc:"historyTokens ÷ inputTokens."`
	HistoryCost   money.Total `json:"historyCost"`
	FirstCall     time.Time   `json:"firstTimestamp"`
	LastCall      time.Time   `json:"lastTimestamp"`
	Suggestions   []string    `json:"suggestions" doc:"Sentences; each names the figures it rests on."`
}

func (s *server) historyRoute(common []param) route {
	return route{
		summary: "What sessions send again turn after turn",
		doc: "The calls of one session and feature in the range, in the order of their times: what each sends again of the turn before, what of that is history beyond the session's first call, and what it cost. The dearest history comes first. " +
			"Texts are not compared: the figures are the most that can have been sent again. Every selected call with a session is sorted, which takes seconds where there are millions. " +
			"The first page fixes range and ranking for 10 minutes; after that, and when stored costs were corrected, the answer is 410.",
		params: concat(common, []param{{name: "groupBy", doc: "A row for each feature, or for each session in each feature.", schema: withDefault(text("feature", "session"), "feature")}}, pageParams),
		answer: s.envelope(arrayOf(schemaOf[historyRow](s)), schemaOf[WindowMeta](s), paged), errors: []int{http.StatusGone}, serve: s.promptHistory,
	}
}

func (s *server) promptHistory(c *call) (*reply, error) {
	w := c.q.window(s.now())
	req := report.HistoryRequest{Filter: c.q.filter(w), BySession: c.q.oneOf("groupBy", "feature", "session") == "session", Limit: c.q.limit(), Cursor: c.q.cursor()}
	if err := c.q.err(); err != nil {
		return nil, err
	}
	h, err := s.reports.History(c, req)
	if err != nil {
		return nil, err
	}
	if err := c.q.continues(&w, h.From, h.To); err != nil {
		return nil, err
	}
	data := make([]historyRow, len(h.Rows))
	for i, r := range h.Rows {
		data[i] = historyRow{
			r.Feature, r.Project, r.Session, r.Sessions, r.Calls, r.Turns, r.MaxTurns, r.Input, r.MaxInput, r.Resent, r.ResentCached, thousandths(r.ResentShare), r.ResentCost,
			r.History.History, r.HistoryCached, thousandths(r.HistoryShare), r.HistoryCost, r.First.UTC(), r.Last.UTC(), r.Suggestions,
		}
	}
	return &reply{Data: data, Meta: w.meta().truncated(h.TruncatedBefore), Pagination: pages(h.NextCursor)}, nil
}
