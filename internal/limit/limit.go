// Package limit counts requests in fixed windows and says when one is too many.
// It refuses to know what a request is, who sent it, and how that is answered.
package limit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/costprof/costprof/internal/fault"
)

// Rule allows Most requests of one key in each window of Per. Windows begin at
// multiples of Per since 1970, the same for everyone.
type Rule struct {
	// Name tells rules apart; the same key counts on its own under each.
	Name string
	// Most is how many are allowed; 0 or less is any number.
	Most int
	Per  time.Duration
}

// Off says whether the rule allows everything.
func (r Rule) Off() bool { return r.Most <= 0 }

// Verdict is what became of one request.
type Verdict struct {
	Allowed bool
	// Remaining is how many more the window allows.
	Remaining int
	// Reset is when the window ends, from now on.
	Reset time.Duration
}

// Counter counts.
type Counter interface {
	// Count counts one request and returns how many of the key there were in the
	// window at hand, this one included, and how long the window lasts still.
	Count(ctx context.Context, r Rule, key string) (n int64, left time.Duration, err error)
}

// Limiter judges requests. It may be used from many goroutines.
type Limiter struct {
	// Shared counts for several servers; nil counts here only.
	Shared Counter
	// Local counts in this process, always, so that a shared counter that fails or
	// forgot everything gives nobody a second allowance on this server.
	Local *Memory
	Log   *slog.Logger
	Now   func() time.Time

	complained atomic.Int64
}

// complainEvery is how often a failing counter is worth a line.
const complainEvery = time.Minute

// Take counts one request of the key and judges it. It never fails: without the
// shared counter each server counts for itself.
func (l *Limiter) Take(ctx context.Context, r Rule, key string) Verdict {
	if r.Off() {
		return Verdict{Allowed: true}
	}
	here := l.Local.count(r, key)
	if l.Shared != nil {
		n, left, err := l.Shared.Count(ctx, r, key)
		if err == nil {
			// What was counted here is part of it, where both mean the same window: at
			// its edge the clocks may name different ones.
			if here.own && (left-here.left).Abs() < r.Per/2 {
				n = max(n, here.n)
			}
			return judge(r, n, left)
		}
		l.complain(err)
	}
	return judge(r, here.n, here.left)
}

func judge(r Rule, n int64, left time.Duration) Verdict {
	return Verdict{Allowed: n <= int64(r.Most), Remaining: int(max(0, int64(r.Most)-n)), Reset: left}
}

// complain says that the shared counter is broken. That it cannot be reached is
// said by who keeps the connection.
func (l *Limiter) complain(err error) {
	if fault.CodeOf(err) == fault.Unavailable || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return
	}
	now, last := l.Now().UnixNano(), l.complained.Load()
	if now-last < int64(complainEvery) || !l.complained.CompareAndSwap(last, now) {
		return
	}
	l.Log.Warn("the shared counter of rate limits cannot be asked; this server counts for itself", "error", err)
}

// Policy describes the rule in the form of the RateLimit-Policy header.
func (r Rule) Policy() string {
	return fmt.Sprintf("%q;q=%d;w=%d", r.Name, r.Most, int64(r.Per/time.Second))
}
