package store

import (
	"context"
	"time"

	"github.com/costprof/costprof/internal/usage"
)

// LongRead is how an engine reads very many events: part by part, each of a size
// that fits little memory however large the events are, and giving way between two
// of them. The zero value but for Queued is one that begins.
type LongRead struct {
	// Queued is how many events wait to be stored.
	Queued func() int64

	size  int
	begun time.Time
}

const (
	// A list of a page is read at once; after that the size of a part follows from
	// what the last one took.
	firstPart   = 1_000
	largestPart = 5_000
	leastPart   = 50
	partBytes   = 8 << 20
	eventBytes  = 1_500 // of one without metadata and tags, about

	// Of the time in which events wait to be stored, reading takes one part in
	// giveWay+1.
	giveWay     = 4
	longestWait = 2 * time.Second
	waitStep    = 2 * time.Millisecond
)

// Next says how many events to read.
func (l *LongRead) Next() int {
	l.begun = time.Now()
	if l.size == 0 {
		l.size = firstPart
	}
	return l.size
}

// Done is told of a part when it was consumed and another one follows. While events
// are queued it waits, so that they are stored first, for a few times as long as the
// part took at most: a read of any length neither slows storing much nor waits for
// ever.
func (l *LongRead) Done(ctx context.Context, part []*usage.Record) error {
	bytes := 0
	for _, r := range part {
		bytes += eventBytes + len(r.Metadata)
		for name, value := range r.Tags {
			bytes += len(name) + len(value)
		}
	}
	if len(part) > 0 {
		l.size = max(leastPart, min(largestPart, partBytes/(bytes/len(part))))
	}
	most := min(giveWay*time.Since(l.begun), longestWait)
	for waited := time.Duration(0); waited < most && l.Queued() > 0; waited += waitStep {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(waitStep):
		}
	}
	return ctx.Err()
}
