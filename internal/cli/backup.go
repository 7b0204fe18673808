package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/costprof/costprof/internal/backup"
)

type backupCmd struct {
	File  string `arg:"" help:"File to write."`
	Data  place  `placeholder:"PLACE" help:"Back up a ledger at rest: a data directory, with the server stopped, or a postgres:// URL (default: ask the server)."`
	Force bool   `help:"Replace the file when it exists."`
}

func (*backupCmd) Help() string {
	return `Writes everything the ledger stores to one file, of one moment: calls with their costs, the history of costs, prices,
keys (as hashes), the audit log. A running server goes on storing meanwhile; it asks for an admin key for all projects.
The file is complete and was checked when the command ends well; until then it is called FILE.partial. Keep it as
safe as the ledger: it holds what the ledger holds.

Examples:

  costprof backup costs.backup
  costprof backup costs.backup --server http://costs.internal:3100 --key "$KEY"
  costprof backup costs.backup --data ./costprof-data     # with the server stopped`
}

func (c *backupCmd) Run(s *session) error {
	if _, err := os.Lstat(c.File); err == nil && !c.Force {
		return usagef("%s exists; choose another name, or replace it with --force", c.File)
	}
	partial := c.File + ".partial"
	f, err := os.OpenFile(partial, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return usagef("%s: %v", c.File, withoutPath(err))
	}
	summary, err := c.write(s, f)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(partial, c.File)
	}
	if err != nil {
		_ = os.Remove(partial)
		return err
	}
	syncFolder(filepath.Dir(c.File))
	info, err := os.Stat(c.File)
	if err != nil {
		return err
	}
	made := describeBackup(c.File, info.Size(), &summary)
	if s.root.JSON {
		return s.writeValue(made)
	}
	fmt.Fprintf(s.out, "%s: %s events as of %s, %s, checked.\n", printable(c.File), count(made.Events), made.Made, size(made.Bytes))
	return nil
}

// write writes the backup and reads it as it comes, so that it is known to be
// whole.
func (c *backupCmd) write(s *session, f *os.File) (backup.Summary, error) {
	bar := newProgress(s.stdio.Err)
	defer bar.clear()
	r, w := io.Pipe()
	type read struct {
		summary backup.Summary
		err     error
	}
	checked := make(chan read, 1)
	go func() {
		summary, err := backup.Read(s.ctx, r, &rowCounter{bar: bar, what: "backup"})
		r.CloseWithError(err)
		checked <- read{summary, err}
	}()
	err := c.copy(s, io.MultiWriter(f, w))
	w.CloseWithError(err)
	done := <-checked
	if err != nil {
		return backup.Summary{}, err
	}
	return done.summary, done.err
}

func (c *backupCmd) copy(s *session, w io.Writer) error {
	if c.Data == "" {
		server, err := s.connect()
		if err != nil {
			return err
		}
		_, err = server.Backup(s.ctx, w)
		return err
	}
	engine, err := c.Data.open(s, false)
	if err != nil {
		return err
	}
	_, err = backup.Write(s.ctx, w, engine, backup.Header{Made: time.Now().UTC().Truncate(time.Second), Program: "costprof " + buildVersion(), Ledger: c.Data.kind()})
	return errors.Join(err, engine.Close())
}

// syncFolder makes a new name durable where that can be done.
func syncFolder(dir string) {
	if d, err := os.Open(dir); err == nil {
		_ = d.Sync()
		d.Close()
	}
}

// size is a number of bytes for people.
func size(n int64) string {
	switch {
	case n < 1<<10:
		return fmt.Sprintf("%d bytes", n)
	case n < 1<<20:
		return fmt.Sprintf("%d kB", n>>10)
	}
	return fmt.Sprintf("%d.%d MB", n>>20, (n%(1<<20))*10>>20)
}
