package report

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
)

// What counts as far above the median when nothing else is said.
const (
	DefaultMinRatio = 2000 // thousandths
	DefaultMinCalls = 5
)

// PromptsRequest asks for calls with far more input than their like.
type PromptsRequest struct {
	analytics.Filter
	// MinRatio is the least input ÷ median in thousandths, above 1000; 0 is
	// DefaultMinRatio.
	MinRatio int64
	// MinCalls is the least number of calls a median must rest on; 0 is
	// DefaultMinCalls.
	MinCalls int64
	// Spread asks for what takes longer: the spread of the group, and its median of
	// input ÷ output.
	Spread bool
	// Limit is the size of the page; 0 is DefaultLimit.
	Limit int
	// Cursor continues a ranking; its window then replaces the filter's.
	Cursor string
}

// Prompts is a page of such calls, the most wasteful first.
type Prompts struct {
	Rows []Prompt
	// From and To are the window that was answered.
	From, To time.Time
	// NextCursor is "" after the last page.
	NextCursor string
	// TruncatedBefore is up to when calls in the window were removed and the answer
	// lacks them; the zero time when it lacks none.
	TruncatedBefore time.Time
}

// Prompt is one such call.
type Prompt struct {
	analytics.Bloat
	// BloatRatio is input ÷ median and RedundancyScore is 1 − median ÷ input,
	// both in thousandths, rounded half-even.
	BloatRatio, RedundancyScore int64
	// InputRatio is analytics.InputRatio of the call.
	InputRatio int64
	// Deviations is how many median absolute deviations the input is above the median,
	// in thousandths, rounded half-even; nil where that deviation is 0 or was not asked for.
	Deviations *int64
	// LongPart says where the prompt is long; nil where its text, or that of enough
	// others, is not kept, and in exports.
	LongPart *analytics.LongPart
	// Suggestions are sentences that name the figures they rest on.
	Suggestions []string
}

// Prompts ranks calls by the cost of the input beyond the median of their feature
// and model. fault.Gone when a cursor's ranking ended.
func (s *Service) Prompts(ctx context.Context, r PromptsRequest) (Prompts, error) {
	limit, err := pageSize(r.Limit)
	if err != nil {
		return Prompts{}, err
	}
	r.Limit = limit
	p, err := s.prompts(ctx, r)
	if err != nil || s.Texts == nil || len(p.Rows) == 0 {
		return p, err
	}
	calls := make([]analytics.Bloat, len(p.Rows))
	for i := range p.Rows {
		calls[i] = p.Rows[i].Bloat
	}
	f := r.Filter
	f.From, f.To = p.From, p.To
	parts, err := s.Texts.LongParts(ctx, f, calls)
	if err != nil {
		return Prompts{}, err
	}
	for i := range p.Rows {
		row := &p.Rows[i]
		if part, ok := parts[row.ID]; ok {
			row.LongPart = &part
			row.Suggestions = slices.Insert(row.Suggestions, 1, suggestPart(part))
		}
	}
	return p, nil
}

// suggestPart says which part of a prompt is the long one.
func suggestPart(p analytics.LongPart) string {
	length, usual := grouped(int64(p.Characters)), grouped(int64(p.Usual))
	others := fmt.Sprintf("median of %d prompts of this feature and model", p.Texts)
	switch {
	case p.Characters <= p.Usual+p.Usual/2:
		return fmt.Sprintf("Its prompt has %s characters, and usual are %s (%s): the tokens beyond are in what is sent beside it, such as the history, tools or files.", length, usual, others)
	case p.Number == 0:
		return fmt.Sprintf("Its prompt has %s characters; usual are %s (%s).", length, usual, others)
	}
	where := "at the beginning"
	if p.Behind != "" {
		where = fmt.Sprintf("behind %q", p.Behind)
	}
	return fmt.Sprintf("Of the %s characters of its prompt %s are in part %d of the %d that vary, %s; usual there are %s (%s).",
		length, grouped(int64(p.PartCharacters)), p.Number, p.Parts, where, grouped(int64(p.PartUsual)), others)
}

