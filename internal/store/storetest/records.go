package storetest

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/usage"
)

// epoch is when generated events begin.
var epoch = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

// call makes a priced record: the n-th call, one minute apart.
func call(n int, change ...func(*usage.Record)) usage.Record {
	r := usage.Record{
		Event: usage.Event{
			Project: "default", TraceID: fmt.Sprintf("trace-%d", n/4), SpanID: fmt.Sprintf("span-%d", n),
			Timestamp: epoch.Add(time.Duration(n) * time.Minute), Feature: "chat",
			Provider: "openai", Model: "gpt-4o", ProviderID: "openai", ModelID: "gpt-4o",
			Latency: 1500 * time.Millisecond, TimeToFirstToken: -1,
		},
		Costing:    usage.Costing{Source: usage.SourceCatalog, PriceID: "p_1"},
		ReceivedAt: epoch.Add(time.Duration(n)*time.Minute + time.Second),
	}
	r.Counts[usage.Input], r.Counts[usage.Output] = 1000, 200
	r.Classes[usage.ClassInput], r.Classes[usage.ClassOutput] = 2_500_000_000, 2_000_000_000
	for _, f := range change {
		f(&r)
	}
	r.ID = r.Identity()
	return r
}

func calls(n int) []usage.Record {
	out := make([]usage.Record, n)
	for i := range out {
		out[i] = call(i)
	}
	return out
}

// random makes a record whose every field varies; few values each, so that
// groups collide.
func random(r *rand.Rand, n int) usage.Record {
	pick := func(vs ...string) string { return vs[r.IntN(len(vs))] }
	rec := usage.Record{Event: usage.Event{
		Project: pick("default", "shop", "büro"), TraceID: fmt.Sprintf("t%d", r.IntN(40)), SpanID: fmt.Sprintf("s%d", n),
		ParentSpanID: pick("", "root"), Name: pick("", "call"),
		Timestamp: epoch.Add(time.Duration(r.Int64N(int64(20 * 24 * time.Hour)))).Truncate(time.Microsecond),
		Feature:   pick("chat", "Chat", "search", "naïve", "émile", "summary", "(other)"),
		Provider:  pick("OpenAI", "azure-openai"), Model: pick("openai/gpt-4o", "gpt-4o"), ProviderID: pick("openai", "azure"), ModelID: pick("gpt-4o", "gpt-4o-mini", "o3"),
		UserID: pick("", "ann", "bob", "zoë"), SessionID: pick("", "s-1", "s-2"), Department: pick("", "sales"), Environment: pick("", "production", "staging"),
		Operation: pick("", "plan", "answer"), ServiceTier: pick("", "batch"), Region: pick("", "eu"), ErrorCode: pick("", "429"),
		Latency: time.Duration(r.IntN(40_000_000)) * time.Microsecond, TimeToFirstToken: -1,
		Streaming: r.IntN(2) == 0, Error: r.IntN(10) == 0, Aggregate: r.IntN(12) == 0, RetryCount: int64(r.IntN(3)),
	}, ReceivedAt: epoch.Add(30 * 24 * time.Hour)}
	if r.IntN(3) == 0 {
		rec.TimeToFirstToken = time.Duration(r.IntN(1_000_000)) * time.Microsecond
	}
	if r.IntN(2) == 0 {
		rec.Tags = map[string]string{}
		for range 1 + r.IntN(2) {
			rec.Tags[pick("team", "tier", "a:b")] = pick("", "red", "green", "blue")
		}
	}
	if r.IntN(4) == 0 {
		rec.Metadata = []byte(`{"k": [1, "ü"]}`)
	}
	c := &rec.Counts
	c[usage.Input], c[usage.Output] = int64(r.IntN(100_000)), int64(r.IntN(5_000))
	if r.IntN(2) == 0 {
		c[usage.CacheRead], c[usage.CacheWrite], c[usage.CacheWrite1h] = c[usage.Input]/3, c[usage.Input]/7, c[usage.Input]/11
		c[usage.InputAudio], c[usage.CachedAudio] = c[usage.Input]/9, c[usage.Input]/50
		c[usage.Reasoning], c[usage.OutputImage], c[usage.WebSearches] = c[usage.Output]/2, c[usage.Output]/5, int64(r.IntN(4))
	}
	for i := range rec.Classes {
		rec.Classes[i] = money.USD(r.Int64N(1_000_000_000_000))
	}
	rec.CacheSaving = money.USD(r.Int64N(2_000_000) - 1_000_000)
	rec.Source = usage.Source(r.IntN(4))
	if rec.Source == usage.SourceCatalog {
		rec.PriceID = pick("p_1", "p_2")
		rec.Fallback = r.IntN(5) == 0
	}
	if rec.Source == usage.SourceBilled {
		v := rec.Total()
		rec.Billed = &v
	}
	if r.IntN(5) == 0 {
		v := money.USD(0)
		rec.Estimated = &v
	}
	if r.IntN(6) == 0 {
		rec.EventID = fmt.Sprintf("own-%d", n)
	}
	if r.IntN(4) == 0 {
		rec = prompted(rec, pick("what?", "Wie geht's?\n", "long "+strings.Repeat("ü", 3000)))
		if r.IntN(2) == 0 {
			rec.Prompt = "" // of a project that keeps no text
		}
	}
	rec.ID = rec.Identity()
	return rec
}

// prompted gives a record a prompt, as a guard would.
func prompted(r usage.Record, text string) usage.Record {
	hash := sha256.Sum256([]byte(r.Project + "\x00" + text))
	r.Prompt, r.PromptID, r.PromptBytes = text, usage.ID(hash[:16]), int64(len(text))
	return r
}
