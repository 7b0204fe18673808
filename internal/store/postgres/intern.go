package postgres

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/costprof/costprof/internal/store/sqlquery"
	"github.com/costprof/costprof/internal/usage"
)

// cache remembers the numbers of cells or tag sets that are stored. They are
// stored ahead of the events that name them, in a transaction of their own: one
// that no event comes to name does no harm.
type cache struct {
	mu      sync.Mutex
	numbers map[usage.ID]int64
}

// maxCached bounds a cache; when full it starts anew. An entry takes about 50
// bytes.
const maxCached = 400_000

// lookUp gives what is known of the wanted, and the rest.
func lookUp[T any](c *cache, wanted map[usage.ID]T) (found map[usage.ID]int64, missing map[usage.ID]T) {
	c.mu.Lock()
	defer c.mu.Unlock()
	found, missing = make(map[usage.ID]int64, len(wanted)), map[usage.ID]T{}
	for h, v := range wanted {
		if n, ok := c.numbers[h]; ok {
			found[h] = n
		} else {
			missing[h] = v
		}
	}
	return found, missing
}

func (c *cache) add(numbers map[usage.ID]int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.numbers == nil || len(c.numbers) > maxCached {
		c.numbers = make(map[usage.ID]int64, len(numbers))
	}
	maps.Copy(c.numbers, numbers)
}

func (c *cache) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.numbers = nil
}

// intern gives each row the numbers of its cell and its tag set, and stores those
// that are new; it fails with errErased when erased is not the last erasure.
func (e *Engine) intern(ctx context.Context, rows []row, erased int64) error {
	cellOf := make([]usage.ID, len(rows))
	setOf := make([]usage.ID, len(rows))
	cells, sets := map[usage.ID]sqlquery.Cell{}, map[usage.ID]map[string]string{}
	hashes := map[sqlquery.Cell]usage.ID{}
	for i := range rows {
		r := rows[i].rec
		c := sqlquery.CellOf(&r.Event)
		h, ok := hashes[c]
		if !ok {
			h = c.Hash()
			hashes[c], cells[h] = h, c
		}
		cellOf[i] = h
		if len(r.Tags) > 0 {
			setOf[i] = sqlquery.HashTags(r.Tags)
			sets[setOf[i]] = r.Tags
		}
	}
	cellNumbers, newCells := lookUp(&e.cells, cells)
	if len(newCells) > 0 {
		stored, err := e.storeCells(ctx, newCells)
		if err != nil {
			return fmt.Errorf("cells: %w", err)
		}
		e.cells.add(stored)
		maps.Copy(cellNumbers, stored)
	}
	setNumbers, newSets := lookUp(&e.tagsets, sets)
	if len(newSets) > 0 {
		stored, err := e.storeTagSets(ctx, newSets, erased)
		if err != nil {
			return fmt.Errorf("tags: %w", err)
		}
		e.tagsets.add(stored)
		maps.Copy(setNumbers, stored)
	}
	for i := range rows {
		rows[i].cell = cellNumbers[cellOf[i]]
		rows[i].tagset = setNumbers[setOf[i]]
	}
	return nil
}

// sortedHashes puts hashes in the one order in which every server stores them, so
// that two with the same news never wait for each other in a circle.
func sortedHashes[T any](m map[usage.ID]T) [][16]byte {
	out := make([][16]byte, 0, len(m))
	for h := range m {
		out = append(out, h)
	}
	slices.SortFunc(out, func(a, b [16]byte) int { return bytes.Compare(a[:], b[:]) })
	return out
}

func (e *Engine) storeCells(ctx context.Context, cells map[usage.ID]sqlquery.Cell) (map[usage.ID]int64, error) {
	if err := pgx.BeginFunc(ctx, e.write, func(tx pgx.Tx) error { return insertCells(ctx, tx, cells) }); err != nil {
		return nil, err
	}
	return e.numbersOf(ctx, "cells", sortedHashes(cells))
}

// tagsKey is the lock that whoever stores sets of tags shares, and an erasure has
// for itself: no set that it looked for appears behind its back.
const tagsKey = `hashtext('costprof tags ' || current_schema())`

