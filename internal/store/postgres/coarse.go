package postgres

import (
	"context"
	"fmt"
	"maps"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/costprof/costprof/internal/store/sqlquery"
	"github.com/costprof/costprof/internal/usage"
)

// Most questions are about few texts of a cell: what all of it cost by hour, or by
// model. Their sums are kept by coarse cells, too: a month of hours by model is
// some 10,000 rows, and half a million by cell.

// coarseOf selects the sums by coarse cells of a relation that has them by cell.
func (l level) coarseOf(relation string, columns []string) string {
	values := folds(columns)
	for i, c := range columns {
		values[i] += " AS " + c
	}
	return "c.kind, d." + l.key + ", c.coarse AS cell, " + strings.Join(values, ", ") +
		" FROM " + relation + " d JOIN coarse_cells c ON c.cell = d.cell GROUP BY c.kind, d." + l.key + ", c.coarse"
}

// insertCoarse inserts them.
func (l level) insertCoarse(relation string) string {
	columns := sumColumns()
	return "INSERT INTO " + l.coarse + " (kind, " + l.key + ", cell, " + strings.Join(columns, ", ") + ") SELECT " + l.coarseOf(relation, columns)
}

// insertCells stores those of the cells that are new, and their coarse ones, for
// which sums that come later look. All in one order: see sortedHashes.
func insertCells(ctx context.Context, tx pgx.Tx, cells map[usage.ID]sqlquery.Cell) error {
	kinds := sqlquery.CoarseKinds()
	all := maps.Clone(cells)
	var fine, of [][16]byte
	var kind []int16
	for _, h := range sortedHashes(cells) {
		for k, columns := range kinds {
			cell := cells[h]
			c := cell.Only(columns)
			hash := c.Hash()
			all[hash] = c
			fine, of, kind = append(fine, h), append(of, hash), append(kind, int16(k))
		}
	}
	hashes := sortedHashes(all)
	columns := sqlquery.CellColumns()
	args := []any{hashes}
	types := []string{"$1::UUID[]"}
	for k := range columns {
		texts := make([]string, len(hashes))
		for i, h := range hashes {
			texts[i] = all[h][k]
		}
		args = append(args, texts)
		types = append(types, fmt.Sprintf("$%d::TEXT[]", k+2))
	}
	_, err := tx.Exec(ctx, `INSERT INTO cells (hash, `+strings.Join(columns, ", ")+`) SELECT * FROM unnest(`+strings.Join(types, ", ")+`) ON CONFLICT DO NOTHING`, args...)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO coarse_cells (cell, kind, coarse)
		SELECT f.id, w.kind, c.id FROM unnest($1::UUID[], $2::SMALLINT[], $3::UUID[]) AS w (fine, kind, coarse)
		JOIN cells f ON f.hash = w.fine JOIN cells c ON c.hash = w.coarse ON CONFLICT DO NOTHING`, fine, kind, of)
	return err
}

// coarsenAll stores the coarse cells of all that have none yet.
func coarsenAll(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, `SELECT id FROM cells WHERE NOT EXISTS (SELECT 1 FROM coarse_cells c WHERE c.cell = cells.id)`)
	if err != nil {
		return err
	}
	missing, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return err
	}
	const atOnce = 5_000
	for len(missing) > 0 {
		some := map[int64]*sqlquery.Cell{}
		for _, id := range missing[:min(atOnce, len(missing))] {
			some[id] = nil
		}
		missing = missing[len(some):]
		if err := readCells(ctx, tx, some); err != nil {
			return err
		}
		cells := make(map[usage.ID]sqlquery.Cell, len(some))
		for _, c := range some {
			cells[c.Hash()] = *c
		}
		if err := insertCells(ctx, tx, cells); err != nil {
			return fmt.Errorf("coarse cells: %w", err)
		}
	}
	return nil
}

// form is what the ledger's form must be for a server to write it: what a commit
// has to keep up. 0 had no sums by coarse cells.
const form = 1

// bringUp makes what a ledger of an older form lacks. Nothing is committed
// meanwhile.
func (e *Engine) bringUp(ctx context.Context) error {
	return pgx.BeginFunc(ctx, e.write, func(tx pgx.Tx) error {
		var is int16
		if err := tx.QueryRow(ctx, `SELECT form FROM ledger`).Scan(&is); err != nil || is >= form {
			return err
		}
		if err := tx.QueryRow(ctx, `SELECT form FROM ledger FOR UPDATE`).Scan(&is); err != nil || is >= form {
			return err
		}
		if _, err := tx.Exec(ctx, `SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0`); err != nil {
			return err
		}
		e.log.Info("summing up the ledger for this version; large ones take a minute")
		if err := coarsenAll(ctx, tx); err != nil {
			return err
		}
		for _, l := range levels() {
			if err := l.coarsenTable(ctx, tx); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, `UPDATE ledger SET form = $1`, form)
		return err
	})
}

// coarsenTable makes the sums by coarse cells of all periods.
func (l level) coarsenTable(ctx context.Context, tx pgx.Tx) error {
	err := pgx.BeginFunc(ctx, tx, func(inner pgx.Tx) error {
		_, err := inner.Exec(ctx, l.insertCoarse(l.table))
		return err
	})
	if !tooWide(err) {
		return err
	}
	// Some period's do not fit: one by one, to find which.
	rows, err := tx.Query(ctx, `SELECT DISTINCT `+l.key+` FROM `+l.table)
	if err != nil {
		return err
	}
	periods, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return err
	}
	for _, p := range periods {
		err := pgx.BeginFunc(ctx, tx, func(inner pgx.Tx) error {
			_, err := inner.Exec(ctx, l.insertCoarse(fmt.Sprintf("(SELECT * FROM %s WHERE %s = %d)", l.table, l.key, p)))
			return err
		})
		if tooWide(err) {
			err = l.widen(ctx, tx, p)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
