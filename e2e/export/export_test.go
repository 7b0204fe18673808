package export

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/duckdb/duckdb-go/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
)

// calls is more than the engines read at a time.
const calls = 5_300

// totals are every column of what the ledger says by project, feature and model.
func (s *server) totals() (rows []any, cost, callCount json.Number) {
	s.Helper()
	for _, by := range []string{"project", "feature,model", "tag:team", "user"} {
		var answer struct {
			Data []any
			Meta struct{ TotalCost, CallCount json.Number }
		}
		s.decode(adminKey, "/api/v1/analytics/cost-breakdown?limit=1000&groupBy="+by+"&"+span, &answer)
		rows, cost, callCount = append(rows, answer.Data...), answer.Meta.TotalCost, answer.Meta.CallCount
	}
	return rows, cost, callCount
}

// What was exported and is imported into an empty ledger has the same totals to
// the last digit.
func TestImportedAgain(t *testing.T) {
	onEach(t, func(s *server) {
		s.post(sample(calls))
		want, cost, _ := s.totals()
		if len(want) < 50 || cost == "" {
			s.Fatalf("%d rows of totals, %s", len(want), cost)
		}
		for _, name := range []string{"all.csv", "all.ndjson"} {
			file := filepath.Join(s.TempDir(), name)
			s.run("export", "events", "-o", file, "--from", "2026-11-01", "--to", "2026-11-30")
			back := serve(s.T, "")
			back.run("import", file)
			if got, _, _ := back.totals(); !cmp.Equal(want, got) {
				s.Errorf("%s (-exported +imported):\n%s", name, cmp.Diff(want, got))
			}
		}
	})
}

// duck asks DuckDB, in memory.
func (s *server) duck(question string, args ...any) string {
	s.Helper()
	db, err := sql.Open("duckdb", "")
	if err != nil {
		s.Fatal(err)
	}
	defer db.Close()
	var answer string
	if err := db.QueryRowContext(s.Context(), question, args...).Scan(&answer); err != nil {
		s.Fatalf("%s: %v", question, err)
	}
	return answer
}

func (s *server) file(key, path string) string {
	s.Helper()
	body, _ := s.get(key, path)
	name := filepath.Join(s.TempDir(), "file")
	if err := os.WriteFile(name, body, 0o600); err != nil {
		s.Fatal(err)
	}
	return name
}

// same compares decimals.
func (s *server) same(what, got string, want json.Number) {
	s.Helper()
	a, ok1 := new(big.Rat).SetString(got)
	b, ok2 := new(big.Rat).SetString(want.String())
	if !ok1 || !ok2 || a.Cmp(b) != 0 {
		s.Errorf("%s: the file says %s, the ledger %s", what, got, want)
	}
}

