package duckdb

import (
	"context"
	"database/sql"

	"github.com/costprof/costprof/internal/store"
)

// ListRetention implements store.Retentions.
func (e *Engine) ListRetention(ctx context.Context) ([]store.Retention, error) {
	var out []store.Retention
	err := e.read(ctx, func(db querier, _ position) error {
		rows, err := db.QueryContext(ctx, `SELECT project, event_days, prompt_days FROM retention ORDER BY project`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var r store.Retention
			if err := rows.Scan(&r.Project, &r.EventDays, &r.PromptDays); err != nil {
				return err
			}
			out = append(out, r)
		}
		return rows.Err()
	})
	return out, err
}

// PutRetention implements store.Retentions.
func (e *Engine) PutRetention(ctx context.Context, r store.Retention, entry store.AuditEntry) error {
	return e.change(ctx, func(ctx context.Context, c *sql.Conn) error {
		if _, err := c.ExecContext(ctx, `DELETE FROM retention WHERE project = ?`, r.Project); err != nil {
			return err
		}
		if r.EventDays != nil || r.PromptDays != nil {
			if _, err := c.ExecContext(ctx, `INSERT INTO retention VALUES (?, ?, ?)`, r.Project, days(r.EventDays), days(r.PromptDays)); err != nil {
				return err
			}
		}
		return insertAudit(ctx, c, entry)
	})
}

func days(n *int64) any {
	if n == nil {
		return nil
	}
	return *n
}
