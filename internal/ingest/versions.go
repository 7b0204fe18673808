package ingest

import (
	"context"
	"slices"
	"sync"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/pricing"
	"github.com/costprof/costprof/internal/usage"
)

// versions remembers which price versions the catalog holds, so that keeping
// them costs one map lookup per event. It grows by one entry per version that
// was used since the start.
type versions struct {
	mu  sync.RWMutex
	ids map[string]struct{}
}

// keep makes the versions that priced the records durable, before the records
// are.
func (v *versions) keep(ctx context.Context, keeper VersionKeeper, book Book, records []usage.Record) error {
	fresh := v.missing(records)
	if len(fresh) == 0 {
		return nil
	}
	put := make([]pricing.Version, 0, len(fresh))
	for _, id := range fresh {
		version, ok := book.Version(id)
		if !ok {
			return fault.New(fault.Internal, "the price book does not know its own version %s", id)
		}
		put = append(put, version)
	}
	if err := keeper.PutVersions(ctx, put); err != nil {
		return err
	}
	v.add(fresh)
	return nil
}

// missing lists, once each, the price ids of the records that are not in the
// set.
func (v *versions) missing(records []usage.Record) []string {
	var fresh []string
	v.mu.RLock()
	defer v.mu.RUnlock()
	for i := range records {
		id := records[i].PriceID
		if id == "" {
			continue
		}
		if _, ok := v.ids[id]; !ok && !slices.Contains(fresh, id) {
			fresh = append(fresh, id)
		}
	}
	return fresh
}

func (v *versions) add(ids []string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.ids == nil {
		v.ids = make(map[string]struct{})
	}
	for _, id := range ids {
		v.ids[id] = struct{}{}
	}
}
