package archtest

const module = "github.com/costprof/costprof"

// layers is the house. A package imports only lower numbers; folders below one of
// these belong to it and also import it.
var layers = map[string]int{
	"money": 0, "fault": 0,
	"testserver": 0,
	"usage":      1, "outbound": 1, "redact": 1,
	"pricing": 2, "analytics": 2, "timeseries": 2,
	"budget": 3,
	"store":  4, "redis": 4,
	"live": 5, "limit": 5, "cache": 5, "auth": 5, "jobs": 5, "backup": 5, "secrets": 5,
	"export": 6, "ingest": 6, "prompts": 6, "rating": 6, "report": 6, "retention": 6,
	"httpapi": 7,
	"config":  8, "demo": 8,
	"app":      9,
	"cli":      10,
	"archtest": 11,
}

// relatives lists what packages of one top folder import of each other, beside
// their parents.
var relatives = map[string][]string{
	"store/engines":     {"store/duckdb", "store/postgres"}, // the only list of engines
	"store/postgres":    {"store/sqlquery"},
	"store/duckdb":      {"store/sqlquery", "store/dedupe"},
	"store/storetest":   {"store/reference"},
	"ingest/csvevents":  {"ingest/textrows"},
	"prompts/similar":   {"prompts/index"},
	"ingest/calllog":    {"ingest/textrows"},
	"pricing/bookbuild": {"pricing/genaiprices"},                    // a command that builds the book
	"pricing/pricelist": {"pricing/genaiprices", "pricing/litellm"}, // the only list of formats
}

// outside says what packages beside internal may import of it: nothing, the
// listed packages, or anything ("*").
var outside = map[string][]string{
	"client":       nil,
	"cmd/costprof": {"internal/cli"},
	"bench":        {"*"},
	"e2e":          {"*"},
}

// fences lists, for an import path or the beginning of one, where it may appear.
// A folder includes those below it.
var fences = map[string][]string{
	"github.com/duckdb/":                 {"internal/store/duckdb", "bench"},
	"github.com/pressly/goose/":          {"internal/store/duckdb", "internal/store/postgres"},
	"github.com/jackc/pgx/":              {"internal/store/postgres", "internal/testserver", "bench"},
	"github.com/redis/go-redis/":         {"internal/redis"},
	"github.com/danielgtaylor/huma/":     {"internal/httpapi"},
	"github.com/cockroachdb/apd/":        {"internal/money"},
	"github.com/golang-jwt/jwt/":         {"internal/auth"},
	"github.com/coreos/go-oidc/":         {"internal/auth"},
	"github.com/alecthomas/kong":         {"internal/config", "internal/cli", "internal/app"},
	"github.com/openai/openai-go/":       {"internal/prompts/openai"},
	"github.com/prometheus/":             {"internal/httpapi", "internal/app"},
	"database/sql":                       {"internal/store", "bench"},
	module + "/internal/store/storetest": {"internal/store", "internal/backup"},
	module + "/internal/store/reference": {"internal/store"},
	"github.com/google/go-cmp/":          {"internal/store/storetest"},
	"github.com/getkin/kin-openapi/":     nil, // tests only
	"github.com/rogpeppe/go-internal/":   nil,
	"pgregory.net/rapid":                 nil,
	"testing":                            {"internal/store/storetest", "internal/testserver"},
}

// exact lists the folders in which floating point does not occur.
var exact = []string{"internal/money", "internal/pricing"}

// floating are the names by which it comes in, with or without its type's.
var floating = []string{
	"float32", "float64", "complex64", "complex128", "ParseFloat", "FormatFloat", "AppendFloat",
	"Float", "NewFloat", "Float32", "Float64", "SetFloat64", "FloatString", "FloatPrec",
}

// maxFile is the size of the largest file, in bytes; generated ones and tests
// aside.
const maxFile = 25_000
