package prompts

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/usage"
)

// EmbeddingFeature is the feature under which a project pays for embedding its
// prompts.
const EmbeddingFeature = "costprof.embedding"

// attemptID is the identity of one attempt at a batch, whatever its order.
func attemptID(embedder string, batch []store.QueuedPrompt) string {
	lines := make([]string, len(batch))
	for i, j := range batch {
		lines[i] = fmt.Sprintf("%x %d\n", j.ID, j.Attempts)
	}
	slices.Sort(lines)
	h := sha256.New()
	fmt.Fprintf(h, "costprof.embedding 1\n%s\n%q\n", embedder, batch[0].Project)
	for _, l := range lines {
		h.Write([]byte(l))
	}
	return "embedding-" + hex.EncodeToString(h.Sum(nil)[:16])
}

// Event is the call as the profiler records it.
func (s Spent) Event() usage.Event {
	e := usage.Event{
		EventID: s.EventID, Project: s.Project, TraceID: s.EventID, SpanID: "embed", Name: "embed prompts",
		Timestamp: s.Started.UTC().Truncate(time.Microsecond), Feature: EmbeddingFeature, Operation: "embeddings",
		Provider: s.Provider, Model: s.Model, Latency: s.Took.Truncate(time.Microsecond), TimeToFirstToken: -1, Error: s.Failed,
	}
	e.Counts[usage.Input] = s.InputTokens
	return e
}
