package sqlquery

import (
	"context"
	"database/sql"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/costprof/costprof/internal/analytics"
)

// Asker answers questions in one transaction.
type Asker struct {
	*Dialect
	Querier
	// Sums finds the sums of hours that may serve a question, nil for none.
	Sums func(context.Context, analytics.Query) (*Sums, error)
	// Pruned says which events were removed for their age.
	Pruned analytics.Pruned
}

// Answer answers a question whose AsOf is set.
func (a Asker) Answer(ctx context.Context, q analytics.Query) (t analytics.Table, err error) {
	if wide(q) {
		t, err = a.rankThenMeasure(ctx, q)
	} else {
		t, err = a.run(ctx, q)
	}
	if err == nil && q.Offset > 0 && len(t.Rows) == 0 {
		// The sums come beside the rows; behind the last row they are asked for.
		first := q
		first.Offset, first.Limit = 0, 1
		first.Measures &= analytics.MeasureSource
		var whole analytics.Table
		whole, err = a.run(ctx, first)
		t.Cost, t.Calls, t.Unpriced, t.Fallback, t.Groups = whole.Cost, whole.Calls, whole.Unpriced, whole.Fallback, whole.Groups
	}
	truncate(a.Pruned, q, &t)
	return t, err
}

// wide says whether a ranking may be over so many groups that carrying every
// measure for each of them costs more than a second look at the few that are
// shown: 0.4 million sessions of a month take 3 times as long, and a percentile
// for each of them 10 times.
func wide(q analytics.Query) bool {
	if q.Limit == 0 || q.Grain > 0 || q.Measures == 0 {
		return false
	}
	for _, d := range q.GroupBy {
		if _, ok := eventDimensions[d]; ok && !named(q, d) {
			return true
		}
	}
	return false
}

// named says whether the question names the few values of a dimension that it is
// about.
func named(q analytics.Query, d analytics.Dimension) bool {
	values, ok := q.Any[d]
	return ok && len(values) <= maxNamed
}

// maxNamed is up to how many values are few: a page of a ranking.
const maxNamed = 1_000

// rankThenMeasure ranks by cost alone and then measures the groups that are
// shown. Both look at the same commits.
func (a Asker) rankThenMeasure(ctx context.Context, q analytics.Query) (analytics.Table, error) {
	ranking := q
	ranking.Measures &= analytics.MeasureSource // for the sums over all
	t, err := a.run(ctx, ranking)
	if err != nil || len(t.Rows) == 0 {
		return t, err
	}
	shown := q
	shown.Limit, shown.Offset = 0, 0
	shown.Any = maps.Clone(q.Any)
	if shown.Any == nil {
		shown.Any = map[analytics.Dimension][]string{}
	}
	place := make(map[string]int, len(t.Rows))
	for i, r := range t.Rows {
		place[key(r.Names)] = i
	}
	for g, d := range q.GroupBy {
		if _, given := q.Any[d]; given || q.BySent {
			continue // restricted already, or not by this name
		}
		names := map[string]bool{}
		for _, r := range t.Rows {
			names[r.Names[g]] = true
		}
		shown.Any[d] = slices.Sorted(maps.Keys(names))
	}
	measured, err := a.run(ctx, shown)
	if err != nil {
		return t, err
	}
	for _, r := range measured.Rows {
		if i, ok := place[key(r.Names)]; ok {
			t.Rows[i] = r
		}
	}
	return t, nil
}

// key joins names unambiguously.
func key(names []string) string {
	var b strings.Builder
	for _, n := range names {
		b.WriteString(strconv.Itoa(len(n)))
		b.WriteByte(':')
		b.WriteString(n)
	}
	return b.String()
}

// run compiles and runs one SELECT; q.AsOf is set.
func (a Asker) run(ctx context.Context, q analytics.Query) (analytics.Table, error) {
	var t analytics.Table
	var kept *Sums
	var err error
	if servedBySums(q) {
		if kept, err = a.Sums(ctx, q); err != nil {
			return t, err
		}
	}
	c, err := a.compile(q, kept, a.Pruned)
	if err != nil {
		return t, err
	}
	rows, err := a.Query(ctx, c.text, c.Args...)
	if err != nil {
		return t, err
	}
	defer rows.Close()
	for rows.Next() {
		r, err := c.scan(rows, &t, &q)
		if err != nil {
			return t, err
		}
		t.Rows = append(t.Rows, r)
	}
	if q.Limit > 0 && c.ranked && len(t.Rows) > q.Limit {
		t.Rows, t.More = t.Rows[:q.Limit], true
	}
	if !c.ranked {
		t.Groups = int64(len(t.Rows))
		for _, r := range t.Rows {
			t.Cost, t.Calls = t.Cost.Plus(r.Cost), t.Calls+r.Calls
			t.Unpriced, t.Fallback = t.Unpriced+r.Unpriced, t.Fallback+r.Fallback
		}
	}
	return t, rows.Err()
}

func (a *aggregate) scan(rows Rows, t *analytics.Table, q *analytics.Query) (analytics.Row, error) {
	var r analytics.Row
	names := make([]sql.NullString, a.groups)
	var bucket int64
	targets := make([]any, 0, a.groups+len(a.measures)+4)
	for i := range names {
		targets = append(targets, &names[i])
	}
	if a.bucket {
		targets = append(targets, &bucket)
	}
	for _, m := range a.measures {
		targets = append(targets, m.target(&r))
	}
	var whole analytics.Row
	if a.ranked {
		for _, m := range a.measures {
			if m.summed {
				targets = append(targets, m.target(&whole))
			}
		}
		targets = append(targets, &t.Groups)
	}
	if err := rows.Scan(targets...); err != nil {
		return r, err
	}
	if a.ranked {
		t.Cost, t.Calls, t.Unpriced, t.Fallback = whole.Cost, whole.Calls, whole.Unpriced, whole.Fallback
	}
	if a.groups > 0 {
		r.Names = make([]string, a.groups)
		for i, n := range names {
			r.Names[i] = n.String
		}
	}
	if a.bucket {
		r.Bucket = time.UnixMicro(bucket * q.Grain.Microseconds()).Add(q.Shift).UTC()
	}
	return r, nil
}
