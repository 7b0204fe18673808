package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/costprof/costprof/internal/store"
)

// ListRetention implements store.Retentions.
func (e *Engine) ListRetention(ctx context.Context) ([]store.Retention, error) {
	var out []store.Retention
	err := e.catalog(ctx, func(db *pgxConn) error {
		rows, err := db.Query(ctx, `SELECT project, event_days, prompt_days FROM retention ORDER BY project`)
		if err != nil {
			return err
		}
		out, err = pgx.CollectRows(rows, pgx.RowToStructByPos[store.Retention])
		return err
	})
	return out, err
}

// PutRetention implements store.Retentions.
func (e *Engine) PutRetention(ctx context.Context, r store.Retention, entry store.AuditEntry) error {
	return e.alter(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `DELETE FROM retention WHERE project = $1`, r.Project); err != nil {
			return err
		}
		if r.EventDays != nil || r.PromptDays != nil {
			if _, err := tx.Exec(ctx, `INSERT INTO retention VALUES ($1, $2, $3)`, r.Project, r.EventDays, r.PromptDays); err != nil {
				return err
			}
		}
		return insertAudit(ctx, tx, entry)
	})
}
