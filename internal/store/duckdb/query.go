package duckdb

import (
	"context"
	"database/sql"
	"strings"
	"time"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/store/sqlquery"
)

// dialect is how DuckDB says what engines say differently.
func dialect() *sqlquery.Dialect {
	return &sqlquery.Dialect{
		Divide:   "//",
		Micros:   "epoch_us(ts)",
		CountIf:  func(condition string) string { return "count_if(" + condition + ")" },
		Quantile: func(column, fraction string) string { return "quantile_disc(" + column + ", " + fraction + ")" },
		Share:    share,
		Hash:     func(number, text string) string { return "hash(" + number + ", " + text + ")" },
		Earliest: func(value string, keys ...string) string {
			return "arg_min(" + value + ", row(" + strings.Join(keys, ", ") + "))"
		},
		Time:  func(t time.Time) any { return t.UTC() },
		Texts: "::VARCHAR[]",
	}
}

// Query implements store.Ledger.
func (e *Engine) Query(ctx context.Context, q analytics.Query) (analytics.Table, error) {
	var t analytics.Table
	err := e.read(ctx, func(db querier, at position) (err error) {
		q.AsOf = at.bound(q.AsOf)
		t, err = asker(db, at).Answer(ctx, q)
		t.AsOf, t.Revision = q.AsOf, at.revision
		return err
	})
	return t, err
}

// CallTree implements store.Ledger.
func (e *Engine) CallTree(ctx context.Context, q analytics.CallTreeQuery) (analytics.Table, error) {
	var t analytics.Table
	err := e.read(ctx, func(db querier, at position) (err error) {
		q.AsOf = at.bound(q.AsOf)
		t, err = asker(db, at).CallTree(ctx, q)
		t.AsOf, t.Revision = q.AsOf, at.revision
		return err
	})
	return t, err
}

// Growth implements store.Ledger.
func (e *Engine) Growth(ctx context.Context, q analytics.GrowthQuery) (analytics.GrowthTable, error) {
	var t analytics.GrowthTable
	err := e.read(ctx, func(db querier, at position) (err error) {
		q.AsOf = at.bound(q.AsOf)
		t, err = asker(db, at).Growth(ctx, q)
		t.AsOf, t.Revision = q.AsOf, at.revision
		return err
	})
	return t, err
}

// Resent implements store.Ledger.
func (e *Engine) Resent(ctx context.Context, q analytics.HistoryQuery) (analytics.HistoryTable, error) {
	var t analytics.HistoryTable
	err := e.read(ctx, func(db querier, at position) (err error) {
		q.AsOf = at.bound(q.AsOf)
		t, err = asker(db, at).Resent(ctx, q)
		t.AsOf, t.Revision = q.AsOf, at.revision
		return err
	})
	return t, err
}

func asker(db querier, at position) sqlquery.Asker {
	return sqlquery.Asker{
		Dialect: dialect(),
		Querier: selecter{db},
		Sums:    func(ctx context.Context, q analytics.Query) (*sqlquery.Sums, error) { return findSums(ctx, db, q) },
		Pruned:  at.pruned,
	}
}

// querier is what a *sql.DB, a connection and a transaction have in common.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// selecter is a querier for sqlquery.
type selecter struct{ querier }

func (s selecter) Query(ctx context.Context, text string, args ...any) (sqlquery.Rows, error) {
	return s.QueryContext(ctx, text, args...)
}
