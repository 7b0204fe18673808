package duckdb

import (
	"context"
	"errors"
	"fmt"
	"strings"

	duck "github.com/duckdb/duckdb-go/v2"

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
func (c *tagCache) intern(ctx context.Context, w *writer, recs []*usage.Record) ([]int64, error) {
	out := make([]int64, len(recs))
	hashes := make([]usage.ID, len(recs))
	if c.sets == nil || len(c.sets) > maxCachedTagSets {
		c.sets = map[usage.ID]int64{}
	}
	var unknown missing[map[string]string]
	for i, r := range recs {
		if len(r.Tags) == 0 {
			continue
		}
		hashes[i] = sqlquery.HashTags(r.Tags)
		if _, ok := c.sets[hashes[i]]; !ok {
			unknown.add(hashes[i], r.Tags)
		}
	}
	if len(unknown.order) > 0 {
		err := unknown.number(ctx, w.conn, "tagsets", &c.next, numbering[map[string]string]{
			known: func(h usage.ID, _ map[string]string, id int64) { c.sets[h] = id },
			store: func(h usage.ID, tags map[string]string, id int64) error {
				if err := w.tagsets.AppendRow(id, duck.UUID(h)); err != nil {
					return err
				}
				for name, value := range tags {
					if err := w.tags.AppendRow(id, name, value); err != nil {
						return err
					}
				}
				return nil
			},
		})
		if err != nil {
			return nil, err
		}
		if err := errors.Join(w.tagsets.Flush(), w.tags.Flush()); err != nil {
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
