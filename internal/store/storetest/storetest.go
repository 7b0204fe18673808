// Package storetest is the definition of done for a storage engine: every
// engine passes Run, unchanged. Answers are compared with package reference, the
// naive evaluation of the same questions.
package storetest

import (
	"context"
	"testing"

	"github.com/costprof/costprof/internal/store"
)

// Opener opens the engine on the data that lives at dir, made when missing. It
// is called again with the same dir to see what survives a Close.
type Opener func(t *testing.T, dir string) store.Engine

// Run runs the suite.
func Run(t *testing.T, open Opener) {
	for _, c := range []struct {
		name string
		test func(*testing.T, Opener)
	}{
		{"Append", testAppend},
		{"AppendDuplicates", testDuplicates},
		{"AppendConflicts", testConflicts},
		{"AppendConcurrently", testConcurrent},
		{"AppendAfterClose", testAppendAfterClose},
		{"RecordComesBack", testRecordComesBack},
		{"EmptyLedger", testEmpty},
		{"EventsInPages", testEventPages},
		{"EventsWhileAppending", testEventsWhileAppending},
		{"AsOf", testAsOf},
		{"Correct", testCorrect},
		{"Prune", testPrune},
		{"Reopen", testReopen},
		{"Cancel", testCancel},
		{"Prices", testPrices},
		{"Audit", testAudit},
		{"Runs", testRuns},
		{"HostileText", testHostileText},
		{"HugeAmounts", testHugeAmounts},
		{"Differential", testDifferential},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open) })
	}
}

// fresh opens an empty ledger that is closed with the test.
func fresh(t *testing.T, open Opener) store.Engine {
	t.Helper()
	return reopen(t, open, t.TempDir())
}

func reopen(t *testing.T, open Opener, dir string) store.Engine {
	t.Helper()
	e := open(t, dir)
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return e
}

func ctx(t *testing.T) context.Context { return t.Context() }
