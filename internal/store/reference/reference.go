// Package reference answers the ledger's questions the slow and obvious way:
// one loop over all records, sums in math/big. It is the oracle that engines
// and services are tested against, and is never linked into the program.
package reference

import (
	"bytes"
	"cmp"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/usage"
)

// Value is the record's name in a dimension; "" when it has none. bySent takes
// provider and model as sent instead of normalised.
func Value(r *usage.Record, d analytics.Dimension, bySent bool) string {
	if tag, ok := d.TagName(); ok {
		return r.Tags[tag]
	}
	switch d {
	case analytics.Feature:
		return r.Feature
	case analytics.Model:
		if bySent {
			return r.Model
		}
		return r.ModelID
	case analytics.Provider:
		if bySent {
			return r.Provider
		}
		return r.ProviderID
	case analytics.User:
		return r.UserID
	case analytics.Department:
		return r.Department
	case analytics.Project:
		return r.Project
	case analytics.Environment:
		return r.Environment
	case analytics.Session:
		return r.SessionID
	case analytics.Operation:
		return r.Operation
	case analytics.Trace:
		return r.TraceID
	case analytics.Tier:
		return r.ServiceTier
	}
	panic("reference: unknown dimension " + string(d))
}

// Match says whether the filter selects the record. Provider and model are
// compared as normalised, in Called also as sent. A dimension with an empty list of values accepts none.
// AsOf is not judged here: records carry no commit number.
func Match(r *usage.Record, f analytics.Filter) bool {
	if !f.From.IsZero() && r.Timestamp.Before(f.From) {
		return false
	}
	if !f.To.IsZero() && !r.Timestamp.Before(f.To) {
		return false
	}
	for d, values := range f.Any {
		if !slices.Contains(values, Value(r, d, false)) {
			return false
		}
	}
	for d, names := range f.Called {
		if !slices.Contains(names, Value(r, d, false)) && !slices.Contains(names, Value(r, d, true)) {
			return false
		}
	}
	if f.Status == analytics.StatusOK && r.Error || f.Status == analytics.StatusError && !r.Error {
		return false
	}
	if len(f.Sources) > 0 && !slices.Contains(f.Sources, r.Source) {
		return false
	}
	return f.Aggregates || !r.Aggregate
}

// group collects the records of one row.
type group struct {
	names   []string
	bucket  time.Time
	records []*usage.Record
}

// Query answers q over the records. Only the columns of the asked measures are
// filled. Rows with a Grain come by bucket, then by names.
func Query(records []usage.Record, q analytics.Query) analytics.Table {
	if q.Baseline != (analytics.Window{}) {
		return moved(records, q)
	}
	groups := map[string]*group{}
	if len(q.GroupBy) == 0 && q.Grain == 0 {
		groups[""] = &group{}
	}
	for i := range records {
		r := &records[i]
		if !Match(r, q.Filter) {
			continue
		}
		names := make([]string, 0, len(q.GroupBy))
		for _, d := range q.GroupBy {
			names = append(names, Value(r, d, q.BySent))
		}
		if len(q.GroupBy) == 0 {
			names = nil
		}
		var bucket time.Time
		key := strings.Join(names, "\x00") // no name contains U+0000
		if q.Grain > 0 {
			start := time.Unix(0, 0).UTC().Add(q.Shift)
			bucket = start.Add(r.Timestamp.Sub(start) / q.Grain * q.Grain)
			key += "\x00" + bucket.Format(time.RFC3339Nano)
		}
		g := groups[key]
		if g == nil {
			g = &group{names: names, bucket: bucket}
			groups[key] = g
		}
		g.records = append(g.records, r)
	}

	var t analytics.Table
	for _, g := range groups {
		row := aggregate(g, q.Measures)
		t.Rows = append(t.Rows, row)
		t.Cost = t.Cost.Plus(row.Cost)
		t.Calls += row.Calls
		t.Unpriced += row.Unpriced
		t.Fallback += row.Fallback
	}
	slices.SortFunc(t.Rows, func(a, b analytics.Row) int {
		if q.Grain > 0 {
			return cmp.Or(a.Bucket.Compare(b.Bucket), slices.Compare(a.Names, b.Names))
		}
		return cmp.Or(b.Cost.Cmp(a.Cost), slices.Compare(a.Names, b.Names))
	})
	t.Groups = int64(len(t.Rows))
	if q.Grain == 0 {
		t.Rows, t.More = page(t.Rows, q.Offset, q.Limit)
	}
	return t
}

