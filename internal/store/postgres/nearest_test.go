package postgres_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/store/postgres"
	"github.com/costprof/costprof/internal/store/storetest"
	"github.com/costprof/costprof/internal/testserver"
	"github.com/costprof/costprof/internal/usage"
)

// searching opens an engine that searches vectors itself.
func searching(t *testing.T, o postgres.Options) (store.Engine, store.Nearest) {
	t.Helper()
	e := open(t, o)
	near := e.(store.Nearest)
	if near.Searcher() != "pgvector" {
		e.Close()
		t.Skip("the tests' PostgreSQL has no pgvector")
	}
	return e, near
}

func keepNearest(t *testing.T, near store.Nearest, want int64) {
	t.Helper()
	if st, err := near.KeepNearest(t.Context(), "a"); err != nil || !st.Ready || st.Vectors != want {
		t.Fatalf("%+v, %v; want %d vectors", st, err, want)
	}
}

func connectTo(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// answer asks for one value.
func answer[T any](t *testing.T, conn *pgx.Conn, text string) (v T) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), text).Scan(&v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

// recall is which part of the really nearest ten are found, of up to so many
// vectors of a project.
func recall(t *testing.T, near store.Nearest, list []store.PromptVector, project string, questions int) float64 {
	t.Helper()
	list = slices.DeleteFunc(slices.Clone(list), func(v store.PromptVector) bool { return v.Project != project })
	hits, of := 0, 0
	for k := range min(questions, len(list)) {
		i := k * len(list) / min(questions, len(list))
		q := store.NearestQuery{Embedder: "a", Project: project, Vector: list[i].Vector, Not: list[i].ID, Limit: 10, Least: -1}
		want := storetest.BruteNearest(list, q)
		got, err := near.NearestVectors(t.Context(), q)
		if err != nil || len(got) != len(want) {
			t.Fatalf("%d found, %v; want %d", len(got), err, len(want))
		}
		for k, v := range got {
			if k > 0 && v.Similarity > got[k-1].Similarity {
				t.Fatalf("not in order: %+v", got)
			}
			if slices.ContainsFunc(want, func(w store.NearVector) bool { return w.ID == v.ID }) {
				hits++
			}
		}
		of += len(want)
	}
	return float64(hits) / float64(of)
}

// scans holds how often the index of neighbours was walked: that is counted when
// those who did have closed their connections.
func scans(t *testing.T, conn *pgx.Conn, table string, want int64) {
	t.Helper()
	for begin := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		got := answer[int64](t, conn, `SELECT idx_scan FROM pg_stat_user_indexes WHERE schemaname = current_schema() AND indexrelname = '`+table+`_vector'`)
		if got == want {
			return
		}
		if time.Since(begin) > 20*time.Second {
			t.Fatalf("the index was walked %d times, want %d", got, want)
		}
	}
}

