package redis

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// form is how the servers of a URL belong together.
type form uint8

const (
	single form = iota
	sentinel
	cluster
)

// schemes are the forms of a URL.
func schemeOf(name string) (kind form, secure, ok bool) {
	switch name {
	case "redis", "unix":
		return single, false, true
	case "rediss":
		return single, true, true
	case "redis+sentinel":
		return sentinel, false, true
	case "rediss+sentinel":
		return sentinel, true, true
	case "redis+cluster":
		return cluster, false, true
	case "rediss+cluster":
		return cluster, true, true
	}
	return 0, false, false
}

// target is a parsed URL.
type target struct {
	kind    form
	options goredis.UniversalOptions
	// network is "unix" for a socket.
	network string
}

const defaultTimeout = 250 * time.Millisecond

// Check says in one sentence, without secrets, what is wrong with a URL.
func Check(text string) error {
	_, err := parse(text)
	return err
}

// parse reads a URL in one of the forms
//
//	redis://[user:password@]host[:port][/db]          rediss:// with TLS
//	unix://[user:password@]/path/to/socket[?db=N]
//	redis+sentinel://[user:password@]host[:port],…/master[?db=N]
//	redis+cluster://[user:password@]host[:port],…
//
// Its errors name what is wrong and hold nothing of the user or the password.
func parse(text string) (*target, error) {
	scheme, rest, found := strings.Cut(text, "://")
	kind, secure, ok := schemeOf(scheme)
	if !found || !ok {
		return nil, errors.New("must be a Redis URL: redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://")
	}
	t := &target{kind: kind}
	rest, query, _ := strings.Cut(rest, "?")
	// A password may hold an "@" that somebody forgot to escape; no host does.
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		user, password, _ := strings.Cut(rest[:at], ":")
		var err error
		if t.options.Username, err = url.PathUnescape(user); err == nil {
			t.options.Password, err = url.PathUnescape(password)
		}
		if err != nil {
			return nil, errors.New("has a user or password that is not percent-encoded right")
		}
		rest = rest[at+1:]
	}
	hosts, path, _ := strings.Cut(rest, "/")
	if scheme == "unix" {
		if hosts != "" || path == "" {
			return nil, errors.New("must name a socket, such as unix:///run/redis/redis.sock")
		}
		t.network, t.options.Addrs = "unix", []string{"/" + path}
		path = ""
	} else if err := t.readHosts(hosts); err != nil {
		return nil, err
	}
	if err := t.readPath(path); err != nil {
		return nil, err
	}
	if secure {
		name, _, _ := net.SplitHostPort(t.options.Addrs[0])
		t.options.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
		if kind == single {
			t.options.TLSConfig.ServerName = name
		}
	}
	return t, t.readQuery(query)
}

func (t *target) readHosts(hosts string) error {
	port := "6379"
	if t.kind == sentinel {
		port = "26379"
	}
	for _, h := range strings.Split(hosts, ",") {
		name, p, err := net.SplitHostPort(h)
		if err != nil {
			name, p = strings.TrimSuffix(strings.TrimPrefix(h, "["), "]"), port
		}
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 {
			return errors.New("has a port that is not between 1 and 65535")
		}
		if name == "" || strings.ContainsAny(name, " []") || strings.Contains(name, ":") && net.ParseIP(name) == nil {
			return errors.New("must name a host, such as redis://host:6379")
		}
		t.options.Addrs = append(t.options.Addrs, net.JoinHostPort(name, p))
	}
	if t.kind == single && len(t.options.Addrs) > 1 {
		return errors.New("names several hosts: use redis+sentinel:// or redis+cluster://")
	}
	return nil
}

func (t *target) readPath(path string) error {
	path = strings.TrimSuffix(path, "/")
	switch {
	case t.kind == sentinel && (path == "" || strings.Contains(path, "/")):
		return errors.New("must name the master, such as redis+sentinel://host1,host2/mymaster")
	case t.kind == sentinel:
		name, err := url.PathUnescape(path)
		if err != nil {
			return errors.New("has a master's name that is not percent-encoded right")
		}
		t.options.MasterName = name
		return nil
	case path == "":
		return nil
	case t.kind == cluster:
		return errors.New("has a path, which a cluster has no use for")
	}
	return t.readDB(path)
}

func (t *target) readDB(text string) error {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return errors.New("has a database that is not a number")
	}
	if t.kind == cluster && n != 0 {
		return errors.New("has a database other than 0, which a cluster does not have")
	}
	t.options.DB = int(n)
	return nil
}

func (t *target) readQuery(query string) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return errors.New("has parameters that are not percent-encoded right")
	}
	o := &t.options
	o.ReadTimeout = defaultTimeout
	for name, all := range values {
		value := all[len(all)-1]
		switch {
		case name == "db":
			if err := t.readDB(value); err != nil {
				return err
			}
		case name == "timeout":
			d, err := time.ParseDuration(value)
			if err != nil || d < 10*time.Millisecond || d > 5*time.Second {
				return errors.New("has a timeout that is not between 10ms and 5s")
			}
			o.ReadTimeout = d
		case name == "sentinel_user" && t.kind == sentinel:
			o.SentinelUsername = value
		case name == "sentinel_password" && t.kind == sentinel:
			o.SentinelPassword = value
		case name == "skip_verify" && o.TLSConfig != nil && (value == "true" || value == "false"):
			o.TLSConfig.InsecureSkipVerify = value == "true"
		default:
			// The name is not shown: it may be the rest of a password.
			return errors.New("has a parameter that is unknown or of no use there; there are db, timeout, and sentinel_user, sentinel_password, skip_verify where they belong")
		}
	}
	return nil
}

// String names the servers, without secrets.
func (t *target) String() string {
	s := strings.Join(t.options.Addrs, ", ")
	switch t.kind {
	case sentinel:
		return fmt.Sprintf("Redis %q of the sentinels %s", t.options.MasterName, s)
	case cluster:
		return "the Redis cluster at " + s
	}
	return "Redis at " + s
}

// client makes the client; nothing is connected yet. Commands are not sent again
// by it: one that is lost on the way may have been executed.
func (t *target) client() goredis.UniversalClient {
	o := t.options
	o.MaxRetries = -1
	o.Protocol = 2
	o.DisableIdentity = true
	o.ContextTimeoutEnabled = true
	o.DialTimeout, o.WriteTimeout = max(o.ReadTimeout, time.Second), o.ReadTimeout
	o.DialerRetries = 1
	o.PoolSize, o.PoolTimeout = poolSize, o.ReadTimeout
	o.ConnMaxIdleTime = 5 * time.Minute
	o.ClientName = "costprof"
	switch t.kind {
	case sentinel:
		f := o.Failover()
		f.MaxRetries = -1
		return goredis.NewFailoverClient(f)
	case cluster:
		return goredis.NewClusterClient(o.Cluster())
	}
	s := o.Simple()
	if t.network != "" {
		s.Network = t.network
	}
	return goredis.NewClient(s)
}

const poolSize = 32
