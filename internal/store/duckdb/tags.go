package duckdb

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/costprof/costprof/internal/store/sqlquery"
	"github.com/costprof/costprof/internal/usage"
)

// tagCache remembers the numbers of tag sets, so that most events need no
// look-up. Used by the writer alone.
type tagCache struct {
	sets map[usage.ID]int64
	next int64 // 0: not read yet
}

// maxCachedTagSets bounds the cache; when full it starts anew.
const maxCachedTagSets = 200_000

func (c *tagCache) forget() { c.sets, c.next = nil, 0 }

// intern gives the number of each record's tag set, 0 for none, and stores sets
// that are new in the transaction at hand.
func (c *tagCache) intern(ctx context.Context, conn *sql.Conn, recs []*usage.Record) ([]int64, error) {
	out := make([]int64, len(recs))
	hashes := make([]usage.ID, len(recs))
	if c.sets == nil || len(c.sets) > maxCachedTagSets {
		c.sets = map[usage.ID]int64{}
	}
	unknown := map[usage.ID]map[string]string{}
	for i, r := range recs {
		if len(r.Tags) == 0 {
			continue
		}
		hashes[i] = sqlquery.HashTags(r.Tags)
		if _, ok := c.sets[hashes[i]]; !ok {
			unknown[hashes[i]] = r.Tags
		}
	}
	if len(unknown) > 0 {
		if err := c.resolve(ctx, conn, unknown); err != nil {
			return nil, err
		}
	}
	for i, r := range recs {
		if len(r.Tags) > 0 {
			out[i] = c.sets[hashes[i]]
		}
	}
	return out, nil
}

func (c *tagCache) resolve(ctx context.Context, conn *sql.Conn, unknown map[usage.ID]map[string]string) error {
	found, err := numbersOf(ctx, conn, "tagsets", unknown)
	if err != nil {
		return err
	}
	for h, id := range found {
		c.sets[h] = id
		delete(unknown, h)
	}
	if len(unknown) == 0 {
		return nil
	}
	if c.next == 0 {
		if err := conn.QueryRowContext(ctx, `SELECT coalesce(max(id), 0) + 1 FROM tagsets`).Scan(&c.next); err != nil {
			return err
		}
	}
	var sets, tags strings.Builder
	var tagArgs []any
	for h, t := range unknown {
		id := c.next
		c.next++
		c.sets[h] = id
		fmt.Fprintf(&sets, "(%d, '%s'),", id, uuidText(h))
		for name, value := range t {
			fmt.Fprintf(&tags, "(%d, ?, ?),", id)
			tagArgs = append(tagArgs, name, value)
		}
	}
	if _, err := conn.ExecContext(ctx, `INSERT INTO tagsets VALUES `+strings.TrimSuffix(sets.String(), ",")); err != nil {
		return err
	}
	_, err = conn.ExecContext(ctx, `INSERT INTO tags VALUES `+strings.TrimSuffix(tags.String(), ","), tagArgs...)
	return err
}

// readTags gives the tags of sets by number.
func readTags(ctx context.Context, q querier, sets map[int64]map[string]string) error {
	if len(sets) == 0 {
		return nil
	}
	ids := make([]string, 0, len(sets))
	for id := range sets {
		ids = append(ids, fmt.Sprint(id))
	}
	rows, err := q.QueryContext(ctx, `SELECT tagset, name, value FROM tags WHERE tagset IN (`+strings.Join(ids, ",")+`)`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		var name, value string
		if err := rows.Scan(&id, &name, &value); err != nil {
			return err
		}
		if sets[id] == nil {
			sets[id] = map[string]string{}
		}
		sets[id][name] = value
	}
	return rows.Err()
}
