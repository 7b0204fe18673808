package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/costprof/costprof/internal/store"
)

// Dump implements store.Dumper: one transaction, its rows read as they arrive.
func (e *Engine) Dump(ctx context.Context, to store.Sink) error {
	if e.closed.Load() {
		return errStopping()
	}
	return e.explain(ctx, inMoment(ctx, e.read, 0, func(tx pgx.Tx, at position) error {
		// A dump takes as long as who takes it: it is no question.
		if _, err := tx.Exec(ctx, `SET LOCAL statement_timeout = 0`); err != nil {
			return err
		}
		for _, t := range store.Tables() {
			if err := to.Table(t); err != nil {
				return err
			}
			if t.Name == store.PositionTable {
				if err := to.Row([]any{at.last}); err != nil {
					return err
				}
				continue
			}
			if err := dumpTable(ctx, tx, t, to); err != nil {
				return err
			}
		}
		return nil
	}))
}

func dumpTable(ctx context.Context, tx pgx.Tx, t *store.Table, to store.Sink) error {
	where := ""
	if t.Name == "cells" { // those that events name; whoever loads them makes the coarse ones anew
		where = ` WHERE EXISTS (SELECT 1 FROM coarse_cells WHERE cell = id)`
	}
	rows, err := tx.Query(ctx, `SELECT `+strings.Join(t.Names(), ", ")+` FROM `+t.Name+where)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		values, err := rows.Values()
		if err != nil {
			return err
		}
		for i, v := range values {
			if values[i], err = dumped(v); err != nil {
				return fmt.Errorf("%s.%s: %w", t.Name, t.Columns[i].Name, err)
			}
		}
		if err := to.Row(values); err != nil {
			return err
		}
	}
	return rows.Err()
}

// dumped is a value as a dump has it.
func dumped(v any) (any, error) {
	switch v := v.(type) {
	case int32:
		return int64(v), nil
	case int16:
		return int64(v), nil
	case nil, int64, bool, string, []byte, [16]byte:
		return v, nil
	case []any:
		out := make([]int64, len(v))
		for i, n := range v {
			var ok bool
			if out[i], ok = n.(int64); !ok {
				return nil, fmt.Errorf("a list of %T", n)
			}
		}
		return out, nil
	}
	return nil, fmt.Errorf("came as %T", v)
}
