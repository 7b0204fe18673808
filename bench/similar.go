package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/store/engines"
	"github.com/costprof/costprof/internal/usage"
)

const (
	similarPrompts   = 100_000
	similarDimension = 1536
	similarFamily    = 20
	// similarEmbedder is how the server names the model that the vectors are said to
	// be of.
	similarEmbedder = "openai/text-embedding-3-small"
	// similarBar is for the index in the server's memory, similarDatabaseBar for that
	// of pgvector.
	similarBar, similarDatabaseBar = 20 * time.Millisecond, 200 * time.Millisecond
)

// benchSimilar stores prompts with vectors, starts a server on them, and asks for
// the ten most similar of a few hundred. The vectors lie in families around
// random points, as those of near-duplicates do; no provider is asked for any.
func benchSimilar(ctx context.Context, o options) error {
	p, remove, err := o.empty(ctx)
	if err != nil {
		return err
	}
	defer remove()
	vectors, err := storeVectors(ctx, p)
	if err != nil {
		return err
	}
	began := time.Now()
	s, err := start(ctx, o, p, "OPENAI_API_KEY=none", "OPENAI_BASE_URL=http://127.0.0.1:1/v1")
	if err != nil {
		return err
	}
	ready := time.Since(began)
	bar := similarBar
	if p.database() {
		bar = similarDatabaseBar
	}
	err = s.askSimilar(ctx, vectors, began, ready, bar)
	if serr := s.stop(); err == nil {
		err = serr
	}
	return err
}

// askSimilar waits until the vectors are read, and asks.
func (s *server) askSimilar(ctx context.Context, vectors []store.PromptVector, began time.Time, ready, bar time.Duration) error {
	for {
		text, err := s.get(ctx, "/metrics")
		if err != nil {
			return err
		}
		if bytes.Contains(text, fmt.Appendf(nil, "costprof_embedding_indexed_prompts %d\n", len(vectors))) || bytes.Contains(text, fmt.Appendf(nil, "costprof_embedding_indexed_prompts %g\n", float64(len(vectors)))) {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	loaded := time.Since(began)
	rss, peak := s.memory()
	var took []time.Duration
	hits, of := 0, 0
	for i := 0; i < len(vectors); i += len(vectors) / 400 {
		began := time.Now()
		text, err := s.get(ctx, "/api/v1/prompts/"+vectors[i].ID.String()+"/similar?threshold=0&limit=10")
		if err != nil {
			return err
		}
		took = append(took, time.Since(began))
		if len(took)%40 != 0 {
			continue
		}
		var answer struct{ Data []struct{ PromptID string } }
		if err := json.Unmarshal(text, &answer); err != nil {
			return err
		}
		for _, want := range nearest(vectors, i, 10) {
			of++
			if slices.ContainsFunc(answer.Data, func(d struct{ PromptID string }) bool { return d.PromptID == vectors[want].ID.String() }) {
				hits++
			}
		}
	}
	slices.Sort(took)
	fmt.Println("| prompts | p50 | p95 | bar | recall@10 | ready after | all can be found after | resident | at most |\n|---|---|---|---|---|---|---|---|---|")
	fmt.Printf("| %d × %d | %.1f ms | %.1f ms | %s | %.3f of %d | %.1f s | %.1f s | %d MB | %d MB |\n", len(vectors), similarDimension,
		ms(at(took, .5)), ms(at(took, .95)), verdict(at(took, .95), bar), float64(hits)/float64(of), of, ready.Seconds(), loaded.Seconds(), rss, peak)
	return nil
}

func storeVectors(ctx context.Context, p place) ([]store.PromptVector, error) {
	e, err := engines.Open(ctx, p.options())
	if err != nil {
		return nil, err
	}
	defer e.Close()
	began := time.Now()
	random := rand.New(rand.NewPCG(1, 1))
	vectors := make([]store.PromptVector, similarPrompts)
	around := make([]float32, similarDimension)
	const atOnce = 1_000
	billed := money.USD(1_000_000)
	for from := 0; from < len(vectors); from += atOnce {
		records := make([]usage.Record, atOnce)
		for k := range records {
			i := from + k
			if i%similarFamily == 0 {
				for d := range around {
					around[d] = float32(random.NormFloat64())
				}
			}
			v := make([]float32, similarDimension)
			var sum float64
			for d := range v {
				v[d] = around[d] + 0.6*float32(random.NormFloat64())
				sum += float64(v[d]) * float64(v[d])
			}
			for d := range v {
				v[d] /= float32(math.Sqrt(sum))
			}
			var id usage.ID
			for b := range id {
				id[b] = byte(random.Uint32())
			}
			vectors[i] = store.PromptVector{Project: "default", ID: id, Vector: v}
			text := fmt.Sprintf("prompt %d of family %d", i, i/similarFamily)
			r := usage.Record{Event: usage.Event{
				Project: "default", TraceID: "t", SpanID: fmt.Sprint(i), Timestamp: time.Now().UTC().Add(-time.Duration(i) * time.Millisecond).Truncate(time.Microsecond),
				Feature: "ask", Provider: "openai", Model: "gpt-4o", ProviderID: "openai", ModelID: "gpt-4o", TimeToFirstToken: -1,
				Prompt: text, PromptID: id, PromptBytes: int64(len(text)),
			}}
			// Billed: the server would correct the costs of others meanwhile.
			r.Billed, r.Source, r.Classes[usage.ClassUnsplit] = &billed, usage.SourceBilled, billed
			r.ReceivedAt, r.ID = r.Timestamp, r.Identity()
			records[k] = r
		}
		if _, err := e.Append(ctx, records); err != nil {
			return nil, err
		}
		if _, err := e.PutVectors(ctx, similarEmbedder, vectors[from:from+atOnce]); err != nil {
			return nil, err
		}
	}
	fmt.Printf("%d prompts with vectors of %d numbers stored in %.0f s\n", len(vectors), similarDimension, time.Since(began).Seconds())
	return vectors, indexVectors(ctx, e)
}

// indexVectors has an engine that searches vectors itself make their index.
func indexVectors(ctx context.Context, e store.Engine) error {
	near, ok := e.(store.Nearest)
	if !ok || near.Searcher() == "" {
		return nil
	}
	began := time.Now()
	st, err := near.KeepNearest(ctx, similarEmbedder)
	if err == nil {
		fmt.Printf("%d vectors copied and indexed by %s in %.0f s\n", st.Vectors, near.Searcher(), time.Since(began).Seconds())
	}
	return err
}

// nearest looks through all.
func nearest(vectors []store.PromptVector, of, n int) []int {
	cos := make([]float32, len(vectors))
	all := make([]int, 0, len(vectors))
	for i := range vectors {
		for d, x := range vectors[i].Vector {
			cos[i] += x * vectors[of].Vector[d]
		}
		if i != of {
			all = append(all, i)
		}
	}
	slices.SortFunc(all, func(a, b int) int {
		switch {
		case cos[a] > cos[b]:
			return -1
		case cos[a] < cos[b]:
			return 1
		}
		return 0
	})
	return all[:n]
}
