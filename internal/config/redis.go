package config

import (
	"strings"

	"github.com/costprof/costprof/internal/redis"
)

func (c *Config) validateRedis() error {
	if c.RedisURL != "" {
		if err := redis.Check(c.RedisURL); err != nil {
			return bad("redis-url", "REDIS_URL", err.Error())
		}
	}
	if c.RedisPrefix == "" || len(c.RedisPrefix) > 64 || strings.ContainsAny(c.RedisPrefix, " {}*?[]\\\r\n\t") {
		return bad("redis-prefix", "REDIS_PREFIX", "must have 1 to 64 characters, and no spaces, braces, brackets or wildcards")
	}
	return nil
}
