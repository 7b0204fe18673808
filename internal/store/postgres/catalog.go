package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/pricing"
	"github.com/costprof/costprof/internal/store"
)

// alter runs fn in a transaction of its own. Changes of the catalog happen one
// after the other, whichever server makes them: they are rare, and the audit log
// is in their order.
func (e *Engine) alter(ctx context.Context, fn func(tx pgx.Tx) error) error {
	if e.closed.Load() {
		return errStopping()
	}
	return e.explain(ctx, retried(ctx, func() error {
		return pgx.BeginFunc(ctx, e.write, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, `LOCK TABLE audit IN SHARE ROW EXCLUSIVE MODE`); err != nil {
				return err
			}
			return fn(tx)
		})
	}))
}

// catalog reads the catalog: always from the database itself, because what was
// changed a moment ago must hold, whatever a replica knows.
func (e *Engine) catalog(ctx context.Context, fn func(db *pgxConn) error) error {
	if e.closed.Load() {
		return errStopping()
	}
	return e.explain(ctx, e.write.AcquireFunc(ctx, fn))
}

// moment is a time for a column in which NULL is never.
func moment(t time.Time) *int64 {
	if t.IsZero() {
		return nil
	}
	us := t.UnixMicro()
	return &us
}

// instant scans such a column.
type instant struct{ t *time.Time }

func (s instant) Scan(v any) error {
	switch v := v.(type) {
	case nil:
		*s.t = time.Time{}
	case int64:
		*s.t = time.UnixMicro(v).UTC()
	default:
		return fmt.Errorf("time arrived as %T", v)
	}
	return nil
}

// ListPrices implements store.Prices.
func (e *Engine) ListPrices(ctx context.Context) ([]pricing.Own, error) {
	var out []pricing.Own
	err := e.catalog(ctx, func(db *pgxConn) error {
		rows, err := db.Query(ctx, `SELECT doc FROM own_prices ORDER BY position`)
		if err != nil {
			return err
		}
		var doc string
		_, err = pgx.ForEachRow(rows, []any{&doc}, func() error {
			var p pricing.Own
			if err := json.Unmarshal([]byte(doc), &p); err != nil {
				return fmt.Errorf("stored price: %w", err)
			}
			out = append(out, p)
			return nil
		})
		return err
	})
	return out, err
}

// ReplacePrices implements store.Prices.
func (e *Engine) ReplacePrices(ctx context.Context, remove []string, puts []pricing.Own, entry store.AuditEntry) error {
	return e.alter(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `DELETE FROM own_prices WHERE id = ANY($1)`, remove); err != nil {
			return err
		}
		for _, p := range puts {
			doc, err := json.Marshal(p)
			if err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, `INSERT INTO own_prices SELECT coalesce(max(position), 0) + 1, $1, $2 FROM own_prices`, p.ID, string(doc)); err != nil {
				return err
			}
		}
		return insertAudit(ctx, tx, entry)
	})
}

// PutVersions implements store.Prices.
func (e *Engine) PutVersions(ctx context.Context, versions []pricing.Version) error {
	return e.alter(ctx, func(tx pgx.Tx) error {
		for _, v := range versions {
			doc, err := json.Marshal(v)
			if err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, `INSERT INTO price_versions VALUES ($1, $2) ON CONFLICT DO NOTHING`, v.ID, string(doc)); err != nil {
				return err
			}
		}
		return nil
	})
}

// GetVersion implements store.Prices.
func (e *Engine) GetVersion(ctx context.Context, id string) (pricing.Version, error) {
	var v pricing.Version
	err := e.catalog(ctx, func(db *pgxConn) error {
		var doc string
		err := pgx.ErrNoRows
		if holds(id) {
			err = db.QueryRow(ctx, `SELECT doc FROM price_versions WHERE id = $1`, id).Scan(&doc)
		}
		if errors.Is(err, pgx.ErrNoRows) {
			return fault.New(fault.NotFound, "there is no price version %q", id)
		}
		if err != nil {
			return err
		}
		return json.Unmarshal([]byte(doc), &v)
	})
	return v, err
}

type rowQuerier interface {
	QueryRow(ctx context.Context, text string, args ...any) pgx.Row
}

func currentList(ctx context.Context, db rowQuerier) (store.PriceList, error) {
	var l store.PriceList
	var doc *string
	err := db.QueryRow(ctx, `SELECT number, made, doc FROM price_lists ORDER BY number DESC LIMIT 1`).Scan(&l.Number, instant{&l.Made}, &doc)
	if errors.Is(err, pgx.ErrNoRows) {
		return store.PriceList{}, nil
	}
	if doc != nil {
		l.Book = []byte(*doc)
	}
	return l, err
}

