// Package prompts runs the real server, plants secrets in everything that is
// redacted, and searches for them wherever the server leaves something: its
// files, its database, Redis, its backup, its log.
package prompts

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"io/fs"
	"net"
	"net/http"
	neturl "net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/klauspost/compress/zstd"

	"github.com/costprof/costprof/internal/testserver"
)

var built string

func TestMain(m *testing.M) { os.Exit(testserver.Main(m, &built)) }

// planted are the secrets, put together so that scanners for leaked ones leave
// this file alone. None of them may be a part of what stays.
var planted = map[string]string{
	"e-mail": "planted.person@mail.example.com", "phone": "+49 171 5550199", "phone in brackets": "(415) 555-0187",
	"card": "4111 1111 1111 1111", "card in one": "5500005555555559", "American Express": "3782-822463-10005",
	"OpenAI": "sk-" + "proj-plantedAb3dE6gH9jK2mN5pQ8sT1vX4zA7", "Anthropic": "sk-" + "ant-api03-plantedAb3dE6gH9jK2mN5pQ8s", "Google": "AI" + "zaSyPlantedAb3dE6gH9jK2mN5pQ8sT1vX4zA7",
	"AWS": "AKIA" + "PLANTED7EXAMPLE1", "GitHub": "gh" + "p_plantedAb3dE6gH9jK2mN5pQ8sT1vX4zA7bC", "Slack": "xo" + "xb-1234567890-plantedAb3dE6", "Stripe": "sk" + "_live_plantedAb3dE6gH9jK2mN",
	"Hugging Face": "hf" + "_plantedAb3dE6gH9jK2mN5pQ8sT1vX4z", "our own": "cpk" + "_plantedabcdefghijklmnopqrstuvwxyz234567abcdefghijkl",
	"JWT": "eyJhbGciOiJIUzI1NiJ9." + "eyJwbGFudGVkIjoxMjM0NTZ9.c2lnbmF0dXJlcGxhbnRlZA", "own pattern": "PLANTED-4711",
}

// innocent stays, and shows that the search finds what is there.
const innocent = "innocent-marker-of-"

func TestPlantedSecretsAreNowhere(t *testing.T) {
	t.Run("embedded", func(t *testing.T) { plant(t, "") })
	t.Run("postgres", func(t *testing.T) { plant(t, testserver.Database(t)) })
}

func plant(t *testing.T, database string) {
	redis := testserver.Redis(t)
	prefix := "planted-" + strconv.FormatInt(time.Now().UnixNano(), 36)
	data := filepath.Join(t.TempDir(), "data")
	run := testserver.Serve(t, built, "COSTPROF_DATA="+data, "DATABASE_URL="+database, "REDIS_URL="+redis, "REDIS_PREFIX="+prefix, "LOG_LEVEL=debug", "API_KEYS=",
		"RATE_LIMIT_EVENTS=0", "RATE_LIMIT_MAX_REQUESTS=0")
	channels := follow(t, redis)
	stream := watch(t, run.URL)

	send(t, run.URL, "one") // nothing is kept yet
	put(t, run.URL, `{"capture":true,"redact":[{"name":"planted","pattern":"PLANTED-[0-9]+"}]}`)
	send(t, run.URL, "two")
	// The same once more, and in a batch that is refused.
	send(t, run.URL, "two")
	if status, answer := post(t, run.URL, append(events("three"), map[string]any{"traceId": ""})); status != http.StatusBadRequest {
		t.Fatalf("a bad batch: %d %s", status, answer)
	}

	places := map[string][]byte{"log": run.Log()}
	places["backup"] = backup(t, run.URL)
	for _, path := range []string{"events?limit=1000", "admin/audit", "export/events?format=ndjson", "export/events?format=csv"} {
		places[path] = get(t, run.URL+"/api/v1/"+path)
	}
	if database != "" {
		for name, content := range relations(t, database) {
			places["relation "+name] = content
		}
	}
	// Killed, so that the engine leaves its log as it is.
	if err := run.Cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = run.Cmd.Wait()
	for name, content := range files(t, data) {
		places["file "+name] = content
	}
	places["log"] = run.Log()
	places["Redis"] = append(keys(t, redis, prefix), channels()...)
	places["stream"] = stream()

	for what, secret := range planted {
		if what == "own pattern" {
			// The first event came before it was there: its metadata, tags and error had it.
			continue
		}
		// In every spelling in which a part of it may be told.
		for _, form := range []string{secret, strings.NewReplacer(" ", "", "-", "").Replace(secret)} {
			for place, content := range places {
				if i := bytes.Index(content, []byte(form)); i >= 0 {
					t.Errorf("%s is in %s: …%q…", what, place, content[max(0, i-40):min(len(content), i+60)])
				}
			}
		}
	}
	found := map[string]bool{}
	for place, content := range places {
		kind, _, _ := strings.Cut(place, " ")
		found[kind] = found[kind] || bytes.Contains(content, []byte(innocent))
	}
	want := []string{"backup", "events?limit=1000", "export/events?format=ndjson"}
	if database == "" {
		want = append(want, "file")
	} else {
		want = append(want, "relation")
	}
	for _, kind := range want {
		if !found[kind] {
			t.Errorf("the search finds nothing in the %s", kind)
		}
	}
	// What the own pattern is there to take out is gone from what came after it.
	if n := bytes.Count(places["events?limit=1000"], []byte(planted["own pattern"])); n != 5 {
		t.Errorf("what an own pattern takes out stands there %d times, want 5: in the one event from before it", n)
	}
	if len(places["Redis"]) == 0 {
		t.Error("nothing was found in Redis at all")
	}
}

