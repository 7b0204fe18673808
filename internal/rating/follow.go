package rating

import (
	"context"
	"fmt"
	"hash/fnv"
	"time"
)

// followEvery is how soon a server prices with what another one changed.
const followEvery = 2 * time.Second

// Follow takes over, until ctx ends, the prices that other servers of a shared
// ledger put, delete and load.
func (s *Service) Follow(ctx context.Context) error {
	if !s.Shared {
		<-ctx.Done()
		return nil
	}
	failing := false
	for ctx.Err() == nil {
		pause(ctx, followEvery)
		s.changing.Lock()
		err := s.catchUp(ctx)
		s.changing.Unlock()
		if err != nil && ctx.Err() == nil && !failing {
			s.Log.Warn("Whether another server changed prices is not known; it is asked again", "error", err)
		}
		failing = err != nil
	}
	return nil
}

// catchUp reads the prices again when somebody may have changed them; changing is
// held. Calls without a price are looked at with the next work: the server that
// changed the prices has the run for those that were there.
func (s *Service) catchUp(ctx context.Context) error {
	if !s.Shared {
		return nil
	}
	newest, err := s.newest(ctx)
	if err != nil {
		return err
	}
	was := s.current.Load()
	if newest == was.seen {
		return nil
	}
	next, err := s.read(ctx)
	if err != nil {
		return err
	}
	if next.book.Fingerprint() == was.book.Fingerprint() && next.list.Number == was.list.Number {
		same := *was
		same.seen = next.seen
		s.current.Store(&same)
		return nil
	}
	s.current.Store(next)
	s.recheck.Store(true)
	s.Log.Info("Another server changed the prices", "list", next.base.Info().String(), "ownPrices", len(next.own))
	return nil
}

// recent is how many audit entries are looked at: more than are written at the same
// moment, since one may show later than another with a higher number.
const recent = 16

// newest is another number after every change of prices, since each has its audit
// entry in the same transaction; 0 for none.
func (s *Service) newest(ctx context.Context) (int64, error) {
	if !s.Shared {
		return 0, nil
	}
	entries, err := s.Catalog.ListAudit(ctx, 0, recent)
	if err != nil {
		return 0, fmt.Errorf("read the audit log: %w", err)
	}
	if len(entries) == 0 {
		return 0, nil
	}
	h := fnv.New64a()
	for i := range entries {
		fmt.Fprintln(h, entries[i].ID)
	}
	return int64(h.Sum64()), nil
}
