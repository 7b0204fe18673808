package rating

import (
	"context"
	"fmt"
	"time"
)

// takeOverEvery is how often a server looks for work that another one left.
const takeOverEvery = 5 * time.Second

// The names of the locks.
const (
	changeLock = "prices.change"
	workLock   = "prices.work"
)

// change lets nobody else change prices until unlock, here or on another server, and
// puts in force what others changed.
func (s *Service) change(ctx context.Context) (unlock func(), err error) {
	s.changing.Lock()
	release := func() {}
	if s.Locks != nil {
		_, release, err = s.Locks.Lock(ctx, changeLock)
	}
	if err == nil {
		if err = s.catchUp(ctx); err == nil {
			return func() { release(); s.changing.Unlock() }, nil
		}
		release()
	}
	s.changing.Unlock()
	return nil, err
}

// workAlone works unless another server does: that one finds what waits here. When
// the lock is lost the work ends where it is, as if the process did.
func (s *Service) workAlone(ctx context.Context) error {
	if s.Locks == nil {
		return s.work(ctx)
	}
	if !s.recheck.Load() {
		runs, err := s.Catalog.ListRuns(ctx, "running", 1)
		if err != nil {
			return fmt.Errorf("list unfinished runs: %w", err)
		}
		if len(runs) == 0 {
			return nil
		}
	}
	held, unlock, err := s.Locks.TryLock(ctx, workLock)
	if err != nil || unlock == nil {
		return err
	}
	defer unlock()
	return s.work(held)
}