// moved answers a question with a baseline: the rows of one window less those of
// the other.
func moved(records []usage.Record, q analytics.Query) analytics.Table {
	is := q
	is.Baseline, is.Limit, is.Offset = analytics.Window{}, 0, 0
	was := is
	was.From, was.To = q.Baseline.From, q.Baseline.To
	return move(Query(records, is), Query(records, was), q)
}

// move takes the rows of was off those of t.
func move(t, was analytics.Table, q analytics.Query) analytics.Table {
	for _, row := range was.Rows {
		at := slices.IndexFunc(t.Rows, func(r analytics.Row) bool { return slices.Equal(r.Names, row.Names) })
		if at < 0 {
			at = len(t.Rows)
			t.Rows = append(t.Rows, analytics.Row{Names: row.Names})
		}
		t.Rows[at].Cost, t.Rows[at].Calls = t.Rows[at].Cost.Sub(row.Cost), t.Rows[at].Calls-row.Calls
		t.Cost, t.Calls = t.Cost.Sub(row.Cost), t.Calls-row.Calls
	}
	far := func(r *analytics.Row) *big.Int { return new(big.Int).Abs(r.Cost.Big()) }
	slices.SortFunc(t.Rows, func(a, b analytics.Row) int {
		return cmp.Or(far(&b).Cmp(far(&a)), slices.Compare(a.Names, b.Names))
	})
	t.Groups = int64(len(t.Rows))
	t.Rows, t.More = page(t.Rows, q.Offset, q.Limit)
	return t
}

func aggregate(g *group, m analytics.Measures) analytics.Row {
	var cost, saving, input, output, cached, latency big.Int
	var classes, tokens [usage.NumClasses]big.Int
	row := analytics.Row{Names: g.names, Bucket: g.bucket, Calls: int64(len(g.records))}
	latencies := make([]int64, 0, len(g.records))
	add := func(sum *big.Int, n int64) { sum.Add(sum, big.NewInt(n)) }
	for _, r := range g.records {
		for c, amount := range r.Classes {
			add(&cost, int64(amount))
			add(&classes[c], int64(amount))
		}
		add(&saving, int64(r.CacheSaving))
		add(&input, r.Counts[usage.Input])
		add(&output, r.Counts[usage.Output])
		add(&cached, r.Counts[usage.CacheRead])
		for unit, n := range buckets(r) {
			if usage.Units[unit].Per == perTokens {
				add(&tokens[usage.Units[unit].Class], n)
			}
		}
		add(&latency, r.Latency.Microseconds())
		latencies = append(latencies, r.Latency.Microseconds())
		if r.Error {
			row.Errors++
		}
		if r.Source == usage.SourceClient || r.Source == usage.SourceUnpriced {
			row.Unpriced++
		}
		if r.Fallback {
			row.Fallback++
		}
		if row.First.IsZero() || r.Timestamp.Before(row.First) {
			row.First = r.Timestamp
		}
		if r.Timestamp.After(row.Last) {
			row.Last = r.Timestamp
		}
	}
	row.Cost = total(&cost)
	has := func(measure analytics.Measures) bool { return m&measure != 0 }
	if has(analytics.MeasureClasses) {
		for c := range classes {
			row.Classes[c] = total(&classes[c])
		}
	}
	if has(analytics.MeasureClassTokens) {
		for c := range tokens {
			row.ClassTokens[c] = integer(&tokens[c])
		}
	}
	if has(analytics.MeasureSaving) {
		row.Saving = total(&saving)
	}
	if has(analytics.MeasureTokens) {
		row.Input, row.Output, row.Cached = integer(&input), integer(&output), integer(&cached)
	}
	if has(analytics.MeasureLatency) {
		row.LatencyMicros = integer(&latency)
	}
	if has(analytics.MeasureP95) {
		row.P95Micros = quantile(latencies, 95)
	}
	if has(analytics.MeasureRoot) {
		row.Root, row.End = rootOf(g.records)
	}
	if !has(analytics.MeasureErrors) {
		row.Errors = 0
	}
	if !has(analytics.MeasureSource) {
		row.Unpriced, row.Fallback = 0, 0
	}
	if !has(analytics.MeasureSeen) {
		row.First, row.Last = time.Time{}, time.Time{}
	}
	return row
}

// perTokens is what tells tokens from other units: they are priced by the million.
const perTokens = 1_000_000

func buckets(r *usage.Record) usage.Buckets {
	b, bad := r.Counts.Buckets()
	if len(bad) > 0 {
		panic("reference: a stored record with impossible counts: " + bad[0].Field)
	}
	return b
}