// Another program reads the files: with the types that they should have, and the
// sums of the ledger.
func TestReadByDuckDB(t *testing.T) {
	onEach(t, func(s *server) {
		s.post(sample(calls))
		_, cost, n := s.totals()
		parquet := s.file(adminKey, "/api/v1/export/events?format=parquet&"+span)
		s.same("cost", s.duck(`SELECT sum(cost)::VARCHAR FROM read_parquet($1) WHERE NOT aggregate`, parquet), cost)
		s.same("classes of cost", s.duck(`SELECT sum(costInput + costCacheRead + costCacheWrite + costOutput + costReasoning + costMedia + costUnits + costUnsplit)::VARCHAR FROM read_parquet($1) WHERE NOT aggregate`, parquet), cost)
		s.same("calls", s.duck(`SELECT count(*)::VARCHAR FROM read_parquet($1) WHERE NOT aggregate`, parquet), n)
		s.same("tags", s.duck(`SELECT count(*)::VARCHAR FROM read_parquet($1) WHERE tags['n'] IS NOT NULL AND usage['webSearches'] = 2`, parquet),
			json.Number(s.duck(`SELECT count(*)::VARCHAR FROM read_parquet($1) WHERE cacheWriteTokens = 400`, parquet)))
		types := s.duck(`SELECT string_agg(column_name || ' ' || column_type, '; ') FROM (DESCRIBE SELECT id, timestamp, feature, inputTokens, cost, latencyMicros, usage, billedCostUsd, tags, isError, cacheSavings FROM read_parquet('` + parquet + `'))`)
		const want = "id VARCHAR; timestamp TIMESTAMP WITH TIME ZONE; feature VARCHAR; inputTokens BIGINT; cost DECIMAL(38,12); latencyMicros BIGINT; " +
			"usage MAP(VARCHAR, BIGINT); billedCostUsd DECIMAL(38,12); tags MAP(VARCHAR, VARCHAR); isError BOOLEAN; cacheSavings DECIMAL(38,12)"
		if types != want {
			s.Errorf("types are\n%s, want\n%s", types, want)
		}
		if saved := s.duck(`SELECT min(cacheSavings)::VARCHAR FROM read_parquet($1)`, parquet); !strings.HasPrefix(saved, "-") {
			s.Errorf("the least saving is %s, want one below 0", saved)
		}

		features := s.file(adminKey, "/api/v1/export/features?format=parquet&"+span)
		s.same("cost by feature", s.duck(`SELECT sum(totalCost)::VARCHAR FROM read_parquet($1)`, features), cost)
		s.same("calls by feature", s.duck(`SELECT sum(callCount)::VARCHAR FROM read_parquet($1)`, features), n)
		types = s.duck(`SELECT string_agg(column_name || ' ' || column_type, '; ') FROM (DESCRIBE SELECT * FROM read_parquet('` + features + `'))`)
		const columns = "name VARCHAR; totalCost DECIMAL(38,12); totalTokens BIGINT; inputTokens BIGINT; outputTokens BIGINT; cachedTokens BIGINT; callCount BIGINT; errorCount BIGINT; " +
			"avgLatency DECIMAL(18,3); p95Latency DECIMAL(18,3); cacheSavings DECIMAL(38,12); share DECIMAL(18,6); unpricedCalls BIGINT; fallbackCalls BIGINT"
		if types != columns {
			s.Errorf("types of features are\n%s, want\n%s", types, columns)
		}
		prompts := s.file(adminKey, "/api/v1/export/prompts?format=parquet&"+span)
		var list struct {
			Data []struct{ WastedCost json.Number }
		}
		s.decode(adminKey, "/api/v1/analytics/prompts?limit=1000&"+span, &list)
		wasted := new(big.Rat)
		for _, row := range list.Data {
			r, _ := new(big.Rat).SetString(row.WastedCost.String())
			wasted.Add(wasted, r)
		}
		if len(list.Data) < 100 || len(list.Data) == 1000 {
			s.Fatalf("%d prompts", len(list.Data))
		}
		s.same("waste", s.duck(`SELECT sum(wastedCost)::VARCHAR FROM read_parquet($1) WHERE len(suggestions) > 0 AND timestamp > TIMESTAMPTZ '2026-11-20'`, prompts), json.Number(wasted.FloatString(12)))

		focus := s.file(adminKey, "/api/v1/export/events?format=focus&"+span)
		for _, name := range []string{"BilledCost", "EffectiveCost", "ListCost", "ContractedCost"} {
			s.same("FOCUS", s.duck(`SELECT sum(`+name+`::DECIMAL(38, 12))::VARCHAR FROM read_csv($1, header = true, all_varchar = true)`, focus), cost)
		}
		s.same("FOCUS calls", s.duck(`SELECT count(DISTINCT x_EventId)::VARCHAR FROM read_csv($1, header = true, all_varchar = true)`, focus), n)
	})
}

// Parts of a file are the file, while events arrive and whatever the engine reads
// at a time.
func TestPartsWhileEventsArrive(t *testing.T) {
	onEach(t, func(s *server) {
		s.post(sample(calls))
		for _, format := range []string{"csv", "ndjson"} {
			path := "/api/export/events?" + span + "&format=" + format
			whole, next := s.get(adminKey, path)
			if next != "" {
				s.Fatal("there is more")
			}
			var parts []byte
			query := path + "&limit=777"
			for n := 0; ; n++ {
				body, next := s.get(adminKey, query)
				if format == "ndjson" && next != "" {
					line := fmt.Sprintf("{\"nextCursor\":%q}\n", next)
					if !bytes.HasSuffix(body, []byte(line)) {
						s.Fatalf("part %d ends with %q, want %q", n, body[max(0, len(body)-200):], line)
					}
					body = bytes.TrimSuffix(body, []byte(line))
				}
				if parts = append(parts, body...); next == "" {
					break
				}
				s.post([]map[string]any{{
					"project": "a", "traceId": "later", "spanId": fmt.Sprint(format, n), "timestamp": noon, "feature": "later", "provider": "openai", "model": "gpt-4o",
					"inputTokens": 1, "outputTokens": 1, "latencyMs": 1,
				}})
				query = path + "&limit=777&header=false&cursor=" + next
			}
			if !bytes.Equal(whole, parts) {
				s.Errorf("%s: the parts together have %d bytes, the whole %d", format, len(parts), len(whole))
			}
		}
	})
}

// A viewer of project a gets no byte of b, whatever is exported in whatever format.
func TestAnotherProject(t *testing.T) {
	onEach(t, func(s *server) {
		s.post(sample(600))
		for _, what := range []string{"events", "features", "prompts"} {
			for _, format := range []string{"csv", "json", "ndjson", "parquet", "focus"} {
				if format == "focus" && what != "events" {
					continue
				}
				for _, query := range []string{"", "&project=b", "&project=a&project=b", "&feature=" + secret, "&user=" + secret, "&tag:" + secret + "=" + secret} {
					path := "/api/v1/export/" + what + "?format=" + format + "&" + span + query
					s.seesNothing(path, format)
				}
				// The test finds what is there.
				if body := s.readable(adminKey, "/api/v1/export/"+what+"?format="+format+"&"+span, format); !strings.Contains(body, secret) {
					s.Errorf("%s as %s: an admin sees nothing of b either", what, format)
				}
			}
		}
		var mine, all int
		for key, n := range map[string]*int{viewerKey: &mine, adminKey: &all} {
			res := s.open(s.Context(), key, "/api/v1/export/events?"+span)
			_, _ = io.Copy(io.Discard, res.Body)
			res.Body.Close()
			_, _ = fmt.Sscan(res.Header.Get("X-Total-Count"), n)
		}
		if mine < 500 || mine >= all {
			s.Errorf("the viewer is told of %d events of %d", mine, all)
		}
	})
}

