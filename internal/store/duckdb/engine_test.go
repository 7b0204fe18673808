package duckdb_test

import (
	"testing"
	"time"

	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/store/duckdb"
	"github.com/costprof/costprof/internal/store/storetest"
)

func open(t *testing.T, o duckdb.Options) store.Engine {
	t.Helper()
	e, err := duckdb.Open(t.Context(), o)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return e
}

func TestConformance(t *testing.T) {
	t.Run("events", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T, dir string) store.Engine {
			return open(t, duckdb.Options{Dir: dir, SumEvery: time.Hour})
		})
	})
	// Sums of hours are made as soon and as often as can be, in the middle of
	// everything.
	t.Run("sums", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T, dir string) store.Engine {
			return open(t, duckdb.Options{Dir: dir, SumAfter: time.Nanosecond, SumEvery: time.Millisecond, SumFactor: 1})
		})
	})
}
