package duckdb

import (
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	duck "github.com/duckdb/duckdb-go/v2"

	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/usage"
)

// dropVectors removes what was made of prompts that are gone. Whoever removes
// prompts calls it in the same transaction.
func dropVectors(ctx context.Context, c *sql.Conn) error {
	for _, table := range [...]string{"embed_queue", "vectors"} {
		if _, err := c.ExecContext(ctx, `DELETE FROM `+table+` WHERE id NOT IN (SELECT id FROM prompts)`); err != nil {
			return err
		}
	}
	return nil
}

// TakeQueue implements store.Queue. The ids come first, so that no text is read
// of prompts that are not taken.
func (e *Engine) TakeQueue(ctx context.Context, limit int, now time.Time) ([]store.QueuedPrompt, error) {
	var out []store.QueuedPrompt
	err := e.read(ctx, func(db querier, _ position) error {
		due := fmt.Sprintf(`(SELECT id, project, attempts, not_before FROM embed_queue WHERE not_before <= make_timestamp(%d) ORDER BY not_before, project, id LIMIT %d)`, now.UnixMicro(), limit)
		rows, err := db.QueryContext(ctx, `SELECT q.id, q.project, p.text, q.attempts FROM `+due+` q JOIN prompts p ON p.id = q.id ORDER BY q.not_before, q.project, q.id`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var q store.QueuedPrompt
			if err := rows.Scan((*duck.UUID)(&q.ID), &q.Project, &q.Text, &q.Attempts); err != nil {
				return err
			}
			out = append(out, q)
		}
		return rows.Err()
	})
	return out, err
}

// QueueSize implements store.Queue.
func (e *Engine) QueueSize(ctx context.Context) (n int64, err error) {
	err = e.read(ctx, func(db querier, _ position) error {
		return db.QueryRowContext(ctx, `SELECT count(*) FROM embed_queue`).Scan(&n)
	})
	return n, err
}

// PutAttempts implements store.Queue.
func (e *Engine) PutAttempts(ctx context.Context, attempts []store.Attempt) error {
	if len(attempts) == 0 {
		return nil
	}
	values := make([]string, len(attempts))
	for i, a := range attempts {
		values[i] = fmt.Sprintf(`('%s'::UUID, %d, make_timestamp(%d))`, uuidText(a.ID), a.Attempts, a.NotBefore.UnixMicro())
	}
	return e.change(ctx, func(ctx context.Context, c *sql.Conn) error {
		_, err := c.ExecContext(ctx, `UPDATE embed_queue SET attempts = a.attempts, not_before = a.not_before
			FROM (VALUES `+strings.Join(values, ", ")+`) a (id, attempts, not_before) WHERE embed_queue.id = a.id`)
		return err
	})
}

// PutVectors implements store.Queue. Vectors travel as text: the driver binds one
// blob, but no list of them.
func (e *Engine) PutVectors(ctx context.Context, embedder string, vectors []store.PromptVector) ([]bool, error) {
	stored := make([]bool, len(vectors))
	if len(vectors) == 0 {
		return stored, nil
	}
	ids, values := make([]string, len(vectors)), make([]string, len(vectors))
	at := make(map[usage.ID]int, len(vectors))
	for i, v := range vectors {
		ids[i] = `'` + uuidText(v.ID) + `'::UUID`
		values[i] = `(` + ids[i] + `, '` + base64.StdEncoding.EncodeToString(store.EncodeVector(v.Vector)) + `')`
		at[v.ID] = i
	}
	list := `(` + strings.Join(ids, ", ") + `)`
	err := e.change(ctx, func(ctx context.Context, c *sql.Conn) error {
		for _, table := range [...]string{"embed_queue", "vectors"} {
			if _, err := c.ExecContext(ctx, `DELETE FROM `+table+` WHERE id IN `+list); err != nil {
				return err
			}
		}
		rows, err := c.QueryContext(ctx, `INSERT INTO vectors
			SELECT p.id, p.project, ?, (SELECT coalesce(max(seq), 0) FROM vectors) + row_number() OVER (ORDER BY p.id), from_base64(v.vector)
			FROM (VALUES `+strings.Join(values, ", ")+`) v (id, vector) JOIN prompts p ON p.id = v.id RETURNING id`, embedder)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var id usage.ID
			if err := rows.Scan((*duck.UUID)(&id)); err != nil {
				return err
			}
			stored[at[id]] = true
		}
		return errors.Join(rows.Err(), rows.Close())
	})
	return stored, err
}

// Requeue implements store.Vectors.
func (e *Engine) Requeue(ctx context.Context, embedder string) (n int64, err error) {
	const lacking = ` FROM prompts WHERE id NOT IN (SELECT id FROM vectors WHERE embedder = ?) AND id NOT IN (SELECT id FROM embed_queue)`
	var some bool
	if err := e.read(ctx, func(db querier, _ position) error {
		return db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1`+lacking+`)`, embedder).Scan(&some)
	}); err != nil || !some {
		return 0, err
	}
	err = e.change(ctx, func(ctx context.Context, c *sql.Conn) error {
		res, err := c.ExecContext(ctx, `INSERT INTO embed_queue SELECT id, project, 0, TIMESTAMP '1970-01-01'`+lacking, embedder)
		if err == nil {
			n, err = res.RowsAffected()
		}
		return err
	})
	return n, err
}

// GetVectors implements store.Vectors.
func (e *Engine) GetVectors(ctx context.Context, ids []usage.ID, embedder string) (map[usage.ID][]float32, error) {
	out := map[usage.ID][]float32{}
	if len(ids) == 0 {
		return out, nil
	}
	err := e.read(ctx, func(db querier, _ position) error {
		rows, err := db.QueryContext(ctx, `SELECT id, vector FROM vectors WHERE embedder = ? AND id IN (`+uuidList(ids)+`)`, embedder)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var id usage.ID
			var b []byte
			if err := rows.Scan((*duck.UUID)(&id), &b); err != nil {
				return err
			}
			if out[id], err = store.DecodeVector(b); err != nil {
				return err
			}
		}
		return rows.Err()
	})
	return out, err
}

// ListVectors implements store.Vectors. Where the page ends is asked first: with an
// end, the engine looks at the vectors of the page alone.
func (e *Engine) ListVectors(ctx context.Context, embedder string, after int64, limit int) ([]store.PromptVector, error) {
	var out []store.PromptVector
	err := e.read(ctx, func(db querier, _ position) error {
		var until sql.NullInt64
		if err := db.QueryRowContext(ctx, fmt.Sprintf(`SELECT max(seq) FROM (SELECT seq FROM vectors WHERE embedder = ? AND seq > %d ORDER BY seq LIMIT %d)`, after, limit), embedder).Scan(&until); err != nil || !until.Valid {
			return err
		}
		rows, err := db.QueryContext(ctx, fmt.Sprintf(`SELECT id, project, seq, vector FROM vectors WHERE embedder = ? AND seq > %d AND seq <= %d ORDER BY seq`, after, until.Int64), embedder)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var v store.PromptVector
			var b []byte
			if err := rows.Scan((*duck.UUID)(&v.ID), &v.Project, &v.Seq, &b); err != nil {
				return err
			}
			if v.Vector, err = store.DecodeVector(b); err != nil {
				return err
			}
			out = append(out, v)
		}
		return rows.Err()
	})
	return out, err
}
