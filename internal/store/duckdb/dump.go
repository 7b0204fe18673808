package duckdb

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	duck "github.com/duckdb/duckdb-go/v2"

	"github.com/costprof/costprof/internal/store"
)

// dumpChunk is how many rows of a dump are read at a time: the engine's client
// holds a whole result in memory.
const dumpChunk = 10_000

// Dump implements store.Dumper: one transaction, read in pieces by the rows'
// places in their tables.
func (e *Engine) Dump(ctx context.Context, to store.Sink) error {
	return e.read(ctx, func(db querier, at position) error {
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
			if err := dumpTable(ctx, db, t, to); err != nil {
				return err
			}
		}
		return nil
	})
}

func dumpTable(ctx context.Context, db querier, t *store.Table, to store.Sink) error {
	var end int64
	if err := db.QueryRowContext(ctx, `SELECT coalesce(max(rowid), -1) + 1 FROM `+t.Name).Scan(&end); err != nil {
		return err
	}
	values, targets := make([]any, len(t.Columns)), make([]any, len(t.Columns))
	for i := range values {
		targets[i] = &values[i]
	}
	text := `SELECT ` + strings.Join(t.Names(), ", ") + ` FROM ` + t.Name + ` WHERE rowid >= ? AND rowid < ? ORDER BY rowid`
	for begin := int64(0); begin < end; begin += dumpChunk {
		if err := ctx.Err(); err != nil {
			return err
		}
		rows, err := db.QueryContext(ctx, text, begin, begin+dumpChunk)
		if err != nil {
			return err
		}
		for rows.Next() {
			if err = rows.Scan(targets...); err != nil {
				break
			}
			for i := range t.Columns {
				if values[i], err = dumped(t, i, values[i]); err != nil {
					break
				}
			}
			if err == nil {
				err = to.Row(values)
			}
			if err != nil {
				break
			}
		}
		if err == nil {
			err = rows.Err()
		}
		rows.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// dumped is a value as a dump has it.
func dumped(t *store.Table, column int, v any) (any, error) {
	c := t.Columns[column]
	switch v := v.(type) {
	case nil:
		return nil, nil
	case int64, bool:
		return v, nil
	case int32:
		return int64(v), nil
	case uint8:
		return int64(v), nil
	case uint64:
		return int64(v), nil // a fingerprint: bits, not a number
	case time.Time:
		return v.UnixMicro(), nil
	case string:
		if c.Kind != store.Bytes {
			return v, nil
		}
		return encodingOf(t).DecodeString(v)
	case duck.UUID:
		return [16]byte(v), nil
	case []byte:
		if c.Kind == store.UUID && len(v) == 16 {
			return [16]byte(v), nil
		}
		return v, nil
	case []any:
		out := make([]int64, len(v))
		for i, n := range v {
			var ok bool
			if out[i], ok = n.(int64); !ok {
				return nil, fmt.Errorf("%s.%s holds a list of %T", t.Name, c.Name, n)
			}
		}
		return out, nil
	}
	return nil, fmt.Errorf("%s.%s came as %T", t.Name, c.Name, v)
}

// stringEncoding is how bytes stand in a column of text.
type stringEncoding interface {
	EncodeToString([]byte) string
	DecodeString(string) ([]byte, error)
}

type hexadecimal struct{}

func (hexadecimal) EncodeToString(b []byte) string        { return hex.EncodeToString(b) }
func (hexadecimal) DecodeString(s string) ([]byte, error) { return hex.DecodeString(s) }

// isBlob says whether the engine holds the bytes of a table as they are.
func isBlob(t *store.Table) bool { return t.Name == "vectors" }

func encodingOf(t *store.Table) stringEncoding {
	if t.Name == "settings" {
		return base64.StdEncoding
	}
	return hexadecimal{}
}
