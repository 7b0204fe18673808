package duckdb

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/usage"
)

// History implements store.Ledger. The time narrows the rows that are read: the
// table has no index.
func (e *Engine) History(ctx context.Context, event store.EventKey) ([]store.PastCost, error) {
	var out []store.PastCost
	err := e.read(ctx, func(db querier, _ position) error {
		rows, err := db.QueryContext(ctx, `SELECT made, reason, old_classes, old_saving, old_source, old_price_id, new_cost, new_source, new_price_id, marked
			FROM corrections WHERE ts = ? AND id = ?::UUID ORDER BY n DESC LIMIT ?`, event.Timestamp.UTC(), uuidText(event.ID), store.MaxHistory)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var p store.PastCost
			var classes []any
			var saving, cost int64
			var was, now uint8
			var wasID, nowID sql.NullString
			if err := rows.Scan(timeScanner{&p.At}, &p.Reason, &classes, &saving, &was, &wasID, &cost, &now, &nowID, &p.Marked); err != nil {
				return err
			}
			if len(classes) != len(p.Was.Classes) {
				return fmt.Errorf("a past cost has %d classes, not %d", len(classes), len(p.Was.Classes))
			}
			for i, c := range classes {
				v, ok := c.(int64)
				if !ok {
					return fmt.Errorf("a past cost's class is a %T", c)
				}
				p.Was.Classes[i] = money.USD(v)
			}
			p.Was.CacheSaving, p.Was.Source, p.Was.PriceID = money.USD(saving), usage.Source(was), wasID.String
			p.NowCost, p.NowSource, p.NowPriceID = money.USD(cost), usage.Source(now), nowID.String
			out = append(out, p)
		}
		return rows.Err()
	})
	return out, err
}
