// Package redis owns the connection to the Redis that several servers share: its
// URL, its health, and the few things the others ask of it: run a script, publish,
// listen. It knows nothing of limits or streams. Redis is never needed: while it
// is away every call fails at once, and who asks does without.
package redis

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/costprof/costprof/internal/fault"
)

// Params are what a Conn is made of; all are required.
type Params struct {
	URL string
	// Prefix begins every key and channel.
	Prefix string
	Now    func() time.Time
	Log    *slog.Logger
}

const (
	// probeEvery is how often Redis is asked whether it is there, probeTime how long
	// it may take to say so: together with a command's own time they keep the news
	// of its going away below five seconds.
	probeEvery = time.Second
	probeTime  = time.Second
	// firstProbe bounds what a Redis that does not answer delays the start by.
	firstProbe = 500 * time.Millisecond
	// mostTimeouts is how many commands in a row may take too long before Redis
	// counts as away: one may be slow because this machine is.
	mostTimeouts = 3
	// sayEvery is how often the log says that it is still away.
	sayEvery = time.Minute
)

// Conn is a connection that comes back by itself. It may be used from many
// goroutines.
type Conn struct {
	Params
	target *target
	client goredis.UniversalClient

	up       atomic.Bool
	timeouts atomic.Int64
	failed   atomic.Int64

	mu    sync.Mutex
	said  time.Time // when the log last said that it is away
	noted bool      // the log's last word is that it is away
	since time.Time
}

// Open reads the URL and has a first look; that Redis is away is no error.
func Open(ctx context.Context, p Params) (*Conn, error) {
	t, err := parse(p.URL)
	if err != nil {
		return nil, err
	}
	c := &Conn{Params: p, target: t, client: t.client()}
	first, cancel := context.WithTimeout(ctx, firstProbe)
	defer cancel()
	if err := c.probe(first); err != nil {
		c.away(err)
	} else {
		c.up.Store(true)
	}
	return c, nil
}

// Up says whether Redis answered last time.
func (c *Conn) Up() bool { return c.up.Load() }

// Failed is how many commands were not executed, or not in time.
func (c *Conn) Failed() int64 { return c.failed.Load() }

// String names the servers, without secrets.
func (c *Conn) String() string { return c.target.String() }

// Run watches over the connection until ctx ends, and then closes it.
func (c *Conn) Run(ctx context.Context) error {
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	defer func() { _ = c.client.Close() }() // nothing waits to be sent
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		look, cancel := context.WithTimeout(ctx, probeTime)
		err := c.probe(look)
		cancel()
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			c.away(err)
		default:
			c.back()
		}
	}
}

// probe writes, because a replica and a full server answer a PING.
func (c *Conn) probe(ctx context.Context) error {
	return c.client.Set(ctx, c.Prefix+":probe", 1, 10*time.Second).Err()
}

func (c *Conn) away(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.Now()
	if c.up.Swap(false) || c.since.IsZero() {
		c.since = now
	}
	if !c.said.IsZero() && now.Sub(c.said) < sayEvery {
		return
	}
	c.said, c.noted = now, true
	c.Log.Warn("Redis is away: this server counts rate limits for itself, and streams hear of other servers through the ledger",
		"redis", c.String(), "since", c.since.UTC(), "error", err)
}

func (c *Conn) back() {
	c.timeouts.Store(0)
	if c.up.Load() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.up.Swap(true) && c.noted {
		c.noted = false
		c.Log.Info("Redis is back", "redis", c.String(), "away", c.Now().Sub(c.since).Round(time.Millisecond))
	}
}

// ErrAway: Redis was not asked, because it did not answer lately.
var ErrAway = &fault.Error{Code: fault.Unavailable, Message: "Redis is away"}

// do runs a command within its time, or not at all while Redis is away.
func (c *Conn) do(ctx context.Context, command func(context.Context) error) error {
	if !c.up.Load() {
		return ErrAway
	}
	within, cancel := context.WithTimeout(ctx, c.target.options.ReadTimeout)
	defer cancel()
	err := command(within)
	if err == nil {
		c.timeouts.Store(0)
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err() // nobody waits for it any more
	}
	c.failed.Add(1)
	var answered goredis.Error
	switch {
	case errors.As(err, &answered) || errors.Is(err, goredis.Nil):
		// It is there; the next probe says whether it can write.
	case timedOut(err) && c.timeouts.Add(1) < mostTimeouts:
	default:
		c.away(err)
	}
	return &fault.Error{Code: fault.Unavailable, Message: "Redis did not answer", Err: err}
}

func timedOut(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}