func (s *Service) prompts(ctx context.Context, r PromptsRequest) (Prompts, error) {
	ratio, calls := r.MinRatio, r.MinCalls
	switch {
	case ratio == 0:
		ratio = DefaultMinRatio
	case ratio <= 1000 || ratio > 1_000_000_000:
		return Prompts{}, fault.Field("minRatio", "must be above 1 and at most 1000000")
	}
	switch {
	case calls == 0:
		calls = DefaultMinCalls
	case calls < 0:
		return Prompts{}, fault.Field("minCalls", "must be 1 or more")
	}
	// Asking for the spread changes no row's place.
	question := question{kindPrompts, r.Filter, nil, []int64{ratio, calls}}
	at, err := question.rank(r.Cursor, s.Now())
	if err != nil {
		return Prompts{}, err
	}
	q := analytics.BloatQuery{Filter: r.Filter, MinRatio: ratio, MinCalls: calls, Spread: r.Spread, Limit: r.Limit, Offset: int(at.offset)}
	q.From, q.To, q.AsOf = at.from, at.to, at.asOf
	t, err := s.Ledger.Bloat(ctx, q)
	if err != nil {
		return Prompts{}, err
	}
	p := Prompts{From: at.from, To: at.to, TruncatedBefore: t.TruncatedBefore, Rows: make([]Prompt, len(t.Rows))}
	for i, b := range t.Rows {
		p.Rows[i] = Prompt{
			Bloat:           b,
			BloatRatio:      ratioOf(b.Input, b.Median, 1000),
			RedundancyScore: ratioOf(b.Input-b.Median, b.Input, 1000),
			InputRatio:      analytics.InputRatio(b.Input, b.Output),
			Deviations:      deviations(b),
			Suggestions:     suggest(b),
		}
	}
	p.NextCursor, err = question.next(at, r.Cursor, rankedPage{len(t.Rows), t.More, t.AsOf, t.Revision})
	return p, err
}

// cacheable is the fewest tokens that providers commonly cache.
const cacheable = 1024

// deviations is Prompt.Deviations.
func deviations(b analytics.Bloat) *int64 {
	if b.Deviation == 0 {
		return nil
	}
	n := ratioOf(b.Input-b.Median, b.Deviation, 1000)
	return &n
}

func suggest(b analytics.Bloat) []string {
	first := fmt.Sprintf("Input is %s times the median of %s calls of this feature and model (%s against %s tokens)",
		oneDecimal(b.Input, b.Median), grouped(b.GroupCalls), grouped(b.Input), grouped(b.Median))
	if b.Wasted > 0 {
		first += fmt.Sprintf("; the %s tokens above the median cost %s USD", grouped(b.Input-b.Median), b.Wasted)
	}
	out := []string{first + "."}
	if b.Deviation > 0 {
		out = append(out, fmt.Sprintf("That is %s times the usual distance from the median: half of these calls are within %s tokens of it.", oneDecimal(b.Input-b.Median, b.Deviation), grouped(b.Deviation)))
	}
	if b.Input >= cacheable && b.Cached*2 < b.Input {
		out = append(out, fmt.Sprintf("%s of %s input tokens came from the cache; what every call repeats belongs at the beginning of the prompt, where the provider can cache it.",
			grouped(b.Cached), grouped(b.Input)))
	}
	switch {
	case b.Output == 0:
		out = append(out, fmt.Sprintf("The call returned no output tokens for %s input tokens.", grouped(b.Input)))
	case b.Input/b.Output >= 50:
		usual := ""
		if b.MedianRatio >= 0 {
			usual = fmt.Sprintf(" (usual is 1 for every %s)", oneDecimal(b.MedianRatio, 1000))
		}
		out = append(out, fmt.Sprintf("The call returned %s output tokens for %s input tokens, 1 for every %s%s; check whether it needs all of its context.",
			grouped(b.Output), grouped(b.Input), grouped(b.Input/b.Output), usual))
	}
	return out
}

// oneDecimal is num ÷ den as text with at most one decimal, rounded half-even.
func oneDecimal(num, den int64) string {
	tenths := ratioOf(num, den, 10)
	s := grouped(tenths / 10)
	if tenths%10 != 0 {
		s += "." + strconv.FormatInt(tenths%10, 10)
	}
	return s
}

// grouped writes 8400 as 8,400.
func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
