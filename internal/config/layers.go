package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// EnvFile is read from the working directory when it is there.
const EnvFile = ".env"

// unsupported are settings that the project's documents name and this version
// does not have. Whoever sets one relies on it, some of them to keep others out,
// so the server must not start as if nothing had been said.
var unsupported = []string{
	"ALLOW_PRIVATE_TARGETS",
	"WS_MAX_CONNECTIONS",
}

// Load reads the settings from arguments, environment, .env and file, and
// validates them. A command line that has the settings among its own flags
// embeds Config instead and calls Validate.
func Load(args []string) (*Config, error) {
	var c Config
	parser, err := kong.New(&c, kong.Name("costprof serve"), kong.Exit(func(int) {}), kong.Writers(io.Discard, io.Discard))
	if err != nil {
		return nil, err
	}
	if _, err := parser.Parse(args); err != nil {
		return nil, err
	}
	return &c, c.Validate()
}

// BeforeReset adds the layers below the environment to whatever command line
// Config is a part of. kong calls it.
func (c *Config) BeforeReset(ctx *kong.Context) error {
	env, err := readEnvFile(EnvFile)
	if err != nil {
		return err
	}
	for _, name := range unsupported {
		if os.Getenv(name) != "" || env[name] != "" {
			return unsupportedError(name)
		}
	}
	for name := range env {
		if strings.HasPrefix(name, ownPrefix) && !variables[name] {
			return fmt.Errorf("%s: unknown name %s", EnvFile, name)
		}
	}
	ctx.AddResolver(&layers{env: env})
	return nil
}

// ownPrefix begins the names in .env that can only be meant for costprof. Other
// names there may be another program's, and in the environment even these may be:
// Kubernetes describes a service named costprof in such variables.
const ownPrefix = "COSTPROF_"

// variables are the names that .env may give, with those of the client's commands.
var variables = func() map[string]bool {
	names := map[string]bool{"COSTPROF_URL": true, "COSTPROF_KEY": true}
	t := reflect.TypeFor[Config]()
	for i := range t.NumField() {
		names[t.Field(i).Tag.Get("env")] = true
	}
	return names
}()

// ours are the flags that Config brings to a command line that may have others.
var ours = func() map[string]bool {
	names := map[string]bool{}
	t := reflect.TypeFor[Config]()
	for i := range t.NumField() {
		names[t.Field(i).Tag.Get("name")] = true
	}
	return names
}()

func unsupportedError(name string) error {
	return fmt.Errorf("%s is set, but this version does not support it; unset it to start without what it promises", name)
}

// layers resolves a flag from .env, then from the config file.
type layers struct {
	env  map[string]string
	file map[string]string
	read bool
}

func (l *layers) Validate(*kong.Application) error { return nil }

// Resolve is called for flags that are not on the command line. kong lets what
// it returns beat the environment, so a variable that is set returns nothing.
func (l *layers) Resolve(ctx *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	if !ours[flag.Name] {
		return nil, nil
	}
	empty := false
	for _, name := range flag.Envs {
		value, ok := os.LookupEnv(name)
		if value != "" {
			return nil, nil
		}
		empty = empty || ok
	}
	for _, name := range flag.Envs {
		if value := l.env[name]; value != "" {
			return value, nil
		}
	}
	if err := l.readFile(ctx); err != nil {
		return nil, err
	}
	if value, ok := l.file[flag.Name]; ok && flag.Name != "config" {
		return value, nil
	}
	// An empty variable is one that is not set, as compose files write it.
	if empty && flag.HasDefault {
		return flag.Default, nil
	}
	return nil, nil
}

func (l *layers) readFile(ctx *kong.Context) error {
	if l.read {
		return nil
	}
	l.read = true
	path := ""
	for _, f := range ctx.Flags() {
		if f.Name == "config" {
			path, _ = ctx.FlagValue(f).(string)
			if path == "" {
				path = l.env["COSTPROF_CONFIG"]
			}
		}
	}
	if path == "" {
		return nil
	}
	values, err := readConfigFile(path)
	if err != nil {
		return fmt.Errorf("config file %s: %w", path, err)
	}
	for key := range values {
		if ours[key] && key != "config" {
			continue
		}
		name := strings.ToUpper(strings.ReplaceAll(key, "-", "_"))
		if slices.Contains(unsupported, name) {
			return fmt.Errorf("config file %s: %w", path, unsupportedError(key))
		}
		return fmt.Errorf("config file %s: unknown key %q", path, key)
	}
	l.file = values
	return nil
}

func readEnvFile(path string) (map[string]string, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	env, err := parseEnv(string(b))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return env, nil
}
