package duckdb

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// spanCounts is how many events the ledger has in each span of time. The writer
// changes it after a commit; readers use it to bound a page of events in time.
type spanCounts struct {
	mu    sync.RWMutex
	n     map[int64]int
	keys  []int64 // sorted
	total int64
}

func (c *spanCounts) get(n int64) int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.n[n]
}

func (c *spanCounts) sum() int64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.total
}

func (c *spanCounts) add(n int64, events int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.n[n]; !ok {
		i, _ := slices.BinarySearch(c.keys, n)
		c.keys = slices.Insert(c.keys, i, n)
	}
	c.n[n] += events
	c.total += int64(events)
}

// back returns the highest span at or below `from` such that it and the spans
// up to `from` hold at least `want` events; ok is false when nothing older than
// the returned span exists.
func (c *spanCounts) back(from int64, want int) (lowest int64, older bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	i, exact := slices.BinarySearch(c.keys, from)
	if !exact {
		i--
	}
	for ; i >= 0; i-- {
		lowest = c.keys[i]
		want -= c.n[lowest]
		if want <= 0 {
			return lowest, i > 0
		}
	}
	return lowest, false
}

// hourCount is how many events an hour has.
type hourCount struct {
	hour   int64
	events int
}

// hours lists the hours that have events, oldest first.
func (c *spanCounts) hours() []hourCount {
	const perHour = int64(time.Hour / span)
	c.mu.RLock()
	defer c.mu.RUnlock()
	out := make([]hourCount, 0, len(c.keys)/int(perHour)+1)
	for _, k := range c.keys {
		h := k / perHour
		if n := len(out); n == 0 || out[n-1].hour != h {
			out = append(out, hourCount{hour: h})
		}
		out[len(out)-1].events += c.n[k]
	}
	return out
}

// load counts anew from the ledger: about 0.1 s for 10 million events.
func (c *spanCounts) load(ctx context.Context, q querier) error {
	rows, err := q.QueryContext(ctx, fmt.Sprintf(`SELECT epoch_us(ts) // %d AS n, count(*) FROM events GROUP BY n ORDER BY n`, span.Microseconds()))
	if err != nil {
		return fmt.Errorf("count events: %w", err)
	}
	defer rows.Close()
	counts, keys, total := map[int64]int{}, []int64{}, int64(0)
	for rows.Next() {
		var n int64
		var events int
		if err := rows.Scan(&n, &events); err != nil {
			return err
		}
		counts[n] = events
		keys = append(keys, n)
		total += int64(events)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n, c.keys, c.total = counts, keys, total
	return nil
}
