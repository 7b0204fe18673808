package report

import (
	"cmp"
	"context"
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/money"
)

// The parts that a window is cut into.
const (
	DefaultParts = 4
	MaxParts     = 24
	// growthGroups is of how many features and models, those with the dearest input,
	// the growth is looked at.
	growthGroups = 1000
)

// GrowthRequest asks how the typical input of features and models moved.
type GrowthRequest struct {
	analytics.Filter
	// Parts is how many parts of equal length are compared; 0 is DefaultParts.
	Parts int
	// Limit is the size of the page; 0 is DefaultLimit.
	Limit int
	// Cursor continues a ranking; its window then replaces the filter's.
	Cursor string
}

// Growths is a page, those first whose growth costs most.
type Growths struct {
	Rows []Growth
	// Uncompared are features and models with fewer than two parts of DefaultMinCalls
	// calls; Left those beyond the dearest thousand, which were not looked at.
	Uncompared, Left int64
	From, To         time.Time
	// NextCursor and TruncatedBefore are as in Prompts.
	NextCursor      string
	TruncatedBefore time.Time
}

// Growth is how the median input of a feature and model moved from the first to
// the last part with DefaultMinCalls calls.
type Growth struct {
	Feature, Model string
	// Parts are all parts of the window, in order.
	Parts []GrowthPart
	// First and Last are those compared.
	First, Last GrowthPart
	// Calls and InputCost are of the whole window.
	Calls     int64
	InputCost money.Total
	// Ratio is last ÷ first median, in thousandths, rounded half-even.
	Ratio int64
	// Added is (last median − first median) × calls of the last part × its input cost ÷
	// its input tokens, rounded half-even: what the difference cost there, at the price really paid for a token. It is
	// negative where the input shrank.
	Added money.Total
	// Suggestions are sentences that name the figures they rest on.
	Suggestions []string
}

// GrowthPart is a part of the window; the median of no call is 0.
type GrowthPart struct {
	analytics.Window
	analytics.GrowthPart
}

// Growth ranks features and models by what the growth of their typical input cost.
// fault.Gone when a cursor's ranking ended.
func (s *Service) Growth(ctx context.Context, r GrowthRequest) (Growths, error) {
	limit, err := pageSize(r.Limit)
	if err != nil {
		return Growths{}, err
	}
	switch {
	case r.Parts == 0:
		r.Parts = DefaultParts
	case r.Parts < 2 || r.Parts > MaxParts:
		return Growths{}, fault.Field("parts", fmt.Sprintf("must be between 2 and %d", MaxParts))
	}
	question := question{kindGrowth, r.Filter, nil, []int64{int64(r.Parts)}}
	at, err := question.rank(r.Cursor, s.Now())
	if err != nil {
		return Growths{}, err
	}
	q := analytics.GrowthQuery{Filter: r.Filter, Parts: r.Parts, Groups: growthGroups}
	q.From, q.To, q.AsOf = ceilMicro(at.from), ceilMicro(at.to), at.asOf
	t, err := s.Ledger.Growth(ctx, q)
	if err != nil {
		return Growths{}, err
	}
	out := Growths{From: at.from, To: at.to, Left: t.Left, TruncatedBefore: t.TruncatedBefore}
	var rows []Growth
	for _, g := range t.Groups {
		row, compared := growthOf(q, g)
		if !compared {
			out.Uncompared++
			continue
		}
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b Growth) int {
		return cmp.Or(b.Added.Cmp(a.Added), cmp.Compare(b.Ratio, a.Ratio), cmp.Compare(a.Feature, b.Feature), cmp.Compare(a.Model, b.Model))
	})
	rows = rows[min(int(at.offset), len(rows)):]
	more := len(rows) > limit
	out.Rows = rows[:min(limit, len(rows))]
	out.NextCursor, err = question.next(at, r.Cursor, rankedPage{len(out.Rows), more, t.AsOf, t.Revision})
	return out, err
}

