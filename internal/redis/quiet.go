package redis

import (
	"context"

	goredis "github.com/redis/go-redis/v9"
)

// The library writes about connections to standard error, in a form of its own and
// without a bound; Conn says what is to be said.
func init() { goredis.SetLogger(silent{}) }

type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}
