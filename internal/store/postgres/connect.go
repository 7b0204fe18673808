package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/costprof/costprof/internal/fault"
)

// oldest is the first version of PostgreSQL that serves.
const oldest = 150000

const (
	// lockWait is how long a commit waits for those of other servers.
	lockWait = 10 * time.Second
	// commitTime bounds one statement of a commit, and idleTime how long a server
	// that stopped in the middle of one may keep the others waiting.
	commitTime = 60 * time.Second
	idleTime   = 15 * time.Second
)

func (e *Engine) connect(ctx context.Context) error {
	var err error
	h := writing()
	if h.shared = !e.opts.Exclusive; !h.shared {
		if err := e.takeAlone(ctx, h); err != nil {
			return err
		}
	}
	if e.write, err = e.pool(ctx, "DATABASE_URL", e.opts.URL, h); err != nil {
		return err
	}
	if err := e.check(ctx); err != nil {
		return err
	}
	if err := migrate(ctx, e.write); err != nil {
		return explainStart("DATABASE_URL", e.write.Config().ConnConfig, err)
	}
	if err := e.bringUp(ctx); err != nil {
		return explainStart("DATABASE_URL", e.write.Config().ConnConfig, err)
	}
	e.findVector(ctx)
	if e.read, err = e.pool(ctx, "DATABASE_URL", e.opts.URL, e.asking()); err != nil {
		return err
	}
	if e.opts.ReadURL != "" {
		if e.replica, err = e.pool(ctx, "DATABASE_READ_URL", e.opts.ReadURL, e.asking()); err != nil {
			return err
		}
	}
	return e.aheadPartitions(ctx)
}

func (e *Engine) disconnect() {
	for _, p := range []*pgxpool.Pool{e.write, e.read, e.replica} {
		if p != nil {
			p.Close()
		}
	}
	if e.owner != nil {
		_ = e.owner.Close(context.Background()) // it is gone either way
	}
}

// takeAlone opens the connection that has the ledger for this engine.
func (e *Engine) takeAlone(ctx context.Context, h habits) error {
	c, err := e.poolConfig("DATABASE_URL", e.opts.URL, h)
	if err != nil {
		return err
	}
	if e.owner, err = pgx.ConnectConfig(ctx, c.ConnConfig); err == nil {
		err = own(ctx, e.owner)
	}
	if err == nil || fault.CodeOf(err) == fault.Conflict {
		return err
	}
	return explainStart("DATABASE_URL", c.ConnConfig, err)
}

// habits are the settings of a pool's connections.
type habits struct {
	connections int32
	params      map[string]string
	// shared: each connection says that the ledger is in use.
	shared bool
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// writing are the habits of commits: a server that vanishes in the middle of one
// must not hold up the others, and what is looked up by arrays of keys is looked
// up by index.
func writing() habits {
	return habits{connections: writeConnections, params: map[string]string{
		"statement_timeout":                   milliseconds(commitTime),
		"lock_timeout":                        milliseconds(lockWait),
		"idle_in_transaction_session_timeout": milliseconds(idleTime),
		"tcp_keepalives_idle":                 "10",
		"tcp_keepalives_interval":             "5",
		"tcp_keepalives_count":                "3",
		"jit":                                 "off",
	}}
}

// asking are the habits of questions. Plans are made for the values at hand: what
// is right for an hour is wrong for a year. Compiling them takes longer than it
// saves.
func (e *Engine) asking() habits {
	return habits{connections: int32(max(2, e.opts.Connections-writeConnections)), params: map[string]string{
		"statement_timeout":                   milliseconds(e.opts.StatementTimeout),
		"idle_in_transaction_session_timeout": milliseconds(e.opts.StatementTimeout),
		"plan_cache_mode":                     "force_custom_plan",
		"jit":                                 "off",
		"random_page_cost":                    "1.1", // no disk that turns
		"work_mem":                            "32MB",
	}}
}

func (e *Engine) poolConfig(setting, url string, h habits) (*pgxpool.Config, error) {
	c, err := pgxpool.ParseConfig(url)
	if err != nil {
		// The parser's own words may hold the password.
		return nil, fmt.Errorf("%s is not a PostgreSQL URL such as postgres://user:password@host:5432/database", setting)
	}
	c.MaxConns, c.MinConns = h.connections, 1
	c.HealthCheckPeriod, c.MaxConnIdleTime = 15*time.Second, 5*time.Minute
	c.ConnConfig.ConnectTimeout = e.opts.ConnectTimeout
	if c.ConnConfig.RuntimeParams["application_name"] == "" {
		c.ConnConfig.RuntimeParams["application_name"] = "costprof"
	}
	for name, value := range h.params {
		c.ConnConfig.RuntimeParams[name] = value
	}
	c.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		// What is acknowledged must be durable, whatever the database's default.
		_, err := conn.Exec(ctx, `SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'`)
		if err == nil && h.shared {
			err = e.share(ctx, conn)
		}
		return err
	}
	return c, nil
}

