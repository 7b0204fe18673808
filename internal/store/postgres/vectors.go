package postgres

import (
	"context"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/usage"
)

// TakeQueue implements store.Queue.
func (e *Engine) TakeQueue(ctx context.Context, limit int, now time.Time) ([]store.QueuedPrompt, error) {
	var out []store.QueuedPrompt
	err := e.catalog(ctx, func(db *pgxConn) error {
		rows, err := db.Query(ctx, `SELECT q.id, q.project, p.text, q.attempts FROM embed_queue q JOIN prompts p ON p.id = q.id
			WHERE q.not_before <= $1 ORDER BY q.not_before, q.project, q.id LIMIT $2`, now.UnixMicro(), limit)
		if err != nil {
			return err
		}
		out, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (q store.QueuedPrompt, err error) {
			return q, row.Scan((*[16]byte)(&q.ID), &q.Project, &q.Text, &q.Attempts)
		})
		return err
	})
	return out, err
}

// QueueSize implements store.Queue.
func (e *Engine) QueueSize(ctx context.Context) (n int64, err error) {
	err = e.catalog(ctx, func(db *pgxConn) error { return db.QueryRow(ctx, `SELECT count(*) FROM embed_queue`).Scan(&n) })
	return n, err
}

// PutAttempts implements store.Queue.
func (e *Engine) PutAttempts(ctx context.Context, attempts []store.Attempt) error {
	ids, tries, times := make([][16]byte, len(attempts)), make([]int32, len(attempts)), make([]int64, len(attempts))
	for i, a := range attempts {
		ids[i], tries[i], times[i] = a.ID, int32(a.Attempts), a.NotBefore.UnixMicro()
	}
	return e.inLedger(ctx, func(tx pgx.Tx, _ int64) (change, error) {
		_, err := tx.Exec(ctx, `UPDATE embed_queue SET attempts = a.attempts, not_before = a.not_before
			FROM unnest($1::UUID[], $2::INTEGER[], $3::BIGINT[]) AS a (id, attempts, not_before) WHERE embed_queue.id = a.id`, ids, tries, times)
		return change{}, err
	})
}

// PutVectors implements store.Queue. The transaction holds the ledger, so nobody
// removes the prompts meanwhile.
func (e *Engine) PutVectors(ctx context.Context, embedder string, vectors []store.PromptVector) ([]bool, error) {
	ids, coded := make([][16]byte, len(vectors)), make([][]byte, len(vectors))
	at := make(map[usage.ID]int, len(vectors))
	for i, v := range vectors {
		ids[i], coded[i], at[v.ID] = v.ID, store.EncodeVector(v.Vector), i
	}
	var stored []bool
	err := e.inLedger(ctx, func(tx pgx.Tx, _ int64) (change, error) {
		stored = make([]bool, len(vectors))
		if _, err := tx.Exec(ctx, `DELETE FROM embed_queue WHERE id = ANY($1)`, ids); err != nil {
			return change{}, err
		}
		rows, err := tx.Query(ctx, `INSERT INTO vectors
			SELECT p.id, p.project, $1, nextval('vector_numbers'), v.vector
			FROM unnest($2::UUID[], $3::BYTEA[]) AS v (id, vector) JOIN prompts p ON p.id = v.id
			ON CONFLICT (id) DO UPDATE SET embedder = excluded.embedder, seq = excluded.seq, vector = excluded.vector RETURNING id`, embedder, ids, coded)
		if err != nil {
			return change{}, err
		}
		kept, err := pgx.CollectRows(rows, pgx.RowTo[[16]byte])
		for _, id := range kept {
			stored[at[id]] = true
		}
		return change{}, err
	})
	return stored, err
}

// Requeue implements store.Vectors.
func (e *Engine) Requeue(ctx context.Context, embedder string) (n int64, err error) {
	err = e.inLedger(ctx, func(tx pgx.Tx, _ int64) (change, error) {
		tag, err := tx.Exec(ctx, `INSERT INTO embed_queue SELECT id, project, 0, 0 FROM prompts
			WHERE NOT EXISTS (SELECT 1 FROM vectors WHERE vectors.id = prompts.id AND embedder = $1) ON CONFLICT DO NOTHING`, embedder)
		n = tag.RowsAffected()
		return change{}, err
	})
	return n, err
}

// GetVectors implements store.Vectors.
func (e *Engine) GetVectors(ctx context.Context, ids []usage.ID, embedder string) (map[usage.ID][]float32, error) {
	out := map[usage.ID][]float32{}
	err := e.catalog(ctx, func(db *pgxConn) error {
		rows, err := db.Query(ctx, `SELECT id, vector FROM vectors WHERE id = ANY($1) AND embedder = $2`, uuids(ids), embedder)
		if err != nil {
			return err
		}
		var id [16]byte
		var b []byte
		_, err = pgx.ForEachRow(rows, []any{&id, &b}, func() (err error) {
			out[id], err = store.DecodeVector(b)
			return err
		})
		return err
	})
	return out, err
}

// ListVectors implements store.Vectors.
func (e *Engine) ListVectors(ctx context.Context, embedder string, after int64, limit int) ([]store.PromptVector, error) {
	var out []store.PromptVector
	err := e.catalog(ctx, func(db *pgxConn) error {
		list, err := listCoded(ctx, db, embedder, after, math.MaxInt64, limit)
		if err != nil {
			return err
		}
		out = make([]store.PromptVector, len(list))
		for i, v := range list {
			out[i] = store.PromptVector{Project: v.project, ID: v.id, Seq: v.seq}
			if out[i].Vector, err = store.DecodeVector(v.vector); err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}