func (e *Engine) storeTagSets(ctx context.Context, sets map[usage.ID]map[string]string, erased int64) (map[usage.ID]int64, error) {
	hashes := sortedHashes(sets)
	var of [][16]byte
	var names, values []string
	for _, h := range hashes {
		for name, value := range sets[h] {
			of, names, values = append(of, h), append(names, name), append(values, value)
		}
	}
	out := make(map[usage.ID]int64, len(hashes))
	var last int64
	// One transaction and one round trip; each statement sees what was committed
	// before it.
	var b pgx.Batch
	b.Queue(`SELECT pg_advisory_xact_lock_shared(` + tagsKey + `)`)
	b.Queue(`WITH added AS (
			INSERT INTO tagsets (hash) SELECT h FROM unnest($1::UUID[]) AS h WHERE (SELECT erased FROM ledger) = $5 ON CONFLICT DO NOTHING RETURNING id, hash
		) INSERT INTO tags SELECT added.id, t.name, t.value FROM added JOIN unnest($2::UUID[], $3::TEXT[], $4::TEXT[]) AS t (hash, name, value) ON t.hash = added.hash`,
		hashes, of, names, values, erased)
	b.Queue(`SELECT erased FROM ledger`).QueryRow(func(row pgx.Row) error { return row.Scan(&last) })
	b.Queue(`SELECT hash, id FROM tagsets WHERE hash = ANY($1)`, hashes).Query(func(rows pgx.Rows) error { return scanNumbers(rows, out) })
	if err := e.write.SendBatch(ctx, &b).Close(); err != nil {
		return nil, err
	}
	if last != erased {
		e.learnErasure(last)
		return nil, errErased
	}
	if len(out) != len(hashes) {
		return nil, fmt.Errorf("%d of %d are stored", len(out), len(hashes))
	}
	return out, nil
}

// learnErasure forgets the numbers of sets of tags that an erasure may have
// removed.
func (e *Engine) learnErasure(last int64) {
	e.tagsets.forget()
	e.erased.Store(last)
}

// numbersOf finds the numbers of what is stored in a table of id and hash.
func (e *Engine) numbersOf(ctx context.Context, table string, hashes [][16]byte) (map[usage.ID]int64, error) {
	rows, err := e.write.Query(ctx, `SELECT hash, id FROM `+table+` WHERE hash = ANY($1)`, hashes)
	if err != nil {
		return nil, err
	}
	out := make(map[usage.ID]int64, len(hashes))
	if err = scanNumbers(rows, out); err == nil && len(out) != len(hashes) {
		err = fmt.Errorf("%d of %d are stored", len(out), len(hashes))
	}
	return out, err
}

func scanNumbers(rows pgx.Rows, out map[usage.ID]int64) error {
	var h [16]byte
	var n int64
	_, err := pgx.ForEachRow(rows, []any{&h, &n}, func() error {
		out[h] = n
		return nil
	})
	return err
}

// readCells gives cells by number.
func readCells(ctx context.Context, tx pgx.Tx, cells map[int64]*sqlquery.Cell) error {
	if len(cells) == 0 {
		return nil
	}
	rows, err := tx.Query(ctx, `SELECT id, `+strings.Join(sqlquery.CellColumns(), ", ")+` FROM cells WHERE id = ANY($1)`, slices.Collect(maps.Keys(cells)))
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

// readTags gives the tags of sets by number.
func readTags(ctx context.Context, tx pgx.Tx, sets map[int64]map[string]string) error {
	if len(sets) == 0 {
		return nil
	}
	rows, err := tx.Query(ctx, `SELECT tagset, name, value FROM tags WHERE tagset = ANY($1)`, slices.Collect(maps.Keys(sets)))
	if err != nil {
		return err
	}
	var id int64
	var name, value string
	_, err = pgx.ForEachRow(rows, []any{&id, &name, &value}, func() error {
		if sets[id] == nil {
			sets[id] = map[string]string{}
		}
		sets[id][name] = value
		return nil
	})
	return err
}
