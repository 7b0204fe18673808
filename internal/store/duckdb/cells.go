package duckdb

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	duck "github.com/duckdb/duckdb-go/v2"

	"github.com/costprof/costprof/internal/store/sqlquery"
	"github.com/costprof/costprof/internal/usage"
)

// cellCache remembers the numbers of cells. Used by the writer alone.
type cellCache struct {
	ids  map[sqlquery.Cell]int64
	next int64 // 0: not read yet
}

// maxCachedCells bounds the cache; when full it starts anew. A cell takes about
// 0.5 kB.
const maxCachedCells = 50_000

func (c *cellCache) forget() { c.ids, c.next = nil, 0 }

// intern gives the number of each record's cell and stores cells that are new in
// the transaction at hand.
func (c *cellCache) intern(ctx context.Context, conn *sql.Conn, recs []*usage.Record) ([]int64, error) {
	if c.ids == nil || len(c.ids) > maxCachedCells {
		c.ids = map[sqlquery.Cell]int64{}
	}
	out := make([]int64, len(recs))
	var unknown map[usage.ID]sqlquery.Cell
	for i, r := range recs {
		k := sqlquery.CellOf(&r.Event)
		id, ok := c.ids[k]
		if !ok {
			if unknown == nil {
				unknown = map[usage.ID]sqlquery.Cell{}
			}
			unknown[k.Hash()] = k
			continue
		}
		out[i] = id
	}
	if unknown == nil {
		return out, nil
	}
	if err := c.resolve(ctx, conn, unknown); err != nil {
		return nil, err
	}
	for i, r := range recs {
		if out[i] == 0 {
			out[i] = c.ids[sqlquery.CellOf(&r.Event)]
		}
	}
	return out, nil
}

func (c *cellCache) resolve(ctx context.Context, conn *sql.Conn, unknown map[usage.ID]sqlquery.Cell) error {
	found, err := numbersOf(ctx, conn, "cells", unknown)
	if err != nil {
		return err
	}
	for h, id := range found {
		c.ids[unknown[h]] = id
		delete(unknown, h)
	}
	if len(unknown) == 0 {
		return nil
	}
	if c.next == 0 {
		if err := conn.QueryRowContext(ctx, `SELECT coalesce(max(id), 0) + 1 FROM cells`).Scan(&c.next); err != nil {
			return err
		}
	}
	var rows strings.Builder
	var args []any
	for h, k := range unknown {
		fmt.Fprintf(&rows, "(%d, '%s'%s),", c.next, uuidText(h), strings.Repeat(", ?", len(k)))
		for _, s := range k {
			args = append(args, s)
		}
		c.ids[k] = c.next
		c.next++
	}
	_, err = conn.ExecContext(ctx, `INSERT INTO cells VALUES `+strings.TrimSuffix(rows.String(), ","), args...)
	return err
}

// numbersOf finds the numbers of what is stored in a table of id and hash.
func numbersOf[T any](ctx context.Context, q querier, table string, wanted map[usage.ID]T) (map[usage.ID]int64, error) {
	ids := make([]string, 0, len(wanted))
	for h := range wanted {
		ids = append(ids, "'"+uuidText(h)+"'::UUID")
	}
	rows, err := q.QueryContext(ctx, `SELECT hash, id FROM `+table+` WHERE hash IN (`+strings.Join(ids, ",")+`)`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := map[usage.ID]int64{}
	for rows.Next() {
		var h duck.UUID
		var id int64
		if err := rows.Scan(&h, &id); err != nil {
			return nil, err
		}
		found[usage.ID(h)] = id
	}
	return found, rows.Err()
}

// readCells gives cells by number.
func readCells(ctx context.Context, q querier, cells map[int64]*sqlquery.Cell) error {
	if len(cells) == 0 {
		return nil
	}
	ids := make([]string, 0, len(cells))
	for id := range cells {
		ids = append(ids, fmt.Sprint(id))
	}
	rows, err := q.QueryContext(ctx, `SELECT id, `+strings.Join(sqlquery.CellColumns(), ", ")+` FROM cells WHERE id IN (`+strings.Join(ids, ",")+`)`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		c := new(sqlquery.Cell)
		targets := []any{&id}
		for i := range c {
			targets = append(targets, &c[i])
		}
		if err := rows.Scan(targets...); err != nil {
			return err
		}
		cells[id] = c
	}
	return rows.Err()
}