// GetList implements store.Prices.
func (e *Engine) GetList(ctx context.Context) (store.PriceList, error) {
	var l store.PriceList
	err := e.catalog(ctx, func(db *pgxConn) (err error) {
		l, err = currentList(ctx, db)
		return err
	})
	return l, err
}

// ReplaceList implements store.Prices.
func (e *Engine) ReplaceList(ctx context.Context, was int64, book []byte, entry store.AuditEntry) error {
	return e.alter(ctx, func(tx pgx.Tx) error {
		now, err := currentList(ctx, tx)
		if err != nil {
			return err
		}
		if now.Number != was {
			return fault.New(fault.Conflict, "The price list was changed meanwhile")
		}
		// What the old list said of the past is in the new one.
		if _, err := tx.Exec(ctx, `DELETE FROM price_lists`); err != nil {
			return err
		}
		var doc *string
		if book != nil {
			text := string(book)
			doc = &text
		}
		if _, err := tx.Exec(ctx, `INSERT INTO price_lists VALUES ($1, $2, $3)`, was+1, entry.At.UnixMicro(), doc); err != nil {
			return err
		}
		return insertAudit(ctx, tx, entry)
	})
}

func insertAudit(ctx context.Context, tx pgx.Tx, a store.AuditEntry) error {
	_, err := tx.Exec(ctx, `INSERT INTO audit SELECT coalesce(max(id), 0) + 1, $1::BIGINT, $2::TEXT, $3::TEXT, $4::TEXT FROM audit`, a.At.UnixMicro(), a.Actor, a.Action, string(a.Detail))
	return err
}

// AppendAudit implements store.Audit.
func (e *Engine) AppendAudit(ctx context.Context, a store.AuditEntry) error {
	return e.alter(ctx, func(tx pgx.Tx) error { return insertAudit(ctx, tx, a) })
}

// ListAudit implements store.Audit.
func (e *Engine) ListAudit(ctx context.Context, below int64, limit int) ([]store.AuditEntry, error) {
	var out []store.AuditEntry
	err := e.catalog(ctx, func(db *pgxConn) error {
		rows, err := db.Query(ctx, `SELECT id, made, actor, action, detail FROM audit WHERE $1 = 0 OR id < $1 ORDER BY id DESC LIMIT $2`, below, limit)
		if err != nil {
			return err
		}
		var a store.AuditEntry
		var detail string
		_, err = pgx.ForEachRow(rows, []any{&a.ID, instant{&a.At}, &a.Actor, &a.Action, &detail}, func() error {
			entry := a
			entry.Detail = []byte(detail)
			out = append(out, entry)
			return nil
		})
		return err
	})
	return out, err
}

// PutRun implements store.Runs.
func (e *Engine) PutRun(ctx context.Context, r store.Run) error {
	return e.alter(ctx, func(tx pgx.Tx) error {
		optional := func(b []byte) *string {
			if len(b) == 0 {
				return nil
			}
			s := string(b)
			return &s
		}
		if _, err := tx.Exec(ctx, `DELETE FROM runs WHERE id = $1`, r.ID); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO runs (`+runColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
			r.ID, r.Name, r.State, r.Started.UnixMicro(), moment(r.Finished), optional(r.Input), optional(r.Result), r.Error)
		return err
	})
}

const runColumns = `id, name, state, started, finished, input, result, error`

func scanRun(row pgx.Row) (store.Run, error) {
	var r store.Run
	var input, result *string
	err := row.Scan(&r.ID, &r.Name, &r.State, instant{&r.Started}, instant{&r.Finished}, &input, &result, &r.Error)
	if input != nil {
		r.Input = []byte(*input)
	}
	if result != nil {
		r.Result = []byte(*result)
	}
	return r, err
}

// GetRun implements store.Runs.
func (e *Engine) GetRun(ctx context.Context, id string) (store.Run, error) {
	var r store.Run
	err := e.catalog(ctx, func(db *pgxConn) (err error) {
		err = pgx.ErrNoRows
		if holds(id) {
			r, err = scanRun(db.QueryRow(ctx, `SELECT `+runColumns+` FROM runs WHERE id = $1`, id))
		}
		if errors.Is(err, pgx.ErrNoRows) {
			return fault.New(fault.NotFound, "there is no job run %q", id)
		}
		return err
	})
	return r, err
}

// ListRuns implements store.Runs.
func (e *Engine) ListRuns(ctx context.Context, state string, limit int) ([]store.Run, error) {
	var out []store.Run
	err := e.catalog(ctx, func(db *pgxConn) error {
		rows, err := db.Query(ctx, `SELECT `+runColumns+` FROM runs WHERE $1 = '' OR state = $1 ORDER BY started DESC, id DESC LIMIT $2`, state, limit)
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
