package cli

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"

	"github.com/costprof/costprof/internal/backup"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/store/engines"
)

// place is where a ledger is: a data directory, or a PostgreSQL database.
type place string

func (p place) database() bool {
	return strings.HasPrefix(string(p), "postgres://") || strings.HasPrefix(string(p), "postgresql://")
}

// String names the place for people, without its password.
func (p place) String() string {
	if !p.database() {
		return string(p)
	}
	u, err := url.Parse(string(p))
	if err != nil {
		return "a PostgreSQL database"
	}
	return "the PostgreSQL database " + strings.TrimPrefix(u.Path, "/") + " at " + u.Host
}

func (p place) kind() string {
	if p.database() {
		return "postgres"
	}
	return "embedded"
}

func (p place) options(s *session) engines.Options {
	o := engines.Options{Log: slog.New(slog.NewTextHandler(s.stdio.Err, &slog.HandlerOptions{Level: slog.LevelWarn}))}
	if p.database() {
		o.URL = string(p)
	} else {
		o.Dir = string(p)
	}
	return o
}

// open opens the ledger that is there. alone refuses one that a server uses.
func (p place) open(s *session, alone bool) (store.Engine, error) {
	if !p.database() {
		if _, err := os.Stat(string(p)); err != nil {
			return nil, usagef("%s: there is no such directory", p)
		}
		if !engines.Holds(string(p)) {
			return nil, usagef("%s: there is no ledger in this directory", p)
		}
	}
	o := p.options(s)
	o.Exclusive = alone
	return engines.Open(s.ctx, o)
}

// load fills the ledger at the place.
func (p place) load(s *session, l store.Load) error {
	return engines.Load(s.ctx, p.options(s), l)
}

// rowCounter is a sink that draws how far it is.
type rowCounter struct {
	bar    *progress
	what   string
	events int64
	table  string
	// done and all say how far it is in other units; nil is not known.
	done func() (done, all int64)
}

func (c *rowCounter) Table(t *store.Table) error {
	c.table = t.Name
	return nil
}

func (c *rowCounter) Row([]any) error {
	if c.table != store.EventsTable {
		return nil
	}
	if c.events++; c.events%1024 == 0 {
		var done, all int64
		if c.done != nil {
			done, all = c.done()
		}
		c.bar.show(c.what, done, all, func() int { return int(c.events) })
	}
	return nil
}

// backupFile is a backup that was read.
type backupFile struct {
	Path   string           `json:"file"`
	Made   string           `json:"made"`
	By     string           `json:"by"`
	Ledger string           `json:"ledger"`
	Bytes  int64            `json:"bytes"`
	Events int64            `json:"events"`
	Rows   map[string]int64 `json:"rows"`
}

func describeBackup(path string, size int64, s *backup.Summary) backupFile {
	return backupFile{
		Path: path, Made: s.Made.UTC().Format("2006-01-02T15:04:05Z"), By: s.Program, Ledger: s.Ledger, Bytes: size, Events: s.Rows[store.EventsTable], Rows: s.Rows,
	}
}

// countedFile reads a file and says how far it is.
type countedFile struct {
	*os.File
	read, size int64
}

func openCounted(path string) (*countedFile, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, usagef("%s: %v", path, withoutPath(err))
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = usagef("%s is not a file", path)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return &countedFile{File: f, size: info.Size()}, nil
}

func (c *countedFile) Read(b []byte) (int, error) {
	n, err := c.File.Read(b)
	c.read += int64(n)
	return n, err
}

func (c *countedFile) progress() (done, all int64) { return c.read, c.size }

// readBackup reads a whole file into a sink.
func (s *session) readBackup(ctx context.Context, path, what string, to ...store.Sink) (backupFile, error) {
	f, err := openCounted(path)
	if err != nil {
		return backupFile{}, err
	}
	defer f.Close()
	bar := newProgress(s.stdio.Err)
	defer bar.clear()
	summary, err := backup.Read(ctx, f, backup.Tee(append(to, &rowCounter{bar: bar, what: what, done: f.progress})...))
	if err != nil {
		return backupFile{}, fmt.Errorf("%s: %w", path, err)
	}
	return describeBackup(path, f.size, &summary), nil
}
