package config

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"
)

// isolate gives the test an empty working directory and none of the variables
// that the settings are read from.
func isolate(t *testing.T) {
	t.Helper()
	t.Chdir(t.TempDir())
	parser, err := kong.New(&Config{})
	if err != nil {
		t.Fatal(err)
	}
	names := append([]string{}, unsupported...)
	for _, f := range parser.Model.Flags {
		names = append(names, f.Envs...)
	}
	for _, name := range names {
		t.Setenv(name, "") // restores it afterwards
		os.Unsetenv(name)
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestDefaults(t *testing.T) {
	isolate(t)
	got, err := Load(nil)
	if err != nil {
		t.Fatal(err)
	}
	want := &Config{
		DBPort: 5432, DatabaseConnections: 16, DatabaseStatementTimeout: time.Minute,
		RedisPrefix: "costprof",
		Data:        "./costprof-data", Port: 3100, CORSOrigin: []string{"http://localhost:3000"},
		OIDCRoleClaim: "role", OIDCProjectClaim: "project",
		RateLimitEvents: 10_000, RateLimitRequests: 1000, RateLimitExport: 10,
		LogLevel: "info", LogFormat: "text",
		HeaderTimeout: 10 * time.Second, BodyTimeout: time.Minute, RequestTimeout: time.Minute,
		IdleTimeout: 2 * time.Minute, ShutdownGrace: 20 * time.Second,
		IngestMemory: 128 << 20, IngestQueueWait: 5 * time.Second, SSEMaxConnections: 1000, EmbeddingModel: "text-embedding-3-small", MemoryLimit: 700 << 20,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("defaults (-want +got):\n%s", diff)
	}
	if addr, _ := got.Address(); addr != "127.0.0.1:3100" {
		t.Errorf("address %q", addr)
	}
}

// Each layer beats the next: the layers are taken away one by one.
func TestLayers(t *testing.T) {
	isolate(t)
	write(t, "costprof.yaml", "log-level: warn\ninsecure: true\nallowed-hosts: [a.example, b.example]\n")
	write(t, ".env", "LOG_LEVEL=error\nCOSTPROF_CONFIG=costprof.yaml\nUNRELATED=\"x\"\n")
	t.Setenv("LOG_LEVEL", "debug")
	level := func(want string, args ...string) *Config {
		t.Helper()
		c, err := Load(args)
		if err != nil {
			t.Fatal(err)
		}
		if c.LogLevel != want {
			t.Errorf("log level %q, want %q", c.LogLevel, want)
		}
		return c
	}
	level("info", "--log-level=info")
	level("debug")
	t.Setenv("LOG_LEVEL", "")
	level("error")
	os.Unsetenv("LOG_LEVEL")
	level("error")
	write(t, ".env", "COSTPROF_CONFIG=costprof.yaml\n")
	c := level("warn")
	if !bool(c.Insecure) || !cmp.Equal(c.AllowedHosts, []string{"a.example", "b.example"}) {
		t.Errorf("file gave insecure=%v hosts=%q", c.Insecure, c.AllowedHosts)
	}
	os.Remove(".env")
	level("info")
	level("warn", "--config", "costprof.yaml")
	t.Setenv("COSTPROF_CONFIG", "costprof.yaml")
	level("warn")
}

func TestJSONFile(t *testing.T) {
	isolate(t)
	write(t, "c.json", `{"port": 4000, "memory-limit": "1GB", "insecure": false, "body-timeout": "5s"}`)
	c, err := Load([]string{"--config=c.json"})
	if err != nil {
		t.Fatal(err)
	}
	if c.Port != 4000 || c.MemoryLimit != 1_000_000_000 || c.BodyTimeout != 5*time.Second {
		t.Errorf("got %+v", c)
	}
}

// A command line that has other commands and flags gets the same layers.
func TestEmbedded(t *testing.T) {
	isolate(t)
	write(t, ".env", "PORT=4100\nCOSTPROF_CONFIG=c.yaml\n")
	write(t, "c.yaml", "log-format: json\n")
	var cli struct {
		Key   string `env:"COSTPROF_KEY"`
		Serve struct {
			Config
		} `cmd:""`
		Other struct{} `cmd:""`
	}
	parser, err := kong.New(&cli)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse([]string{"serve", "--log-level=debug"}); err != nil {
		t.Fatal(err)
	}
	if cli.Serve.Port != 4100 || cli.Serve.LogFormat != "json" || cli.Serve.LogLevel != "debug" {
		t.Errorf("got %+v", cli.Serve.Config)
	}
	write(t, "c.yaml", "key: s3cret\n")
	if _, err := parser.Parse([]string{"serve"}); err == nil || !strings.Contains(err.Error(), "unknown key") {
		t.Errorf("a key of another command's flag: %v", err)
	}
	// Commands that have no server's settings start whatever those are.
	t.Setenv("API_KEYS", "secret")
	t.Setenv("PORT", "what")
	if _, err := parser.Parse([]string{"other"}); err != nil {
		t.Errorf("another command: %v", err)
	}
}

// What a flag can say, its variable and its key can say, too.
func TestEverySettingIsSupported(t *testing.T) {
	for i := range reflect.TypeFor[Config]().NumField() {
		tag := reflect.TypeFor[Config]().Field(i).Tag
		if slices.Contains(unsupported, tag.Get("env")) {
			t.Errorf("%s is refused, and --%s is not", tag.Get("env"), tag.Get("name"))
		}
	}
}

func TestUnknownNamesInEnvFile(t *testing.T) {
	isolate(t)
	write(t, ".env", "COSTPROF_MEMORY_LIMT=1GiB\n")
	if _, err := Load(nil); err == nil || !strings.Contains(err.Error(), "COSTPROF_MEMORY_LIMT") || strings.Contains(err.Error(), "1GiB") {
		t.Errorf("a misspelt name: got %v, want an error that names it", err)
	}
	write(t, ".env", "COSTPROF_URL=http://127.0.0.1:1\nCOSTPROF_KEY=k\nOTHER_PROGRAM=1\nPORT=4000\n")
	if c, err := Load(nil); err != nil || c.Port != 4000 {
		t.Errorf("names of others and of the client: got %v", err)
	}
	// Variables that Kubernetes makes of a service's name.
	t.Setenv("COSTPROF_SERVICE_HOST", "10.0.0.1")
	t.Setenv("COSTPROF_PORT_3100_TCP", "tcp://10.0.0.1:3100")
	if _, err := Load(nil); err != nil {
		t.Errorf("variables of a service: got %v", err)
	}
}

func TestBadSettings(t *testing.T) {
	for _, tc := range []struct {
		name string
		env  map[string]string
		args []string
		file string
		want []string
	}{
		{name: "port text", env: map[string]string{"PORT": "http"}, want: []string{"PORT", "http"}},
		{name: "port range", args: []string{"--port=70000"}, want: []string{"PORT", "65535"}},
		{name: "switch word", env: map[string]string{"COSTPROF_INSECURE": "yes"}, want: []string{"insecure", "true or false"}},
		{name: "switch digit", args: []string{"--insecure=1"}, want: []string{"insecure", "true or false"}},
		{name: "switch in file", file: "insecure: yes", want: []string{"insecure", "true or false"}},
		{name: "unknown key", file: "log-levle: info", want: []string{"unknown key", "log-levle"}},
		{name: "config in file", file: "config: other.yaml", want: []string{"unknown key", "config"}},
		{name: "key twice", file: "port: 1\nport: 2", want: []string{"port", "twice"}},
		{name: "nested", file: "port: {a: 1}", want: []string{"port", "plain value"}},
		{name: "null", file: "port:", want: []string{"port", "no value"}},
		{name: "not a map", file: "- port", want: []string{"keys and values"}},
		{name: "two documents", file: "port: 1\n---\nport: 2", want: []string{"one document"}},
		{name: "broken yaml", file: "a: [", want: []string{"c.yaml"}},
		{name: "future key in file", file: "allow-private-targets: db", want: []string{"allow-private-targets", "does not support"}},
		{name: "encryption key", env: map[string]string{"ENCRYPTION_KEY": "s3cret"}, want: []string{"ENCRYPTION_KEY", "key 1 of 1", "32 random bytes"}},
		{name: "missing file", args: []string{"--config=gone.yaml"}, want: []string{"gone.yaml", "no such file"}},
		{name: "level", env: map[string]string{"LOG_LEVEL": "loud"}, want: []string{"LOG_LEVEL", "debug, info"}},
		{name: "format", env: map[string]string{"LOG_FORMAT": "xml"}, want: []string{"LOG_FORMAT"}},
		{name: "listen", env: map[string]string{"COSTPROF_LISTEN": "a:b:c"}, want: []string{"COSTPROF_LISTEN", "host:port"}},
		{name: "listen port", env: map[string]string{"COSTPROF_LISTEN": "127.0.0.1:http"}, want: []string{"COSTPROF_LISTEN", "port"}},
		{name: "two ports", env: map[string]string{"COSTPROF_LISTEN": "127.0.0.1:1", "PORT": "2"}, want: []string{"COSTPROF_LISTEN", "PORT", "different"}},
		{name: "origin star", env: map[string]string{"CORS_ORIGIN": "*"}, want: []string{"CORS_ORIGIN"}},
		{name: "origin null", env: map[string]string{"CORS_ORIGIN": "null"}, want: []string{"CORS_ORIGIN"}},
		{name: "origin path", env: map[string]string{"CORS_ORIGIN": "http://a.example/"}, want: []string{"CORS_ORIGIN"}},
		{name: "host", env: map[string]string{"ALLOWED_HOSTS": "http://a"}, want: []string{"ALLOWED_HOSTS"}},
		{name: "host star", env: map[string]string{"ALLOWED_HOSTS": "*"}, want: []string{"ALLOWED_HOSTS"}},
		{name: "timeout", env: map[string]string{"COSTPROF_BODY_TIMEOUT": "0s"}, want: []string{"COSTPROF_BODY_TIMEOUT"}},
		{name: "timeout unit", env: map[string]string{"COSTPROF_BODY_TIMEOUT": "5"}, want: []string{"COSTPROF_BODY_TIMEOUT"}},
		{name: "size", env: map[string]string{"COSTPROF_MEMORY_LIMIT": "lots"}, want: []string{"COSTPROF_MEMORY_LIMIT", "512MiB"}},
		{name: "small size", env: map[string]string{"COSTPROF_INGEST_MEMORY": "1MiB"}, want: []string{"COSTPROF_INGEST_MEMORY"}},
		{name: "huge size", env: map[string]string{"COSTPROF_MEMORY_LIMIT": "9999999999999GiB"}, want: []string{"COSTPROF_MEMORY_LIMIT"}},
		{name: "unknown flag", args: []string{"--encryption-key=x"}, want: []string{"encryption-key"}},
		{name: "key's role", env: map[string]string{"API_KEYS": "one,two:root"}, want: []string{"API_KEYS", "key 2 of 2", "viewer"}},
		{name: "key's project", env: map[string]string{"API_KEYS": "one:viewer:"}, want: []string{"API_KEYS", "empty project"}},
		{name: "key with a line end", env: map[string]string{"OPENAI_API_KEY": "sk-4711\n"}, want: []string{"OPENAI_API_KEY", "blanks"}},
		{name: "base URL", env: map[string]string{"OPENAI_BASE_URL": "https://me:sk-4711@host/v1"}, want: []string{"OPENAI_BASE_URL", "without a user"}},
		{name: "no model", env: map[string]string{"EMBEDDING_MODEL": " "}, want: []string{"EMBEDDING_MODEL", "must name a model"}},
		{name: "short secret", env: map[string]string{"JWT_SECRET": "short"}, want: []string{"JWT_SECRET", "32 bytes"}},
		{name: "audience alone", env: map[string]string{"OIDC_AUDIENCE": "x"}, want: []string{"OIDC_AUDIENCE", "OIDC_ISSUER"}},
		{name: "issuer alone", env: map[string]string{"OIDC_ISSUER": "https://id.example.com"}, want: []string{"OIDC_AUDIENCE"}},
		{name: "issuer without TLS", env: map[string]string{"OIDC_ISSUER": "http://id.example.com", "OIDC_AUDIENCE": "x"}, want: []string{"OIDC_ISSUER", "https"}},
		{name: "rate", env: map[string]string{"RATE_LIMIT_EVENTS": "-1"}, want: []string{"RATE_LIMIT_EVENTS"}},
		{name: "proxy", env: map[string]string{"TRUSTED_PROXIES": "10.0.0.0/8,proxy"}, want: []string{"TRUSTED_PROXIES", "proxy"}},
		{name: "mapped proxy", env: map[string]string{"TRUSTED_PROXIES": "::ffff:10.0.0.0/104"}, want: []string{"TRUSTED_PROXIES"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			isolate(t)
			for k, v := range tc.env {
				t.Setenv(k, v)
			}
			if tc.file != "" {
				write(t, "c.yaml", tc.file)
				tc.args = append(tc.args, "--config=c.yaml")
			}
			_, err := Load(tc.args)
			if err == nil {
				t.Fatal("it was accepted")
			}
			for _, w := range tc.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("error %q does not say %q", err, w)
				}
			}
			if strings.Contains(err.Error(), "\n") && tc.name != "broken yaml" {
				t.Errorf("error %q is not one line", err)
			}
		})
	}
}

