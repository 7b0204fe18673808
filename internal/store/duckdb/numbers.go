package duckdb

import (
	"context"
	"database/sql"
	"strings"

	duck "github.com/duckdb/duckdb-go/v2"

	"github.com/costprof/costprof/internal/usage"
)

// missing are things whose numbers are not known, each once, in the order in
// which they came.
type missing[T any] struct {
	order []usage.ID
	byID  map[usage.ID]T
}

func (m *missing[T]) add(h usage.ID, v T) {
	if m.byID == nil {
		m.byID = map[usage.ID]T{}
	}
	if _, ok := m.byID[h]; !ok {
		m.byID[h] = v
		m.order = append(m.order, h)
	}
}

// numbering says what becomes of a thing's number: known is called for each,
// store before that for those that the table does not hold.
type numbering[T any] struct {
	known func(h usage.ID, v T, id int64)
	store func(h usage.ID, v T, id int64) error
}

// number finds the numbers in a table of id and hash and gives new ones to what
// is not there; next is the first free one, 0 when it was not read yet. 5,000
// that are new are one look-up and rows for appenders: as the values of an INSERT
// cells took 1.8 s instead of 0.1.
func (m *missing[T]) number(ctx context.Context, conn *sql.Conn, table string, next *int64, do numbering[T]) error {
	found, err := m.find(ctx, conn, table)
	if err != nil {
		return err
	}
	if *next == 0 {
		if err := conn.QueryRowContext(ctx, `SELECT coalesce(max(id), 0) + 1 FROM `+table).Scan(next); err != nil {
			return err
		}
	}
	for _, h := range m.order {
		v := m.byID[h]
		id, ok := found[h]
		if !ok {
			id = *next
			*next++
			if err := do.store(h, v, id); err != nil {
				return err
			}
		}
		do.known(h, v, id)
	}
	return nil
}

func (m *missing[T]) find(ctx context.Context, conn *sql.Conn, table string) (map[usage.ID]int64, error) {
	texts := make([]string, len(m.order))
	for i, h := range m.order {
		texts[i] = uuidText(h)
	}
	rows, err := conn.QueryContext(ctx, `SELECT hash, id FROM `+table+` WHERE hash IN (SELECT unnest(string_split(?, ',')::UUID[]))`, strings.Join(texts, ","))
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
