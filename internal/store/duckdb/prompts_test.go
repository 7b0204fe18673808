package duckdb

import (
	"strings"
	"testing"

	"github.com/costprof/costprof/internal/usage"
)

// Texts are found by the index, which the engine leaves aside for the least reason.
func TestTextsAreFoundByTheIndex(t *testing.T) {
	e, err := Open(t.Context(), Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	recs := sample(0, 3000)
	ids := make([]usage.ID, len(recs))
	for i := range recs {
		ids[i] = usage.ID{byte(i * 7), byte(i >> 8), byte(i), 1}
		recs[i].Prompt, recs[i].PromptID, recs[i].PromptBytes = "text", ids[i], 4
	}
	if _, err := e.Append(t.Context(), recs); err != nil {
		t.Fatal(err)
	}
	for _, some := range [][]usage.ID{ids[:1], ids[5:27], ids[:textsAtOnce]} {
		var kind, plan string
		if err := e.db.QueryRow(`EXPLAIN ANALYZE `+selectTexts+withIDs(some)).Scan(&kind, &plan); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(plan, "Index Scan") {
			t.Errorf("%d texts are looked for among all:\n%s", len(some), plan)
		}
		if found, err := e.GetPrompts(t.Context(), "default", some); err != nil || len(found) != len(some) {
			t.Errorf("%d of %d texts found, %v", len(found), len(some), err)
		}
	}
}