// events carry each secret in each field that is redacted.
func events(feature string) []map[string]any {
	var out []map[string]any
	for _, secret := range sorted(planted) {
		out = append(out, map[string]any{
			"traceId": "t", "spanId": strconv.Itoa(len(out)), "timestamp": time.Now().UTC().Truncate(24 * time.Hour), "feature": feature, "provider": "openai", "model": "gpt-4o",
			"inputTokens": 10, "outputTokens": 1, "latencyMs": 1, "isError": true, "eventId": feature + strconv.Itoa(len(out)),
			"prompt":    innocent + "prompt: " + secret + "\nand so on " + feature,
			"metadata":  map[string]any{"note": innocent + "metadata " + secret, "list": []any{secret, map[string]any{secret: 1}}},
			"tags":      map[string]string{"note": innocent + "tag " + secret},
			"errorCode": innocent + "error " + secret,
		})
	}
	return out
}

func sorted(m map[string]string) []string {
	var out []string
	for _, v := range m {
		out = append(out, v)
	}
	// The same order in every batch: an eventId goes with its secret.
	for i := range out {
		for j := i; j > 0 && out[j] < out[j-1]; j-- {
			out[j], out[j-1] = out[j-1], out[j]
		}
	}
	return out
}

func send(t *testing.T, url, feature string) {
	t.Helper()
	if status, answer := post(t, url, events(feature)); status != http.StatusAccepted || strings.Contains(answer, "conflicts") {
		t.Fatalf("%d %s", status, answer)
	}
}

func post(t *testing.T, url string, events []map[string]any) (int, string) {
	t.Helper()
	body, err := json.Marshal(map[string]any{"events": events})
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.Post(url+"/api/v1/events", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(answer)
}

func put(t *testing.T, url, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url+"/api/v1/admin/capture", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if answer, err := io.ReadAll(res.Body); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", res.Status, answer, err)
	}
}

func get(t *testing.T, url string) []byte {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", url, res.Status, err)
	}
	return b
}

// backup takes one and unpacks it.
func backup(t *testing.T, url string) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "b")
	if out, err := exec.CommandContext(t.Context(), built, "--server", url, "backup", file).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	packed, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, stream, _ := bytes.Cut(packed, []byte("\n"))
	d, err := zstd.NewReader(bytes.NewReader(stream))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	plain, err := io.ReadAll(d)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

func files(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		out[filepath.Base(path)], err = os.ReadFile(path)
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return out
}

// relations are the files of all tables, indexes and TOAST of a database, with the statistics,
// and every row as text, of which files may hold only packed forms.
func relations(t *testing.T, database string) map[string][]byte {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	out := map[string][]byte{}
	var tables []string
	rows, err := conn.Query(t.Context(), `SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace`)
	if err == nil {
		tables, err = pgx.CollectRows(rows, pgx.RowTo[string])
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range tables {
		var text string
		if err := conn.QueryRow(t.Context(), `SELECT coalesce(string_agg(t::text, E'\n'), '') FROM `+pgx.Identifier{table}.Sanitize()+` t`).Scan(&text); err != nil {
			t.Fatal(err)
		}
		out[table+", rows"] = []byte(text)
	}
	if _, err := conn.Exec(t.Context(), `ANALYZE; CHECKPOINT`); err != nil {
		t.Fatal(err)
	}
	rows, err = conn.Query(t.Context(), `SELECT relname::text, pg_read_binary_file(pg_relation_filepath(oid)) FROM pg_class WHERE pg_relation_filepath(oid) IS NOT NULL AND relkind IN ('r', 'i', 't')`)
	if err != nil {
		t.Fatal(err)
	}
	var name string
	var content []byte
	if _, err := pgx.ForEachRow(rows, []any{&name, &content}, func() error {
		out[name] = bytes.Clone(content)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

// dial opens a connection to Redis on which commands can be written as lines.
func dial(t *testing.T, url string) net.Conn {
	t.Helper()
	u, err := neturl.Parse(url)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// follow takes down everything that is said to Redis, by everyone, until it is
// asked for it.
func follow(t *testing.T, url string) func() []byte {
	t.Helper()
	conn := dial(t, url)
	if _, err := io.WriteString(conn, "MONITOR\r\n"); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(&said, conn)
	}()
	return func() []byte {
		_ = conn.Close()
		<-done
		return said.Bytes()
	}
}

// keys are what Redis holds for the server, as it comes.
func keys(t *testing.T, url, prefix string) []byte {
	t.Helper()
	conn := dial(t, url)
	script := `local out = {} for _, k in ipairs(redis.call('KEYS', ARGV[1])) do table.insert(out, k) table.insert(out, redis.call('DUMP', k)) end return out`
	command := []string{"EVAL", script, "0", prefix + "*"}
	var b strings.Builder
	b.WriteString("*" + strconv.Itoa(len(command)) + "\r\n")
	for _, word := range command {
		b.WriteString("$" + strconv.Itoa(len(word)) + "\r\n" + word + "\r\n")
	}
	b.WriteString("QUIT\r\n")
	if _, err := io.WriteString(conn, b.String()); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// watch takes down a live stream until it is asked for it.
func watch(t *testing.T, url string) func() []byte {
	t.Helper()
	res, err := http.Get(url + "/api/v1/stream/costs")
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(&said, res.Body)
	}()
	return func() []byte {
		_ = res.Body.Close()
		<-done
		return said.Bytes()
	}
}
