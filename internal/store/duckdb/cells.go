package duckdb

import (
	"context"
	"database/sql/driver"
	"fmt"
	"maps"
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
func (c *cellCache) intern(ctx context.Context, w *writer, recs []*usage.Record) ([]int64, error) {
	if c.ids == nil || len(c.ids) > maxCachedCells {
		c.ids = map[sqlquery.Cell]int64{}
	}
	out := make([]int64, len(recs))
	var unknown missing[sqlquery.Cell]
	for i, r := range recs {
		k := sqlquery.CellOf(&r.Event)
		id, ok := c.ids[k]
		if !ok {
			unknown.add(k.Hash(), k)
			continue
		}
		out[i] = id
	}
	if len(unknown.order) == 0 {
		return out, nil
	}
	err := unknown.number(ctx, w.conn, "cells", &c.next, numbering[sqlquery.Cell]{
		known: func(_ usage.ID, k sqlquery.Cell, id int64) { c.ids[k] = id },
		store: func(h usage.ID, k sqlquery.Cell, id int64) error {
			row := make([]driver.Value, 0, len(k)+2)
			row = append(row, id, duck.UUID(h))
			for _, s := range k {
				row = append(row, s)
			}
			return w.cells.AppendRow(row...)
		},
	})
	if err != nil {
		return nil, err
	}
	if err := w.cells.Flush(); err != nil {
		return nil, err
	}
	for i, r := range recs {
		if out[i] == 0 {
			out[i] = c.ids[sqlquery.CellOf(&r.Event)]
		}
	}
	return out, nil
}

// knownCells are cells by number that one reader met: a combination never changes.
type knownCells map[int64]*sqlquery.Cell

// maxKnownCells bounds them; when full they start anew.
const maxKnownCells = 10_000

// read completes known with the cells that are missing of those wanted.
func (known knownCells) read(ctx context.Context, q querier, wanted []int64) error {
	if len(known) > maxKnownCells {
		clear(known)
	}
	missing := map[int64]*sqlquery.Cell{}
	for _, id := range wanted {
		if known[id] == nil {
			missing[id] = nil
		}
	}
	if err := readCells(ctx, q, missing); err != nil {
		return err
	}
	maps.Copy(known, missing)
	return nil
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
