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

// each runs a command for every key in one go; on a cluster each goes where its key is.
func (c *Conn) each(ctx context.Context, keys []string, command func(ctx context.Context, p goredis.Pipeliner, i int, key string)) error {
	return c.do(ctx, func(ctx context.Context) error {
		_, err := c.client.Pipelined(ctx, func(p goredis.Pipeliner) error {
			for i, key := range keys {
				command(ctx, p, i, c.Prefix+":"+key)
			}
			return nil
		})
		return err
	})
}

// Fields gives, for each of the hashes, the values of the fields, nil where there is
// none. Errors are as with Integers, here and below.
func (c *Conn) Fields(ctx context.Context, keys, fields []string) ([][][]byte, error) {
	asked := make([]*goredis.SliceCmd, len(keys))
	err := c.each(ctx, keys, func(ctx context.Context, p goredis.Pipeliner, i int, key string) {
		asked[i] = p.HMGet(ctx, key, fields...)
	})
	if err != nil {
		return nil, err
	}
	out := make([][][]byte, len(keys))
	for i, cmd := range asked {
		out[i] = make([][]byte, len(fields))
		for k, v := range cmd.Val() {
			if text, ok := v.(string); ok && k < len(fields) {
				out[i][k] = []byte(text)
			}
		}
	}
	return out, nil
}

// SetFields sets fields of a hash, which goes as a whole after so long from now.
func (c *Conn) SetFields(ctx context.Context, key string, values map[string][]byte, keep time.Duration) error {
	if len(values) == 0 {
		return nil
	}
	pairs := make([]any, 0, 2*len(values))
	for field, value := range values {
		pairs = append(pairs, field, value)
	}
	return c.each(ctx, []string{key}, func(ctx context.Context, p goredis.Pipeliner, _ int, key string) {
		p.HSet(ctx, key, pairs...)
		p.PExpire(ctx, key, keep)
	})
}

// DeleteFields removes fields of hashes.
func (c *Conn) DeleteFields(ctx context.Context, keys, fields []string) error {
	return c.each(ctx, keys, func(ctx context.Context, p goredis.Pipeliner, _ int, key string) { p.HDel(ctx, key, fields...) })
}

// Delete removes keys.
func (c *Conn) Delete(ctx context.Context, keys []string) error {
	return c.each(ctx, keys, func(ctx context.Context, p goredis.Pipeliner, _ int, key string) { p.Unlink(ctx, key) })
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
