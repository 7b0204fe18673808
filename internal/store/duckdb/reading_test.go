package duckdb

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/usage"
)

// A long read gives every event once and in order, wherever its parts end: amid
// thousands of the very same moment, in hours without a match, and behind a key.
func TestLongReads(t *testing.T) {
	e, err := Open(t.Context(), Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	random := rand.New(rand.NewPCG(7, 7))
	var all []usage.Record
	at := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	add := func(n int, step time.Duration) {
		for range n {
			r := benchRecord(len(all))
			r.Timestamp, r.ReceivedAt = at, at
			r.Feature = "common"
			if random.IntN(700) == 0 {
				r.Feature = "rare"
			}
			if len(all)%3000 == 1 {
				r.Metadata = []byte(`{"m":"` + strings.Repeat("x", 16_000) + `"}`)
			}
			r.ID = r.Identity()
			all = append(all, r)
			at = at.Add(step)
		}
	}
	add(9_000, time.Second)
	add(12_000, 0) // of one moment
	at = at.Add(40 * time.Hour)
	add(6_500, 3*time.Minute)
	add(2_600, 0)
	add(900, time.Millisecond)
	for part := range slices.Chunk(all, 5000) {
		if _, err := e.Append(t.Context(), part); err != nil {
			t.Fatal(err)
		}
	}
	slices.SortFunc(all, func(a, b usage.Record) int {
		if c := b.Timestamp.Compare(a.Timestamp); c != 0 {
			return c
		}
		return bytes.Compare(b.ID[:], a.ID[:])
	})
	for name, q := range map[string]store.EventQuery{
		"all":      {},
		"limit":    {Limit: 7_777},
		"one more": {Limit: 1_001},
		"rare":     {Filter: analytics.Filter{Any: map[analytics.Dimension][]string{analytics.Feature: {"rare"}}}},
		"none":     {Filter: analytics.Filter{Any: map[analytics.Dimension][]string{analytics.Feature: {"never"}}}},
		"window":   {Filter: analytics.Filter{From: all[len(all)-100].Timestamp, To: all[50].Timestamp}},
		"behind":   {After: &store.EventKey{Timestamp: all[5_000].Timestamp, ID: all[5_000].ID}},
		"dense":    {After: &store.EventKey{Timestamp: all[12_000].Timestamp, ID: all[12_000].ID}, Limit: 6_000},
	} {
		var want []usage.ID
		for i, r := range all {
			f := q.Filter
			behind := q.After == nil || newestFirst(&usage.Record{Event: usage.Event{Timestamp: q.After.Timestamp}, ID: q.After.ID}, &all[i]) < 0
			if behind && (f.From.IsZero() || !r.Timestamp.Before(f.From)) && (f.To.IsZero() || r.Timestamp.Before(f.To)) &&
				(f.Any == nil || f.Any[analytics.Feature][0] == r.Feature) && (q.Limit == 0 || len(want) < q.Limit) {
				want = append(want, r.ID)
			}
		}
		check := func() {
			t.Helper()
			var got []usage.ID
			for r, err := range e.Events(t.Context(), q) {
				if err != nil {
					t.Fatal(name, err)
				}
				got = append(got, r.ID)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: %d events, want %d, or another order", name, len(got), len(want))
			}
		}
		check()
		if name == "dense" {
			e.queued.Add(1) // as if an event waited to be stored
			check()
			e.queued.Add(-1)
		}
	}
	// Who stops early leaves no reader behind.
	for _, stop := range []int{1, 999, 1_000, 1_500, 14_000} {
		n := 0
		for _, err := range e.Events(t.Context(), store.EventQuery{}) {
			if err != nil {
				t.Fatal(err)
			}
			if n++; n == stop {
				break
			}
		}
		if len(e.readers) != 0 {
			t.Fatalf("a reader is left after %d events", stop)
		}
	}
}
