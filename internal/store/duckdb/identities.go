package duckdb

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	duck "github.com/duckdb/duckdb-go/v2"

	"github.com/costprof/costprof/internal/store/dedupe"
	"github.com/costprof/costprof/internal/usage"
)

// writer is a dedupe.Ledger.
var _ dedupe.Ledger = (*writer)(nil)

// LookUp implements dedupe.Ledger.
func (w *writer) LookUp(ctx context.Context, ask dedupe.Wanted) (map[usage.ID]dedupe.Stored, error) {
	found := map[usage.ID]dedupe.Stored{}
	scan := func(rows *sql.Rows, err error) error {
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var id duck.UUID
			var content sql.Null[uint64]
			var s dedupe.Stored
			if err := rows.Scan(&id, &content, &s.Timestamp, &s.Aggregate); err != nil {
				return err
			}
			s.Content, s.Timestamp = content.V, s.Timestamp.UTC()
			found[usage.ID(id)] = s
		}
		return rows.Err()
	}
	if len(ask.Derived) > 0 {
		err := scan(w.conn.QueryContext(ctx, `SELECT id, content, ts, is_aggregate FROM events WHERE ts >= ? AND ts <= ? AND id IN (`+uuidList(ask.Derived)+`)`, ask.From, ask.To))
		if err != nil {
			return nil, fmt.Errorf("look up identities: %w", err)
		}
	}
	if len(ask.Explicit) > 0 {
		err := scan(w.conn.QueryContext(ctx, `SELECT id, content, ts, is_aggregate FROM events WHERE content IS NOT NULL AND id IN (`+uuidList(ask.Explicit)+`)`))
		if err != nil {
			return nil, fmt.Errorf("look up explicit identities: %w", err)
		}
	}
	return found, nil
}

// SpanIDs implements dedupe.Ledger.
func (w *writer) SpanIDs(ctx context.Context, spans []int64, yield func(span int64, id usage.ID)) error {
	list := make([]string, len(spans))
	for i, n := range spans {
		list[i] = fmt.Sprint(n)
	}
	const micros = int64(dedupe.Span / time.Microsecond)
	at := func(n int64) time.Time { return time.UnixMicro(n * micros).UTC() }
	rows, err := w.conn.QueryContext(ctx, fmt.Sprintf(
		`SELECT epoch_us(ts) // %d AS n, id FROM events WHERE ts >= ? AND ts < ? AND n IN (%s)`,
		micros, strings.Join(list, ",")), at(spans[0]), at(spans[len(spans)-1]+1))
	if err != nil {
		return fmt.Errorf("load identities: %w", err)
	}
	defer rows.Close()
	var n int64
	var id duck.UUID
	for rows.Next() {
		if err := rows.Scan(&n, &id); err != nil {
			return err
		}
		yield(n, usage.ID(id))
	}
	return rows.Err()
}

// CountExplicit implements dedupe.Ledger.
func (w *writer) CountExplicit(ctx context.Context) (n int, err error) {
	if err := w.conn.QueryRowContext(ctx, `SELECT count(content) FROM events`).Scan(&n); err != nil {
		return 0, fmt.Errorf("count explicit identities: %w", err)
	}
	return n, nil
}

// ExplicitIDs implements dedupe.Ledger.
func (w *writer) ExplicitIDs(ctx context.Context, yield func(usage.ID)) error {
	rows, err := w.conn.QueryContext(ctx, `SELECT id FROM events WHERE content IS NOT NULL`)
	if err != nil {
		return fmt.Errorf("load explicit identities: %w", err)
	}
	defer rows.Close()
	var id duck.UUID
	for rows.Next() {
		if err := rows.Scan(&id); err != nil {
			return err
		}
		yield(usage.ID(id))
	}
	return rows.Err()
}

// countSpans counts the events of each span: about 0.1 s for 10 million.
func (e *Engine) countSpans(ctx context.Context, q querier) error {
	rows, err := q.QueryContext(ctx, fmt.Sprintf(`SELECT epoch_us(ts) // %d AS n, count(*) FROM events GROUP BY n`, int64(dedupe.Span/time.Microsecond)))
	if err != nil {
		return fmt.Errorf("count events: %w", err)
	}
	defer rows.Close()
	counts := map[int64]int{}
	for rows.Next() {
		var n int64
		var events int
		if err := rows.Scan(&n, &events); err != nil {
			return err
		}
		counts[n] = events
	}
	if err := rows.Err(); err != nil {
		return err
	}
	e.counts.Replace(counts)
	return nil
}

func uuidList(ids []usage.ID) string {
	list := make([]string, len(ids))
	for i, id := range ids {
		list[i] = "'" + uuidText(id) + "'::UUID"
	}
	return strings.Join(list, ",")
}

// uuidText is the form of an id that the engine reads as a UUID literal.
func uuidText(id usage.ID) string {
	s := id.String()
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}
