package postgres_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/store/postgres"
	"github.com/costprof/costprof/internal/usage"
)

// After an erasure no file of a table, of an index or of the statistics holds the
// person's id, their session, what came as metadata or as prompt.
func TestErasedIsInNoFile(t *testing.T) {
	url := schemaURL(t, t.Name())
	e := open(t, postgres.Options{URL: url, NearestExact: 100})
	defer e.Close()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	marks := []string{"person-4711-of-interest", "session-0815-of-theirs", "metadata-about-them", "prompt-about-them"}
	at := time.Date(2026, 3, 25, 0, 0, 0, 0, time.UTC) // into the next month
	recs := make([]usage.Record, 3000)
	for i := range recs {
		recs[i] = usage.Record{Event: usage.Event{
			Project: "p", TraceID: "t", SpanID: fmt.Sprint(i), Timestamp: at.Add(time.Duration(i) * 10 * time.Minute), Feature: "chat",
			Provider: "p", Model: "m", ProviderID: "p", ModelID: "m", TimeToFirstToken: -1, UserID: fmt.Sprint("user-", i%700), SessionID: fmt.Sprint("s-", i%900),
		}, ReceivedAt: at}
		if i%10 == 7 {
			recs[i].UserID, recs[i].SessionID, recs[i].Metadata = marks[0], marks[1], []byte(`{"about":"`+marks[2]+`"}`)
			recs[i].Tags = map[string]string{"who": marks[0], "team": "red"}
			recs[i].Prompt, recs[i].PromptID, recs[i].PromptBytes = fmt.Sprint("please ", i, marks[3]), usage.ID{1, byte(i), byte(i >> 8)}, 20
		}
		if i%10 == 3 { // somebody else's
			recs[i].Prompt, recs[i].PromptID = fmt.Sprint("how about ", i), usage.ID{2, byte(i), byte(i >> 8)}
		}
		recs[i].ID = recs[i].Identity()
	}
	if _, err := e.Append(t.Context(), recs); err != nil {
		t.Fatal(err)
	}
	// The vectors of these prompts begin the same. Their length is 1, so that an index
	// has the same bytes.
	const same, dim = 40, 64
	signs := rand.New(rand.NewPCG(7, 7))
	begins := make([]float32, same)
	for i := range begins {
		begins[i] = 0.125 * float32(1-2*signs.IntN(2))
	}
	var vectors []store.PromptVector
	for i := range recs {
		if recs[i].Prompt == "" {
			continue
		}
		v := store.PromptVector{Project: "p", ID: recs[i].PromptID}
		if recs[i].UserID == marks[0] {
			v.Vector = slices.Clone(begins)
		}
		for len(v.Vector) < dim {
			v.Vector = append(v.Vector, 0.125*float32(1-2*signs.IntN(2)))
		}
		vectors = append(vectors, v)
	}
	if _, err := e.PutVectors(t.Context(), "a", vectors); err != nil {
		t.Fatal(err)
	}
	near := e.(store.Nearest)
	if _, err := near.KeepNearest(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	marks = append(marks, string(store.EncodeVector(begins)))
	// As the server does in its own time: frequent values come into the statistics.
	if _, err := conn.Exec(t.Context(), `ANALYZE events; ANALYZE tags`); err != nil {
		t.Fatal(err)
	}
	// filesWith lists the relations of this schema, and the statistics, whose files
	// hold the text.
	filesWith := func(text string) (found []string) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), `CHECKPOINT`); err != nil {
			t.Fatal(err)
		}
		rows, err := conn.Query(t.Context(), `SELECT relname::text, pg_read_binary_file(pg_relation_filepath(oid)) FROM pg_class
			WHERE pg_relation_filepath(oid) IS NOT NULL AND (relnamespace = current_schema()::regnamespace OR relname = 'pg_statistic'
				OR oid IN (SELECT reltoastrelid FROM pg_class WHERE relnamespace = current_schema()::regnamespace OR relname = 'pg_statistic'))`)
		if err != nil {
			t.Fatal(err)
		}
		var name string
		var content []byte
		if _, err := pgx.ForEachRow(rows, []any{&name, &content}, func() error {
			if bytes.Contains(content, []byte(text)) {
				found = append(found, name)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return found
	}
	for _, mark := range marks {
		found := filesWith(mark)
		t.Logf("%q is in %v", mark, found)
		if n := len(found); n == 0 || n == 1 && mark != marks[3] && mark != marks[4] { // all prompts and vectors differ: no statistics
			t.Fatalf("%q is in no file: the search finds nothing", mark)
		}
		if near.Searcher() != "" && mark == marks[4] && !slices.Contains(found, "nearest_1_vector") {
			t.Fatalf("vectors are in %v, and in no index", found)
		}
	}
	if n, err := e.Erase(t.Context(), store.Erasure{UserID: marks[0]}); err != nil || n != 300 {
		t.Fatalf("erased from %d events, %v; want 300", n, err)
	}
	// What is searched loses them by itself; its files keep them.
	if st, err := near.KeepNearest(t.Context(), "a"); err != nil || near.Searcher() != "" && st.Vectors != 300 {
		t.Fatalf("%+v, %v", st, err)
	}
	if err := e.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantNowhere := func() {
		t.Helper()
		for _, mark := range marks {
			if found := filesWith(mark); len(found) > 0 {
				t.Errorf("%q is still in %v", mark, found)
			}
		}
	}
	wantNowhere()
	// Neither does a late retry bring it back, not even as bytes that nothing refers
	// to, also to a server that knows nothing of the erasure.
	other := open(t, postgres.Options{URL: url})
	defer other.Close()
	for _, e := range []store.Engine{e, other} {
		got, err := e.Append(t.Context(), recs[:500])
		if err != nil || got.Commit != 0 {
			t.Fatalf("a late retry: commit %d, %v", got.Commit, err)
		}
		wantNowhere()
	}
	// The tags of events that retention removed go, too.
	for i := range recs {
		recs[i].SpanID = "new-" + recs[i].SpanID
		recs[i].ID = recs[i].Identity()
	}
	if _, err := e.Append(t.Context(), recs[:100]); err != nil {
		t.Fatal(err)
	}
	if n, err := e.Prune(t.Context(), map[string]time.Time{"p": at.AddDate(1, 0, 0)}); err != nil || n != 3100 {
		t.Fatalf("pruned %d, %v", n, err)
	}
	if n, err := e.PrunePrompts(t.Context(), map[string]time.Time{"p": at.AddDate(1, 0, 0)}); err != nil || n != 310 {
		t.Fatalf("pruned %d prompts, %v", n, err)
	}
	if len(filesWith(marks[0])) == 0 {
		t.Fatal("pruning left no tags: the next check finds nothing")
	}
	if n, err := e.Erase(t.Context(), store.Erasure{UserID: marks[0]}); err != nil || n != 0 {
		t.Fatalf("erased from %d events, %v; want 0", n, err)
	}
	if err := e.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantNowhere()
}

// A server that knows the number of a set of tags which another one erased stores
// the tags of what comes later all the same.
func TestTagsAfterErasureElsewhere(t *testing.T) {
	url := schemaURL(t, t.Name())
	a, b := open(t, postgres.Options{URL: url}), open(t, postgres.Options{URL: url})
	defer a.Close()
	defer b.Close()
	record := func(n int) usage.Record {
		at := time.Date(2026, 3, 25, 0, 0, n, 0, time.UTC)
		r := usage.Record{Event: usage.Event{
			Project: "p", TraceID: "t", SpanID: fmt.Sprint(n), Timestamp: at, Feature: "chat", Provider: "p", Model: "m", ProviderID: "p", ModelID: "m",
			TimeToFirstToken: -1, Tags: map[string]string{"who": "ann", "team": "red"},
		}, ReceivedAt: at}
		r.ID = r.Identity()
		return r
	}
	for i, e := range []store.Engine{a, b} {
		if _, err := e.Append(t.Context(), []usage.Record{record(i)}); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := a.Erase(t.Context(), store.Erasure{UserID: "ann"}); err != nil || n != 2 {
		t.Fatal(n, err)
	}
	late := record(7)
	if _, err := b.Append(t.Context(), []usage.Record{late, record(1)}); err != nil {
		t.Fatal(err)
	}
	got, err := a.Get(t.Context(), late.ID, analytics.Filter{})
	if err != nil || got.Tags["who"] != "ann" || got.Tags["team"] != "red" {
		t.Errorf("tags %v, %v", got.Tags, err)
	}
	if got, err := a.Get(t.Context(), record(1).ID, analytics.Filter{}); err != nil || got.Tags["who"] != "" || got.Tags["team"] != "red" {
		t.Errorf("a retry has tags %v, %v", got.Tags, err)
	}
}
