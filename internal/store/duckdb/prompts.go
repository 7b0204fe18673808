package duckdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	duck "github.com/duckdb/duckdb-go/v2"

	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/store/sqlquery"
	"github.com/costprof/costprof/internal/usage"
)

// promptCache remembers which prompts the ledger has, so that one that many
// events have needs no look-up. Used by the writer alone.
type promptCache struct{ known map[usage.ID]bool }

// maxCachedPrompts bounds the cache, to about 10 MiB; when full it starts anew.
const maxCachedPrompts = 200_000

func (c *promptCache) forget() { c.known = nil }

// keep stores the texts that are new in the transaction at hand.
func (c *promptCache) keep(ctx context.Context, w *writer, n int64, recs []*usage.Record) error {
	var unknown missing[*usage.Record]
	for _, r := range recs {
		if r.Prompt != "" && r.PromptID != (usage.ID{}) && !c.known[r.PromptID] {
			unknown.add(r.PromptID, r)
		}
	}
	if len(unknown.order) == 0 {
		return nil
	}
	texts := make([]string, len(unknown.order))
	for i, id := range unknown.order {
		texts[i] = uuidText(id)
	}
	rows, err := w.conn.QueryContext(ctx, `SELECT id FROM prompts WHERE id IN (SELECT unnest(string_split(?, ',')::UUID[]))`, strings.Join(texts, ","))
	if err != nil {
		return err
	}
	defer rows.Close()
	stored := map[usage.ID]bool{}
	for rows.Next() {
		var id duck.UUID
		if err := rows.Scan(&id); err != nil {
			return err
		}
		stored[usage.ID(id)] = true
	}
	if err := rows.Err(); err != nil {
		return err
	}
	rows.Close()
	if c.known == nil || len(c.known) > maxCachedPrompts {
		c.known = map[usage.ID]bool{}
	}
	for _, id := range unknown.order {
		if !stored[id] {
			r := unknown.byID[id]
			if err := w.prompts.AppendRow(duck.UUID(id), r.Project, n, int32(len(r.Prompt)), r.Prompt); err != nil {
				return err
			}
			if err := w.queue.AppendRow(duck.UUID(id), r.Project, int32(0), time.Unix(0, 0).UTC()); err != nil {
				return err
			}
		}
		c.known[id] = true
	}
	return errors.Join(w.prompts.Flush(), w.queue.Flush())
}

// GetPrompts implements store.Texts.
func (e *Engine) GetPrompts(ctx context.Context, project string, ids []usage.ID) (map[usage.ID]store.Prompt, error) {
	out := make(map[usage.ID]store.Prompt, len(ids))
	for some := range slices.Chunk(ids, textsAtOnce) {
		list, err := e.selectPrompts(ctx, withIDs(some))
		if err != nil {
			return nil, err
		}
		for _, p := range list {
			if project == "" || p.Project == project {
				out[p.ID] = p
			}
		}
	}
	return out, nil
}

// textsAtOnce is how many texts one statement looks for: for more than 2,048, or
// with another condition beside the id, the engine reads all texts and does not use
// its index.
const textsAtOnce = 1_000

func withIDs(ids []usage.ID) string { return `WHERE id IN (` + uuidList(ids) + `)` }

// ListPrompts implements store.Prompts.
func (e *Engine) ListPrompts(ctx context.Context, project string, after usage.ID, limit int) ([]store.Prompt, error) {
	return e.selectPrompts(ctx, fmt.Sprintf(`WHERE id > '%s'::UUID AND (? = '' OR project = ?) ORDER BY id LIMIT %d`, uuidText(after), limit), project, project)
}

const selectTexts = `SELECT id, project, text FROM prompts `

func (e *Engine) selectPrompts(ctx context.Context, which string, args ...any) ([]store.Prompt, error) {
	var out []store.Prompt
	err := e.look(ctx, func(db querier) error {
		rows, err := db.QueryContext(ctx, selectTexts+which, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var id duck.UUID
			var p store.Prompt
			if err := rows.Scan(&id, &p.Project, &p.Text); err != nil {
				return err
			}
			p.ID = usage.ID(id)
			out = append(out, p)
		}
		return rows.Err()
	})
	return out, err
}

// PrunePrompts implements store.Prompts.
func (e *Engine) PrunePrompts(ctx context.Context, before map[string]time.Time) (int64, error) {
	var removed int64
	for _, project := range slices.Sorted(maps.Keys(before)) {
		cut := sqlquery.CeilMicro(before[project])
		const old = ` FROM prompts WHERE project = ? AND id NOT IN (SELECT prompt_id FROM events WHERE prompt_id IS NOT NULL AND ts >= ?)`
		// Questions are no burden for those who store: most projects have nothing to
		// remove, and need not wait between commits to learn it.
		var some bool
		if err := e.read(ctx, func(db querier, _ position) error {
			return db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1`+old+`)`, project, cut).Scan(&some)
		}); err != nil {
			return removed, err
		}
		if !some {
			continue
		}
		var n int64
		if err := e.change(ctx, func(ctx context.Context, c *sql.Conn) error {
			res, err := c.ExecContext(ctx, `DELETE`+old, project, cut)
			if err == nil {
				n, err = res.RowsAffected()
			}
			if err == nil {
				err = dropVectors(ctx, c)
			}
			// An event that comes later must find that its text is gone.
			e.prompts.forget()
			return err
		}); err != nil {
			return removed, fmt.Errorf("remove prompts: %w", err)
		}
		e.uses.drop()
		removed += n
	}
	return removed, nil
}
