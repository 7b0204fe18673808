package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/store"
)

type pgxConn = pgxpool.Conn

const keyColumns = `id, name, hash, hint, role, project, created_by, created, expires, revoked, last_used, previous, previous_until`

// ListKeys implements store.Keys.
func (e *Engine) ListKeys(ctx context.Context) ([]store.Key, error) {
	var out []store.Key
	err := e.catalog(ctx, func(db *pgxConn) error {
		rows, err := db.Query(ctx, `SELECT `+keyColumns+` FROM api_keys ORDER BY created, id`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var k store.Key
			var hash, previous []byte
			if err := rows.Scan(&k.ID, &k.Name, &hash, &k.Hint, &k.Role, &k.Project, &k.CreatedBy, instant{&k.Created},
				instant{&k.Expires}, instant{&k.Revoked}, instant{&k.LastUsed}, &previous, instant{&k.PreviousUntil}); err != nil {
				return err
			}
			if len(hash) != len(k.Hash) || len(previous) != 0 && len(previous) != len(k.Previous) {
				return fmt.Errorf("a key's hash of %d and %d bytes", len(hash), len(previous))
			}
			copy(k.Hash[:], hash)
			copy(k.Previous[:], previous)
			out = append(out, k)
		}
		return rows.Err()
	})
	return out, err
}

// PutKey implements store.Keys.
func (e *Engine) PutKey(ctx context.Context, k store.Key, entry store.AuditEntry) error {
	return e.alter(ctx, func(tx pgx.Tx) error {
		var previous []byte
		if k.Previous != [32]byte{} {
			previous = k.Previous[:]
		}
		if _, err := tx.Exec(ctx, `INSERT INTO api_keys (`+keyColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
			ON CONFLICT (id) DO UPDATE SET name = excluded.name, hash = excluded.hash, hint = excluded.hint, role = excluded.role, project = excluded.project,
				created_by = excluded.created_by, created = excluded.created, expires = excluded.expires, revoked = excluded.revoked,
				last_used = greatest(api_keys.last_used, excluded.last_used), previous = excluded.previous, previous_until = excluded.previous_until`,
			k.ID, k.Name, k.Hash[:], k.Hint, k.Role, k.Project, k.CreatedBy, k.Created.UnixMicro(),
			moment(k.Expires), moment(k.Revoked), moment(k.LastUsed), previous, moment(k.PreviousUntil)); err != nil {
			return err
		}
		return insertAudit(ctx, tx, entry)
	})
}

// TouchKeys implements store.Keys.
func (e *Engine) TouchKeys(ctx context.Context, used map[string]time.Time) error {
	if len(used) == 0 {
		return nil
	}
	ids := slices.Sorted(maps.Keys(used))
	times := make([]int64, len(ids))
	for i, id := range ids {
		times[i] = used[id].UnixMicro()
	}
	return e.alter(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE api_keys SET last_used = u.used FROM unnest($1::TEXT[], $2::BIGINT[]) AS u (id, used)
			WHERE api_keys.id = u.id AND (last_used IS NULL OR last_used < u.used)`, ids, times)
		return err
	})
}

// GetSetting implements store.Settings.
func (e *Engine) GetSetting(ctx context.Context, name string) ([]byte, error) {
	var value []byte
	err := e.catalog(ctx, func(db *pgxConn) error {
		err := db.QueryRow(ctx, `SELECT value FROM settings WHERE name = $1`, name).Scan(&value)
		if errors.Is(err, pgx.ErrNoRows) {
			return fault.New(fault.NotFound, "there is no setting %q", name)
		}
		return err
	})
	return value, err
}

// InitSetting implements store.Settings.
func (e *Engine) InitSetting(ctx context.Context, name string, value []byte) ([]byte, error) {
	var kept []byte
	err := e.alter(ctx, func(tx pgx.Tx) error {
		if value == nil {
			value = []byte{}
		}
		if _, err := tx.Exec(ctx, `INSERT INTO settings VALUES ($1, $2) ON CONFLICT DO NOTHING`, name, value); err != nil {
			return err
		}
		return tx.QueryRow(ctx, `SELECT value FROM settings WHERE name = $1`, name).Scan(&kept)
	})
	return kept, err
}

// ReplaceSetting implements store.Settings.
func (e *Engine) ReplaceSetting(ctx context.Context, name string, was, now []byte, entry store.AuditEntry) error {
	return e.alter(ctx, func(tx pgx.Tx) error {
		var kept []byte
		err := tx.QueryRow(ctx, `SELECT value FROM settings WHERE name = $1 FOR UPDATE`, name).Scan(&kept)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return fault.New(fault.NotFound, "there is no setting %q", name)
		case err != nil:
			return err
		case !bytes.Equal(kept, was):
			return fault.New(fault.Conflict, "the setting %q was changed meanwhile", name)
		}
		if now == nil {
			now = []byte{}
		}
		if _, err := tx.Exec(ctx, `UPDATE settings SET value = $2 WHERE name = $1`, name, now); err != nil {
			return err
		}
		return insertAudit(ctx, tx, entry)
	})
}
