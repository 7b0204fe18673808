package limit

import (
	"context"
	"hash/maphash"
	"sync"
	"time"
)

// Memory counts in this process. Its memory is bounded: beyond MaxKeys keys in
// one window, new keys share counters with others, so that whoever sends from
// ever new addresses cannot fill it, and is limited all the same.
type Memory struct {
	now  func() time.Time
	most int
	seed maphash.Seed

	mu    sync.Mutex
	rules map[string]*window
}

// window is the counts of one rule in its window at hand.
type window struct {
	start time.Time
	per   time.Duration
	n     map[string]int64
	// shared are the counters of the keys that came when n was full.
	shared []int64
}

// MaxKeys is how many keys have a counter of their own in one window.
const MaxKeys = 100_000

// sharedCounters is how many counters the other keys share.
const sharedCounters = 4096

// NewMemory makes a counter that knows at most maxKeys keys a window; 0 is
// MaxKeys.
func NewMemory(now func() time.Time, maxKeys int) *Memory {
	if maxKeys <= 0 {
		maxKeys = MaxKeys
	}
	return &Memory{now: now, most: maxKeys, seed: maphash.MakeSeed(), rules: map[string]*window{}}
}

// tally is what a Memory counted. own is false when the key shares its counter.
type tally struct {
	n    int64
	left time.Duration
	own  bool
}

// Count implements Counter. It never fails.
func (m *Memory) Count(_ context.Context, r Rule, key string) (int64, time.Duration, error) {
	t := m.count(r, key)
	return t.n, t.left, nil
}

func (m *Memory) count(r Rule, key string) tally {
	now := m.now()
	start := time.Unix(0, now.UnixNano()/int64(r.Per)*int64(r.Per))
	left := start.Add(r.Per).Sub(now)
	m.mu.Lock()
	defer m.mu.Unlock()
	w := m.rules[r.Name]
	if w == nil || w.start != start || w.per != r.Per {
		w = &window{start: start, per: r.Per, n: map[string]int64{}}
		m.rules[r.Name] = w
	}
	if n, known := w.n[key]; known || len(w.n) < m.most {
		w.n[key] = n + 1
		return tally{n + 1, left, true}
	}
	if w.shared == nil {
		w.shared = make([]int64, sharedCounters)
	}
	c := &w.shared[maphash.String(m.seed, key)%sharedCounters]
	*c++
	return tally{*c, left, false}
}
