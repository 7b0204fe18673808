package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/costprof/costprof/internal/config"
	"github.com/costprof/costprof/internal/httpapi"
	"github.com/costprof/costprof/internal/ingest"
	"github.com/costprof/costprof/internal/prompts"
	"github.com/costprof/costprof/internal/prompts/lexical"
	"github.com/costprof/costprof/internal/prompts/openai"
	"github.com/costprof/costprof/internal/prompts/similar"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/usage"
)

// embedPace is the least time between two requests to an embedder that charges:
// 1,200 a minute, with 32 prompts each.
const embedPace = 50 * time.Millisecond

// embedder is who the settings say makes vectors of prompts.
func embedder(c *config.Config) (prompts.Embedder, error) {
	if c.OpenAIKey == "" {
		return lexical.Embedder{}, nil
	}
	e, err := openai.New(openai.Params{Key: c.OpenAIKey, BaseURL: c.OpenAIBaseURL, Model: c.EmbeddingModel, Now: time.Now})
	if err != nil {
		return nil, fmt.Errorf("--openai-base-url (OPENAI_BASE_URL): %w", err)
	}
	return e, nil
}

// embedding is the work that makes vectors, and what they are searched with.
type embedding struct {
	worker  *prompts.Worker
	similar *similar.Service
	ledger  store.Vectors
	cache   prompts.Cache
	log     *slog.Logger
}

func newEmbedding(p Params, engine store.Engine, nearest store.Nearest, locks store.Locks, pipeline *ingest.Pipeline, cache prompts.Cache) (*embedding, error) {
	by, err := embedder(p.Config)
	if err != nil {
		return nil, err
	}
	e := &embedding{similar: similar.New(similar.Params{Ledger: engine, Nearest: nearest, Embedder: by, Log: p.Log}), ledger: engine, cache: cache, log: p.Log}
	pace, kept := time.Duration(0), prompts.Cache(nil)
	if by.Charged() {
		pace, kept = embedPace, cache
	}
	e.worker = prompts.NewWorker(prompts.WorkerParams{
		Queue: engine, Embedder: by, Stored: e.similar.Stored, Locks: locks, Cache: kept, Pace: pace, Log: p.Log,
		Record: func(ctx context.Context, s prompts.Spent) error { return record(ctx, pipeline, s) },
	})
	return e, nil
}

// clearing is how long it may take to remove vectors from the cache.
const clearing = 5 * time.Second

// forget drops what was made of prompts that were removed.
func (e *embedding) forget() {
	e.similar.Forget()
	ctx, cancel := context.WithTimeout(context.Background(), clearing)
	defer cancel()
	if err := e.cache.Clear(ctx); err != nil {
		e.log.Warn("vectors of removed prompts may remain in Redis for up to 80 minutes", "error", err)
	}
}

// record sends what embedding cost the way of every other event.
func record(ctx context.Context, pipeline *ingest.Pipeline, s prompts.Spent) error {
	result, err := pipeline.Ingest(ctx, ingest.Batch{Events: []ingest.Input{{Event: s.Event()}}})
	if err == nil && result.Accepted+result.Duplicates+len(result.Conflicts) != 1 {
		err = errors.New("the event was not taken")
	}
	return err
}

// run queues what this embedder has no vectors of (another one made them, or a
// backup brought none), and then works.
func (e *embedding) run(ctx context.Context) error {
	for {
		_, err := e.ledger.Requeue(ctx, e.similar.Embedder())
		if err == nil {
			return e.worker.Run(ctx)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

// hear wakes the worker when new texts came.
func (e *embedding) hear(stored []usage.Record) {
	for i := range stored {
		if stored[i].Prompt != "" {
			e.worker.Wake()
			return
		}
	}
}

// Similar implements httpapi.Similar.
func (e *embedding) Similar(ctx context.Context, r similar.Request) ([]similar.Found, error) {
	return e.similar.Similar(ctx, r)
}

// Clusters implements httpapi.Similar.
func (e *embedding) Clusters(ctx context.Context, r similar.ClustersRequest) (similar.Clusters, error) {
	return e.similar.Clusters(ctx, r)
}

// Embedding implements httpapi.Similar.
func (e *embedding) Embedding() httpapi.Embedding {
	indexed, loaded := e.similar.Indexed()
	return httpapi.Embedding{Status: e.worker.Status(), Charged: e.worker.Embedder.Charged(), Indexed: int64(indexed), Loaded: loaded, Searcher: e.similar.Searcher()}
}
