package postgres

import (
	"context"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/costprof/costprof/internal/store"
)

var _ store.Locks = (*Engine)(nil)

// Lock implements store.Locks.
func (e *Engine) Lock(ctx context.Context, name string) (context.Context, func(), error) {
	// Longer than lock_timeout is not waited for.
	return e.lock(ctx, name, `SELECT pg_advisory_lock(hashtextextended(current_schema() || '/' || $1, 0)) IS NOT NULL`)
}

// TryLock implements store.Locks.
func (e *Engine) TryLock(ctx context.Context, name string) (context.Context, func(), error) {
	return e.lock(ctx, name, `SELECT pg_try_advisory_lock(hashtextextended(current_schema() || '/' || $1, 0))`)
}

// lock takes a lock with a connection of its own, whose end, however it comes, is
// that of the lock.
func (e *Engine) lock(ctx context.Context, name, take string) (context.Context, func(), error) {
	if e.closed.Load() {
		return nil, nil, errStopping()
	}
	conn, err := pgx.ConnectConfig(ctx, e.write.Config().ConnConfig)
	if err != nil {
		return nil, nil, e.explain(ctx, err)
	}
	drop := func() { _ = conn.Close(context.WithoutCancel(ctx)) } // it is gone either way
	var taken bool
	if err := conn.QueryRow(ctx, take, "costprof/"+name).Scan(&taken); err != nil || !taken {
		drop()
		return nil, nil, e.explain(ctx, err)
	}
	// Whoever held it may have died with a commit on its way: it ends first.
	if _, err := conn.Exec(ctx, `SELECT last FROM ledger FOR UPDATE`); err != nil {
		drop()
		return nil, nil, e.explain(ctx, err)
	}
	held, cancel := context.WithCancel(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		_, _ = conn.WaitForNotification(held) // none comes; it returns when the connection breaks
		cancel()
	}()
	var once sync.Once
	return held, func() { once.Do(func() { cancel(); <-watched; drop() }) }, nil
}
