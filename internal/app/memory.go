package app

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// What a flood of requests leaves behind (answers that were waited for, buffers)
// the Go runtime collects only when more is allocated, or after two minutes, and
// gives back to the system over minutes more. On a server that has nothing to do
// this does it soon.
const (
	heapLookEvery = 15 * time.Second
	// heapSlack is how much may lie around; less is not worth a collection.
	heapSlack = 48 << 20
	// idleAllocation is the most that a server allocates between two looks that
	// has nothing to do. One that works collects by itself.
	idleAllocation = 8 << 20
	// staleLooks is after how many looks without a collection it is not believed
	// any more what the last one found in use.
	staleLooks = 4
)

// giveBack returns memory that nothing uses while the server idles.
func giveBack(ctx context.Context) error {
	tick := time.NewTicker(heapLookEvery)
	defer tick.Stop()
	before := readHeap()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now := readHeap()
		if now.cycles == before.cycles {
			now.looks = before.looks + 1
		}
		if now.wasteful(before) {
			debug.FreeOSMemory()
		}
		before = now
	}
}

// heap is what the runtime says of itself, in bytes.
type heap struct {
	live      uint64 // found in use by the last collection
	held      uint64 // taken from the system for objects and not given back
	allocated uint64 // since the start
	cycles    uint64 // collections since the start
	looks     int    // since the last collection
}

func readHeap() heap {
	s := []metrics.Sample{
		{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/unused:bytes"},
		{Name: "/memory/classes/heap/free:bytes"}, {Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/cycles/total:gc-cycles"},
	}
	metrics.Read(s)
	return heap{
		live: s[0].Value.Uint64(), held: s[1].Value.Uint64() + s[2].Value.Uint64() + s[3].Value.Uint64(), allocated: s[4].Value.Uint64(),
		cycles: s[5].Value.Uint64(),
	}
}

// wasteful says whether much is held for nothing and nothing is going on.
func (h heap) wasteful(before heap) bool {
	live := h.live
	if h.looks >= staleLooks {
		live = 0
	}
	return h.held > live+heapSlack && h.allocated-before.allocated < idleAllocation
}
