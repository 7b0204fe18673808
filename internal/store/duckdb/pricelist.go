package duckdb

import (
	"context"
	"database/sql"
	"errors"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/store"
)

type rowQuerier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func currentList(ctx context.Context, db rowQuerier) (store.PriceList, error) {
	var l store.PriceList
	var doc sql.NullString
	err := db.QueryRowContext(ctx, `SELECT number, made, doc FROM price_lists ORDER BY number DESC LIMIT 1`).Scan(&l.Number, timeScanner{&l.Made}, &doc)
	if errors.Is(err, sql.ErrNoRows) {
		return store.PriceList{}, nil
	}
	if doc.Valid {
		l.Book = []byte(doc.String)
	}
	return l, err
}

// GetList implements store.Prices.
func (e *Engine) GetList(ctx context.Context) (store.PriceList, error) {
	var l store.PriceList
	err := e.read(ctx, func(db querier, _ position) (err error) {
		l, err = currentList(ctx, db)
		return err
	})
	return l, err
}

// ReplaceList implements store.Prices.
func (e *Engine) ReplaceList(ctx context.Context, was int64, book []byte, entry store.AuditEntry) error {
	return e.change(ctx, func(ctx context.Context, c *sql.Conn) error {
		now, err := currentList(ctx, c)
		if err != nil {
			return err
		}
		if now.Number != was {
			return fault.New(fault.Conflict, "The price list was changed meanwhile")
		}
		// What the old list said of the past is in the new one.
		if _, err := c.ExecContext(ctx, `DELETE FROM price_lists`); err != nil {
			return err
		}
		var doc any
		if book != nil {
			doc = string(book)
		}
		if _, err := c.ExecContext(ctx, `INSERT INTO price_lists VALUES (?, ?, ?)`, was+1, entry.At.UTC(), doc); err != nil {
			return err
		}
		return insertAudit(ctx, c, entry)
	})
}
