package duckdb

import (
	"context"
	"database/sql"
	"time"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/money"
)

// Query implements store.Ledger.
func (e *Engine) Query(ctx context.Context, q analytics.Query) (analytics.Table, error) {
	var t analytics.Table
	err := e.read(ctx, func(db *sql.DB, at position) error {
		t = analytics.Table{AsOf: at.bound(q.AsOf), Revision: at.revision}
		a, err := compile(q, t.AsOf)
		if err != nil {
			return err
		}
		rows, err := db.QueryContext(ctx, a.text, a.args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			r, err := a.scan(rows, &t, q.Grain)
			if err != nil {
				return err
			}
			t.Rows = append(t.Rows, r)
		}
		if q.Limit > 0 && a.ranked && len(t.Rows) > q.Limit {
			t.Rows, t.More = t.Rows[:q.Limit], true
		}
		if !a.ranked {
			for _, r := range t.Rows {
				t.Cost, t.Calls = t.Cost.Plus(r.Cost), t.Calls+r.Calls
			}
		}
		return rows.Err()
	})
	if err == nil && q.Offset > 0 && len(t.Rows) == 0 {
		// The sums come beside the rows; behind the last row they are asked for.
		first := q
		first.AsOf, first.Offset, first.Limit = t.AsOf, 0, 1
		var whole analytics.Table
		whole, err = e.Query(ctx, first)
		t.Cost, t.Calls = whole.Cost, whole.Calls
	}
	return t, err
}

func (a *aggregate) scan(rows *sql.Rows, t *analytics.Table, grain time.Duration) (analytics.Row, error) {
	var r analytics.Row
	names := make([]sql.NullString, a.groups)
	var bucket int64
	targets := make([]any, 0, a.groups+len(a.measures)+3)
	for i := range names {
		targets = append(targets, &names[i])
	}
	if a.bucket {
		targets = append(targets, &bucket)
	}
	for _, m := range a.measures {
		targets = append(targets, m.target(&r))
	}
	var cost money.Total
	var calls int64
	if a.ranked {
		targets = append(targets, totalScanner{&cost}, intScanner{&calls})
	}
	if err := rows.Scan(targets...); err != nil {
		return r, err
	}
	if a.ranked {
		t.Cost, t.Calls = cost, calls
	}
	if a.groups > 0 {
		r.Names = make([]string, a.groups)
		for i, n := range names {
			r.Names[i] = n.String
		}
	}
	if a.bucket {
		r.Bucket = time.UnixMicro(bucket * grain.Microseconds()).UTC()
	}
	return r, nil
}