// Whoever sets a key believes the server is closed, from whatever layer.
func TestUnsupportedSettingsStopTheStart(t *testing.T) {
	for _, name := range unsupported {
		t.Run(name, func(t *testing.T) {
			isolate(t)
			t.Setenv(name, "s3cret")
			if _, err := Load(nil); err == nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("environment: %v", err)
			}
			t.Setenv(name, "")
			if _, err := Load(nil); err != nil {
				t.Errorf("empty: %v", err)
			}
			os.Unsetenv(name)
			write(t, ".env", name+"='s3cret'\n")
			if _, err := Load(nil); err == nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "s3cret") {
				t.Errorf(".env: %v", err)
			}
		})
	}
}

func TestAddress(t *testing.T) {
	for _, tc := range []struct {
		listen string
		port   int
		want   string
	}{
		{"", 3100, "127.0.0.1:3100"},
		{"", 0, "127.0.0.1:0"},
		{"0.0.0.0:80", 3100, "0.0.0.0:80"},
		{"localhost", 4000, "localhost:4000"},
		{"::1", 4000, "[::1]:4000"},
		{"[::1]", 4000, "[::1]:4000"},
		{"[::1]:5", 3100, "[::1]:5"},
		{":5", 3100, ":5"},
	} {
		c := Config{Listen: tc.listen, Port: tc.port}
		if got, err := c.Address(); err != nil || got != tc.want {
			t.Errorf("Address(%q, %d) = %q, %v, want %q", tc.listen, tc.port, got, err, tc.want)
		}
	}
	for addr, want := range map[string]bool{
		"127.0.0.1:1": true, "127.9.9.9:1": true, "[::1]:1": true, "localhost:1": true,
		"0.0.0.0:1": false, ":1": false, "[::]:1": false, "10.0.0.1:1": false, "example.com:1": false, "x": false,
	} {
		if got := Loopback(addr); got != want {
			t.Errorf("Loopback(%q) = %v", addr, got)
		}
	}
}

