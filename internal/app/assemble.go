package app

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/costprof/costprof/internal/auth"
	"github.com/costprof/costprof/internal/httpapi"
	"github.com/costprof/costprof/internal/ingest"
	"github.com/costprof/costprof/internal/live"
	"github.com/costprof/costprof/internal/pricing"
	"github.com/costprof/costprof/internal/prompts"
	"github.com/costprof/costprof/internal/rating"
	"github.com/costprof/costprof/internal/report"
	"github.com/costprof/costprof/internal/retention"
	"github.com/costprof/costprof/internal/secrets"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/usage"
)

// worker is work beside the requests; it ends when its context does.
type worker func(context.Context) error

// assemble puts the services over an engine.
func assemble(ctx context.Context, p Params, engine store.Engine, access *auth.Service) (*httpapi.API, map[string]worker, error) {
	c := p.Config
	common, err := openShared(ctx, p, engine)
	if err != nil {
		return nil, nil, err
	}
	hub := live.New(ctx, live.Params{Ledger: engine, Channel: common.channel, MaxStreams: c.SSEMaxConnections, Now: time.Now, Log: p.Log})
	locks, _ := engine.(store.Locks) // of engines that servers share
	nearest, _ := engine.(store.Nearest)
	var vectors *embedding // made of the pipeline, which tells it what came
	engine = corrected{engine, hub.Matters, func() { vectors.forget() }}
	book, err := pricing.Shipped()
	if err != nil {
		return nil, nil, fmt.Errorf("read the price book: %w", err)
	}
	prices, err := rating.Open(ctx, rating.Params{Ledger: engine, Catalog: engine, Shipped: book, Shared: severalServers(c), Locks: locks, Now: time.Now, Log: p.Log})
	if err != nil {
		return nil, nil, err
	}
	limits, err := limitsOf(p, common.counter)
	if err != nil {
		return nil, nil, err
	}
	keeping, err := retention.Open(ctx, retention.Params{Ledger: engine, Catalog: engine, Locks: locks, Now: time.Now, Log: p.Log})
	if err != nil {
		return nil, nil, err
	}
	keys, err := c.EncryptionKeys()
	if err != nil {
		return nil, nil, err
	}
	texts, err := prompts.Open(ctx, prompts.Params{
		Settings: engine, Secrets: &secrets.Keeper{Settings: engine, Keys: keys, Now: time.Now}, Always: bool(c.CapturePrompts), Now: time.Now, Log: p.Log,
	})
	if err != nil {
		return nil, nil, err
	}
	metrics := httpapi.NewMetrics(p.Version)
	pipeline := ingest.New(ingest.Params{
		Ledger:   engine,
		Book:     func() ingest.Book { return prices.Book() },
		Versions: engine,
		Now:      time.Now,
		Log:      p.Log,
		Announce: func(commit int64, stored []usage.Record) {
			metrics.Stored(stored)
			hub.Announce(commit, stored)
			vectors.hear(stored)
		},
		Guard:         texts,
		OldestAllowed: keeping.OldestAllowed,
		TooOld:        keeping.Refresh,
		Stale:         prices.Recheck,
	})
	if vectors, err = newEmbedding(p, engine, nearest, locks, pipeline, common.vectors); err != nil {
		return nil, nil, err
	}
	api, err := httpapi.New(httpapi.Params{
		Ingest:         pipeline,
		Prices:         prices,
		Reports:        &report.Service{Ledger: engine, Now: time.Now, Texts: prompts.Anatomy{Ledger: engine}},
		Live:           hub,
		Engine:         engine,
		Cache:          common.cache,
		Metrics:        metrics,
		Access:         guards(c),
		Auth:           access,
		Audit:          engine,
		Retention:      keeping,
		Capture:        texts,
		Texts:          engine,
		Similar:        vectors,
		Backups:        engine,
		Limits:         limits,
		IngestMemory:   int64(c.IngestMemory),
		IngestWait:     c.IngestQueueWait,
		RequestTimeout: c.RequestTimeout,
		Version:        p.Version,
		Ledger:         c.LedgerKind(),
		Now:            time.Now,
		Log:            p.Log,
		Level:          p.Level,
	})
	if err != nil {
		return nil, nil, err
	}
	workers := map[string]worker{"prices": prices.Run, "prices of others": prices.Follow, "live": hub.Run, "access": access.Run, "retention": keeping.Run, "prompts": texts.Run, "embedding": vectors.run, "vectors": vectors.similar.Run, "memory": giveBack}
	maps.Copy(workers, common.workers)
	return api, workers, nil
}

// corrected is an engine that says when stored events were changed or removed.
type corrected struct {
	store.Engine
	tell func()
	// forget: texts were removed, and what was made of them must go too.
	forget func()
}

func (c corrected) Correct(ctx context.Context, changes store.Correction) (int64, error) {
	defer c.tell()
	return c.Engine.Correct(ctx, changes)
}

func (c corrected) Erase(ctx context.Context, who store.Erasure) (int64, error) {
	defer c.forget()
	defer c.tell()
	return c.Engine.Erase(ctx, who)
}

func (c corrected) PrunePrompts(ctx context.Context, before map[string]time.Time) (int64, error) {
	n, err := c.Engine.PrunePrompts(ctx, before)
	if n > 0 {
		c.forget()
	}
	return n, err
}

func (c corrected) Prune(ctx context.Context, before map[string]time.Time) (int64, error) {
	defer c.tell()
	return c.Engine.Prune(ctx, before)
}
