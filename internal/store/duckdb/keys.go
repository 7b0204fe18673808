package duckdb

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/store"
)

const keyColumns = `id, name, hash, hint, role, project, created_by, created, expires, revoked, last_used, previous, previous_until`

// ListKeys implements store.Keys.
func (e *Engine) ListKeys(ctx context.Context) ([]store.Key, error) {
	var out []store.Key
	err := e.read(ctx, func(db querier, _ position) error {
		rows, err := db.QueryContext(ctx, `SELECT `+keyColumns+` FROM api_keys ORDER BY created, id`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var k store.Key
			var hash string
			var previous sql.NullString
			if err := rows.Scan(&k.ID, &k.Name, &hash, &k.Hint, &k.Role, &k.Project, &k.CreatedBy, timeScanner{&k.Created},
				timeScanner{&k.Expires}, timeScanner{&k.Revoked}, timeScanner{&k.LastUsed}, &previous, timeScanner{&k.PreviousUntil}); err != nil {
				return err
			}
			if k.Hash, err = readHash(hash); err != nil {
				return err
			}
			if previous.Valid {
				if k.Previous, err = readHash(previous.String); err != nil {
					return err
				}
			}
			out = append(out, k)
		}
		return rows.Err()
	})
	return out, err
}

func readHash(text string) (hash [32]byte, err error) {
	n, err := hex.Decode(hash[:], []byte(text))
	if err == nil && n != len(hash) {
		err = fmt.Errorf("a key's hash of %d bytes", n)
	}
	return hash, err
}

// PutKey implements store.Keys.
func (e *Engine) PutKey(ctx context.Context, k store.Key, entry store.AuditEntry) error {
	return e.change(ctx, func(ctx context.Context, c *sql.Conn) error {
		var used time.Time
		err := c.QueryRowContext(ctx, `SELECT max(last_used) FROM api_keys WHERE id = ?`, k.ID).Scan(timeScanner{&used})
		if err != nil {
			return err
		}
		if used.After(k.LastUsed) {
			k.LastUsed = used
		}
		if _, err := c.ExecContext(ctx, `DELETE FROM api_keys WHERE id = ?`, k.ID); err != nil {
			return err
		}
		var previous any
		if k.Previous != [32]byte{} {
			previous = hex.EncodeToString(k.Previous[:])
		}
		if _, err := c.ExecContext(ctx, `INSERT INTO api_keys (`+keyColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			k.ID, k.Name, hex.EncodeToString(k.Hash[:]), k.Hint, k.Role, k.Project, k.CreatedBy, k.Created.UTC(),
			moment(k.Expires), moment(k.Revoked), moment(k.LastUsed), previous, moment(k.PreviousUntil)); err != nil {
			return err
		}
		return insertAudit(ctx, c, entry)
	})
}

// moment is a time for a column in which NULL is never.
func moment(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC()
}

// TouchKeys implements store.Keys.
func (e *Engine) TouchKeys(ctx context.Context, used map[string]time.Time) error {
	if len(used) == 0 {
		return nil
	}
	return e.change(ctx, func(ctx context.Context, c *sql.Conn) error {
		for id, t := range used {
			if _, err := c.ExecContext(ctx, `UPDATE api_keys SET last_used = ? WHERE id = ? AND (last_used IS NULL OR last_used < ?)`,
				t.UTC(), id, t.UTC()); err != nil {
				return err
			}
		}
		return nil
	})
}

// GetSetting implements store.Settings.
func (e *Engine) GetSetting(ctx context.Context, name string) ([]byte, error) {
	var text string
	err := e.read(ctx, func(db querier, _ position) error {
		err := db.QueryRowContext(ctx, `SELECT value FROM settings WHERE name = ?`, name).Scan(&text)
		if errors.Is(err, sql.ErrNoRows) {
			return fault.New(fault.NotFound, "there is no setting %q", name)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return base64.StdEncoding.DecodeString(text)
}

// InitSetting implements store.Settings.
func (e *Engine) InitSetting(ctx context.Context, name string, value []byte) ([]byte, error) {
	var kept string
	err := e.change(ctx, func(ctx context.Context, c *sql.Conn) error {
		if _, err := c.ExecContext(ctx, `INSERT INTO settings SELECT ?, ? WHERE NOT EXISTS (SELECT 1 FROM settings WHERE name = ?)`, name, base64.StdEncoding.EncodeToString(value), name); err != nil {
			return err
		}
		return c.QueryRowContext(ctx, `SELECT value FROM settings WHERE name = ?`, name).Scan(&kept)
	})
	if err != nil {
		return nil, err
	}
	return base64.StdEncoding.DecodeString(kept)
}

// ReplaceSetting implements store.Settings.
func (e *Engine) ReplaceSetting(ctx context.Context, name string, was, now []byte, entry store.AuditEntry) error {
	return e.change(ctx, func(ctx context.Context, c *sql.Conn) error {
		var kept string
		err := c.QueryRowContext(ctx, `SELECT value FROM settings WHERE name = ?`, name).Scan(&kept)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return fault.New(fault.NotFound, "there is no setting %q", name)
		case err != nil:
			return err
		case kept != base64.StdEncoding.EncodeToString(was):
			return fault.New(fault.Conflict, "the setting %q was changed meanwhile", name)
		}
		if _, err := c.ExecContext(ctx, `UPDATE settings SET value = ? WHERE name = ?`, base64.StdEncoding.EncodeToString(now), name); err != nil {
			return err
		}
		return insertAudit(ctx, c, entry)
	})
}
