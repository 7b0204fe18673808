// Package config owns the server's settings: one struct whose tags name the
// flag, the environment variable, the default and the help of each, and the
// layers they are read from. A flag beats the environment, the environment beats
// .env, .env beats the file, the file beats the default. It refuses to know what
// a setting is used for beyond whether its value makes sense.
package config

import (
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Config is every setting of the server. The key of a setting in the config
// file is the name of its flag.
type Config struct {
	ConfigFile string `name:"config" env:"COSTPROF_CONFIG" placeholder:"FILE" help:"Config file (YAML or JSON); its keys are the names of these flags."`

	Data string `name:"data" env:"COSTPROF_DATA" default:"./costprof-data" placeholder:"DIR" help:"Data directory of the embedded ledger."`

	DatabaseURL              string        `name:"database-url" env:"DATABASE_URL" placeholder:"postgres://…" help:"Keep the ledger in this PostgreSQL database (15 or newer) instead of the data directory; several servers may share it."`
	DatabaseReadURL          string        `name:"database-read-url" env:"DATABASE_READ_URL" placeholder:"postgres://…" help:"A streaming replica of it that answers questions."`
	DBHost                   string        `name:"db-host" env:"DB_HOST" placeholder:"HOST" help:"Host of the database, where there is no DATABASE_URL."`
	DBPort                   int           `name:"db-port" env:"DB_PORT" default:"5432" help:"Its port."`
	DBName                   string        `name:"db-name" env:"DB_NAME" placeholder:"NAME" help:"Its name (default costprof)."`
	DBUser                   string        `name:"db-user" env:"DB_USER" placeholder:"NAME" help:"User to connect as."`
	DBPassword               string        `name:"db-password" env:"DB_PASSWORD" placeholder:"SECRET" help:"The user's password; better in the environment than in a flag."`
	DatabaseConnections      int           `name:"database-connections" env:"DATABASE_CONNECTIONS" default:"16" help:"Most connections of this server to the database, 6 of them for storing."`
	DatabaseStatementTimeout time.Duration `name:"database-statement-timeout" env:"DATABASE_STATEMENT_TIMEOUT" default:"60s" help:"Longest time for one question to the database."`

	RedisURL    string `name:"redis-url" env:"REDIS_URL" placeholder:"redis://…" help:"Redis (6 or newer) through which servers share rate limits and live streams; also rediss://, unix://, redis+sentinel://, redis+cluster://."`
	RedisPrefix string `name:"redis-prefix" env:"REDIS_PREFIX" default:"costprof" placeholder:"NAME" help:"Beginning of all keys and channels there; servers that belong together have the same."`

	Listen string `name:"listen" env:"COSTPROF_LISTEN" placeholder:"HOST:PORT" help:"Address to listen on; without a port, --port gives it (default 127.0.0.1)."`
	Port   int    `name:"port" env:"PORT" default:"3100" help:"Port to listen on; 0 takes a free one."`

	AllowedHosts []string `name:"allowed-hosts" env:"ALLOWED_HOSTS" sep:"," placeholder:"HOST" help:"Further host names by which an open server may be asked."`
	CORSOrigin   []string `name:"cors-origin" env:"CORS_ORIGIN" sep:"," default:"http://localhost:3000" placeholder:"ORIGIN" help:"Origins whose pages may use the API; \"none\" for no other than its own."`
	Insecure     Switch   `name:"insecure" env:"COSTPROF_INSECURE" default:"false" help:"Serve without any key on any address and under any host name."`

	APIKeys          []string `name:"api-keys" env:"API_KEYS" sep:"," placeholder:"SECRET[:ROLE[:PROJECT]]" help:"Keys that are good while the server runs; role: ingest, viewer, editor or admin (default)."`
	JWTSecret        string   `name:"jwt-secret" env:"JWT_SECRET" placeholder:"SECRET" help:"Take people's tokens signed with it (HS256), 32 bytes or more."`
	OIDCIssuer       string   `name:"oidc-issuer" env:"OIDC_ISSUER" placeholder:"URL" help:"Take tokens of this OpenID Connect issuer."`
	OIDCAudience     string   `name:"oidc-audience" env:"OIDC_AUDIENCE" placeholder:"NAME" help:"Audience that its tokens must be for."`
	OIDCRoleClaim    string   `name:"oidc-role-claim" env:"OIDC_ROLE_CLAIM" default:"role" help:"Claim that holds the role."`
	OIDCProjectClaim string   `name:"oidc-project-claim" env:"OIDC_PROJECT_CLAIM" default:"project" help:"Claim that holds the project; a token without it is for all."`

	EncryptionKey []string `name:"encryption-key" env:"ENCRYPTION_KEY" sep:"," placeholder:"SECRET[,OLD…]" help:"Seal the secrets that the ledger keeps with it: 32 bytes in base64 or hexadecimal. Further ones only open what they sealed."`

	RateLimitEvents   int      `name:"rate-limit-events" env:"RATE_LIMIT_EVENTS" default:"10000" help:"Event batches an hour, by key or else by client address; 0 is any number."`
	RateLimitRequests int      `name:"rate-limit-max-requests" env:"RATE_LIMIT_MAX_REQUESTS" default:"1000" help:"Other requests in 15 minutes; 0 is any number."`
	RateLimitExport   int      `name:"rate-limit-export" env:"RATE_LIMIT_EXPORT" default:"10" help:"Exports a minute; 0 is any number."`
	TrustedProxies    []string `name:"trusted-proxies" env:"TRUSTED_PROXIES" sep:"," placeholder:"CIDR" help:"Networks of the proxies in front, whose X-Forwarded-For and Forwarded headers count."`

	LogLevel  string `name:"log-level" env:"LOG_LEVEL" default:"info" help:"debug, info, warn or error."`
	LogFormat string `name:"log-format" env:"LOG_FORMAT" default:"text" help:"text or json."`

	HeaderTimeout  time.Duration `name:"header-timeout" env:"COSTPROF_HEADER_TIMEOUT" default:"10s" help:"Longest wait for the headers of a request."`
	BodyTimeout    time.Duration `name:"body-timeout" env:"COSTPROF_BODY_TIMEOUT" default:"60s" help:"Longest wait for a whole request, body included."`
	RequestTimeout time.Duration `name:"request-timeout" env:"COSTPROF_REQUEST_TIMEOUT" default:"60s" help:"Longest time to answer a request once it arrived."`
	IdleTimeout    time.Duration `name:"idle-timeout" env:"COSTPROF_IDLE_TIMEOUT" default:"120s" help:"How long an idle connection is kept."`
	ShutdownGrace  time.Duration `name:"shutdown-grace" env:"COSTPROF_SHUTDOWN_GRACE" default:"20s" help:"How long accepted requests may take to finish at shutdown."`

	IngestMemory      Size          `name:"ingest-memory" env:"COSTPROF_INGEST_MEMORY" default:"128MiB" help:"Most memory for the bodies of event batches being read and stored."`
	IngestQueueWait   time.Duration `name:"ingest-queue-wait" env:"COSTPROF_INGEST_QUEUE_WAIT" default:"5s" help:"Longest wait of a batch for that memory before it is refused with 503."`
	SSEMaxConnections int           `name:"sse-max-connections" env:"SSE_MAX_CONNECTIONS" default:"1000" help:"Most live streams at once; further ones are refused with 503."`

	CapturePrompts Switch `name:"capture-prompts" env:"COSTPROF_CAPTURE_PROMPTS" default:"false" help:"Keep the texts of prompts, redacted, of every project for which nothing else was set (costprof capture)."`

	OpenAIKey      string `name:"openai-api-key" env:"OPENAI_API_KEY" placeholder:"SECRET" help:"Embed prompts with OpenAI, or with whoever --openai-base-url names, instead of locally; better in the environment than in a flag."`
	OpenAIBaseURL  string `name:"openai-base-url" env:"OPENAI_BASE_URL" placeholder:"URL" help:"A server that speaks the interface of OpenAI (default https://api.openai.com/v1)."`
	EmbeddingModel string `name:"embedding-model" env:"EMBEDDING_MODEL" default:"text-embedding-3-small" placeholder:"NAME" help:"Model that it embeds prompts with."`

	MemoryLimit Size `name:"memory-limit" env:"COSTPROF_MEMORY_LIMIT" default:"700MiB" help:"Most memory for the engine of the embedded ledger."`
}

// MaxBody is the most bytes that an event batch may have, decompressed. The
// ingest memory must hold at least one.
const MaxBody = 5 << 20

// Validate reports the first setting whose value makes no sense, naming it.
func (c *Config) Validate() error {
	if c.Data == "" {
		return bad("data", "COSTPROF_DATA", "must name a directory")
	}
	if err := c.validateDatabase(); err != nil {
		return err
	}
	if err := c.validateRedis(); err != nil {
		return err
	}
	if _, err := c.Address(); err != nil {
		return err
	}
	for _, h := range c.AllowedHosts {
		if !validHost(h) {
			return bad("allowed-hosts", "ALLOWED_HOSTS", fmt.Sprintf("%q is not a host name or host:port", h))
		}
	}
	for _, o := range c.Origins() {
		if !validOrigin(o) {
			return bad("cors-origin", "CORS_ORIGIN", fmt.Sprintf("%q is not an origin such as https://costs.example.com (no path, no \"*\")", o))
		}
	}
	if err := c.validateAccess(); err != nil {
		return err
	}
	if err := c.validateEmbedding(); err != nil {
		return err
	}
	if _, ok := logLevels[c.LogLevel]; !ok {
		return bad("log-level", "LOG_LEVEL", "must be debug, info, warn or error")
	}
	if c.LogFormat != "text" && c.LogFormat != "json" {
		return bad("log-format", "LOG_FORMAT", "must be text or json")
	}
	for _, d := range []struct {
		flag, env string
		value     time.Duration
	}{
		{"header-timeout", "COSTPROF_HEADER_TIMEOUT", c.HeaderTimeout},
		{"body-timeout", "COSTPROF_BODY_TIMEOUT", c.BodyTimeout},
		{"request-timeout", "COSTPROF_REQUEST_TIMEOUT", c.RequestTimeout},
		{"idle-timeout", "COSTPROF_IDLE_TIMEOUT", c.IdleTimeout},
		{"shutdown-grace", "COSTPROF_SHUTDOWN_GRACE", c.ShutdownGrace},
		{"ingest-queue-wait", "COSTPROF_INGEST_QUEUE_WAIT", c.IngestQueueWait},
		{"database-statement-timeout", "DATABASE_STATEMENT_TIMEOUT", c.DatabaseStatementTimeout},
	} {
		if d.value <= 0 || d.value > time.Hour {
			return bad(d.flag, d.env, "must be more than 0s and at most 1h")
		}
	}
	if c.SSEMaxConnections < 1 || c.SSEMaxConnections > 100_000 {
		return bad("sse-max-connections", "SSE_MAX_CONNECTIONS", "must be between 1 and 100000")
	}
	if c.IngestMemory < MaxBody {
		return bad("ingest-memory", "COSTPROF_INGEST_MEMORY", "must be at least 5MiB, the size of one batch")
	}
	if c.MemoryLimit < 64<<20 {
		return bad("memory-limit", "COSTPROF_MEMORY_LIMIT", "must be at least 64MiB")
	}
	return nil
}

// Address is what to listen on, as host:port.
func (c *Config) Address() (string, error) {
	if c.Port < 0 || c.Port > 65535 {
		return "", bad("port", "PORT", "must be between 0 and 65535")
	}
	if c.Listen == "" {
		return net.JoinHostPort("127.0.0.1", strconv.Itoa(c.Port)), nil
	}
	wrong := func(what string) error {
		return bad("listen", "COSTPROF_LISTEN", fmt.Sprintf("%q %s", c.Listen, what))
	}
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		host = strings.TrimSuffix(strings.TrimPrefix(c.Listen, "["), "]")
		if strings.Contains(host, ":") && net.ParseIP(host) == nil {
			return "", wrong("is not host:port")
		}
		port = strconv.Itoa(c.Port)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return "", wrong("has no port between 0 and 65535")
	}
	if c.Port != defaultPort && uint64(c.Port) != n {
		return "", wrong(fmt.Sprintf("and PORT (--port) %d name different ports; give one of them", c.Port))
	}
	return net.JoinHostPort(host, strconv.FormatUint(n, 10)), nil
}

const defaultPort = 3100

// Loopback says whether only this machine can reach the address.
func Loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Origins is CORSOrigin without the word that stands for none.
func (c *Config) Origins() []string {
	if len(c.CORSOrigin) == 1 && c.CORSOrigin[0] == "none" {
		return nil
	}
	return c.CORSOrigin
}

var logLevels = map[string]slog.Level{
	"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
}

// Level is LogLevel for slog.
func (c *Config) Level() slog.Level { return logLevels[c.LogLevel] }

func bad(flag, env, what string) error {
	return fmt.Errorf("%s (--%s): %s", env, flag, what)
}

func validHost(h string) bool {
	host := h
	if name, port, err := net.SplitHostPort(h); err == nil {
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return false
		}
		host = name
	}
	if ip := net.ParseIP(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")); ip != nil {
		return true
	}
	if host == "" || len(host) > 253 {
		return false
	}
	for _, r := range host {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '.', r == '_':
		default:
			return false
		}
	}
	return true
}

func validOrigin(o string) bool {
	u, err := url.Parse(o)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && validHost(u.Host) &&
		o == u.Scheme+"://"+u.Host
}
