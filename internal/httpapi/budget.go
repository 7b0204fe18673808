package httpapi

import (
	"container/list"
	"context"
	"sync"
	"time"

	"github.com/costprof/costprof/internal/fault"
)

// budget bounds the bytes that requests hold at once; who waits is served in
// order.
type budget struct {
	wait time.Duration // longest wait for one grant
	busy string        // what to tell who waited in vain

	mu    sync.Mutex
	free  int64
	queue list.List // of *claim
}

type claim struct {
	n       int64
	granted chan struct{}
}

func newBudget(bytes int64, wait time.Duration, busy string) *budget {
	return &budget{free: bytes, wait: wait, busy: busy}
}

// take waits for n bytes, at most the budget's wait; then the error is
// fault.Unavailable.
func (b *budget) take(ctx context.Context, n int64) error {
	b.mu.Lock()
	if b.queue.Len() == 0 && b.free >= n {
		b.free -= n
		b.mu.Unlock()
		return nil
	}
	c := &claim{n: n, granted: make(chan struct{})}
	at := b.queue.PushBack(c)
	b.mu.Unlock()

	timer := time.NewTimer(b.wait)
	defer timer.Stop()
	var err error
	select {
	case <-c.granted:
		return nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-timer.C:
		err = &fault.Error{Code: fault.Unavailable, Message: b.busy, RetryAfter: b.wait}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-c.granted: // granted while giving up: hand it on
		b.free += n
	default:
		b.queue.Remove(at)
	}
	b.grant()
	return err
}

func (b *budget) give(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free += n
	b.grant()
}

func (b *budget) grant() {
	for front := b.queue.Front(); front != nil; front = b.queue.Front() {
		c := front.Value.(*claim)
		if c.n > b.free {
			return
		}
		b.free -= c.n
		b.queue.Remove(front)
		close(c.granted)
	}
}

// waiting is how many claims wait now.
func (b *budget) waiting() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.queue.Len()
}

// left is what could be taken now.
func (b *budget) left() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.free
}
