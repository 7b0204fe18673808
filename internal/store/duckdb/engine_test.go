package duckdb_test

import (
	"testing"

	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/store/duckdb"
	"github.com/costprof/costprof/internal/store/storetest"
)

func open(t *testing.T, dir string) store.Engine {
	t.Helper()
	e, err := duckdb.Open(t.Context(), duckdb.Options{Dir: dir})
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return e
}

func TestConformance(t *testing.T) { storetest.Run(t, open) }
