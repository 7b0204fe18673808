package postgres_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/store/postgres"
	"github.com/costprof/costprof/internal/testserver"
	"github.com/costprof/costprof/internal/usage"
)

var day = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

// record is the n-th call, a minute apart; every fifth has an identity of its own.
func record(n int) usage.Record {
	r := usage.Record{Event: usage.Event{
		Project: "default", TraceID: fmt.Sprint("t", n/4), SpanID: fmt.Sprint("s", n), Timestamp: day.Add(time.Duration(n) * time.Minute),
		Feature: fmt.Sprint("f", n%50), Provider: "openai", Model: "gpt-4o", ProviderID: "openai", ModelID: "gpt-4o", TimeToFirstToken: -1,
		Tags: map[string]string{"team": fmt.Sprint("team-", n%40)},
	}, Costing: usage.Costing{Source: usage.SourceCatalog, PriceID: "p_1"}, ReceivedAt: day}
	r.Counts[usage.Input] = int64(n)
	r.Classes[usage.ClassInput] = 1_000_000
	if n%5 == 0 {
		r.EventID = r.SpanID
	}
	r.ID = r.Identity()
	return r
}

func records(from, n int) []usage.Record {
	out := make([]usage.Record, n)
	for i := range out {
		out[i] = record(from + i)
	}
	return out
}

func calls(t *testing.T, e store.Ledger) int64 {
	t.Helper()
	got, err := e.Query(t.Context(), analytics.Query{})
	if err != nil {
		t.Fatal(err)
	}
	return got.Calls
}