// A large project is searched by the index, whose answers are those of a brute
// force but for one in twenty, and a small one beside it completely.
func TestNearestByIndex(t *testing.T) {
	url := schemaURL(t, t.Name())
	var log bytes.Buffer
	// The index gets the memory that it needs, whatever is set.
	e, near := searching(t, postgres.Options{URL: url + "&maintenance_work_mem=1MB", NearestExact: 500, Log: slog.New(slog.NewTextHandler(&log, nil))})
	defer e.Close()
	conn := connectTo(t, url)
	list := storetest.PutClustered(t, e, "a", "large", 4_000, 256, 1)
	list = append(list, storetest.PutClustered(t, e, "a", "small", 20, 256, 2)...)
	keepNearest(t, near, 4_020)
	// These come one by one into the index that is there.
	list = append(list, storetest.PutClustered(t, e, "a", "large", 400, 256, 3)...)
	keepNearest(t, near, 4_420)
	if n := answer[int64](t, conn, `SELECT count(*) FROM nearest WHERE number = 1 AND indexed`); n != 1 {
		t.Fatal("the table was not made once, with an index")
	}
	const questions = 60
	got := recall(t, near, list, "large", questions)
	t.Logf("recall@10 %.3f", got)
	if got < 0.95 {
		t.Errorf("recall@10 is %.3f, want 0.95 at least", got)
	}
	if got := recall(t, near, list[4_000:4_020], "small", 20); got != 1 {
		t.Errorf("recall@10 of a small project is %.3f, want all", got)
	}
	// One that is hard to meet among the others is found all the same, and so are more
	// than the index goes through.
	list = append(list, storetest.PutClustered(t, e, "a", "middle", 600, 256, 4)...)
	keepNearest(t, near, 5_020)
	if got := recall(t, near, list, "middle", questions); got < 0.95 {
		t.Errorf("recall@10 of a project among larger ones is %.3f, want 0.95 at least", got)
	}
	q := store.NearestQuery{Embedder: "a", Project: "large", Vector: list[0].Vector, Limit: 2_000, Least: -1}
	if found, err := near.NearestVectors(t.Context(), q); err != nil || len(found) != 2_000 {
		t.Errorf("%d found, %v; want 2000", len(found), err)
	}
	// Where a walk gives up, all are compared.
	hasty, _ := searching(t, postgres.Options{URL: url + "&hnsw.max_scan_tuples=100", NearestExact: 500})
	q.Project, q.Limit = "middle", 550
	if found, err := hasty.(store.Nearest).NearestVectors(t.Context(), q); err != nil || len(found) != 550 {
		t.Errorf("%d found, %v; want 550", len(found), err)
	}
	for _, e := range []store.Engine{e, hasty} {
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
	scans(t, conn, "nearest_1", 2*questions+2)
	if said := log.String(); !strings.Contains(said, "similar prompts are indexed") || strings.Contains(said, "takes long") {
		t.Errorf("the log says %s", said)
	}
}

// Of several servers that find vectors without a table one makes it, once; and
// of those that find none of pgvector one creates it.
func TestNearestBySeveralServers(t *testing.T) {
	database := testserver.Database(t)
	engines := make([]store.Engine, 3)
	var group sync.WaitGroup
	for i := range engines {
		group.Go(func() {
			e, err := postgres.Open(t.Context(), postgres.Options{URL: database, NearestExact: 50})
			if err != nil {
				t.Error(err)
				return
			}
			engines[i] = e
		})
	}
	group.Wait()
	if t.Failed() {
		return
	}
	without := 0
	for _, e := range engines {
		defer e.Close()
		if e.(store.Nearest).Searcher() == "" {
			without++
		}
	}
	switch without {
	case 0:
	case len(engines):
		t.Skip("the tests' PostgreSQL has no pgvector")
	default:
		t.Fatalf("%d of %d servers do not find it", without, len(engines))
	}
	list := storetest.PutClustered(t, engines[0], "a", "p", 300, 64, 1)
	for _, e := range engines {
		group.Go(func() {
			for {
				st, err := e.(store.Nearest).KeepNearest(t.Context(), "a")
				if err != nil {
					t.Error(err)
					return
				}
				if st.Ready {
					return
				}
			}
		})
	}
	group.Wait()
	conn := connectTo(t, database)
	if n := answer[int64](t, conn, `SELECT last_value FROM nearest_numbers`); n != 1 {
		t.Errorf("it was made %d times", n)
	}
	for _, e := range engines {
		if got := recall(t, e.(store.Nearest), list, "p", 10); got < 0.95 {
			t.Errorf("recall %.3f", got)
		}
	}
}

// A table that a server is killed over is made again, from nothing.
func TestNearestBuildCutOff(t *testing.T) {
	url := testserver.Database(t)
	e, near := searching(t, postgres.Options{URL: url, NearestExact: 100})
	defer e.Close()
	conn := connectTo(t, url)
	list := storetest.PutClustered(t, e, "a", "p", 3_000, 256, 1)
	ended := make(chan error)
	go func() {
		_, err := near.KeepNearest(t.Context(), "a")
		ended <- err
	}()
	const building = `SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%USING hnsw%' AND state = 'active' AND pid <> pg_backend_pid() AND datname = current_database()`
	for answer[int64](t, conn, building) == 0 {
		select {
		case err := <-ended:
			t.Fatalf("it was ready before it could be cut off: %v", err)
		default:
		}
	}
	if n := answer[int64](t, conn, strings.Replace(building, "count(*)", "count(pg_terminate_backend(pid))", 1)); n == 0 {
		t.Fatal("it was ready before it could be cut off")
	}
	if err := <-ended; err == nil {
		t.Fatal("it did not notice")
	}
	if n := answer[int64](t, conn, `SELECT count(*) FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relname LIKE 'nearest\_%' AND relkind IN ('r', 'i') AND relname <> 'nearest_pkey'`); n != 0 {
		t.Fatalf("%d tables and indexes are left", n)
	}
	keepNearest(t, near, 3_000)
	if got := recall(t, near, list, "p", 20); got < 0.95 {
		t.Errorf("recall %.3f", got)
	}
	// What somebody takes away, as DROP EXTENSION does with a column, is made anew.
	for _, text := range []string{`DROP INDEX nearest_2_vector`, `UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'nearest_3_vector'::regclass`, `ALTER TABLE nearest_4 DROP COLUMN vector`, `DROP TABLE nearest_5`} {
		if _, err := conn.Exec(t.Context(), text); err != nil {
			t.Fatal(err)
		}
		more := storetest.PutClustered(t, e, "a", "q", 1, 256, uint64(len(text)))
		list = append(list, more...)
		keepNearest(t, near, int64(len(list)))
		if got := recall(t, near, list, "p", 20); got < 0.95 {
			t.Errorf("%s: recall %.3f", text, got)
		}
	}
}

// Where the user may not create pgvector, or there is none, that is said once
// and vectors are kept as ever.
func TestWithoutVector(t *testing.T) {
	base := testserver.Database(t)
	admin := connectTo(t, base)
	role := strings.ReplaceAll("test_"+strings.ToLower(admin.Config().Database), "-", "_")
	if _, err := admin.Exec(t.Context(), `CREATE ROLE `+role+` LOGIN PASSWORD 'x'; CREATE SCHEMA AUTHORIZATION `+role); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn, err := pgx.Connect(context.Background(), base)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close(context.Background())
		if _, err := conn.Exec(context.Background(), `DROP OWNED BY `+role+` CASCADE; DROP ROLE `+role); err != nil {
			t.Error(err)
		}
	})
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(role, "x")
	var log bytes.Buffer
	e := open(t, postgres.Options{URL: u.String(), Log: slog.New(slog.NewTextHandler(&log, nil))})
	if near := e.(store.Nearest); near.Searcher() != "" {
		t.Error("it searches")
	} else if st, err := near.KeepNearest(t.Context(), "a"); err != nil || st.Ready {
		t.Errorf("%+v, %v", st, err)
	}
	storetest.PutClustered(t, e, "a", "p", 30, 16, 1)
	if list, err := e.ListVectors(t.Context(), "a", 0, 100); err != nil || len(list) != 30 {
		t.Errorf("%d vectors, %v", len(list), err)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	if said := log.String(); strings.Count(said, "searched in the server's memory") != 1 || !strings.Contains(said, "CREATE EXTENSION vector") {
		t.Errorf("the log says %s", said)
	}

	// Once somebody has created it, wherever, it serves who may not create it.
	if _, err := admin.Exec(t.Context(), `CREATE SCHEMA "the extensions"; CREATE EXTENSION vector SCHEMA "the extensions"`); err != nil {
		t.Skipf("the tests' PostgreSQL has no pgvector: %v", err)
	}
	closed := open(t, postgres.Options{URL: u.String()})
	if closed.(store.Nearest).Searcher() != "" {
		t.Error("it searches with what it may not use")
	}
	closed.Close()
	if _, err := admin.Exec(t.Context(), `GRANT USAGE ON SCHEMA "the extensions" TO `+role); err != nil {
		t.Fatal(err)
	}
	e, near := searching(t, postgres.Options{URL: u.String(), NearestExact: 10})
	defer e.Close()
	keepNearest(t, near, 30)
	found, err := near.NearestVectors(t.Context(), store.NearestQuery{Embedder: "a", Project: "p", Vector: storetest.Clustered(1, 16, 1)[0], Limit: 10, Least: -1, Not: usage.ID{1}})
	if err != nil || len(found) != 10 {
		t.Errorf("%d found, %v", len(found), err)
	}
}

