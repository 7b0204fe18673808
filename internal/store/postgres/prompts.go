package postgres

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/store/sqlquery"
	"github.com/costprof/costprof/internal/usage"
)

// keepPrompts stores the texts that are new. The transaction holds the ledger, so
// nobody stores or removes any meanwhile; which are known is asked first, as they
// are long and mostly known.
func keepPrompts(ctx context.Context, tx pgx.Tx, n int64, fresh []*row) error {
	var texts map[[16]byte]*usage.Record
	for _, r := range fresh {
		if r.rec.Prompt != "" && r.rec.PromptID != (usage.ID{}) {
			if texts == nil {
				texts = map[[16]byte]*usage.Record{}
			}
			texts[r.rec.PromptID] = r.rec
		}
	}
	if texts == nil {
		return nil
	}
	rows, err := tx.Query(ctx, `SELECT id FROM prompts WHERE id = ANY($1)`, slices.Collect(maps.Keys(texts)))
	if err != nil {
		return fmt.Errorf("find prompts: %w", err)
	}
	known, err := pgx.CollectRows(rows, pgx.RowTo[[16]byte])
	if err != nil {
		return fmt.Errorf("find prompts: %w", err)
	}
	for _, id := range known {
		delete(texts, id)
	}
	if len(texts) == 0 {
		return nil
	}
	_, err = tx.CopyFrom(ctx, pgx.Identifier{"prompts"}, []string{"id", "project", "seq", "bytes", "text"}, copyPrompts(n, texts))
	if err != nil {
		return fmt.Errorf("keep prompts: %w", err)
	}
	if _, err = tx.Exec(ctx, `INSERT INTO embed_queue SELECT id, project, 0, 0 FROM prompts WHERE id = ANY($1)`, slices.Collect(maps.Keys(texts))); err != nil {
		return fmt.Errorf("queue prompts: %w", err)
	}
	return nil
}

func copyPrompts(n int64, texts map[[16]byte]*usage.Record) pgx.CopyFromSource {
	ids := slices.Collect(maps.Keys(texts))
	return pgx.CopyFromSlice(len(ids), func(i int) ([]any, error) {
		r := texts[ids[i]]
		return []any{ids[i], r.Project, n, int32(len(r.Prompt)), r.Prompt}, nil
	})
}

// uuids are ids as the driver binds them.
func uuids(ids []usage.ID) [][16]byte {
	list := make([][16]byte, len(ids))
	for i, id := range ids {
		list[i] = id
	}
	return list
}

// GetPrompts implements store.Texts.
func (e *Engine) GetPrompts(ctx context.Context, project string, ids []usage.ID) (map[usage.ID]store.Prompt, error) {
	out := make(map[usage.ID]store.Prompt, len(ids))
	found, err := e.selectPrompts(ctx, `SELECT id, project, text FROM prompts WHERE id = ANY($1) AND ($2 = '' OR project = $2)`, uuids(ids), project)
	for _, p := range found {
		out[p.ID] = p
	}
	return out, err
}

// ListPrompts implements store.Prompts.
func (e *Engine) ListPrompts(ctx context.Context, project string, after usage.ID, limit int) ([]store.Prompt, error) {
	text, args := `SELECT id, project, text FROM prompts WHERE id > $1 ORDER BY id LIMIT $2`, []any{[16]byte(after), limit}
	if project != "" {
		text, args = `SELECT id, project, text FROM prompts WHERE id > $1 AND project = $3 ORDER BY id LIMIT $2`, append(args, project)
	}
	return e.selectPrompts(ctx, text, args...)
}

func (e *Engine) selectPrompts(ctx context.Context, text string, args ...any) ([]store.Prompt, error) {
	var out []store.Prompt
	err := e.catalog(ctx, func(db *pgxConn) error {
		rows, err := db.Query(ctx, text, args...)
		if err != nil {
			return err
		}
		out, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (p store.Prompt, err error) {
			return p, row.Scan((*[16]byte)(&p.ID), &p.Project, &p.Text)
		})
		return err
	})
	return out, err
}

// prunePromptsAtOnce is how many prompts are looked at while nobody can store.
const prunePromptsAtOnce = 1_000

// PrunePrompts implements store.Prompts. What is old is found while others store,
// and looked at again by the commits that remove it.
func (e *Engine) PrunePrompts(ctx context.Context, before map[string]time.Time) (int64, error) {
	var removed int64
	for _, project := range slices.Sorted(maps.Keys(before)) {
		cut := sqlquery.CeilMicro(before[project]).UnixMicro()
		const unused = `NOT EXISTS (SELECT 1 FROM events WHERE events.prompt_id = prompts.id AND events.ts >= $2)`
		var after [16]byte
		for {
			var old [][16]byte
			if err := e.catalog(ctx, func(db *pgxConn) error {
				rows, err := db.Query(ctx, `SELECT id FROM prompts WHERE project = $1 AND `+unused+` AND id > $3 ORDER BY id LIMIT $4`, project, cut, after, prunePromptsAtOnce)
				if err != nil {
					return err
				}
				old, err = pgx.CollectRows(rows, pgx.RowTo[[16]byte])
				return err
			}); err != nil {
				return removed, err
			}
			if len(old) == 0 {
				break
			}
			var n int64
			if err := e.inLedger(ctx, func(tx pgx.Tx, _ int64) (change, error) {
				tag, err := tx.Exec(ctx, `DELETE FROM prompts WHERE id = ANY($1) AND `+unused, old, cut)
				n = tag.RowsAffected()
				return change{}, err
			}); err != nil {
				return removed, err
			}
			removed += n
			e.swept.Store(0)
			after = old[len(old)-1]
		}
	}
	return removed, nil
}