// servers opens several engines on one empty schema at the same moment.
func servers(t *testing.T, n int) ([]store.Engine, string) {
	t.Helper()
	url := schemaURL(t, fmt.Sprint(t.Name(), time.Now().UnixNano()))
	out := make([]store.Engine, n)
	var wg sync.WaitGroup
	for i := range out {
		wg.Go(func() {
			e, err := postgres.Open(t.Context(), postgres.Options{URL: url})
			if err != nil {
				t.Error(err)
				return
			}
			out[i] = e
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	t.Cleanup(func() {
		for _, e := range out {
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	return out, url
}

// Servers that store overlapping batches at once tell each event to be new to
// exactly one caller, and an answer that names its moment can be repeated for
// ever: no commit appears that is not above the moment.
func TestSeveralServersKeepOneOrder(t *testing.T) {
	engines, _ := servers(t, 3)
	const total = 3000
	var stored atomic.Int64
	var writing, reading sync.WaitGroup
	done := make(chan struct{})
	for i, e := range engines {
		for client := range 3 {
			writing.Go(func() {
				r := rand.New(rand.NewPCG(uint64(i), uint64(client)))
				for range 25 {
					got, err := e.Append(t.Context(), records(r.IntN(total-100), 1+r.IntN(100)))
					if err != nil {
						t.Error(err)
						return
					}
					n := int64(0)
					for _, o := range got.Outcomes {
						if o == store.Stored {
							n++
						}
					}
					stored.Add(n)
					if (got.Commit > 0) != (n > 0) {
						t.Errorf("%d stored under commit %d", n, got.Commit)
					}
				}
			})
		}
		reading.Go(func() {
			type moment struct{ asOf, calls int64 }
			var seen []moment
			r := rand.New(rand.NewPCG(uint64(i), 99))
			for {
				select {
				case <-done:
					return
				default:
				}
				q := analytics.Query{GroupBy: []analytics.Dimension{analytics.Feature}}
				want := int64(-1)
				if len(seen) > 0 && r.IntN(2) == 0 {
					m := seen[r.IntN(len(seen))]
					q.AsOf, want = m.asOf, m.calls
				}
				got, err := e.Query(t.Context(), q)
				switch {
				case err != nil:
					t.Error(err)
					return
				case want >= 0 && got.Calls != want:
					t.Errorf("as of %d there are %d calls, and there were %d", q.AsOf, got.Calls, want)
					return
				case want < 0 && got.AsOf > 0: // 0 names no moment
					seen = append(seen, moment{got.AsOf, got.Calls})
				}
			}
		})
	}
	writing.Wait()
	close(done)
	reading.Wait()
	got, err := engines[0].Append(t.Context(), records(0, total))
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range got.Outcomes {
		if o == store.Stored {
			stored.Add(1)
		}
	}
	if stored.Load() != total {
		t.Errorf("%d events were told to be new, want %d", stored.Load(), total)
	}
	for i, e := range engines {
		if n := calls(t, e); n != total {
			t.Errorf("server %d has %d calls, want %d", i, n, total)
		}
	}
}

// Connections that break at any moment lose nothing that was acknowledged and
// store nothing twice.
func TestBrokenConnections(t *testing.T) {
	engines, url := servers(t, 1)
	e := engines[0]
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	done := make(chan struct{})
	var stored atomic.Int64
	var breaking sync.WaitGroup
	breaking.Go(func() {
		wait, before := 20*time.Millisecond, int64(0)
		for {
			select {
			case <-done:
				return
			case <-time.After(wait):
			}
			// A machine that stores nothing in this time would never end.
			if n := stored.Load(); n == before {
				wait += 5 * time.Millisecond
			} else {
				before = n
			}
			// Only what works on this schema: others test on the same server.
			if _, err := conn.Exec(context.Background(), `SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
				WHERE c.relnamespace = current_schema()::regnamespace AND l.pid <> pg_backend_pid()`); err != nil {
				t.Error(err)
				return
			}
		}
	})
	var wg sync.WaitGroup
	var failed atomic.Int64
	for client := range 4 {
		wg.Go(func() {
			for i := range 40 {
				batch := records(client*10_000+i*20, 20)
				for {
					_, err := e.Append(t.Context(), batch)
					if err == nil {
						stored.Add(1)
						break
					}
					failed.Add(1)
					if fault.CodeOf(err) != fault.Unavailable {
						t.Errorf("an append while connections break: %v", err)
						return
					}
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	wg.Wait()
	close(done)
	breaking.Wait()
	if failed.Load() == 0 {
		t.Error("no append met a broken connection")
	}
	for range 100 { // the last broken connections may still be in the pool
		if _, err := e.Query(t.Context(), analytics.Query{}); err == nil {
			break
		}
	}
	if n := calls(t, e); n != 4*40*20 {
		t.Errorf("%d calls, want %d", n, 4*40*20)
	}
	seen := map[usage.ID]bool{}
	for r, err := range e.Events(t.Context(), store.EventQuery{}) {
		if err != nil {
			t.Fatal(err)
		}
		if seen[r.ID] {
			t.Fatalf("event %s twice", r.SpanID)
		}
		seen[r.ID] = true
	}
}

// A replica answers questions unless it lacks what this server has stored or what
// the question is as of.
func TestReplicaBehind(t *testing.T) {
	engines, url := servers(t, 1)
	other, stale := servers(t, 1) // stands for a replica that stopped
	if _, err := other[0].Append(t.Context(), records(0, 7)); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if _, err := engines[0].Append(t.Context(), records(10*i, 10)); err != nil {
			t.Fatal(err)
		}
	}
	e, err := postgres.Open(t.Context(), postgres.Options{URL: url, ReadURL: stale})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if n := calls(t, e); n != 7 {
		t.Errorf("%d calls, want the replica's 7", n)
	}
	if got, err := e.Query(t.Context(), analytics.Query{Filter: analytics.Filter{AsOf: 2}}); err != nil || got.Calls != 20 {
		t.Errorf("as of a commit that the replica lacks: %d calls, %v; want 20", got.Calls, err)
	}
	if _, err := e.Append(t.Context(), records(30, 5)); err != nil {
		t.Fatal(err)
	}
	if n := calls(t, e); n != 35 {
		t.Errorf("%d calls after an append of this server, want 35", n)
	}
}

// A start that fails says why in a sentence, and no secret.
func TestStartErrors(t *testing.T) {
	const secret = "s3cr3t-4711"
	server := testserver.Postgres(t)
	at := strings.TrimPrefix(server[strings.Index(server, "@")+1:], "@")
	host := at[:strings.Index(at, "/")]
	for url, want := range map[string]string{
		"postgres://u:" + secret + "@127.0.0.1:1/d":                            "cannot be reached",
		"postgres://u:" + secret + "@no-such-host.invalid:5432/d":              "host name",
		"postgres://postgres:" + secret + "@" + host + "/no_such_database":     "does not exist",
		"postgres://no_such_user:" + secret + "@" + host + "/postgres":         "no_such_user",
		"postgres://u:" + secret + "@h:port/d":                                 "not a PostgreSQL URL",
		"postgres://postgres:" + secret + "@" + host + "/postgres?sslmode=bad": "not a PostgreSQL URL",
	} {
		e, err := postgres.Open(t.Context(), postgres.Options{URL: url, ConnectTimeout: 2 * time.Second})
		if err == nil {
			e.Close()
			t.Errorf("%s: no error", url)
			continue
		}
		if s := err.Error(); !strings.Contains(s, want) || !strings.Contains(s, "DATABASE_URL") || strings.Contains(s, secret) || strings.Contains(s, "\n") {
			t.Errorf("%s: %q, want one sentence with %q", url, s, want)
		}
	}
}