func TestNoOrigins(t *testing.T) {
	isolate(t)
	t.Setenv("CORS_ORIGIN", "none")
	c, err := Load(nil)
	if err != nil || len(c.Origins()) != 0 {
		t.Errorf("got %q, %v", c.Origins(), err)
	}
}

func TestParseEnv(t *testing.T) {
	got, err := parseEnv("\ufeff# c\r\nA=1\r\nexport B = two words \nC=\"a\\nb \\\"q\\\" # no\" # yes\nD='$x \\n'\nE=a#b # c\nF=\n")
	want := map[string]string{"A": "1", "B": "two words", "C": "a\nb \"q\" # no", "D": `$x \n`, "E": "a#b", "F": ""}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for _, text := range []string{"A", "=1", "A B=1", "1A=1", `A="x`, `A='x' y`} {
		if _, err := parseEnv("OK=1\n" + text); err == nil || !strings.Contains(err.Error(), "line 2") {
			t.Errorf("parseEnv(%q) = %v", text, err)
		}
	}
}

func FuzzParseEnv(f *testing.F) {
	f.Add("A=1\n")
	f.Add("A=\"\\")
	f.Fuzz(func(t *testing.T, text string) {
		env, err := parseEnv(text)
		if err != nil {
			return
		}
		for name := range env {
			if !validName(name) {
				t.Errorf("name %q", name)
			}
		}
	})
}

func TestEnvFileThatCannotBeRead(t *testing.T) {
	isolate(t)
	if err := os.Mkdir(filepath.Join(".env"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(nil); err == nil || !strings.Contains(err.Error(), ".env") {
		t.Errorf("got %v", err)
	}
}
