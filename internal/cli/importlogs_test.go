package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func completion(i int) string {
	return fmt.Sprintf(`{"id":"chatcmpl-AbCdEfGhIjKlMnOpQrS%06d","object":"chat.completion","created":1765000000,"model":"gpt-4o","choices":[],"usage":{"prompt_tokens":10,"completion_tokens":2}}`+"\n", i)
}

func completions(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(completion(i))
	}
	return b.String()
}

func TestImportLogsAgainAndGrown(t *testing.T) {
	server := newRecogniser(t)
	file := write(t, "log.jsonl", completions(1200))
	first := run(t, "--server", server.URL, "import", file, "--feature", "chat", "--set", "tags.team=a")
	if first.code != 0 || !strings.HasPrefix(first.out, "1200 rows: 1200 new, 0 already there, 0 rejected\n1200 records: 1200 calls,") {
		t.Fatalf("%+v", first)
	}
	for _, raw := range server.events {
		if !strings.Contains(string(raw), `"feature":"chat"`) || !strings.Contains(string(raw), `"team":"a"`) || !strings.Contains(string(raw), `"provider":"openai"`) {
			t.Fatalf("stored %s", raw)
		}
		break
	}
	if got := run(t, "--server", server.URL, "import", write(t, "renamed", completions(1250))); !strings.HasPrefix(got.out, "1250 rows: 50 new, 1200 already there") {
		t.Errorf("%+v", got)
	}
	var answer struct {
		Rows, Accepted int
		Total          struct {
			Calls, Copies int
			Records       map[string]int
		}
	}
	got := run(t, "--server", server.URL, "--json", "import", file, write(t, "broken.jsonl", completions(3)+"{\n"))
	if err := json.Unmarshal([]byte(got.out), &answer); err != nil || got.code != 0 || answer.Rows != 1203 || answer.Accepted != 0 ||
		answer.Total.Records["malformed"] != 0 || answer.Total.Records["unfinished"] != 1 || answer.Total.Records["calls"] != 1203 {
		t.Errorf("%+v, %v", got, err)
	}
	// A last line that breaks off is still being written; in an old file it is broken.
	old := write(t, "old.jsonl", completions(3)+`{"id":"chatcm`)
	if got := run(t, "--server", server.URL, "import", old); got.code != 0 || !strings.Contains(got.out, "1 unfinished") {
		t.Errorf("%+v", got)
	}
	if err := os.Chtimes(old, time.Time{}, time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	if got := run(t, "--server", server.URL, "import", old); got.code != exitFailed || !strings.Contains(got.err, "old.jsonl:4: is not a JSON object: it ends too early") {
		t.Errorf("%+v", got)
	}
}

func TestImportFolders(t *testing.T) {
	server := newRecogniser(t)
	folder := t.TempDir()
	for name, text := range map[string]string{
		"a/b/new.jsonl": completions(3), ".hidden/old.ndjson": completions(2), "a/settings.json": `{"x":1}`, "a/notes.md": "hello", "a/empty.jsonl": "",
	} {
		path := filepath.Join(folder, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chtimes(filepath.Join(folder, ".hidden", "old.ndjson"), time.Time{}, time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	got := run(t, "--server", server.URL, "import", folder)
	if got.code != 0 || !strings.HasPrefix(got.out, "5 rows: 3 new, 2 already there") || !strings.Contains(got.err, "2 files are of no format") {
		t.Errorf("%+v", got)
	}
	// The older file comes first, so that copies are copies of it.
	inputs, err := expand([]string{folder, filepath.Join(folder, "a", "b", "*.jsonl")})
	if err != nil || len(inputs) != 4 || filepath.Base(inputs[0].path) != "old.ndjson" {
		t.Errorf("%+v, %v", inputs, err)
	}
	for _, args := range [][]string{{t.TempDir()}, {filepath.Join(folder, "*.zip")}, {"-", "-"}} {
		if got := run(t, append([]string{"--server", server.URL, "import"}, args...)...); got.code != exitUsage {
			t.Errorf("%v: %+v", args, got)
		}
	}
}

func TestImportLogFlags(t *testing.T) {
	server := newRecogniser(t)
	file := write(t, "log.jsonl", completions(1))
	for _, args := range [][]string{
		{"--format", "own"}, {"--format", "xml"}, {"--format", "codex", "--map", "a=b"}, {"--feature", "a", "--set", "feature=b"}, {"--set", "nothing=1"}, {"--set", "inputTokens=x"},
	} {
		if got := run(t, append([]string{"--server", server.URL, "import", file}, args...)...); got.code == 0 || len(server.events) != 0 {
			t.Errorf("%v: %+v", args, got)
		}
	}
	// Forced, a format reads what it does not know, and says so.
	got := run(t, "--server", server.URL, "import", file, "--format", "codex")
	if !strings.Contains(got.out, "0 calls") || !strings.Contains(got.out, "1 unknown") {
		t.Errorf("%+v", got)
	}
}

// What stands on standard input and must be read twice is put aside, and the
// file is taken away.
func TestImportLangfuseFromAPipe(t *testing.T) {
	server := newRecogniser(t)
	aside := t.TempDir()
	t.Setenv("TMPDIR", aside)
	text := `[{"id":"a","traceId":"t","type":"AGENT","name":"n","startTime":"2025-12-06T10:00:00Z","usageDetails":{"input":5,"output":1}},
{"id":"g","traceId":"t","parentObservationId":"a","type":"GENERATION","name":"n","model":"gpt-4o","startTime":"2025-12-06T10:00:00Z","usageDetails":{"input":5,"output":1}}]`
	got := runWith(t.Context(), strings.NewReader(text), "--server", server.URL, "import", "-")
	if got.code != 0 || len(server.events) != 2 || !strings.Contains(string(server.events["t/a"]), `"aggregate":true`) || strings.Contains(string(server.events["t/g"]), "aggregate") {
		t.Errorf("%+v %s", got, server.events)
	}
	if left, err := os.ReadDir(aside); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
