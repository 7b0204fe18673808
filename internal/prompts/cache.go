package prompts

import (
	"context"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"log/slog"
	"sync"
	"time"

	"github.com/costprof/costprof/internal/redis"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/usage"
)

// cachedFor is how long a vector is kept at least.
const cachedFor = time.Hour

// Cache keeps vectors that were paid for, for an hour or so: of a prompt that was
// removed and comes again, of an embedder that is chosen again, and of what a killed
// server had not stored yet. A prompt's id is the keyed hash of its text, and its
// project's alone. It may lose anything at any time, and no method fails but Clear.
type Cache interface {
	// Get gives the vectors that it has.
	Get(ctx context.Context, embedder string, ids []usage.ID) map[usage.ID][]float32
	Put(ctx context.Context, embedder string, vectors []store.PromptVector)
	// Drop removes those of prompts that are gone.
	Drop(ctx context.Context, embedder string, vectors []store.PromptVector)
	// Clear removes all, of all servers that share it.
	Clear(ctx context.Context) error
}

// memoryVectors is the most vectors that MemoryCache holds: of 1,536 coordinates
// about 12 MB.
const memoryVectors = 2_000

// MemoryCache is the cache of a server alone. It may be used from many goroutines.
type MemoryCache struct {
	now   func() time.Time
	mu    sync.Mutex
	known map[cacheKey]cached
	order []cacheKey // the oldest first; may name some that are gone
}

type cacheKey struct {
	embedder string
	id       usage.ID
}

type cached struct {
	vector []float32
	until  time.Time
}

// NewMemoryCache makes an empty cache.
func NewMemoryCache(now func() time.Time) *MemoryCache {
	return &MemoryCache{now: now, known: map[cacheKey]cached{}}
}

// Get implements Cache.
func (c *MemoryCache) Get(_ context.Context, embedder string, ids []usage.ID) map[usage.ID][]float32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[usage.ID][]float32{}
	now := c.now()
	for _, id := range ids {
		if v, ok := c.known[cacheKey{embedder, id}]; ok && now.Before(v.until) {
			out[id] = v.vector
		}
	}
	return out
}

// Put implements Cache.
func (c *MemoryCache) Put(_ context.Context, embedder string, vectors []store.PromptVector) {
	c.mu.Lock()
	defer c.mu.Unlock()
	until := c.now().Add(cachedFor)
	for _, v := range vectors {
		key := cacheKey{embedder, v.ID}
		if _, ok := c.known[key]; !ok {
			c.order = append(c.order, key)
		}
		c.known[key] = cached{v.Vector, until}
	}
	for len(c.order) > memoryVectors {
		delete(c.known, c.order[0])
		c.order = c.order[1:]
	}
}

// Drop implements Cache.
func (c *MemoryCache) Drop(_ context.Context, embedder string, vectors []store.PromptVector) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, v := range vectors {
		delete(c.known, cacheKey{embedder, v.ID})
	}
}

// Clear implements Cache.
func (c *MemoryCache) Clear(context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known, c.order = map[cacheKey]cached{}, nil
	return nil
}

// RedisCache is the cache of all servers on one ledger. The vectors of ten minutes
// lie in one hash, which goes as a whole: so all can be removed without a search for them.
type RedisCache struct {
	conn   *redis.Conn
	ledger string
	now    func() time.Time
	log    *slog.Logger
}

// cacheSlot is the time whose vectors lie in one hash.
const cacheSlot = 10 * time.Minute

// NewRedisCache makes the cache of a ledger, which its id names.
func NewRedisCache(conn *redis.Conn, ledger string, now func() time.Time, log *slog.Logger) *RedisCache {
	return &RedisCache{conn, ledger, now, log}
}

// keys are the hashes that may have vectors, the newest first. The clock of another
// server may be ahead.
func (c *RedisCache) keys() []string {
	slot := c.now().Unix() / int64(cacheSlot.Seconds())
	var out []string
	for back := int64(-1); back <= int64(cachedFor/cacheSlot)+1; back++ {
		out = append(out, c.key(slot-back))
	}
	return out
}

func (c *RedisCache) key(slot int64) string { return fmt.Sprintf("vectors:%s:%d", c.ledger, slot) }

// field names a vector in a hash.
func (*RedisCache) field(embedder string, id usage.ID) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(embedder)) // never fails
	return hex.EncodeToString(h.Sum(id[:]))
}

// Get implements Cache.
func (c *RedisCache) Get(ctx context.Context, embedder string, ids []usage.ID) map[usage.ID][]float32 {
	fields := make([]string, len(ids))
	for i, id := range ids {
		fields[i] = c.field(embedder, id)
	}
	out := map[usage.ID][]float32{}
	hashes, err := c.conn.Fields(ctx, c.keys(), fields)
	if err != nil {
		return out
	}
	for _, values := range hashes {
		for i, text := range values {
			if text == nil || out[ids[i]] != nil {
				continue
			}
			if v, err := store.DecodeVector(text); err == nil && len(v) > 0 {
				out[ids[i]] = v
			}
		}
	}
	return out
}

// Put implements Cache.
func (c *RedisCache) Put(ctx context.Context, embedder string, vectors []store.PromptVector) {
	values := make(map[string][]byte, len(vectors))
	for _, v := range vectors {
		values[c.field(embedder, v.ID)] = store.EncodeVector(v.Vector)
	}
	slot := c.now().Unix() / int64(cacheSlot.Seconds())
	// What cannot be kept is paid for again.
	_ = c.conn.SetFields(ctx, c.key(slot), values, cachedFor+cacheSlot)
}

// Drop implements Cache.
func (c *RedisCache) Drop(ctx context.Context, embedder string, vectors []store.PromptVector) {
	fields := make([]string, len(vectors))
	for i, v := range vectors {
		fields[i] = c.field(embedder, v.ID)
	}
	if err := c.conn.DeleteFields(ctx, c.keys(), fields); err != nil {
		c.log.Warn("vectors of prompts that are gone could not be removed from Redis; they go by themselves", "within", cachedFor+2*cacheSlot, "error", err)
	}
}

// Clear implements Cache.
func (c *RedisCache) Clear(ctx context.Context) error { return c.conn.Delete(ctx, c.keys()) }
