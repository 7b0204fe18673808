package reference

import (
	"bytes"
	"cmp"
	"context"
	"math/big"
	"slices"
	"time"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/usage"
)

func inputCost(r *usage.Record) money.USD {
	return r.Classes[usage.ClassInput] + r.Classes[usage.ClassCacheRead] + r.Classes[usage.ClassCacheWrite] + r.Classes[usage.ClassCacheWrite1h]
}

// spread gives the median absolute deviation of the calls' input, and the median
// of input ÷ output.
func spread(group []*usage.Record, median int64) (deviation, ratio int64) {
	var beyond, ratios []int64
	for _, r := range group {
		beyond = append(beyond, max(r.Counts[usage.Input]-median, median-r.Counts[usage.Input]))
		if r.Counts[usage.Output] > 0 {
			ratios = append(ratios, r.Counts[usage.Input]*1000/r.Counts[usage.Output])
		}
	}
	if ratio = -1; len(ratios) > 0 {
		ratio = quantile(ratios, 50)
	}
	return quantile(beyond, 50), ratio
}

// Growth answers q over the records.
func Growth(records []usage.Record, q analytics.GrowthQuery) analytics.GrowthTable {
	type key struct{ feature, model string }
	groups := map[key][][]*usage.Record{}
	for i := range records {
		r := &records[i]
		if !Match(r, q.Filter) || r.Aggregate || r.Counts[usage.Input] == 0 {
			continue
		}
		k := key{r.Feature, r.ModelID}
		if groups[k] == nil {
			groups[k] = make([][]*usage.Record, q.Parts)
		}
		for n := range q.Parts {
			if w := q.Part(n); !r.Timestamp.Before(w.From) && r.Timestamp.Before(w.To) {
				groups[k][n] = append(groups[k][n], r)
			}
		}
	}
	var t analytics.GrowthTable
	paid := map[key]money.Total{}
	for k, parts := range groups {
		g := analytics.GrowthGroup{Feature: k.feature, Model: k.model}
		for n, calls := range parts {
			if len(calls) == 0 {
				continue
			}
			p := analytics.GrowthPart{Part: n, Calls: int64(len(calls))}
			cost := new(big.Int)
			var inputs []int64
			for _, r := range calls {
				p.Input += r.Counts[usage.Input]
				inputs = append(inputs, r.Counts[usage.Input])
				cost.Add(cost, big.NewInt(int64(inputCost(r))))
			}
			p.Median, p.InputCost = quantile(inputs, 50), total(cost)
			paid[k] = paid[k].Plus(p.InputCost)
			g.Parts = append(g.Parts, p)
		}
		t.Groups = append(t.Groups, g)
	}
	slices.SortFunc(t.Groups, func(a, b analytics.GrowthGroup) int {
		return cmp.Or(paid[key{b.Feature, b.Model}].Cmp(paid[key{a.Feature, a.Model}]), cmp.Compare(a.Feature, b.Feature), cmp.Compare(a.Model, b.Model))
	})
	if q.Groups > 0 && len(t.Groups) > q.Groups {
		t.Left = int64(len(t.Groups) - q.Groups)
		t.Groups = t.Groups[:q.Groups]
	}
	return t
}

// Resent answers q over the records.
func Resent(records []usage.Record, q analytics.HistoryQuery) analytics.HistoryTable {
	type key struct{ project, feature, session string }
	sessions := map[key][]*usage.Record{}
	for i := range records {
		r := &records[i]
		if Match(r, q.Filter) && !r.Aggregate && r.SessionID != "" && r.Counts[usage.Input] > 0 {
			k := key{r.Project, r.Feature, r.SessionID}
			sessions[k] = append(sessions[k], r)
		}
	}
	rows := map[key]*analytics.History{}
	for k, calls := range sessions {
		slices.SortFunc(calls, func(a, b *usage.Record) int {
			return cmp.Or(a.Timestamp.Compare(b.Timestamp), bytes.Compare(a.ID[:], b.ID[:]))
		})
		if !q.BySession {
			k = key{feature: k.feature}
		}
		h := rows[k]
		if h == nil {
			h = &analytics.History{Feature: k.feature, Project: k.project, Session: k.session, First: calls[0].Timestamp}
			rows[k] = h
		}
		h.Sessions++
		h.Calls += int64(len(calls))
		h.Turns += int64(len(calls) - 1)
		h.MaxTurns = max(h.MaxTurns, int64(len(calls)-1))
		first := calls[0].Counts[usage.Input]
		for i, r := range calls {
			input, cached := r.Counts[usage.Input], r.Counts[usage.CacheRead]
			h.Input += input
			h.MaxInput = max(h.MaxInput, input)
			h.First, h.Last = earlier(h.First, r.Timestamp), later(h.Last, r.Timestamp)
			if i == 0 {
				continue
			}
			before := calls[i-1].Counts
			again := min(input, before[usage.Input]+before[usage.Output])
			history := max(0, again-first)
			againCached := min(again, cached)
			historyCached := max(0, againCached-first)
			h.Resent += again
			h.ResentCached += againCached
			h.History += history
			h.HistoryCached += historyCached
			h.ResentCost = h.ResentCost.Plus(paidFor(r, againCached, again-againCached))
			h.HistoryCost = h.HistoryCost.Plus(paidFor(r, historyCached, history-historyCached))
		}
	}
	var t analytics.HistoryTable
	for _, h := range rows {
		if h.Turns > 0 {
			t.Rows = append(t.Rows, *h)
		}
	}
	slices.SortFunc(t.Rows, func(a, b analytics.History) int {
		return cmp.Or(b.HistoryCost.Cmp(a.HistoryCost), b.ResentCost.Cmp(a.ResentCost), cmp.Compare(a.Feature, b.Feature), cmp.Compare(a.Project, b.Project), cmp.Compare(a.Session, b.Session))
	})
	t.Rows, t.More = page(t.Rows, q.Offset, q.Limit)
	return t
}

// paidFor is what tokens of a call from the cache, and others of its input, cost.
func paidFor(r *usage.Record, cached, other int64) money.Total {
	var paid money.Total
	if cached > 0 {
		paid = paid.Add(share(r.Classes[usage.ClassCacheRead], cached, r.Counts[usage.CacheRead]))
	}
	if other > 0 {
		paid = paid.Add(share(inputCost(r)-r.Classes[usage.ClassCacheRead], other, r.Counts[usage.Input]-r.Counts[usage.CacheRead]))
	}
	return paid
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// Growth says how the input of features and models moved.
func (l *Ledger) Growth(ctx context.Context, q analytics.GrowthQuery) (analytics.GrowthTable, error) {
	if err := ctx.Err(); err != nil {
		return analytics.GrowthTable{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	t := Growth(l.visible(q.AsOf), q)
	t.TruncatedBefore = removedUpTo(l.pruned, analytics.Query{Filter: q.Filter}, analytics.Window{From: q.From, To: q.To})
	t.AsOf, t.Revision = l.seen(q.AsOf), l.revision
	return t, nil
}

// Resent says what sessions sent again.
func (l *Ledger) Resent(ctx context.Context, q analytics.HistoryQuery) (analytics.HistoryTable, error) {
	if err := ctx.Err(); err != nil {
		return analytics.HistoryTable{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	t := Resent(l.visible(q.AsOf), q)
	t.TruncatedBefore = removedUpTo(l.pruned, analytics.Query{Filter: q.Filter}, analytics.Window{From: q.From, To: q.To})
	t.AsOf, t.Revision = l.seen(q.AsOf), l.revision
	return t, nil
}