// quantile is the smallest value such that at least percent of all values are
// not above it; 0 when there are none. It sorts values.
func quantile(values []int64, percent int) int64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[(percent*len(values)+99)/100-1]
}

// Bloat answers q over the records.
func Bloat(records []usage.Record, q analytics.BloatQuery) analytics.BloatTable {
	type key struct{ feature, model string }
	groups := map[key][]*usage.Record{}
	for i := range records {
		r := &records[i]
		if Match(r, q.Filter) && !r.Aggregate && r.Counts[usage.Input] > 0 {
			k := key{r.Feature, r.ModelID}
			groups[k] = append(groups[k], r)
		}
	}
	var t analytics.BloatTable
	for _, group := range groups {
		if int64(len(group)) < q.MinCalls {
			continue
		}
		inputs := make([]int64, 0, len(group))
		for _, r := range group {
			inputs = append(inputs, r.Counts[usage.Input])
		}
		median := quantile(inputs, 50)
		deviation, ratio := int64(0), int64(-1)
		if q.Spread {
			deviation, ratio = spread(group, median)
		}
		for _, r := range group {
			input := r.Counts[usage.Input]
			reach := new(big.Int).Mul(big.NewInt(input), big.NewInt(1000))
			least := new(big.Int).Mul(big.NewInt(q.MinRatio), big.NewInt(median))
			if reach.Cmp(least) < 0 {
				continue
			}
			inputCost := inputCost(r)
			t.Rows = append(t.Rows, analytics.Bloat{
				ID:         r.ID,
				Timestamp:  r.Timestamp,
				Feature:    r.Feature,
				Model:      r.ModelID,
				Input:      input,
				Cached:     r.Counts[usage.CacheRead],
				Output:     r.Counts[usage.Output],
				Median:     median,
				GroupCalls: int64(len(group)),
				InputCost:  inputCost,
				Wasted:     share(inputCost, input-median, input),
				Project:    r.Project, PromptID: r.PromptID, Deviation: deviation, MedianRatio: ratio,
			})
		}
	}
	slices.SortFunc(t.Rows, func(a, b analytics.Bloat) int {
		return cmp.Or(cmp.Compare(b.Wasted, a.Wasted), bytes.Compare(a.ID[:], b.ID[:]))
	})
	t.Rows, t.More = page(t.Rows, q.Offset, q.Limit)
	return t
}

// share is amount × num ÷ den rounded half-even.
func share(amount money.USD, num, den int64) money.USD {
	exact := new(big.Rat).SetFrac(
		new(big.Int).Mul(big.NewInt(int64(amount)), big.NewInt(num)), big.NewInt(den))
	down := new(big.Int).Div(exact.Num(), exact.Denom()) // floor: the denominator is positive
	rest := new(big.Rat).Sub(exact, new(big.Rat).SetInt(down))
	if c := rest.Cmp(big.NewRat(1, 2)); c > 0 || c == 0 && down.Bit(0) == 1 {
		down.Add(down, big.NewInt(1))
	}
	return money.USD(integer(down))
}

// Events lists what q selects, newest first, then by descending id.
func Events(records []usage.Record, q store.EventQuery) []usage.Record {
	var out []usage.Record
	for i := range records {
		if Match(&records[i], q.Filter) {
			out = append(out, records[i])
		}
	}
	order := func(a, b store.EventKey) int {
		return cmp.Or(b.Timestamp.Compare(a.Timestamp), bytes.Compare(b.ID[:], a.ID[:]))
	}
	slices.SortFunc(out, func(a, b usage.Record) int { return order(Key(&a), Key(&b)) })
	if q.After != nil {
		out = slices.DeleteFunc(out, func(r usage.Record) bool { return order(Key(&r), *q.After) <= 0 })
	}
	out, _ = page(out, 0, q.Limit)
	return out
}

// Key is the record's place in the order of Events.
func Key(r *usage.Record) store.EventKey { return store.EventKey{Timestamp: r.Timestamp, ID: r.ID} }

// page cuts a ranking; limit 0 is no limit.
func page[T any](rows []T, offset, limit int) (cut []T, more bool) {
	rows = rows[min(offset, len(rows)):]
	if limit > 0 && len(rows) > limit {
		return rows[:limit], true
	}
	return rows, false
}

func total(b *big.Int) money.Total {
	t, err := money.TotalFromBig(b)
	if err != nil {
		panic(err)
	}
	return t
}

func integer(b *big.Int) int64 {
	if !b.IsInt64() {
		panic("reference: sum does not fit 63 bits: " + b.String())
	}
	return b.Int64()
}
