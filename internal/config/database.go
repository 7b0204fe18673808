package config

import (
	"net"
	"net/url"
	"strconv"
	"strings"
)

// Database is the URL of the PostgreSQL database that keeps the ledger, from
// DATABASE_URL or else from the DB_ settings; "" is the data directory. It holds
// a password and belongs in no message.
func (c *Config) Database() string {
	if c.DatabaseURL != "" || c.DBHost == "" {
		return c.DatabaseURL
	}
	u := url.URL{Scheme: "postgres", Host: net.JoinHostPort(c.DBHost, strconv.Itoa(c.DBPort)), Path: "/" + c.DBName}
	if c.DBName == "" {
		u.Path = "/costprof"
	}
	switch {
	case c.DBPassword != "":
		u.User = url.UserPassword(c.DBUser, c.DBPassword)
	case c.DBUser != "":
		u.User = url.User(c.DBUser)
	}
	return u.String()
}

// DatabaseName says in a few words which database Database is, without secrets;
// "" when there is none.
func (c *Config) DatabaseName() string {
	if c.Database() == "" {
		return ""
	}
	u, err := url.Parse(c.Database())
	if err != nil {
		return "a PostgreSQL database"
	}
	return "the PostgreSQL database " + strings.TrimPrefix(u.Path, "/") + " at " + u.Host
}

// LedgerKind is "postgres" or "embedded".
func (c *Config) LedgerKind() string {
	if c.Database() != "" {
		return "postgres"
	}
	return "embedded"
}

func (c *Config) validateDatabase() error {
	for _, d := range []struct{ flag, env, value string }{
		{"database-url", "DATABASE_URL", c.DatabaseURL}, {"database-read-url", "DATABASE_READ_URL", c.DatabaseReadURL},
	} {
		if d.value != "" && !strings.HasPrefix(d.value, "postgres://") && !strings.HasPrefix(d.value, "postgresql://") {
			return bad(d.flag, d.env, "must be a PostgreSQL URL such as postgres://user:password@host:5432/database")
		}
	}
	if c.DatabaseURL == "" && c.DBHost == "" {
		for _, d := range []struct{ flag, env, value string }{
			{"db-name", "DB_NAME", c.DBName}, {"db-user", "DB_USER", c.DBUser}, {"db-password", "DB_PASSWORD", c.DBPassword},
			{"database-read-url", "DATABASE_READ_URL", c.DatabaseReadURL},
		} {
			if d.value != "" {
				return bad(d.flag, d.env, "needs DATABASE_URL or DB_HOST beside it")
			}
		}
	}
	if c.DBUser == "" && c.DBPassword != "" && c.DatabaseURL == "" {
		return bad("db-password", "DB_PASSWORD", "needs DB_USER beside it")
	}
	if c.DBPort < 1 || c.DBPort > 65535 {
		return bad("db-port", "DB_PORT", "must be between 1 and 65535")
	}
	if c.DatabaseConnections < 8 || c.DatabaseConnections > 1000 {
		return bad("database-connections", "DATABASE_CONNECTIONS", "must be between 8 and 1000")
	}
	return nil
}
