package report

import (
	"context"
	"fmt"
	"time"

	"github.com/costprof/costprof/internal/analytics"
)

// HistoryRequest asks what sessions send again turn after turn.
type HistoryRequest struct {
	analytics.Filter
	// BySession answers for each session, not each feature.
	BySession bool
	// Limit is the size of the page; 0 is DefaultLimit.
	Limit int
	// Cursor continues a ranking; its window then replaces the filter's.
	Cursor string
}

// Histories is a page, the dearest history first.
type Histories struct {
	Rows     []History
	From, To time.Time
	// NextCursor and TruncatedBefore are as in Prompts.
	NextCursor      string
	TruncatedBefore time.Time
}

// History is what a feature, or a session of it, sent again.
type History struct {
	analytics.History
	// ResentShare and HistoryShare are their parts of the input of all calls of the
	// sessions, in thousandths, rounded half-even.
	ResentShare, HistoryShare int64
	// Suggestions are sentences that name the figures they rest on.
	Suggestions []string
}

// History ranks features, or sessions, by the cost of the history that they sent
// again, as analytics.HistoryQuery defines it. fault.Gone when a cursor's ranking ended.
func (s *Service) History(ctx context.Context, r HistoryRequest) (Histories, error) {
	limit, err := pageSize(r.Limit)
	if err != nil {
		return Histories{}, err
	}
	question := question{kindHistory, r.Filter, nil, nil}
	if r.BySession {
		question.groupBy = []analytics.Dimension{analytics.Session}
	}
	at, err := question.rank(r.Cursor, s.Now())
	if err != nil {
		return Histories{}, err
	}
	q := analytics.HistoryQuery{Filter: r.Filter, BySession: r.BySession, Limit: limit, Offset: int(at.offset)}
	q.From, q.To, q.AsOf = at.from, at.to, at.asOf
	t, err := s.Ledger.Resent(ctx, q)
	if err != nil {
		return Histories{}, err
	}
	out := Histories{From: at.from, To: at.to, TruncatedBefore: t.TruncatedBefore, Rows: make([]History, len(t.Rows))}
	for i, h := range t.Rows {
		out.Rows[i] = History{h, ratioOf(h.Resent, h.Input, 1000), ratioOf(h.History, h.Input, 1000), suggestHistory(h)}
	}
	out.NextCursor, err = question.next(at, r.Cursor, rankedPage{len(t.Rows), t.More, t.AsOf, t.Revision})
	return out, err
}

func suggestHistory(h analytics.History) []string {
	out := []string{fmt.Sprintf("Of the %s input tokens of %s calls in %s, up to %s (%s%%) had been sent in the turn before; they cost %s USD, and %s of them came from the cache.",
		grouped(h.Input), grouped(h.Calls), counted(h.Sessions, "session"), grouped(h.Resent), grouped(ratioOf(h.Resent, h.Input, 100)), h.ResentCost, grouped(h.ResentCached))}
	if h.History >= h.Input/10 && h.History > 0 {
		out = append(out, fmt.Sprintf("%s of them are beyond what the first call of each session sent, %s for each of %s, and cost %s USD: cut or sum up the older part of the conversation.",
			grouped(h.History), grouped(ratioOf(h.History, h.Turns, 1)), counted(h.Turns, "turn"), h.HistoryCost))
	}
	if rest := h.Resent - h.ResentCached; h.Resent >= h.Input/10 && h.Resent >= cacheable*h.Turns && rest > h.ResentCached {
		out = append(out, fmt.Sprintf("%s of the tokens sent again did not come from the cache: keep what was sent unchanged at the beginning, and the provider can cache it.", grouped(rest)))
	}
	return out
}

func counted(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return grouped(n) + " " + what + "s"
}