// ceilMicro rounds up to the precision of events: what is not before t is not
// before the result.
func ceilMicro(t time.Time) time.Time {
	return t.UTC().Add(time.Microsecond - 1).Truncate(time.Microsecond)
}

// growthOf says nothing of a group that has too few calls in too many parts.
func growthOf(q analytics.GrowthQuery, g analytics.GrowthGroup) (Growth, bool) {
	out := Growth{Feature: g.Feature, Model: g.Model, Parts: make([]GrowthPart, q.Parts)}
	for i := range out.Parts {
		out.Parts[i].Window, out.Parts[i].Part = q.Part(i), i
	}
	first, last := -1, -1
	for _, p := range g.Parts {
		out.Parts[p.Part].GrowthPart = p
		out.Calls += p.Calls
		out.InputCost = out.InputCost.Plus(p.InputCost)
		if p.Calls >= DefaultMinCalls {
			if first < 0 {
				first = p.Part
			}
			last = p.Part
		}
	}
	if first == last {
		return out, false
	}
	out.First, out.Last = out.Parts[first], out.Parts[last]
	out.Ratio = ratioOf(out.Last.Median, out.First.Median, 1000)
	out.Added = added(out.First, out.Last)
	out.Suggestions = suggestGrowth(out)
	return out, true
}

func added(first, last GrowthPart) money.Total {
	grown := last.Median - first.Median
	n := new(big.Int).Mul(last.InputCost.Big(), big.NewInt(max(grown, -grown)))
	n.Mul(n, big.NewInt(last.Calls))
	half := divideHalfEven(n, big.NewInt(last.Input))
	if grown < 0 {
		half.Neg(half)
	}
	sum, err := money.TotalFromBig(half)
	if err != nil {
		// Beyond 128 bits is more than all calls of a ledger can cost.
		return money.Total{}
	}
	return sum
}

func suggestGrowth(g Growth) []string {
	grown := g.Last.Median - g.First.Median
	day := func(w analytics.Window) string {
		return fmt.Sprintf("%s to %s", w.From.UTC().Format(spoken), w.To.UTC().Format(spoken))
	}
	switch {
	case grown == 0:
		return []string{fmt.Sprintf("The median input stayed at %s tokens.", grouped(g.Last.Median))}
	case grown < 0:
		return []string{fmt.Sprintf("The median input fell from %s tokens (%s calls, %s) to %s (%s calls, %s).",
			grouped(g.First.Median), grouped(g.First.Calls), day(g.First.Window), grouped(g.Last.Median), grouped(g.Last.Calls), day(g.Last.Window))}
	}
	out := fmt.Sprintf("The median input grew from %s tokens (%s calls, %s) to %s (%s calls, %s), %s times as much",
		grouped(g.First.Median), grouped(g.First.Calls), day(g.First.Window), grouped(g.Last.Median), grouped(g.Last.Calls), day(g.Last.Window), oneDecimal(g.Last.Median, g.First.Median))
	if g.Added.Sign() > 0 {
		out += fmt.Sprintf("; the %s tokens more of each of the %s calls cost %s USD", grouped(grown), grouped(g.Last.Calls), g.Added)
	}
	list := []string{out + "."}
	// The step that is largest says when to look for a change.
	from, to := -1, -1
	most := int64(0)
	before := -1
	for i, p := range g.Parts {
		if p.Calls < DefaultMinCalls {
			continue
		}
		if before >= 0 && p.Median-g.Parts[before].Median > most {
			most, from, to = p.Median-g.Parts[before].Median, before, i
		}
		before = i
	}
	if from >= 0 && len(g.Parts) > 2 {
		list = append(list, fmt.Sprintf("The largest step, %s tokens, is between the parts that begin on %s and on %s: look for what was changed in the prompt then.",
			grouped(most), g.Parts[from].From.UTC().Format(spoken), g.Parts[to].From.UTC().Format(spoken)))
	}
	return list
}

// spoken is how a sentence writes a time, in UTC.
const spoken = "2006-01-02 15:04"
