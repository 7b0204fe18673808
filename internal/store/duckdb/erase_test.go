package duckdb

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/usage"
)

// filesWith lists the files of a directory that hold the text.
func filesWith(t *testing.T, dir, text string) (found []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if bytes.Contains(b, []byte(text)) {
			found = append(found, filepath.Base(path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// After an erasure no file of the directory holds the person's id, their session
// what came as metadata or as prompt: no page that is not used any more, and no log.
func TestErasedIsInNoFile(t *testing.T) {
	dir := t.TempDir()
	e, err := Open(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	marks := []string{"person-4711-of-interest", "session-0815-of-theirs", "metadata-about-them", "prompt-about-them"}
	at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	var sent []usage.Record
	for round := range 5 {
		recs := make([]usage.Record, 3000)
		for i := range recs {
			recs[i] = usage.Record{Event: usage.Event{
				Project: "p", TraceID: "t", SpanID: fmt.Sprint(round, "-", i), Timestamp: at.Add(time.Duration(round*3000+i) * time.Second), Feature: "chat",
				Provider: "p", Model: "m", ProviderID: "p", ModelID: "m", TimeToFirstToken: -1, UserID: fmt.Sprint("user-", i%700), SessionID: fmt.Sprint("s-", i%900),
			}, ReceivedAt: at}
			if i%50 == 7 {
				recs[i].UserID, recs[i].SessionID, recs[i].Metadata = marks[0], marks[1], []byte(`{"about":"`+marks[2]+`"}`)
				recs[i].Tags = map[string]string{"who": marks[0], "team": "red"}
				recs[i].Prompt, recs[i].PromptID, recs[i].PromptBytes = marks[3], usage.ID{1}, int64(len(marks[3]))
			}
			recs[i].Classes[usage.ClassUnsplit] = 7
			recs[i].ID = recs[i].Identity()
		}
		if _, err := e.Append(t.Context(), recs); err != nil {
			t.Fatal(err)
		}
		sent = recs
		if round == 2 {
			// Some of it is in the file, some in the log.
			if err := e.do(t.Context(), func(ctx context.Context, w *writer) error { return e.checkpoint(ctx, w.conn) }); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, mark := range marks {
		if len(filesWith(t, dir, mark)) == 0 {
			t.Fatalf("%s is in no file: the search finds nothing", mark)
		}
	}
	before, err := e.Query(t.Context(), analytics.Query{})
	if err != nil {
		t.Fatal(err)
	}
	if n, err := e.Erase(t.Context(), store.Erasure{UserID: marks[0]}); err != nil || n != 300 {
		t.Fatalf("erased from %d events, %v; want 300", n, err)
	}
	if err := e.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantNowhere := func() {
		t.Helper()
		for _, mark := range marks {
			if found := filesWith(t, dir, mark); len(found) > 0 {
				t.Errorf("%s is still in %v", mark, found)
			}
		}
	}
	wantNowhere()
	after, err := e.Query(t.Context(), analytics.Query{})
	if err != nil || after.Cost != before.Cost || after.Calls != before.Calls {
		t.Errorf("%d calls of %s, %v; were %d of %s", after.Calls, after.Cost, err, before.Calls, before.Cost)
	}
	if h, err := e.Ping(t.Context()); err != nil || h.Degraded != "" || h.Events != 15000 {
		t.Errorf("health %+v, %v", h, err)
	}
	// Neither does a late retry bring it back, not even into the log.
	if got, err := e.Append(t.Context(), sent); err != nil || got.Commit != 0 {
		t.Fatalf("a late retry: commit %d, %v", got.Commit, err)
	}
	wantNowhere()
	// The tags of events that retention removed go, too.
	for i := range sent {
		sent[i].SpanID = "new-" + sent[i].SpanID
		sent[i].ID = sent[i].Identity()
	}
	if _, err := e.Append(t.Context(), sent); err != nil {
		t.Fatal(err)
	}
	if n, err := e.Prune(t.Context(), map[string]time.Time{"p": at.AddDate(1, 0, 0)}); err != nil || n != 18000 {
		t.Fatalf("pruned %d, %v", n, err)
	}
	if n, err := e.PrunePrompts(t.Context(), map[string]time.Time{"p": at.AddDate(1, 0, 0)}); err != nil || n != 1 {
		t.Fatalf("pruned %d prompts, %v", n, err)
	}
	if n, err := e.Erase(t.Context(), store.Erasure{UserID: marks[0]}); err != nil || n != 0 {
		t.Fatalf("erased from %d events, %v; want 0", n, err)
	}
	if err := e.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantNowhere()
	if err := e.read(t.Context(), func(db querier, _ position) error {
		var n int
		err := db.QueryRowContext(t.Context(), `SELECT count(*) FROM tags WHERE value = ?`, marks[0]).Scan(&n)
		if n > 0 {
			t.Errorf("%d tags have the id", n)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// A backup that is being read is not cut off, and does not hold everybody up.
func TestCompactBesideBackup(t *testing.T) {
	e, err := Open(t.Context(), Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	err = e.read(t.Context(), func(db querier, _ position) error {
		if err := e.Compact(t.Context()); fault.CodeOf(err) != fault.Unavailable {
			t.Errorf("compacted beside a reader: %v", err)
		}
		if _, err := e.Query(t.Context(), analytics.Query{}); err != nil {
			t.Errorf("a question afterwards: %v", err)
		}
		rows, err := db.QueryContext(t.Context(), `SELECT count(*) FROM events`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
		}
		return rows.Err()
	})
	if err != nil {
		t.Errorf("the reader was cut off: %v", err)
	}
	if err := e.Compact(t.Context()); err != nil {
		t.Error(err)
	}
}
