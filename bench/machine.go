package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"time"
)

// machine measures what it runs on, so that figures of different days can be
// laid side by side: a fixed piece of work for one core, and how long a small
// write takes to be on disk. Nothing of costprof runs in it.
func machine(dir string) (string, error) {
	body := []byte(`{"traceId":"trace-0001","spanId":"span-0001","timestamp":"2026-01-02T03:04:05.678901Z","feature":"rag-search","provider":"openai","model":"gpt-4o","inputTokens":1834,"outputTokens":211,"cachedTokens":1024,"latencyMs":1534.25,"userId":"user-1234","sessionId":"session-99","department":"growth","environment":"production","tags":{"team":"core","plan":"pro"},"isStreaming":true}`)
	decode := make([]float64, 5)
	for i := range decode {
		n, begin := 0, time.Now()
		for time.Since(begin) < 200*time.Millisecond {
			for range 100 {
				var v map[string]any
				if err := json.Unmarshal(body, &v); err != nil {
					return "", err
				}
			}
			n += 100
		}
		decode[i] = float64(n) / time.Since(begin).Seconds()
	}
	f, err := os.CreateTemp(dir, "bench-sync-")
	if err != nil {
		return "", err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	syncs := make([]time.Duration, 100)
	for i := range syncs {
		begin := time.Now()
		if _, err := f.Write(make([]byte, 4096)); err != nil {
			return "", err
		}
		if err := f.Sync(); err != nil {
			return "", err
		}
		syncs[i] = time.Since(begin)
	}
	slices.Sort(syncs)
	return fmt.Sprintf("this machine: one core decodes %.0f small JSON objects/s (encoding/json); 4 KiB are on disk after %.2f ms (p50), %.2f ms (p95)",
		median(decode), ms(at(syncs, .5)), ms(at(syncs, .95))), nil
}
