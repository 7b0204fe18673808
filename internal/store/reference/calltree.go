package reference

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/usage"
)

// CallTree answers q over the records.
func CallTree(records []usage.Record, q analytics.CallTreeQuery) analytics.Table {
	type key struct{ project, trace, span string }
	around := analytics.Filter{To: q.To, Aggregates: true}
	if !q.From.IsZero() {
		around.From = q.From.Add(-analytics.TraceReach)
	}
	first := map[key]*usage.Record{}
	for i := range records {
		r := &records[i]
		if !Match(r, around) {
			continue
		}
		k := key{r.Project, r.TraceID, r.SpanID}
		if f := first[k]; f == nil || cmp.Or(r.Timestamp.Compare(f.Timestamp), bytes.Compare(r.ID[:], f.ID[:])) < 0 {
			first[k] = r
		}
	}
	pathOf := func(r *usage.Record) []string {
		path := []string{r.SpanName()}
		for at := r; at.ParentSpanID != ""; {
			parent := first[key{r.Project, r.TraceID, at.ParentSpanID}]
			if parent == nil || parent == at {
				break
			}
			path = append(path, parent.SpanName())
			at = parent
			if len(path) > analytics.MaxCallDepth+1 {
				return path[:1]
			}
		}
		slices.Reverse(path)
		return path
	}
	groups := map[string]*group{}
	for i := range records {
		r := &records[i]
		if !Match(r, q.Filter) {
			continue
		}
		path := pathOf(r)
		k := analytics.JoinPath(path)
		if groups[k] == nil {
			groups[k] = &group{names: path}
		}
		groups[k].records = append(groups[k].records, r)
	}
	var t analytics.Table
	for _, g := range groups {
		row := aggregate(g, analytics.MeasureTokens|analytics.MeasureSource)
		t.Rows = append(t.Rows, row)
		t.Cost, t.Calls = t.Cost.Plus(row.Cost), t.Calls+row.Calls
		t.Unpriced, t.Fallback = t.Unpriced+row.Unpriced, t.Fallback+row.Fallback
	}
	slices.SortFunc(t.Rows, func(a, b analytics.Row) int {
		return cmp.Or(b.Cost.Cmp(a.Cost), strings.Compare(analytics.JoinPath(a.Names), analytics.JoinPath(b.Names)))
	})
	t.Rows, t.More = page(t.Rows, 0, q.Limit)
	return t
}

// CallTree sums calls by the spans above them.
func (l *Ledger) CallTree(ctx context.Context, q analytics.CallTreeQuery) (analytics.Table, error) {
	if err := ctx.Err(); err != nil {
		return analytics.Table{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	t := CallTree(l.visible(q.AsOf), q)
	t.TruncatedBefore = removedUpTo(l.pruned, analytics.Query{Filter: q.Filter}, analytics.Window{From: q.From, To: q.To})
	t.AsOf, t.Revision = l.seen(q.AsOf), l.revision
	return t, nil
}

// rootOf is the span name of the earliest record without a parent, or of the
// earliest one, and when the last one ended.
func rootOf(records []*usage.Record) (string, time.Time) {
	var root *usage.Record
	var end time.Time
	for _, r := range records {
		if e := r.Timestamp.Add(r.Latency); e.After(end) {
			end = e
		}
		if root == nil || before(r, root) {
			root = r
		}
	}
	if root == nil {
		return "", end
	}
	return root.SpanName(), end
}

func before(a, b *usage.Record) bool {
	if (a.ParentSpanID == "") != (b.ParentSpanID == "") {
		return a.ParentSpanID == ""
	}
	return cmp.Or(a.Timestamp.Compare(b.Timestamp), bytes.Compare(a.ID[:], b.ID[:])) < 0
}
