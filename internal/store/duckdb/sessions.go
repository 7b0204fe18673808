package duckdb

import (
	"context"
	"database/sql"
	"encoding/hex"

	"github.com/costprof/costprof/internal/store"
)

// EndSession implements store.Sessions.
func (e *Engine) EndSession(ctx context.Context, ended store.EndedSession, entry store.AuditEntry) error {
	return e.change(ctx, func(ctx context.Context, c *sql.Conn) error {
		hash := hex.EncodeToString(ended.Hash[:])
		if _, err := c.ExecContext(ctx, `DELETE FROM ended_sessions WHERE until < ? OR hash = ?`, entry.At.UTC(), hash); err != nil {
			return err
		}
		if _, err := c.ExecContext(ctx, `INSERT INTO ended_sessions (hash, until) VALUES (?, ?)`, hash, ended.Until.UTC()); err != nil {
			return err
		}
		return insertAudit(ctx, c, entry)
	})
}

// ListEndedSessions implements store.Sessions.
func (e *Engine) ListEndedSessions(ctx context.Context) ([]store.EndedSession, error) {
	var out []store.EndedSession
	err := e.read(ctx, func(db querier, _ position) error {
		rows, err := db.QueryContext(ctx, `SELECT hash, until FROM ended_sessions`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var s store.EndedSession
			var hash string
			if err := rows.Scan(&hash, timeScanner{&s.Until}); err != nil {
				return err
			}
			if s.Hash, err = readHash(hash); err != nil {
				return err
			}
			out = append(out, s)
		}
		return rows.Err()
	})
	return out, err
}
