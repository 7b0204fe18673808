// Package storetest is the definition of done for a storage engine: every
// engine passes Run, unchanged. Answers are compared with package reference, the
// naive evaluation of the same questions.
package storetest

import (
	"context"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/store/reference"
	"github.com/costprof/costprof/internal/usage"
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
		{"AppendAllOrNothing", testAllOrNothing},
		{"AppendConcurrently", testConcurrent},
		{"AppendBesideBadRecords", testBesideBadRecords},
		{"AppendCancelled", testCancel},
		{"HugeAmounts", testHugeAmounts},

		{"RecordComesBack", testRecordComesBack},
		{"EmptyLedger", testEmpty},
		{"EventsInPages", testEventPages},
		{"EventsEndWithTheFirstError", testEventsEnd},
		{"HostileText", testHostileText},
		{"Rankings", testRankings},
		{"BloatRounding", testBloatRounding},
		{"Growth", testGrowth},
		{"Resent", testResent},
		{"Bounds", testBounds},
		{"MissingValues", testMissingValues},
		{"OneProjectAlone", testOneProject},
		{"Differential", testDifferential},
		{"CallTree", testCallTree},

		{"AsOf", testAsOf},
		{"Receipt", testReceipt},
		{"EventsWhileAppending", testEventsWhileAppending},
		{"EventsOfOneMoment", testEventsOfOneMoment},
		{"OneMoment", testOneMoment},
		{"EventsWhileCorrecting", testEventsWhileCorrecting},
		{"EverythingAtOnce", testEverythingAtOnce},

		{"Correct", testCorrect},
		{"CorrectOnlyWhatWas", testCorrectWas},
		{"History", testHistory},
		{"Marks", testMarks},
		{"MarksOfOneCall", testMarksOfOneCall},
		{"MarksInAnyOrder", testMarksInAnyOrder},
		{"Prune", testPrune},
		{"PruneBesideAppends", testPruneBesideAppends},
		{"PruneHugeAmounts", testPruneHugeAmounts},
		{"PruneProperty", testPruneProperty},
		{"Erase", testErase},

		{"Prompts", testPrompts},
		{"PromptPages", testPromptPages},
		{"PrunePrompts", testPrunePrompts},
		{"Vectors", testVectors},
		{"Nearest", testNearest},
		{"PromptUses", testPromptUses},

		{"DumpOfOneMoment", testDumpOfOneMoment},

		{"Reopen", testReopen},
		{"LateAfterReopen", testLateAfterReopen},
		{"Closed", testClosed},
		{"CloseWhileAppending", testCloseWhileAppending},
		{"Health", testHealth},

		{"YearsInOneBatch", testYears},
		{"ManyAtOneInstant", testManyAtOneInstant},
		{"TinyAppends", testTinyAppends},
		{"ManyCombinations", testManyCombinations},
		{"ManyTagSets", testManyTagSets},

		{"Prices", testPrices},
		{"PricesAllOrNothing", testPricesAllOrNothing},
		{"Versions", testVersions},
		{"PriceList", testPriceList},
		{"Audit", testAudit},
		{"Runs", testRuns},
		{"Keys", testKeys},
		{"Sessions", testSessions},
		{"Settings", testSettings},
		{"Retention", testRetention},
		{"CatalogReopened", testCatalogReopened},
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

func mustClose(t *testing.T, e store.Engine) {
	t.Helper()
	if err := e.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
}

func ctx(t *testing.T) context.Context { return t.Context() }

// same are the options under which records, and answers but for their moment, are
// equal.
var same = cmp.Options{
	cmpopts.IgnoreFields(usage.Event{}, "Prompt", "TimestampDefaulted"),
	cmpopts.IgnoreFields(analytics.Table{}, "AsOf", "Revision"),
	cmpopts.IgnoreFields(analytics.BloatTable{}, "AsOf", "Revision", "TruncatedBefore"),
	cmpopts.EquateEmpty(),
	cmp.AllowUnexported(money.Total{}),
}

// diff is how an answer differs from what it should be, "" when it does not.
func diff[T any](want, got T) string {
	if reflect.DeepEqual(want, got) {
		return "" // cmp takes a hundred times as long
	}
	return cmp.Diff(want, got, same)
}

func diffTables(want, got analytics.Table) string {
	got.AsOf, got.Revision = want.AsOf, want.Revision
	return diff(want, got)
}

func ask(t *testing.T, e store.Ledger, q analytics.Query) analytics.Table {
	t.Helper()
	got, err := e.Query(t.Context(), q)
	if err != nil {
		t.Fatalf("Query %+v: %v", q, err)
	}
	return got
}

func bloat(t *testing.T, e store.Ledger, q analytics.BloatQuery) analytics.BloatTable {
	t.Helper()
	got, err := e.Bloat(t.Context(), q)
	if err != nil {
		t.Fatalf("Bloat %+v: %v", q, err)
	}
	return got
}

func collect(t *testing.T, e store.Ledger, q store.EventQuery) []usage.Record {
	t.Helper()
	var out []usage.Record
	for r, err := range e.Events(t.Context(), q) {
		if err != nil {
			t.Fatalf("Events: %v", err)
		}
		out = append(out, r)
	}
	return out
}

// wantTotals checks calls and cost of everything.
func wantTotals(t *testing.T, e store.Ledger, recs []usage.Record) {
	t.Helper()
	want := reference.Query(recs, analytics.Query{})
	if got := ask(t, e, analytics.Query{}); got.Calls != want.Calls || got.Cost != want.Cost {
		t.Fatalf("ledger has %d calls of %s, want %d of %s", got.Calls, got.Cost, want.Calls, want.Cost)
	}
}

// wantAnswers checks that the ledger holds exactly the records and answers some
// questions about them as the reference does.
func wantAnswers(t *testing.T, e store.Ledger, recs []usage.Record) {
	t.Helper()
	all := analytics.Filter{Aggregates: true}
	if d := diff(reference.Events(recs, store.EventQuery{Filter: all}), collect(t, e, store.EventQuery{Filter: all})); d != "" {
		t.Fatalf("events (-reference +engine):\n%s", d)
	}
	for _, q := range []analytics.Query{
		{Measures: everyMeasure},
		{GroupBy: []analytics.Dimension{analytics.Feature}, Measures: additive},
		{Grain: time.Hour, Measures: additive},
		{GroupBy: []analytics.Dimension{analytics.Feature, analytics.Tag("team")}, Measures: everyMeasure},
		{GroupBy: []analytics.Dimension{analytics.User}, Measures: everyMeasure, Limit: 3},
	} {
		if d := diffTables(reference.Query(recs, q), ask(t, e, q)); d != "" {
			t.Fatalf("%+v (-reference +engine):\n%s", q, d)
		}
	}
}

// additive are the columns that add up over parts, which an engine may keep sums
// for, and everyMeasure all.
const (
	everyMeasure = analytics.EveryMeasure
	additive     = everyMeasure &^ analytics.MeasureP95
)