func (s *server) seesNothing(path, format string) {
	s.Helper()
	if body := s.readable(viewerKey, path, format); strings.Contains(body, secret) {
		s.Errorf("%s has something of b", path)
	} else if strings.Contains(path, "project=b") && !strings.Contains(path, "project=a") && strings.Contains(body, "openai") {
		s.Errorf("%s is not empty: %.300s", path, body)
	}
}

// readable is a file as text: Parquet is compressed.
func (s *server) readable(key, path, format string) string {
	s.Helper()
	if format != "parquet" {
		body, _ := s.get(key, path)
		return string(body)
	}
	return s.duck(`SELECT coalesce(string_agg(f::VARCHAR, chr(10)), '') FROM read_parquet($1) AS f`, s.file(key, path))
}

// large is more than the buffers between server and reader hold.
func large(n int) []map[string]any {
	events := sample(n)
	for i, e := range events {
		e["metadata"] = map[string]string{"text": strings.Repeat(fmt.Sprint(i), 8_000)[:8_000]}
	}
	return events
}

// When the reader leaves, the export ends on the server.
func TestReaderLeaves(t *testing.T) {
	onEach(t, func(s *server) {
		s.post(large(4_000))
		for _, format := range []string{"csv", "json", "ndjson", "parquet", "focus"} {
			if format == "focus" { // its rows are too few for the buffers
				continue
			}
			ctx, leave := context.WithCancel(s.Context())
			res := s.open(ctx, adminKey, "/api/v1/export/events?format="+format+"&"+span)
			if _, err := io.ReadFull(res.Body, make([]byte, 4)); err != nil {
				s.Fatal(err)
			}
			if n := s.exporting(); n != "1" {
				s.Errorf("%s: the server says that it writes %q exports", format, n)
			}
			leave()
			res.Body.Close()
			until(s.T, "the export ends", func() bool { return s.exporting() == "0" })
		}
	})
}

// What fails on the way is never taken for a whole file.
func TestFailsOnTheWay(t *testing.T) {
	onEach(t, func(s *server) {
		s.post(large(6_000))
		res := s.open(s.Context(), adminKey, "/api/v1/export/events?format=ndjson&"+span)
		defer res.Body.Close()
		if _, err := io.ReadFull(res.Body, make([]byte, 100)); err != nil {
			s.Fatal(err)
		}
		if s.database == "" {
			if err := s.cmd.Process.Kill(); err != nil {
				s.Fatal(err)
			}
		} else {
			conn, err := pgx.Connect(s.Context(), s.database)
			if err != nil {
				s.Fatal(err)
			}
			defer conn.Close(s.Context())
			if _, err := conn.Exec(s.Context(), `ALTER TABLE events RENAME TO gone`); err != nil {
				s.Fatal(err)
			}
		}
		if n, err := io.Copy(io.Discard, res.Body); !errors.Is(err, io.ErrUnexpectedEOF) && !isReset(err) {
			s.Errorf("after %d bytes more: %v, want a broken connection", n, err)
		}
		if res.Trailer.Get("X-Next-Cursor") != "" {
			s.Error("a cursor after a failure")
		}
	})
}

func isReset(err error) bool { return err != nil && strings.Contains(err.Error(), "connection reset") }

// An export that is killed goes on with --resume, behind what is whole.
func TestKilledExportGoesOn(t *testing.T) {
	killed := make(chan struct{})
	server := newFake(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Next-Cursor")
		switch r.URL.Query().Get("cursor") {
		case "":
			w.Header().Set("X-Total-Count", "4")
			_, _ = io.WriteString(w, "id\r\n1\r\n2\r\n")
			w.Header().Set("X-Next-Cursor", "c2")
		case "c2":
			_, _ = io.WriteString(w, "3\r\n")
			select {
			case <-killed: // the second run
			default:
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done()
				return
			}
			_, _ = io.WriteString(w, "4\r\n")
		}
	})
	dir := t.TempDir()
	first := command(dir, server, "export", "events", "-o", "x.csv")
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	partial := filepath.Join(dir, "x.csv.partial")
	until(t, "half a part is written", func() bool {
		got, _ := os.ReadFile(partial)
		return string(got) == "id\r\n1\r\n2\r\n3\r\n"
	})
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait()
	close(killed)
	if out, err := command(dir, server, "export", "events", "-o", "x.csv", "--resume").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "x.csv")); string(got) != "id\r\n1\r\n2\r\n3\r\n4\r\n" {
		t.Errorf("%q, %v", got, err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "x.csv.*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}
