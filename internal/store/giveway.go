package store

import (
	"context"
	"time"
)

// Who reads very many events gives way: of the time in which others wait to store,
// reading takes one part in giveWay+1.
const (
	giveWay     = 4
	longestWait = 2 * time.Second
	waitStep    = 2 * time.Millisecond
)

// GiveWay is called between two parts of a long read, of which the last took so
// long: it lets what is queued be stored first, for a few times as long at most, so
// that a read of any length neither slows storing much nor waits for ever.
func GiveWay(ctx context.Context, took time.Duration, queued func() int64) error {
	most := min(giveWay*took, longestWait)
	for waited := time.Duration(0); waited < most && queued() > 0; waited += waitStep {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(waitStep):
		}
	}
	return ctx.Err()
}
