package dedupe

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// Spans is how many events the ledger has in each span of time. The writer
// changes it after a commit; readers use it to bound a page of events in time.
type Spans struct {
	mu    sync.RWMutex
	n     map[int64]int
	keys  []int64 // sorted
	total int64
}

// Get is how many events a span has.
func (c *Spans) Get(n int64) int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.n[n]
}

// Sum is how many there are in all.
func (c *Spans) Sum() int64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.total
}

// Add counts events that were stored.
func (c *Spans) Add(n int64, events int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.n[n]; !ok {
		i, _ := slices.BinarySearch(c.keys, n)
		c.keys = slices.Insert(c.keys, i, n)
	}
	c.n[n] += events
	c.total += int64(events)
}

// Back returns the highest span at or below `from` such that it and the spans
// up to `from` hold at least `want` events; ok is false when nothing older than
// the returned span exists.
func (c *Spans) Back(from int64, want int) (lowest int64, older bool) {
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

// HourCount is how many events an hour has.
type HourCount struct {
	Hour   int64
	Events int
}

// Hours lists the hours that have events, oldest first.
func (c *Spans) Hours() []HourCount {
	const perHour = int64(time.Hour / Span)
	c.mu.RLock()
	defer c.mu.RUnlock()
	out := make([]HourCount, 0, len(c.keys)/int(perHour)+1)
	for _, k := range c.keys {
		h := k / perHour
		if n := len(out); n == 0 || out[n-1].Hour != h {
			out = append(out, HourCount{Hour: h})
		}
		out[len(out)-1].Events += c.n[k]
	}
	return out
}

// Replace sets the counts: what the ledger holds, by span.
func (c *Spans) Replace(counts map[int64]int) {
	total := int64(0)
	for _, n := range counts {
		total += int64(n)
	}
	keys := slices.Sorted(maps.Keys(counts))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n, c.keys, c.total = counts, keys, total
}