// What an older version stored is searched like the rest.
func TestNearestOfOlderLedger(t *testing.T) {
	url := schemaURL(t, t.Name())
	e := open(t, postgres.Options{URL: url})
	list := storetest.PutClustered(t, e, "a", "p", 150, 32, 1)
	e.Close()
	conn := connectTo(t, url)
	if _, err := conn.Exec(t.Context(), `DROP TABLE nearest; DROP SEQUENCE nearest_numbers, vector_numbers; DELETE FROM schema_versions WHERE version_id = 13`); err != nil {
		t.Fatal(err)
	}
	e, near := searching(t, postgres.Options{URL: url, NearestExact: 100})
	defer e.Close()
	keepNearest(t, near, 150)
	list = append(list, storetest.PutClustered(t, e, "a", "p", 10, 32, 2)...)
	keepNearest(t, near, 160)
	if got := recall(t, near, list, "p", 20); got < 0.95 {
		t.Errorf("recall %.3f", got)
	}
}

// A ledger that is loaded over another one has nothing of what was searched there.
func TestNearestAfterLoad(t *testing.T) {
	url, other := schemaURL(t, t.Name()), schemaURL(t, t.Name()+" other")
	e, near := searching(t, postgres.Options{URL: url, NearestExact: 100})
	storetest.PutClustered(t, e, "a", "p", 500, 64, 1)
	keepNearest(t, near, 500)
	from, fromNear := searching(t, postgres.Options{URL: other})
	defer from.Close()
	list := storetest.PutClustered(t, from, "a", "p", 300, 32, 2)
	keepNearest(t, fromNear, 300)
	e.Close()
	if err := postgres.Load(t.Context(), postgres.Options{URL: url}, store.Load{Force: true, Source: from.Dump}); err != nil {
		t.Fatal(err)
	}
	conn := connectTo(t, url)
	if n := answer[int64](t, conn, `SELECT (SELECT count(*) FROM nearest) + (SELECT count(*) FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relname = 'nearest_1')`); n != 0 {
		t.Fatal("it has what the other one had")
	}
	e, near = searching(t, postgres.Options{URL: url, NearestExact: 100})
	defer e.Close()
	list = append(list, storetest.PutClustered(t, e, "a", "p", 10, 32, 3)...)
	keepNearest(t, near, 310)
	if got := recall(t, near, list, "p", 20); got < 0.95 {
		t.Errorf("recall %.3f", got)
	}
}
