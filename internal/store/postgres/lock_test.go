package postgres_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/store"
)

// A lock is one server's, until it lets go or its connection ends, which it notices.
func TestLocks(t *testing.T) {
	engines, url := servers(t, 2)
	a, b := engines[0].(store.Locks), engines[1].(store.Locks)
	held, unlock, err := a.Lock(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	if _, other, err := b.TryLock(t.Context(), "x"); other != nil || err != nil {
		t.Fatalf("a lock that another server holds: taken %t, %v", other != nil, err)
	}
	if _, other, err := b.TryLock(t.Context(), "y"); other == nil || err != nil {
		t.Fatalf("another lock: %v", err)
	} else {
		other()
	}
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, _, err := b.Lock(short, "x"); err == nil {
		t.Fatal("a lock that another server holds was taken")
	}
	unlock()
	unlock()
	if held.Err() == nil {
		t.Error("the context of a lock outlives it")
	}

	// Whoever holds it increases what is not safe to increase.
	var group sync.WaitGroup
	n := 0
	for i := range 4 {
		group.Go(func() {
			for range 5 {
				_, unlock, err := []store.Locks{a, b}[i%2].Lock(t.Context(), "x")
				if err != nil {
					t.Error(err)
					return
				}
				n++
				unlock()
			}
		})
	}
	group.Wait()
	if n != 20 {
		t.Errorf("%d turns, want 20", n)
	}

	held, unlock, err = a.TryLock(t.Context(), "x")
	if err != nil || unlock == nil {
		t.Fatal(err)
	}
	defer unlock()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()
		AND objid = (hashtextextended(current_schema() || '/costprof/x', 0) & 4294967295)::oid`); err != nil {
		t.Fatal(err)
	}
	select {
	case <-held.Done():
	case <-time.After(time.Minute):
		t.Fatal("a server does not notice that it lost a lock")
	}
	if _, other, err := b.TryLock(t.Context(), "x"); other == nil || err != nil {
		t.Errorf("a lost lock: %v", err)
	} else {
		other()
	}
	if err := engines[0].Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := a.Lock(t.Context(), "x"); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("a lock of a closed engine: %v", err)
	}
}
