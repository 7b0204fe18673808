package postgres

import (
	"context"
	"fmt"
	"math/big"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/store/sqlquery"
	"github.com/costprof/costprof/internal/usage"
)

// PromptUses implements store.Uses.
func (e *Engine) PromptUses(ctx context.Context, ids []usage.ID, f analytics.Filter) ([]store.PromptUse, error) {
	var out []store.PromptUse
	err := e.ask(ctx, f.AsOf, func(tx pgx.Tx, at position) error {
		s := sqlquery.Statement{Dialect: dialect()}
		cond, err := s.Where(f, at.bound(f.AsOf))
		if err != nil {
			return err
		}
		rows, err := tx.Query(ctx, fmt.Sprintf(`SELECT u.prompt_id, u.calls, u.cost, u.id, c.feature, c.model, u.ts FROM (
				SELECT prompt_id, count(*) AS calls, sum(cost)::TEXT AS cost,
					(array_agg(id ORDER BY ts DESC, id DESC))[1] AS id, (array_agg(cell ORDER BY ts DESC, id DESC))[1] AS cell, max(ts) AS ts
				FROM events WHERE prompt_id = ANY(%s) AND %s GROUP BY prompt_id
			) u JOIN cells c ON c.id = u.cell ORDER BY u.prompt_id`, s.Bind(uuids(ids)), cond), s.Args...)
		if err != nil {
			return err
		}
		out, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (u store.PromptUse, err error) {
			var cost string
			var last int64
			if err := row.Scan((*[16]byte)(&u.ID), &u.Calls, &cost, (*[16]byte)(&u.Event), &u.Feature, &u.Model, &last); err != nil {
				return u, err
			}
			sum, ok := new(big.Int).SetString(cost, 10)
			if !ok {
				return u, fault.New(fault.Internal, "the sum %q is no number", cost)
			}
			u.Last = time.UnixMicro(last).UTC()
			u.Cost, err = money.TotalFromBig(sum)
			return u, err
		})
		return err
	})
	return out, err
}
