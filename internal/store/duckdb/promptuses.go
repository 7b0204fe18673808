package duckdb

import (
	"context"
	"math/big"

	duck "github.com/duckdb/duckdb-go/v2"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/store/sqlquery"
	"github.com/costprof/costprof/internal/usage"
)

// PromptUses implements store.Uses.
func (e *Engine) PromptUses(ctx context.Context, ids []usage.ID, f analytics.Filter) (out []store.PromptUse, err error) {
	if len(ids) == 0 {
		return nil, nil
	}
	if servesUses(f) {
		if out, ok := e.uses.now(&e.last, ids, f); ok {
			return out, nil
		}
	}
	err = e.read(ctx, func(db querier, at position) error {
		if servesUses(f) {
			var ok bool
			if out, ok, err = e.keptPromptUses(ctx, db, at, ids, f); err != nil || ok {
				return err
			}
		}
		out, err = selectPromptUses(ctx, db, at, ids, f)
		return err
	})
	return out, err
}

// selectPromptUses answers from all events.
func selectPromptUses(ctx context.Context, db querier, at position, ids []usage.ID, f analytics.Filter) (out []store.PromptUse, err error) {
	s := sqlquery.Statement{Dialect: dialect()}
	cond, err := s.Where(f, at.bound(f.AsOf))
	if err != nil {
		return nil, err
	}
	rows, err := db.QueryContext(ctx, `SELECT u.prompt_id, u.calls, u.cost, u.last.id, c.feature, c.model, u.last.ts FROM (
				SELECT prompt_id, count(*) AS calls, CAST(sum(cost) AS VARCHAR) AS cost, max({'ts': ts, 'id': id, 'cell': cell}) AS last
				FROM events WHERE prompt_id IN (`+uuidList(ids)+`) AND `+cond+` GROUP BY prompt_id
			) u JOIN cells c ON c.id = u.last.cell ORDER BY u.prompt_id`, s.Args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var u store.PromptUse
		var cost string
		if err := rows.Scan((*duck.UUID)(&u.ID), &u.Calls, &cost, (*duck.UUID)(&u.Event), &u.Feature, &u.Model, &u.Last); err != nil {
			return nil, err
		}
		sum, ok := new(big.Int).SetString(cost, 10)
		if !ok {
			return nil, fault.New(fault.Internal, "the sum %q is no number", cost)
		}
		if u.Cost, err = money.TotalFromBig(sum); err != nil {
			return nil, err
		}
		u.Last = u.Last.UTC()
		out = append(out, u)
	}
	return out, rows.Err()
}
