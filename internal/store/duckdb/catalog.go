package duckdb

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/pricing"
	"github.com/costprof/costprof/internal/store"
)

// change runs fn in a transaction of its own, between commits: the catalog is
// small and rarely changed, and one writer needs no conflict handling.
func (e *Engine) change(ctx context.Context, fn func(ctx context.Context, c *sql.Conn) error) error {
	return e.do(ctx, func(ctx context.Context, w *writer) error {
		if err := w.exec(ctx, `BEGIN TRANSACTION`); err != nil {
			return err
		}
		if err := fn(ctx, w.conn); err != nil {
			return err
		}
		return w.exec(ctx, `COMMIT`)
	})
}

// ListPrices implements store.Prices.
func (e *Engine) ListPrices(ctx context.Context) ([]pricing.Own, error) {
	var out []pricing.Own
	err := e.read(ctx, func(db querier, _ position) error {
		rows, err := db.QueryContext(ctx, `SELECT doc FROM own_prices ORDER BY position`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var doc string
			var p pricing.Own
			if err := rows.Scan(&doc); err != nil {
				return err
			}
			if err := json.Unmarshal([]byte(doc), &p); err != nil {
				return fmt.Errorf("stored price: %w", err)
			}
			out = append(out, p)
		}
		return rows.Err()
	})
	return out, err
}

// ReplacePrices implements store.Prices.
func (e *Engine) ReplacePrices(ctx context.Context, remove []string, puts []pricing.Own, entry store.AuditEntry) error {
	return e.change(ctx, func(ctx context.Context, c *sql.Conn) error {
		for _, id := range remove {
			if _, err := c.ExecContext(ctx, `DELETE FROM own_prices WHERE id = ?`, id); err != nil {
				return err
			}
		}
		for _, p := range puts {
			doc, err := json.Marshal(p)
			if err != nil {
				return err
			}
			if _, err := c.ExecContext(ctx, `INSERT INTO own_prices SELECT coalesce(max(position), 0) + 1, ?, ? FROM own_prices`, p.ID, string(doc)); err != nil {
				return err
			}
		}
		return insertAudit(ctx, c, entry)
	})
}

// PutVersions implements store.Prices.
func (e *Engine) PutVersions(ctx context.Context, versions []pricing.Version) error {
	return e.change(ctx, func(ctx context.Context, c *sql.Conn) error {
		for _, v := range versions {
			doc, err := json.Marshal(v)
			if err != nil {
				return err
			}
			if _, err := c.ExecContext(ctx, `INSERT INTO price_versions SELECT ?, ? WHERE NOT EXISTS (SELECT 1 FROM price_versions WHERE id = ?)`, v.ID, string(doc), v.ID); err != nil {
				return err
			}
		}
		return nil
	})
}

// GetVersion implements store.Prices.
func (e *Engine) GetVersion(ctx context.Context, id string) (pricing.Version, error) {
	var v pricing.Version
	err := e.read(ctx, func(db querier, _ position) error {
		var doc string
		err := db.QueryRowContext(ctx, `SELECT doc FROM price_versions WHERE id = ?`, id).Scan(&doc)
		if errors.Is(err, sql.ErrNoRows) {
			return fault.New(fault.NotFound, "there is no price version %q", id)
		}
		if err != nil {
			return err
		}
		return json.Unmarshal([]byte(doc), &v)
	})
	return v, err
}

func insertAudit(ctx context.Context, c *sql.Conn, a store.AuditEntry) error {
	_, err := c.ExecContext(ctx, `INSERT INTO audit SELECT coalesce(max(id), 0) + 1, ?, ?, ?, ? FROM audit`, a.At.UTC(), a.Actor, a.Action, string(a.Detail))
	return err
}

// AppendAudit implements store.Audit.
func (e *Engine) AppendAudit(ctx context.Context, a store.AuditEntry) error {
	return e.change(ctx, func(ctx context.Context, c *sql.Conn) error { return insertAudit(ctx, c, a) })
}

// ListAudit implements store.Audit.
func (e *Engine) ListAudit(ctx context.Context, below int64, limit int) ([]store.AuditEntry, error) {
	var out []store.AuditEntry
	err := e.read(ctx, func(db querier, _ position) error {
		rows, err := db.QueryContext(ctx, `SELECT id, made, actor, action, detail FROM audit WHERE ? = 0 OR id < ? ORDER BY id DESC LIMIT ?`, below, below, limit)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var a store.AuditEntry
			var detail string
			if err := rows.Scan(&a.ID, timeScanner{&a.At}, &a.Actor, &a.Action, &detail); err != nil {
				return err
			}
			a.Detail = []byte(detail)
			out = append(out, a)
		}
		return rows.Err()
	})
	return out, err
}

// PutRun implements store.Runs.
func (e *Engine) PutRun(ctx context.Context, r store.Run) error {
	return e.change(ctx, func(ctx context.Context, c *sql.Conn) error {
		if _, err := c.ExecContext(ctx, `DELETE FROM runs WHERE id = ?`, r.ID); err != nil {
			return err
		}
		var finished any
		if !r.Finished.IsZero() {
			finished = r.Finished.UTC()
		}
		_, err := c.ExecContext(ctx, `INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
			r.ID, r.Name, r.State, r.Started.UTC(), finished, text(string(r.Input)), text(string(r.Result)), r.Error)
		return err
	})
}

const runColumns = `id, name, state, started, finished, input, result, error`

func scanRun(row interface{ Scan(...any) error }) (store.Run, error) {
	var r store.Run
	var input, result sql.NullString
	err := row.Scan(&r.ID, &r.Name, &r.State, timeScanner{&r.Started}, timeScanner{&r.Finished}, &input, &result, &r.Error)
	if input.Valid {
		r.Input = []byte(input.String)
	}
	if result.Valid {
		r.Result = []byte(result.String)
	}
	return r, err
}

// GetRun implements store.Runs.
func (e *Engine) GetRun(ctx context.Context, id string) (store.Run, error) {
	var r store.Run
	err := e.read(ctx, func(db querier, _ position) (err error) {
		r, err = scanRun(db.QueryRowContext(ctx, `SELECT `+runColumns+` FROM runs WHERE id = ?`, id))
		if errors.Is(err, sql.ErrNoRows) {
			return fault.New(fault.NotFound, "there is no job run %q", id)
		}
		return err
	})
	return r, err
}

// ListRuns implements store.Runs.
func (e *Engine) ListRuns(ctx context.Context, state string, limit int) ([]store.Run, error) {
	var out []store.Run
	err := e.read(ctx, func(db querier, _ position) error {
		rows, err := db.QueryContext(ctx, `SELECT `+runColumns+` FROM runs WHERE ? = '' OR state = ? ORDER BY started DESC, id DESC LIMIT ?`, state, state, limit)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			r, err := scanRun(rows)
			if err != nil {
				return err
			}
			out = append(out, r)
		}
		return rows.Err()
	})
	return out, err
}
