package redis

import (
	"context"
	"fmt"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// Script is a Lua script that touches one key.
type Script struct{ script *goredis.Script }

// NewScript makes a script; it is sent once and then named by its hash.
func NewScript(source string) *Script { return &Script{goredis.NewScript(source)} }

// Integers runs a script that returns integers. key is put behind the prefix.
// fault.Unavailable when Redis is away, does not answer in time, or refuses; the
// script may have run all the same.
func (c *Conn) Integers(ctx context.Context, s *Script, key string, args ...any) (out []int64, err error) {
	err = c.do(ctx, func(ctx context.Context) error {
		out, err = s.script.Run(ctx, c.client, []string{c.Prefix + ":" + key}, args...).Int64Slice()
		return err
	})
	return out, err
}

// Publish hands a text to whoever listens on the channel. After an error it may
// have been handed over all the same.
func (c *Conn) Publish(ctx context.Context, channel string, text []byte) error {
	return c.do(ctx, func(ctx context.Context) error {
		return c.client.Publish(ctx, c.Prefix+":"+channel, text).Err()
	})
}

// Listener takes what is heard on a channel; its methods do not block.
type Listener interface {
	// Began says that what is published from now on is heard; of what was published
	// before, some may have been missed.
	Began()
	Heard(text []byte)
}

// listenPause is how long a channel that broke is left alone.
const listenPause = 500 * time.Millisecond

// Listen hands what is published on a channel to l until ctx ends. It begins anew
// when the connection breaks, or when nothing was heard for as long as silence:
// whoever listens has somebody publish more often than that.
func (c *Conn) Listen(ctx context.Context, channel string, silence time.Duration, l Listener) {
	for ctx.Err() == nil {
		if c.up.Load() {
			if err := c.listen(ctx, channel, silence, l); err != nil && ctx.Err() == nil {
				c.Log.Debug("listening to Redis begins anew", "error", err)
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(listenPause):
		}
	}
}

func (c *Conn) listen(ctx context.Context, channel string, silence time.Duration, l Listener) error {
	sub := c.client.Subscribe(ctx, c.Prefix+":"+channel)
	defer func() { _ = sub.Close() }() // nobody listens any more
	began := false
	for {
		got, err := sub.ReceiveTimeout(ctx, silence)
		if err != nil {
			return err
		}
		switch m := got.(type) {
		case *goredis.Subscription:
			began = true
			l.Began()
		case *goredis.Message:
			if !began {
				return fmt.Errorf("a message before the channel's confirmation")
			}
			l.Heard([]byte(m.Payload))
		}
	}
}
