package app

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/costprof/costprof/internal/config"
	"github.com/costprof/costprof/internal/httpapi"
	"github.com/costprof/costprof/internal/limit"
	"github.com/costprof/costprof/internal/live"
	"github.com/costprof/costprof/internal/prompts"
	"github.com/costprof/costprof/internal/redis"
	"github.com/costprof/costprof/internal/store"
)

// shared is what servers have in common beside the ledger; without Redis each is
// alone.
type shared struct {
	cache   httpapi.Cache
	counter limit.Counter
	channel live.Channel
	vectors prompts.Cache
	workers map[string]worker
}

// ledgerSetting is the name by which servers on one ledger find each other.
const ledgerSetting = "ledger.id"

func openShared(ctx context.Context, p Params, catalog store.Settings) (shared, error) {
	if p.Config.RedisURL == "" {
		return shared{channel: live.NewMemory(), vectors: prompts.NewMemoryCache(time.Now)}, nil
	}
	var fresh [8]byte
	_, _ = rand.Read(fresh[:]) // never fails
	ledger, err := catalog.InitSetting(ctx, ledgerSetting, fresh[:])
	if err != nil {
		return shared{}, fmt.Errorf("read the ledger's id: %w", err)
	}
	conn, err := redis.Open(ctx, redis.Params{URL: p.Config.RedisURL, Prefix: p.Config.RedisPrefix, Now: time.Now, Log: p.Log})
	if err != nil {
		return shared{}, fmt.Errorf("REDIS_URL %w", err)
	}
	channel := live.NewRedis(conn, hex.EncodeToString(ledger))
	return shared{
		cache: conn, counter: limit.NewRedis(conn), channel: channel,
		vectors: prompts.NewRedisCache(conn, hex.EncodeToString(ledger), time.Now, p.Log),
		workers: map[string]worker{"redis": conn.Run, "announcements": channel.Run},
	}, nil
}

// severalServers says whether other servers may change the same ledger.
func severalServers(c *config.Config) bool { return c.Database() != "" }