// pool opens connections with the given habits; setting names where the URL came
// from.
func (e *Engine) pool(ctx context.Context, setting, url string, h habits) (*pgxpool.Pool, error) {
	c, err := e.poolConfig(setting, url, h)
	if err != nil {
		return nil, err
	}
	p, err := pgxpool.NewWithConfig(ctx, c)
	if err != nil {
		return nil, explainStart(setting, c.ConnConfig, err)
	}
	reach, cancel := context.WithTimeout(ctx, 2*e.opts.ConnectTimeout)
	defer cancel()
	if err := p.Ping(reach); err != nil {
		p.Close()
		return nil, explainStart(setting, c.ConnConfig, err)
	}
	return p, nil
}

// check refuses a database that cannot be what the ledger needs.
func (e *Engine) check(ctx context.Context) error {
	var version int
	var text, encoding, fsync string
	var standby bool
	err := e.write.QueryRow(ctx, `SELECT current_setting('server_version_num')::INT, current_setting('server_version'), current_setting('server_encoding'),
		current_setting('fsync'), pg_is_in_recovery()`).Scan(&version, &text, &encoding, &fsync, &standby)
	switch {
	case err != nil:
		return explainStart("DATABASE_URL", e.write.Config().ConnConfig, err)
	case version < oldest:
		return fmt.Errorf("the database is PostgreSQL %s; costprof needs version 15 or newer", text)
	case encoding != "UTF8":
		return fmt.Errorf("the database's encoding is %s; costprof needs UTF8", encoding)
	case standby:
		return errors.New("DATABASE_URL names a standby, which cannot store; name the primary there and the standby as DATABASE_READ_URL")
	case fsync == "off":
		e.log.Warn("the database runs with fsync=off: what it acknowledges does not survive a loss of power")
	}
	return nil
}

// explainStart is the sentence for who started a server that cannot connect.
func explainStart(setting string, c *pgx.ConnConfig, err error) error {
	where := fmt.Sprintf("database %q at %s (%s)", c.Database, net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port))), setting)
	var pg *pgconn.PgError
	var dns *net.DNSError
	switch {
	case errors.As(err, &pg) && (pg.Code == "28P01" || pg.Code == "28000"):
		return fmt.Errorf("%s refuses user %q: wrong password, or the user may not connect", where, c.User)
	case errors.As(err, &pg) && pg.Code == "3D000":
		return fmt.Errorf("%s does not exist; create it first (createdb %s)", where, c.Database)
	case errors.As(err, &pg) && pg.Code == "42501":
		return fmt.Errorf("%s does not let user %q create tables: grant CREATE on its schema (%s)", where, c.User, pg.Message)
	case errors.As(err, &pg):
		return fmt.Errorf("%s: %s (SQLSTATE %s)", where, pg.Message, pg.Code)
	case errors.As(err, &dns):
		return fmt.Errorf("%s: the host name is not known", where)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s does not answer", where)
	case errors.Is(err, errReplaced):
		return fmt.Errorf("%s: %w", where, errReplaced)
	}
	var op *net.OpError
	if errors.As(err, &op) {
		return fmt.Errorf("%s cannot be reached: %w", where, op.Err)
	}
	return fmt.Errorf("%s: %w", where, secretless(err))
}
