package limit

import (
	"context"
	"fmt"
	"time"

	"github.com/costprof/costprof/internal/redis"
)

// Redis counts for all servers that share a Redis. Windows are those of its clock,
// so that servers whose clocks differ agree.
type Redis struct {
	conn   *redis.Conn
	script *redis.Script
}

// NewRedis makes a counter over a connection.
func NewRedis(conn *redis.Conn) *Redis {
	return &Redis{conn: conn, script: redis.NewScript(countScript)}
}

// countScript counts one request in the window at hand and returns the count and
// how many microseconds the window lasts still. The key holds the number of its
// window beside the count, so that nothing depends on when it expires.
const countScript = `
local t = redis.call('TIME')
local per = tonumber(ARGV[1])
local now = tonumber(t[1]) * 1000000 + tonumber(t[2])
local window = math.floor(now / per)
local left = (window + 1) * per - now
local n = 1
if redis.call('HGET', KEYS[1], 'w') == tostring(ARGV[1]) .. ':' .. string.format('%.0f', window) then
	n = redis.call('HINCRBY', KEYS[1], 'n', 1)
else
	redis.call('HSET', KEYS[1], 'w', tostring(ARGV[1]) .. ':' .. string.format('%.0f', window), 'n', 1)
	redis.call('PEXPIRE', KEYS[1], math.ceil(left / 1000) + 1000)
end
return {n, left}`

// Count implements Counter. fault.Unavailable when Redis does not count.
func (c *Redis) Count(ctx context.Context, r Rule, key string) (int64, time.Duration, error) {
	got, err := c.conn.Integers(ctx, c.script, "limit:"+r.Name+":"+key, r.Per.Microseconds())
	if err != nil {
		return 0, 0, err
	}
	if len(got) != 2 {
		return 0, 0, fmt.Errorf("count a request: Redis returned %d numbers, not 2", len(got))
	}
	return got[0], time.Duration(got[1]) * time.Microsecond, nil
}
