package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/costprof/costprof/internal/store"
)

// EndSession implements store.Sessions.
func (e *Engine) EndSession(ctx context.Context, ended store.EndedSession, entry store.AuditEntry) error {
	return e.alter(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `DELETE FROM ended_sessions WHERE until < $1`, entry.At.UnixMicro()); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `INSERT INTO ended_sessions (hash, until) VALUES ($1, $2) ON CONFLICT (hash) DO NOTHING`,
			ended.Hash[:], ended.Until.UnixMicro()); err != nil {
			return err
		}
		return insertAudit(ctx, tx, entry)
	})
}

// ListEndedSessions implements store.Sessions.
func (e *Engine) ListEndedSessions(ctx context.Context) ([]store.EndedSession, error) {
	var out []store.EndedSession
	err := e.catalog(ctx, func(db *pgxConn) error {
		rows, err := db.Query(ctx, `SELECT hash, until FROM ended_sessions`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var s store.EndedSession
			var hash []byte
			if err := rows.Scan(&hash, instant{&s.Until}); err != nil {
				return err
			}
			if copy(s.Hash[:], hash) != len(hash) || len(hash) != len(s.Hash) {
				return fmt.Errorf("a session's hash of %d bytes", len(hash))
			}
			out = append(out, s)
		}
		return rows.Err()
	})
	return out, err
}
